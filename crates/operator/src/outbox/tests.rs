//! Alerts against an API server and a chat on the loopback.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_core::settings::Settings;
use serde_json::json;

use super::*;
use crate::fixtures::{Fake, object};

/// A chat that takes letters under one path at a time, an API server whose Secret holds such a path, and an operator.
struct Case {
    operator: Arc<Operator>,
    chat: Fake,
    api: Fake,
    stored: Arc<Mutex<&'static str>>,
    taken: Arc<Mutex<&'static str>>,
}

impl Case {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (stored, taken) = (Arc::new(Mutex::new("/one")), Arc::new(Mutex::new("/one")));
        let (kept, wanted) = (stored.clone(), taken.clone());
        let chat = Fake::start(move |request| {
            let is_taken = request.path == *lock(&wanted);
            if is_taken { StatusCode::OK.into_response() } else { (StatusCode::NOT_FOUND, "no").into_response() }
        })
        .await;
        let url = chat.url.clone();
        let api = Fake::start(move |request| {
            if request.path.contains("/secrets/") {
                let address = BASE64.encode(format!("{url}{}", *lock(&kept)));
                return object(&json!({"metadata": {"resourceVersion": "1"}, "data": {"address": address}}));
            }
            object(&json!({"metadata": {"name": "chat"}, "spec": {"type": "slack", "secretRef": {"name": "address"}}}))
        })
        .await;
        Self { operator: api.operator_with(settings), chat, api, stored, taken }
    }

    async fn alert(&self) -> Result<(), String> {
        self.alert_through("test").await
    }

    /// The same through a provider of this namespace.
    async fn alert_through(&self, namespace: &str) -> Result<(), String> {
        let story = crate::fixtures::story();
        let alert = worded(&self.operator, &story, "no", Severity::Error);
        alert_provider(&self.operator, (&story.key, &ObjectKey::new(Kind::AlertProvider, namespace, "chat")), &alert)
            .await
    }

    /// How often the Secret was read, and something was sent.
    fn counts(&self) -> (usize, usize) {
        let reads = self.api.seen().into_iter().filter(|seen| seen.path.contains("/secrets/"));
        (reads.count(), self.chat.seen().len())
    }
}

#[tokio::test]
async fn the_secret_of_an_alert_provider_is_read_once_for_many_alerts_and_again_when_its_address_fails() {
    let case = Case::new().await;
    for _ in 0..3 {
        assert_eq!(case.alert().await, Ok(()));
    }
    assert_eq!(case.counts(), (1, 3));
    *lock(&case.stored) = "/two";
    *lock(&case.taken) = "/two";
    assert_eq!(case.alert().await, Ok(()));
    assert_eq!(case.counts(), (2, 5), "refused, read, taken");
    *lock(&case.taken) = "/three";
    let error = case.alert().await.unwrap_err();
    assert_eq!(error, "send error: sending notification bad response 404: 2 bytes");
    assert_eq!(case.counts(), (3, 6), "the same address is not tried twice");
}

#[tokio::test]
async fn where_references_across_namespaces_are_off_no_alert_goes_through_one_whatever_raised_it() {
    let strict = Case::with(Settings { no_cross_namespace_refs: true, ..Settings::default() }).await;
    let refused = Err("error: cross-namespace references are disabled".to_owned());
    assert_eq!(strict.alert_through("other").await, refused);
    assert_eq!((strict.counts(), strict.api.seen()), ((0, 0), Vec::new()), "nothing was even read");
    assert_eq!(strict.alert_through("test").await, Ok(()));
    assert_eq!(Case::new().await.alert_through("other").await, Ok(()));
}

#[tokio::test]
async fn a_stop_waits_for_the_hooks_that_are_due_after_a_rollout() {
    let hook = Fake::start(|_| StatusCode::OK.into_response()).await;
    let api = Fake::start(|request| object(&request.body)).await;
    let (operator, mut story) = (api.operator(), crate::fixtures::story());
    let webhooks = json!([{"name": "after", "type": "post-rollout", "url": hook.url}]);
    Arc::make_mut(&mut story.canary).spec.analysis = serde_json::from_value(json!({"webhooks": webhooks})).unwrap();
    operator.call_post_rollout(&story, Phase::Succeeded);
    assert!(!operator.is_delivered(), "nobody would wait for it");
    while !operator.is_delivered() {
        tokio::task::yield_now().await;
    }
    assert_eq!(hook.seen().len(), 1);
    assert!(api.seen().iter().any(|seen| seen.path.contains("/events")), "how it went is told");
}

#[test]
fn no_more_waits_than_may_for_a_canary_a_namespace_and_all() {
    let outbox = Outbox::default();
    let put = |namespace: &str, name: &str, bytes: usize| {
        let letter = Letter::Hook { webhook: Webhook::default(), payload: "x".repeat(bytes).into(), aim: Aim::Object };
        outbox.put(&ObjectKey::new(Kind::Canary, namespace, name), vec![letter]).0
    };
    let large = 3 << 19;
    assert_eq!([put("a", "x", large), put("a", "x", large)], [0, 1], "the older one of a canary makes room");
    assert_eq!(["y", "z", "w"].map(|name| put("a", name, large)), [0, 0, 1], "the namespace takes no more");
    assert_eq!(put("b", "x", large), 0, "another one does");
    assert_eq!((0..257).map(|_| put("c", "x", 1)).sum::<usize>(), 1, "there are 256 at most");
    for (namespace, name) in [("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"), ("c", "x")] {
        let key = ObjectKey::new(Kind::Canary, namespace, name);
        let mut delivered = 0;
        while let Some(letter) = outbox.next(&key, delivered) {
            delivered = letter.bytes();
        }
    }
    assert_eq!(outbox.sizes(), [("letters", 0), ("calls", 0)]);
    assert_eq!(put("a", "w", large), 0, "what was delivered counts no more");
}
