//! Webhooks against a server on the loopback.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode as Code;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::*;
use crate::fixtures::{Fake, at_home};

async fn called(code: u16, body: &'static str) -> (Result<(), HookError>, Fake) {
    let fake = Fake::start(move |_| (Code::from_u16(code).unwrap(), body).into_response()).await;
    let webhook = Webhook { name: "gate".to_owned(), url: format!("{}/gate", fake.url).into(), ..Webhook::default() };
    (call(&Outside::new(at_home()).unwrap(), &webhook, &json!({"name": "podinfo"}), Aim::Object).await, fake)
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
async fn a_refusal_is_told_by_its_status_and_not_in_the_words_of_the_hook() {
    assert_eq!(called(403, "Forbidden").await.0, refused("403 Forbidden, answer of 9 bytes"));
}

#[tokio::test]
async fn a_transport_error_names_the_url_and_the_attempts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let webhook = Webhook { name: "gate".to_owned(), url: format!("{url}/secret").into(), ..Webhook::default() };
    let HookError::Unanswered(error) =
        call(&Outside::new(at_home()).unwrap(), &webhook, &json!({}), Aim::Object).await.unwrap_err()
    else {
        panic!("nobody has answered")
    };
    assert!(error.starts_with(&format!("POST {url} giving up after 1 attempt(s): Post \"{url}\": ")), "{error}");
}

/// Calls a hook whose server answers so, one answer after the other; the last one for ever. Answers the result, and when
/// each attempt came.
async fn repeated(answers: &[(u16, &'static str)], retries: i64) -> (Result<(), HookError>, Vec<Instant>) {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (came, answers) = (times.clone(), answers.to_vec());
    let fake = Fake::start(move |_| {
        let mut came = came.lock().unwrap();
        let (code, wait) = answers[came.len().min(answers.len() - 1)];
        came.push(Instant::now());
        let mut response: Response = (Code::from_u16(code).unwrap(), "busy").into_response();
        if !wait.is_empty() {
            response.headers_mut().insert("retry-after", wait.parse().unwrap());
        }
        response
    })
    .await;
    let retries = Some(retries);
    let webhook =
        Webhook { name: "gate".to_owned(), url: format!("{}/gate", fake.url).into(), retries, ..Webhook::default() };
    let payload = json!({"name": "podinfo", "metadata": {"a": "1"}});
    let result = call(&Outside::new(at_home()).unwrap(), &webhook, &payload, Aim::Object).await;
    for seen in fake.seen() {
        assert_eq!(
            (seen.method.as_str(), seen.media.as_str(), seen.body),
            ("POST", "application/json", payload.clone())
        );
    }
    let times = times.lock().unwrap().clone();
    (result, times)
}

fn refused(text: &str) -> Result<(), HookError> {
    Err(HookError::Refused(text.to_owned()))
}

#[tokio::test]
async fn a_hook_that_fails_for_a_moment_is_asked_again_with_the_same_payload_after_a_pause() {
    let (result, times) = repeated(&[(500, ""), (503, "0"), (201, "")], 2).await;
    assert_eq!((result, times.len()), (Ok(()), 3));
    let pauses = [times[1] - times[0], times[2] - times[1]];
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(1)), "none is shorter: {pauses:?}");
}

#[tokio::test]
async fn a_hook_that_goes_on_failing_is_asked_as_often_as_its_retries_say() {
    let (result, times) = repeated(&[(503, "0")], 2).await;
    let HookError::Refused(text) = result.unwrap_err() else { panic!("it answered") };
    assert!(text.ends_with(" giving up after 3 attempt(s): 503 Service Unavailable, answer of 4 bytes"), "{text}");
    assert_eq!(times.len(), 3);
    let (result, times) = repeated(&[(503, "0")], 0).await;
    assert!(result.is_err());
    assert_eq!(times.len(), 1);
}

#[tokio::test]
async fn an_answer_that_will_not_change_is_not_asked_for_again() {
    let words = ["204 No Content", "400 Bad Request", "404 Not Found", "501 Not Implemented"];
    for (code, words) in [204, 400, 404, 501].into_iter().zip(words) {
        let (result, times) = repeated(&[(code, "")], 5).await;
        assert_eq!(times.len(), 1, "{code}");
        assert_eq!(result, refused(&format!("{words}, answer of {} bytes", if code == 204 { 0 } else { 4 })));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_has_signed_is_accepted_only_with_its_check_off() {
    let fake = Fake::start_with_own_certificate(|_| Code::OK.into_response()).await;
    let hook = |disable_tls| Webhook { url: format!("{}/gate", fake.url).into(), disable_tls, ..Webhook::default() };
    let outside = Outside::new(at_home()).unwrap();
    let HookError::Unanswered(text) = call(&outside, &hook(false), &json!({}), Aim::Object).await.unwrap_err() else {
        panic!("it was not asked")
    };
    assert!(text.contains("giving up after 1 attempt(s)") && text.contains("certificate"), "{text}");
    assert_eq!(fake.seen(), []);
    assert_eq!(call(&outside, &hook(true), &json!({"name": "podinfo"}), Aim::Object).await, Ok(()));
    assert_eq!(fake.seen()[0].body, json!({"name": "podinfo"}));
}

#[tokio::test]
async fn of_a_long_answer_only_the_beginning_is_read() {
    let answered = async |code: u16| {
        let fake = Fake::start(move |_| (Code::from_u16(code).unwrap(), "x".repeat(5 << 20)).into_response()).await;
        let webhook = Webhook { url: fake.url.as_str().into(), ..Webhook::default() };
        call(&Outside::new(at_home()).unwrap(), &webhook, &json!({}), Aim::Object).await
    };
    assert_eq!(answered(200).await, Ok(()));
    let error = answered(403).await.unwrap_err();
    assert_eq!(error, HookError::TooLong("403 Forbidden, answer longer than 64 KiB".to_owned()));
}
