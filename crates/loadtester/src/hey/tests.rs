//! Loads against a server of this test, over real sockets, and arguments as `hey` reads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_operator::lock::lock;
use bytes::Bytes;
use http::{Request as HttpRequest, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::args::{Amount, Form};
use super::target::Choice;
use super::*;

fn words(line: &str) -> Vec<String> {
    crate::words::pipeline(line).unwrap().remove(0)
}

fn load(line: &str) -> Box<Load> {
    match read(&words(line)) {
        Request::Load(load) => load,
        other @ (Request::Usage(_) | Request::Unknown(_)) => panic!("{line}: {other:?}"),
    }
}

#[test]
fn arguments_are_read_as_hey_reads_them() {
    let plain = load("http://a/");
    assert_eq!((plain.amount, plain.workers, plain.pace), (Amount::Each(4), 50, None));
    assert_eq!(
        (plain.timeout, plain.form, plain.keepalive),
        (Some(Duration::from_secs(20)), Form::Summary, Choice::On)
    );
    assert_eq!(plain.method, "GET");
    let articles = load("-z 1m -q 10 -c 2 http://podinfo-canary.test:9898/");
    assert_eq!((articles.amount, articles.workers), (Amount::Time(Duration::from_mins(1)), 2));
    assert_eq!(articles.pace, Some(Duration::from_millis(100)));
    let many =
        load("-n=7 --c=2 -q=0.5 -t 0 -o csv -m post -disable-keepalive -disable-redirects -cpus 1 http://a/ -n 9");
    assert_eq!((many.amount, many.workers, many.pace), (Amount::Each(3), 2, Some(Duration::from_secs(2))));
    assert_eq!((many.timeout, many.form, many.method.as_str()), (None, Form::Csv, "POST"));
    assert_eq!((many.keepalive, many.redirects, many.threads), (Choice::Off, Choice::Off, 1));
}

#[test]
fn headers_are_those_of_hey() {
    let check = |line: &str, expected: &[(&str, &str)]| {
        let mut found = BTreeMap::new();
        for (name, value) in load(line).headers.iter().filter(|(name, _)| *name != "host") {
            found.insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
        }
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found, expected, "{line}");
    };
    let usual = [("accept-encoding", "gzip"), ("content-type", "text/html"), ("user-agent", "hey/0.0.1")];
    check("http://a/", &usual);
    check(
        "-T application/json -disable-compression -H 'X-A:  b' -U me -A text/plain -a u:pw http://a/",
        &[
            ("accept", "text/plain"),
            ("authorization", "Basic dTpwdw=="),
            ("content-type", "application/json"),
            ("user-agent", "me hey/0.0.1"),
            ("x-a", "b"),
        ],
    );
    check(
        "-H 'User-Agent: me' -H 'Content-Type: a/b' -disable-compression http://a/",
        &[("content-type", "a/b"), ("user-agent", "me hey/0.0.1")],
    );
}

#[test]
fn what_hey_does_not_take_is_answered_with_its_words() {
    let check = |line: &str, expected: &str| {
        let Request::Usage(text) = read(&words(line)) else { panic!("{line} is taken") };
        assert_eq!(text.lines().next(), Some(expected), "{line}");
        assert!(text.contains("Usage: hey [options...] <url>"), "{line}");
    };
    check("-n 10", "Usage: hey [options...] <url>");
    check("-n 2 -c 5 http://a/", "-n cannot be less than -c.");
    check("-n 0 http://a/", "-n and -c cannot be smaller than 1.");
    check("-z 1s -c 0 http://a/", "-c cannot be smaller than 1.");
    check("-z 1x http://a/", "invalid value \"1x\" for flag -z: parse error");
    check("-bogus http://a/", "flag provided but not defined: -bogus");
    check("-h x http://a/", "Flag '-h' is deprecated, please use '-H' instead.");
    check("-H foo http://a/", "could not parse the provided input; input = foo");
    check("-a foo http://a/", "could not parse the provided input; input = foo");
    check("-D /nonexistent http://a/", "open /nonexistent: no such file or directory");
    check("-D /dev/zero http://a/", "open /dev/zero: no file of at most 67108864 bytes");
    check("-D /proc/self/pagemap http://a/", "open /proc/self/pagemap: no file of at most 67108864 bytes");
    assert!(matches!(read(&words("-x 127.0.0.1:1 http://a/")), Request::Unknown(_)));
    assert!(matches!(read(&words("-n 20000 -c 20000 http://a/")), Request::Unknown(_)));
}

/// Requests that came: method and path, and the body.
type Seen = Arc<Mutex<Vec<(String, String, HttpRequest<()>)>>>;

async fn respond(seen: Seen, request: HttpRequest<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    let path = head.uri.path().to_owned();
    lock(&seen).push((format!("{} {}", head.method, head.uri), body, HttpRequest::from_parts(head, ())));
    let (status, location) = match path.as_str() {
        "/there" => (302, "/here?a=b"),
        "/loop" => (307, "/loop"),
        "/500" => (500, ""),
        "/slow" => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            (200, "")
        }
        _ => (200, ""),
    };
    let response = Response::builder().status(status).header("location", location);
    Ok(response.body(Full::from("hello")).unwrap())
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, seen: Seen) {
    let service = service_fn(move |request| respond(seen.clone(), request));
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// A server, how many connections it was asked for, and what it saw.
struct Server {
    address: String,
    connections: Arc<Mutex<usize>>,
    seen: Seen,
}

impl Server {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Self { address, connections: Arc::default(), seen: Seen::default() };
        let (connections, seen) = (server.connections.clone(), server.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *lock(&connections) += 1;
                let (seen, tls) = (seen.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => speak(stream, seen).await,
                        Some(tls) => speak(tls.accept(stream).await.unwrap(), seen).await,
                    }
                });
            }
        });
        server
    }

    async fn get(&self, line: &str) -> String {
        run(&load(&line.replace("ADDRESS", &self.address))).await
    }

    fn paths(&self) -> Vec<String> {
        lock(&self.seen).iter().map(|(path, _, _)| path.clone()).collect()
    }

    fn opened(&self) -> usize {
        *lock(&self.connections)
    }
}

#[tokio::test]
async fn a_load_is_sent_over_as_many_connections_as_there_are_workers() {
    let server = Server::start(None).await;
    let text = server.get("-n 100 -c 4 http://ADDRESS/a?b=c").await;
    assert!(text.contains("\n  [200]\t100 responses\n"), "{text}");
    assert!(text.contains("  Total data:\t500 bytes\n  Size/request:\t5 bytes\n"), "{text}");
    assert_eq!((server.opened(), server.paths().len()), (4, 100));
    assert!(server.paths().iter().all(|path| path == "GET /a?b=c"));
    server.get("-n 10 -c 2 -disable-keepalive http://ADDRESS/").await;
    assert_eq!(server.opened(), 14);
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let server = Server::start(None).await;
    server.get("-n 1 -c 1 -m PUT -d '{\"a\": 1}' -host example.com -T application/json http://ADDRESS/").await;
    let (path, body, request) = lock(&server.seen).remove(0);
    assert_eq!((path.as_str(), body.as_str()), ("PUT /", "{\"a\": 1}"));
    assert_eq!(request.headers()["host"], "example.com");
    assert_eq!(request.headers()["content-length"], "8");
}

#[tokio::test]
async fn redirects_are_followed_unless_they_are_not_wanted() {
    let server = Server::start(None).await;
    let text = server.get("-n 1 -c 1 -m POST -d a http://ADDRESS/there").await;
    assert!(text.contains("\n  [200]\t1 responses\n"), "{text}");
    assert_eq!(server.paths(), ["POST /there", "GET /here?a=b"]);
    let text = server.get("-n 1 -c 1 -disable-redirects http://ADDRESS/there").await;
    assert!(text.contains("\n  [302]\t1 responses\n"), "{text}");
    let text = server.get("-n 1 -c 1 http://ADDRESS/loop").await;
    assert!(text.contains("/loop\": stopped after 10 redirects\n"), "{text}");
}

#[tokio::test]
async fn a_load_ends_with_its_time_and_keeps_its_pace() {
    let server = Server::start(None).await;
    let begun = Instant::now();
    let text = server.get("-z 1s -q 10 -c 2 http://ADDRESS/500").await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let count = server.paths().len();
    assert!((1..=20).contains(&count), "{count}");
    assert!(text.contains(&format!("\n  [500]\t{count} responses\n")), "{text}");
}

#[tokio::test]
async fn errors_are_counted_in_the_words_of_go() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let text = run(&load(&format!("-n 4 -c 2 http://{nobody}/"))).await;
    let expected = format!("\n  [4]\tGet \"http://{nobody}/\": dial tcp {nobody}: connect: connection refused\n");
    assert!(text.contains(&expected), "{text}");
    let text = run(&load("-n 1 -c 1 nourl")).await;
    assert!(text.contains("\n  [1]\tGet \"nourl\": unsupported protocol scheme \"\"\n"), "{text}");
    let server = Server::start(None).await;
    let text = server.get("-n 1 -c 1 -t 1 http://ADDRESS/slow").await;
    assert!(text.contains("/slow\": context deadline exceeded (Client.Timeout exceeded"), "{text}");
}

#[tokio::test]
async fn rows_have_the_times_of_each_request() {
    let server = Server::start(None).await;
    let text = server.get("-n 3 -c 1 -o csv http://ADDRESS/").await;
    let mut lines = text.lines();
    let headings = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset";
    assert_eq!(lines.next(), Some(headings));
    for line in lines.by_ref().take(3) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((cells.len(), cells[6]), (8, "200"), "{line}");
    }
    assert_eq!(lines.collect::<String>(), "");
}

fn acceptor(protocols: &[&[u8]]) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.into()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_taken_and_http_2_spoken_if_it_is_wanted() {
    for (flag, version) in [("", http::Version::HTTP_11), ("-h2", http::Version::HTTP_2)] {
        let server = Server::start(Some(acceptor(&[b"h2", b"http/1.1"]))).await;
        let text = server.get(&format!("-n 6 -c 2 {flag} https://ADDRESS/")).await;
        assert!(text.contains("\n  [200]\t6 responses\n"), "{text}");
        assert!(lock(&server.seen).iter().all(|(_, _, request)| request.version() == version), "{version:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_ends_between_two_requests_is_opened_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // One answer on each connection, which promises more and ends.
        let answer = async |mut stream: TcpStream| {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.unwrap_or_default() > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        };
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream).await;
        }
    });
    let text = run(&load(&format!("-n 5 -c 1 http://{address}/"))).await;
    assert!(text.contains("\n  [200]\t5 responses\n") && !text.contains("Error"), "{text}");
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_any_more_ends() {
    let server = Server::start(None).await;
    let line = "-z 1h -c 2 -q 100 http://ADDRESS/";
    assert!(tokio::time::timeout(Duration::from_millis(500), server.get(line)).await.is_err());
    for _ in 0..100 {
        let before = server.paths().len();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if server.paths().len() == before {
            return;
        }
    }
    panic!("it goes on");
}
