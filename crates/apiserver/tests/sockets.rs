//! The server over a socket: it follows, counts, and misbehaves as it is told.

use burgee_apiserver::{Answer, ApiServer, Fault, Requests, Times, Verb};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CANARIES: &str = "/apis/flagger.app/v1beta1/canaries";

/// A connection with what was read of it.
struct Line {
    stream: TcpStream,
    read: String,
}

impl Line {
    async fn to(server: &ApiServer) -> Self {
        match TcpStream::connect(server.address()).await {
            Ok(stream) => Self { stream, read: String::new() },
            Err(error) => unreachable!("the server listens: {error}"),
        }
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) {
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        // One that is gone shows itself when it is read.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Reads until a text has come, and takes everything up to its end.
    async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.find(text) {
                let rest = self.read.split_off(at + text.len());
                return std::mem::replace(&mut self.read, rest);
            }
            assert!(self.more().await, "the connection ended before {text:?}: {}", self.read);
        }
    }

    /// Reads to the end of the connection.
    async fn rest(mut self) -> String {
        while self.more().await {}
        self.read
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer).await.unwrap_or_default();
        self.read += &String::from_utf8_lossy(&buffer[..read]);
        read > 0
    }
}

fn canary(name: &str) -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": name, "namespace": "test"}})
}

#[tokio::test]
async fn a_watch_shows_what_happens_after_its_version_and_is_counted_while_it_is_open() {
    let server = ApiServer::start().await.unwrap();
    server.put(canary("a"));
    server.put(canary("b"));
    let mut line = Line::to(&server).await;
    line.ask("GET", &format!("{CANARIES}?watch=1&resourceVersion=101"), "").await;
    assert!(line.until("\"type\":\"ADDED\"").await.contains("\"name\":\"b\""));
    assert_eq!((server.watches(), server.connections()), (1, 1));
    server.remove("/apis/flagger.app/v1beta1/namespaces/test/canaries/a");
    line.until("DELETED").await;
    drop(line);
    server.connection_changes().wait_for(|open| *open == 0).await.unwrap();
    assert_eq!(server.watches(), 0);
    assert_eq!(server.count(&Requests::of(Verb::Watch, "canaries")), 1);
}

#[tokio::test]
async fn bookmarks_carry_the_version_and_a_forgotten_one_is_expired() {
    let server = ApiServer::start().await.unwrap();
    server.bookmark_every(std::time::Duration::ZERO);
    server.put(canary("a"));
    let mut line = Line::to(&server).await;
    line.ask("GET", &format!("{CANARIES}?watch=1&allowWatchBookmarks=true&resourceVersion=101"), "").await;
    assert!(line.until("\"type\":\"BOOKMARK\"").await.contains("\"resourceVersion\":\"101\""));
    server.compact();
    let mut late = Line::to(&server).await;
    late.ask("GET", &format!("{CANARIES}?watch=1&resourceVersion=100"), "").await;
    assert!(late.until("\"type\":\"ERROR\"").await.contains("\"code\":410"));
}

#[tokio::test]
async fn trouble_comes_as_often_as_it_is_wanted_to_the_requests_it_is_wanted_for() {
    let server = ApiServer::start().await.unwrap();
    let mut line = Line::to(&server).await;
    server.trouble(Requests::of(Verb::List, "canaries"), Fault::RefuseFor(429, 7), Times::Next(1));
    line.ask("GET", "/api/v1/secrets", "").await;
    assert!(line.until("\"kind\":\"List\"").await.contains("200"));
    line.ask("GET", CANARIES, "").await;
    assert!(line.until("TooManyRequests").await.contains("retry-after: 7"));
    line.ask("GET", CANARIES, "").await;
    line.until("\"kind\":\"List\"").await;
}

#[tokio::test]
async fn an_answer_stops_in_the_middle_or_never_comes_although_it_was_done() {
    let server = ApiServer::start().await.unwrap();
    server.put(canary("a"));
    server.trouble(Requests::about("canaries"), Fault::CutInTheMiddle, Times::Next(1));
    let mut line = Line::to(&server).await;
    line.ask("GET", CANARIES, "").await;
    let half = line.rest().await;
    assert!(half.contains("HTTP/1.1 200") && !half.ends_with('}'), "{half}");
    server.trouble(Requests::of(Verb::Create, "canaries").named("b"), Fault::DoAndHang, Times::Always);
    let mut line = Line::to(&server).await;
    let collection = CANARIES.replace("canaries", "namespaces/test/canaries");
    line.ask("POST", &collection, &canary("b").to_string()).await;
    server.asked(&Requests::of(Verb::Create, "canaries"), 1).await;
    let mut other = Line::to(&server).await;
    other.ask("GET", &format!("{collection}/b"), "").await;
    other.until("\"name\":\"b\"").await;
    assert_eq!(line.read, "");
}

#[tokio::test]
async fn a_connection_that_fell_silent_stays_so_and_a_new_one_is_served() {
    let server = ApiServer::start().await.unwrap();
    let mut silent = Line::to(&server).await;
    silent.ask("GET", &format!("{CANARIES}?watch=1"), "").await;
    silent.until("\r\n\r\n").await;
    server.watch_changes().wait_for(|open| *open == 1).await.unwrap();
    server.silence();
    server.watch_changes().wait_for(|open| *open == 0).await.unwrap();
    server.put(canary("a"));
    let mut line = Line::to(&server).await;
    line.ask("GET", CANARIES, "").await;
    line.until("\"name\":\"a\"").await;
    server.cut();
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn a_script_answers_before_the_server_does() {
    let server = ApiServer::start_with(|seen| (seen.path == "/hook").then(|| Answer::text(418, "no"))).await.unwrap();
    let mut line = Line::to(&server).await;
    line.ask("POST", "/hook", "{\"a\": 1}").await;
    line.until("418").await;
    line.ask("GET", "/version", "").await;
    line.until("v1.34.0").await;
    assert_eq!(server.seen()[0].body, json!({"a": 1}));
}
