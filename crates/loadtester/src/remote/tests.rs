//! Other servers, played over real sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burgee_operator::lock::lock;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

/// What was asked: method and path, authorisation, body.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;

/// A server that answers each request with the next of these answers, and for ever with the last one.
async fn played(answers: &'static [&'static str]) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let shared = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = shared.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let asked = asked.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let text = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
                    let key = head.headers.get("authorization").map_or("", |key| key.to_str().unwrap()).to_owned();
                    let mut asked = lock(&asked);
                    asked.push((format!("{} {}", head.method, head.uri), key, text));
                    let answer = answers[(asked.len() - 1).min(answers.len() - 1)];
                    Ok::<_, hyper::Error>(Response::new(Full::<bytes::Bytes>::from(answer)))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, asked)
}

fn paths(asked: &Asked) -> Vec<String> {
    lock(asked).iter().map(|(path, _, _)| path.clone()).collect()
}

const MINUTE: Duration = Duration::from_mins(1);

async fn process(answers: &'static [&'static str], poll_timeout: Duration) -> (Result<String, String>, Asked) {
    let (server, asked) = played(answers).await;
    let key_path = std::env::temp_dir().join(format!("burgee-concord-{:x}", fastrand::u64(..)));
    std::fs::write(&key_path, "secret\n").unwrap();
    let fields = [("org", "o"), ("entryPoint", "main"), ("arguments.endpoint", "http://e"), ("arguments.a", "b")];
    let fields: BTreeMap<String, String> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let task = Concord {
        server,
        key_path: key_path.display().to_string(),
        fields,
        poll_interval: Duration::from_millis(20),
        poll_timeout,
    };
    let result = Remote::new().unwrap().run_process(&task, MINUTE).await;
    std::fs::remove_file(key_path).unwrap();
    (result, asked)
}

#[tokio::test]
async fn a_process_of_concord_is_started_with_a_form_and_asked_for_until_it_ends() {
    let answers = &[r#"{"instanceId": "i-1"}"#, r#"{"status": "RUNNING"}"#, r#"{"status": "FINISHED"}"#];
    let (result, asked) = process(answers, MINUTE).await;
    assert_eq!(result, Ok("concord process i-1 finished".to_owned()));
    assert_eq!(paths(&asked), ["POST /api/v1/process", "GET /api/v1/process/i-1", "GET /api/v1/process/i-1"]);
    let (_, key, form) = lock(&asked)[0].clone();
    assert_eq!(key, "secret");
    for part in ["name=\"entryPoint\"\r\n\r\nmain\r\n", "name=\"arguments.endpoint\"\r\n\r\nhttp://e\r\n", "--\r\n"] {
        assert!(form.contains(part), "{part:?} is missing in {form:?}");
    }
    let (result, _) = process(&[r#"{"instanceId": "i-1"}"#, r#"{"status": "FAILED"}"#], MINUTE).await;
    assert_eq!(result, Err("concord process i-1 ended as FAILED".to_owned()));
    let (result, _) = process(&["{}"], MINUTE).await;
    assert_eq!(result, Err("concord process was not started: the answer has no instanceId".to_owned()));
}

#[tokio::test]
async fn the_poll_timeout_of_concord_is_for_the_whole_wait() {
    let begun = Instant::now();
    let answers = &[r#"{"instanceId": "i-1"}"#, r#"{"status": "RUNNING"}"#];
    let (result, asked) = process(answers, Duration::from_secs(1)).await;
    assert_eq!(result, Err("concord process i-1 did not finish in 1000 ms".to_owned()));
    assert!(begun.elapsed() < MINUTE / 2 && paths(&asked).len() > 2);
}

async fn test(answers: &'static [&'static str], limit: Duration) -> (Report, Asked) {
    let (server, asked) = played(answers).await;
    let (user, password) = ("u".to_owned(), "pw".to_owned());
    let task = Ngrinder { server, clone: 7, user, password, poll_interval: Duration::from_millis(20) };
    (Remote::new().unwrap().run_test(&task, limit).await, asked)
}

#[tokio::test]
async fn a_test_of_ngrinder_is_cloned_and_asked_for_until_it_ends() {
    let answers = &[r#"{"id": 9}"#, r#"{"status": [{"name": "TESTING"}]}"#, r#"{"status": [{"name": "FINISHED"}]}"#];
    let (report, asked) = test(answers, MINUTE).await;
    assert_eq!(report, Report { output: "test 9 of nGrinder finished".to_owned(), error: None });
    let status = "GET /perftest/api/9/status";
    assert_eq!(paths(&asked), ["POST /perftest/api/7/clone_and_start", status, status]);
    assert_eq!(lock(&asked)[0].1, "Basic dTpwdw==");
    let (report, _) = test(&[r#"{"id": 9}"#, r#"{"status": "STOP_BY_ERROR"}"#], MINUTE).await;
    assert_eq!(report, Report::refused("test 9 of nGrinder ended as STOP_BY_ERROR"));
}

#[tokio::test]
async fn a_test_of_ngrinder_that_takes_too_long_is_stopped() {
    let (report, asked) = test(&[r#"{"id": 9}"#, r#"{"status": "TESTING"}"#], Duration::from_secs(1)).await;
    assert_eq!(report, Report::refused("test 9 of nGrinder did not finish in 1000 ms"));
    assert_eq!(paths(&asked).last().map(String::as_str), Some("PUT /perftest/api/9?action=stop"));
}
