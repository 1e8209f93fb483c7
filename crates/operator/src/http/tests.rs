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
