//! How much memory one namespace can cause. It measures the whole process, so it runs alone:
//! `cargo test -p burgee-operator --lib measured -- --ignored --test-threads 1`.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use burgee_api::Phase;
use burgee_core::metric::error::MeasureError;
use burgee_core::notice::EventType;
use burgee_core::question::{Answer, Ask, AskKey, ProviderSource};
use burgee_core::world::{Kind, ObjectKey, Observed};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::fixtures::{Fake, canary};
use crate::lock::lock;
use crate::operator::Operator;
use crate::outbox::post::Announcement;
use crate::stores::Scope;
use crate::tick_context::TickContext;
use crate::{ask, fixtures};

/// The most that one namespace may cause above what the process holds at rest, in bytes.
const MOST: usize = 64 << 20;

/// What the process holds of the machine's memory, in bytes: now, or at most so far.
fn held(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// The context of a canary of which this much stands in the metadata of its event hook.
fn context(name: &str, url: &str, bytes: usize) -> TickContext {
    let mut canary = canary(name);
    let metadata = json!({"text": "x".repeat(bytes)});
    canary["spec"]["analysis"]["webhooks"] = json!([{"name": "e", "type": "event", "url": url, "metadata": metadata}]);
    let canary = serde_json::from_value(canary).unwrap();
    TickContext::new(&ObjectKey::new(Kind::Canary, "test", name), &canary, SignedDuration::from_secs(10))
}

/// A hundred metrics of a canary are asked for at once. Answers how many were refused for their length.
async fn ask_a_hundred(operator: &Arc<Operator>, context: &TickContext, address: &str) -> usize {
    let key = |number: usize| AskKey { what: format!("metric {number}"), moment: "once".to_owned() };
    let asks = (0..100).map(|number| {
        let source = ProviderSource {
            provider_type: "prometheus".to_owned(),
            address: address.into(),
            ..ProviderSource::default()
        };
        let (query, window) = ("up".to_owned(), SignedDuration::from_mins(1));
        (key(number), Ask::Measure { metric: format!("m{number}"), scale: 1.0, source, query, window })
    });
    ask::ask(operator, context, asks.collect());
    let memory = operator.memory(&context.key);
    let is_too_long = |answer: &Answer| matches!(answer, Answer::Measured(Err(MeasureError::Unavailable(text))) if text.contains("longer than 256 KiB"));
    while !(0..100).all(|number| lock(&memory).answers.get(&key(number)).is_some()) {
        tokio::task::yield_now().await;
    }
    (0..100).filter(|number| lock(&memory).answers.get(&key(*number)).is_some_and(is_too_long)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process, so it must run alone"]
async fn measured_a_hundred_metrics_with_answers_of_eight_mebibytes_each() {
    let text = Bytes::from(format!("{{\"data\": [{}", "0,".repeat(4 << 20)));
    let provider = Fake::start(move |_| Body::from(text.clone()).into_response()).await;
    let operator = Fake::start(|_| fixtures::failure(500, "down")).await.operator();
    let before = held("VmRSS");
    let stories = ["a", "b", "c"].map(|name| context(name, &provider.url, 0));
    let asked = stories.iter().map(|context| ask_a_hundred(&operator, context, &provider.url));
    assert_eq!(futures::future::join_all(asked).await, [100; 3]);
    report("100 metrics of three canaries, 8 MiB each", before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process, so it must run alone"]
async fn measured_three_large_canaries_whose_event_hook_hangs() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let operator = Fake::start(|_| -> Response { fixtures::failure(500, "down") }).await.operator();
    let before = held("VmRSS");
    for name in ["a", "b", "c"] {
        let context = context(name, &url, 1_100_000);
        for number in 0..300 {
            let (text, at) = (format!("event {number}"), Timestamp::now());
            operator.post(
                &context,
                &Announcement::Event { text, event_type: EventType::Normal, phase: Phase::Progressing, at },
            );
        }
    }
    assert!(!operator.is_delivered(), "nobody answers");
    report("three canaries of 1.1 MB with a hanging event hook, 300 events each", before);
}

/// A namespace has a hundred Deployments of a megabyte each, as an API server takes them, and one canary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process, so it must run alone"]
async fn measured_a_hundred_deployments_of_forty_thousand_variables_each() {
    let variables = vec![r#"{"name":"a","value":"b"}"#; 40_000].join(",");
    let server = Fake::start(move |request| {
        let query = request.path.split_once('?').map_or("", |(_, query)| query);
        let number = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
        let (limit, first) = (number("limit=").unwrap_or(100), number("continue=").unwrap_or_default());
        let last = (first + limit).min(100);
        let one = |number: usize| {
            format!(
                r#"{{"metadata":{{"name":"d{number}","namespace":"test","uid":"u{number}","resourceVersion":"5"}},"spec":{{"template":{{"metadata":{{"labels":{{"app":"d"}}}},"spec":{{"containers":[{{"name":"a","env":[{variables}]}}]}}}}}}}}"#
            )
        };
        let items = (first..last).map(one).collect::<Vec<_>>().join(",");
        let token = if last < 100 { last.to_string() } else { String::new() };
        let head = r#""kind":"DeploymentList","metadata":{"resourceVersion":"9","continue":"#;
        Body::from(format!(r#"{{{head}"{token}"}},"items":[{items}]}}"#)).into_response()
    });
    let operator = server.await.operator();
    let before = held("VmRSS");
    let scope = Scope { kind: Kind::Deployment, namespace: None };
    crate::watch::catch_up(&operator.cluster, &operator.stores, &scope).await.unwrap();
    report("100 Deployments of 40,000 variables each", before);
}

/// A namespace has sixteen Deployments of a megabyte each, as an API server takes them, and a canary for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process, so it must run alone"]
async fn measured_sixteen_deployments_of_a_hundred_thousand_variables_that_are_looked_at() {
    let variables = vec![r#"{"name":"a"}"#; 100_000].join(",");
    let server = Fake::start(move |request| {
        let one = |name: &str| {
            format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"test","uid":"{name}","resourceVersion":"5"}},"spec":{{"template":{{"spec":{{"containers":[{{"name":"a","env":[{variables}]}}]}}}}}}}}"#
            )
        };
        match request.path.split_once("/deployments/") {
            Some((_, name)) => Body::from(one(name)).into_response(),
            None => Body::from(r#"{"kind":"DeploymentList","metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"d0","namespace":"test","resourceVersion":"5"}}]}"#)
                .into_response(),
        }
    });
    let operator = server.await.operator();
    let before = held("VmRSS");
    let keys: Vec<ObjectKey> =
        (0..16).map(|number| ObjectKey::new(Kind::Deployment, "test", &format!("d{number}"))).collect();
    operator.stores.want(&keys);
    let looks = keys.iter().map(|key| {
        let (operator, key) = (operator.clone(), key.clone());
        tokio::spawn(async move { crate::observe::get(&operator, &key).await })
    });
    for look in futures::future::join_all(looks).await {
        let look = look.unwrap();
        assert!(matches!(&look, Observed::Unknown(reason) if reason.contains("more than the 20000")), "{look:?}");
    }
    report("16 Deployments of 100,000 variables each that are looked at", before);
}

fn report(what: &str, before: usize) {
    let above = held("VmHWM").saturating_sub(before);
    println!("{what}: {} MiB at rest, {} MiB more at the most", before >> 20, above >> 20);
    assert!(above < MOST, "{above} bytes");
}
