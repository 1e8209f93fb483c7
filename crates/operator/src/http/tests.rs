//! Deadlines, limits and redirects against a server on the loopback.

use axum::http::StatusCode as Code;
use axum::response::IntoResponse;

use super::*;
use crate::fixtures::{Fake, object};

const LIMITS: Limits = Limits { deadline: Duration::from_secs(5), bytes: 8, trust: Trust::Verified };

async fn post(url: &str) -> Result<http::Response<Bytes>, String> {
    let request = http::Request::post(url).body(Bytes::from_static(b"{}")).unwrap();
    Outside::new().unwrap().send(request, LIMITS).await
}

fn to(code: Code, url: String) -> axum::response::Response {
    (code, [("location", url)]).into_response()
}

#[tokio::test]
async fn answers_are_cut_at_the_limit() {
    let fake = Fake::start(|_| (Code::OK, "0123456789").into_response()).await;
    assert_eq!(post(&fake.url).await.unwrap().body().as_ref(), b"01234567");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-token", listener.local_addr().unwrap());
    let request = http::Request::get(&url).body(Bytes::new()).unwrap();
    let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
    let error = Outside::new().unwrap().send(request, limits).await.unwrap_err();
    assert!(error.contains("timed out") && !error.contains("secret-token"), "{error}");
}

#[tokio::test]
async fn a_post_is_not_sent_again_to_another_host() {
    let other = Fake::start(|request| object(&request.body)).await;
    let target = other.url.clone();
    let first = Fake::start(move |_| to(Code::TEMPORARY_REDIRECT, target.clone())).await;
    assert_eq!(post(&first.url).await.unwrap().status(), Code::TEMPORARY_REDIRECT);
    assert_eq!(other.seen(), []);
}

#[tokio::test]
async fn redirects_of_the_same_host_are_followed_but_not_for_ever() {
    let fake = Fake::start(|request| match request.path.as_str() {
        "/loop" => to(Code::TEMPORARY_REDIRECT, "/loop".to_owned()),
        "/start" => to(Code::TEMPORARY_REDIRECT, "/end".to_owned()),
        _ => (Code::OK, "end").into_response(),
    })
    .await;
    assert_eq!(post(&format!("{}/start", fake.url)).await.unwrap().body().as_ref(), b"end");
    let error = post(&format!("{}/loop", fake.url)).await.unwrap_err();
    assert!(error.contains("stopped after 5 redirects"), "{error}");
}

/// Follows a chain of so many redirects. Answers the end or the error, and how many requests there were.
async fn chained(redirects: usize) -> (Result<Bytes, String>, usize) {
    let fake = Fake::start(move |request| {
        let done: usize = request.path.trim_start_matches('/').parse().unwrap();
        if done == redirects { (Code::OK, "end").into_response() } else { to(Code::FOUND, format!("/{}", done + 1)) }
    })
    .await;
    let answer = post(&format!("{}/0", fake.url)).await;
    (answer.map(http::Response::into_body), fake.seen().len())
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_sixth() {
    assert_eq!(chained(5).await, (Ok(Bytes::from_static(b"end")), 6));
    let (answer, requests) = chained(6).await;
    assert!(answer.is_err_and(|error| error.contains("stopped after 5 redirects")));
    assert_eq!(requests, 6);
}

/// Sends a request with credentials and a body to a server that answers with a redirect to another host and one that
/// leads to itself. Answers what both were asked in the end.
async fn redirected(code: Code) -> [Vec<crate::fixtures::Seen>; 2] {
    let other = Fake::start(|request| object(&request.body)).await;
    let away = other.url.clone();
    let own = Fake::start(move |request| match request.path.as_str() {
        "/away" => to(code, away.clone()),
        "/here" => to(code, "/end".to_owned()),
        _ => object(&request.body),
    })
    .await;
    for path in ["/away", "/here"] {
        let request = http::Request::post(format!("{}{path}", own.url)).header("authorization", "Bearer secret");
        let request = request.header("cookie", "secret").body(Bytes::from_static(b"{\"a\": 1}")).unwrap();
        Outside::new().unwrap().send(request, LIMITS).await.unwrap();
    }
    let ended = own.seen().into_iter().filter(|seen| seen.path == "/end").collect();
    [other.seen(), ended]
}

#[tokio::test]
async fn neither_credentials_nor_a_body_go_to_another_host() {
    for code in [Code::MOVED_PERMANENTLY, Code::FOUND, Code::SEE_OTHER] {
        let [other, own] = redirected(code).await;
        let asked = |seen: &crate::fixtures::Seen| (seen.method.clone(), seen.authorization.clone(), seen.body.clone());
        let (get, nothing) = ("GET".to_owned(), serde_json::Value::Null);
        assert_eq!(other.iter().map(asked).collect::<Vec<_>>(), [(get.clone(), String::new(), nothing.clone())]);
        assert_eq!(own.iter().map(asked).collect::<Vec<_>>(), [(get, "Bearer secret".to_owned(), nothing)]);
    }
    for code in [Code::TEMPORARY_REDIRECT, Code::PERMANENT_REDIRECT] {
        let [other, own] = redirected(code).await;
        assert_eq!(other, [], "{code}");
        let asked: Vec<_> = own.iter().map(|seen| (seen.method.as_str(), seen.body["a"].as_u64())).collect();
        assert_eq!(asked, [("POST", Some(1))], "{code}");
    }
}
