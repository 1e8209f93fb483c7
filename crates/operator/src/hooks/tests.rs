//! Webhooks against a server on the loopback.

use axum::http::StatusCode as Code;
use axum::response::IntoResponse;
use serde_json::json;

use super::*;
use crate::fixtures::Fake;

async fn called(code: u16, body: &'static str) -> (Result<(), HookError>, Fake) {
    let fake = Fake::start(move |_| (Code::from_u16(code).unwrap(), body).into_response()).await;
    let webhook = Webhook { name: "gate".to_owned(), url: format!("{}/gate", fake.url), ..Webhook::default() };
    (call(&Outside::new().unwrap(), &webhook, &json!({"name": "podinfo"})).await, fake)
}

#[tokio::test]
async fn a_hook_gets_the_payload_and_passes() {
    let (result, fake) = called(200, "OK").await;
    assert_eq!(result, Ok(()));
    let seen = fake.seen();
    assert_eq!((seen.len(), seen[0].path.as_str(), seen[0].method.as_str()), (1, "/gate", "POST"));
    assert_eq!(seen[0].body, json!({"name": "podinfo"}));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_hook() {
    assert_eq!(called(403, "Forbidden").await.0, Err(HookError::Refused("Forbidden".to_owned())));
}

#[tokio::test]
async fn a_transport_error_names_the_url_and_the_attempts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let webhook = Webhook { name: "gate".to_owned(), url: url.clone(), ..Webhook::default() };
    let HookError::Unanswered(error) = call(&Outside::new().unwrap(), &webhook, &json!({})).await.unwrap_err() else {
        panic!("nobody has answered")
    };
    assert!(error.starts_with(&format!("POST {url} giving up after 1 attempt(s): Post \"{url}\": ")), "{error}");
}
