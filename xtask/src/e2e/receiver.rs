//! A small HTTP receiver: event webhook, hooks that answer as told, and a chat. It knows no canary and judges nothing.
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest request body that is read, in bytes.
const LONGEST_BODY: u64 = 1 << 20;
/// How long a request that is never answered is held.
const NEVER: Duration = Duration::from_mins(2);

/// How a hook answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A status code and a body.
    Status(u16, &'static str),
    /// A status code and a body of so many bytes.
    Bulk(u16, usize),
    /// No answer at all.
    Never,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path of the URL without its query, such as `/hook/promoted/acceptance`.
    pub path: String,
    /// The body, or null if it is no JSON.
    pub body: Value,
    /// When it arrived.
    pub at: Instant,
}

#[derive(Default)]
struct Shared {
    answers: BTreeMap<String, Answer>,
    received: Vec<Received>,
}

/// The receiver; it serves until the process ends.
#[derive(Clone)]
pub(crate) struct Receiver {
    shared: Arc<Mutex<Shared>>,
    address: SocketAddr,
}

impl Receiver {
    /// Listens at a free port of this address.
    ///
    /// # Errors
    /// When the address is not this machine's.
    pub(crate) fn start(address: &str) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).with_context(|| format!("listen at {address}"))?;
        let address = listener.local_addr().context("look up the receiver's port")?;
        let receiver = Self { shared: Arc::default(), address };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = serving.clone();
                std::thread::spawn(move || receiver.serve(stream));
            }
        });
        Ok(receiver)
    }

    /// Where it is.
    pub(crate) const fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// URL of a path that begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on a path answers so; until it is told otherwise a path answers 200.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.lock().answers.insert(path.to_owned(), answer);
    }

    /// Everything that arrived at paths for which `wanted` is true, in order.
    pub(crate) fn received(&self, wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
        self.lock().received.iter().filter(|request| wanted(request)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        // A caller that goes away is its own business.
        let _ = self.serve_one(stream);
    }

    fn serve_one(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (path, body) = read(&mut BufReader::new(&mut stream))?;
        let answer = {
            let mut shared = self.lock();
            let answer = shared.answers.get(&path).cloned().unwrap_or(Answer::Status(200, "OK"));
            let body = serde_json::from_slice(&body).unwrap_or_default();
            shared.received.push(Received { path, body, at: Instant::now() });
            answer
        };
        respond(&mut stream, &answer)
    }
}

/// Reads path and body of a request.
fn read(stream: &mut impl BufRead) -> Result<(String, Vec<u8>)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let target = line.split(' ').nth(1).context("the request has no path")?;
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("the length is no number")?;
        }
    }
    let mut body = Vec::new();
    stream.take(length).take(LONGEST_BODY).read_to_end(&mut body)?;
    Ok((path, body))
}

fn respond(stream: &mut TcpStream, answer: &Answer) -> Result<()> {
    let (status, body) = match answer {
        Answer::Never => {
            // The caller gives up first; its end of the connection tells.
            stream.set_read_timeout(Some(NEVER))?;
            let _ = stream.read(&mut [0]);
            return Ok(());
        }
        Answer::Status(status, body) => (*status, body.as_bytes().to_vec()),
        Answer::Bulk(status, bytes) => (*status, vec![b'x'; *bytes]),
    };
    let head = format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    Ok(stream.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(receiver: &Receiver, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(receiver.address).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_path_answers_as_told_and_what_arrived_is_kept_in_order() {
        let receiver = Receiver::start("127.0.0.1").unwrap();
        receiver.answer("/closed", Answer::Status(403, "no"));
        receiver.answer("/much", Answer::Bulk(200, 5000));
        assert!(post(&receiver, "/open?query=1", "{\"a\":1}").starts_with("HTTP/1.1 200 "));
        let refused = post(&receiver, "/closed", "no json");
        assert!(refused.starts_with("HTTP/1.1 403 ") && refused.ends_with("\r\n\r\nno"));
        assert!(post(&receiver, "/much", "{}").ends_with(&"x".repeat(5000)));
        let requests = receiver.received(|request| request.path != "/much");
        let seen: Vec<_> = requests.iter().map(|request| (request.path.as_str(), request.body.clone())).collect();
        assert_eq!(seen, [("/open", serde_json::json!({"a": 1})), ("/closed", Value::Null)]);
    }
}
