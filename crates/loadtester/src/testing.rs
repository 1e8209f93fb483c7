//! A load tester of its own for a test, over real sockets, and what a client does with it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::job::Jobs;
use crate::options::{self, Request};
use crate::routes::Desk;

/// A load tester that serves.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) desk: Arc<Desk>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Served {
    pub(crate) fn start(flags: &str) -> Self {
        Self::with(flags, None)
    }

    pub(crate) fn with(flags: &str, jobs: Option<Jobs>) -> Self {
        let flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        let Request::Run(options) = options::read(&flags) else { panic!("the flags are refused") };
        let listener = crate::serve::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk::new(*options, jobs).unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(crate::attend(listener, desk.clone(), stop.clone()));
        Self { address, desk, stop, server }
    }

    /// The status code and the body of an answer to a body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// The answer to the hook of the canary `podinfo.test` with this metadata.
    pub(crate) async fn hook(&self, path: &str, metadata: Value) -> (u16, String) {
        let payload = json!({"name": "podinfo", "namespace": "test", "phase": "Progressing", "metadata": metadata});
        self.send("POST", path, &payload.to_string()).await
    }

    /// Returns when a line stands in the metrics.
    pub(crate) async fn shows(&self, line: &str) {
        for _ in 0..600 {
            if self.send("GET", "/metrics", "").await.1.lines().any(|shown| shown == line) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{line} is not in\n{}", self.send("GET", "/metrics", "").await.1);
    }

    /// Stops it as a signal does, and returns when it has ended.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

/// The command lines of living processes that hold a word, but for this one.
pub(crate) fn living(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(word) && entry.file_name() != *std::process::id().to_string() {
            found.push(line);
        }
    }
    found
}

/// A number of seconds to sleep that no other test sleeps, and by which the sleeper is found.
pub(crate) fn long() -> String {
    format!("1{:08}.5", fastrand::u32(0..100_000_000))
}
