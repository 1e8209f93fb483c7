//! Credentials against an API server and a provider on the loopback.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::*;
use crate::fixtures::{Fake, failure, object};
use crate::secrets::Secrets;
use crate::stores::Look;

/// A provider that takes one token at a time, an API server that has a Secret with one, and how often that was read.
struct Case {
    operator: Arc<Operator>,
    source: ProviderSource,
    provider: Fake,
    api: Fake,
    stored: Arc<Mutex<&'static str>>,
    taken: Arc<Mutex<&'static str>>,
}

impl Case {
    async fn new() -> Self {
        let (stored, taken) = (Arc::new(Mutex::new("one")), Arc::new(Mutex::new("one")));
        let (kept, wanted) = (stored.clone(), taken.clone());
        let api = Fake::start(move |_| object(&secret(*kept.lock().unwrap()))).await;
        let provider = Fake::start(move |request| {
            if request.authorization != format!("Bearer {}", *wanted.lock().unwrap()) {
                return (StatusCode::UNAUTHORIZED, "no").into_response();
            }
            object(&json!({"data": {"resultType": "vector", "result": [{"value": [0, "7"]}]}}))
        })
        .await;
        let source = ProviderSource {
            provider_type: "prometheus".to_owned(),
            address: provider.url.clone(),
            secret: Some(("test".to_owned(), "token".to_owned())),
            ..ProviderSource::default()
        };
        Self { operator: api.operator(), source, provider, api, stored, taken }
    }

    async fn ask(&self) -> Result<f64, MeasureError> {
        measure(&self.operator, &self.source, "up").await
    }

    /// How often the Secret was read, and the provider asked.
    fn counts(&self) -> (usize, usize) {
        (self.api.seen().len(), self.provider.seen().len())
    }
}

fn secret(token: &str) -> serde_json::Value {
    json!({"metadata": {"name": "token", "namespace": "test", "resourceVersion": "1"}, "data": {"token": BASE64.encode(token)}})
}

#[tokio::test]
async fn credentials_are_read_once_for_many_questions() {
    let case = Case::new().await;
    let answers = futures::future::join_all((0..5).map(|_| case.ask())).await;
    assert_eq!(answers, vec![Ok(7.0); 5]);
    assert_eq!(case.ask().await, Ok(7.0));
    assert_eq!(case.counts(), (1, 6));
}

#[tokio::test]
async fn credentials_that_are_refused_are_read_again_at_once_and_once() {
    let case = Case::new().await;
    assert_eq!(case.ask().await, Ok(7.0));
    *case.stored.lock().unwrap() = "two";
    *case.taken.lock().unwrap() = "two";
    assert_eq!(case.ask().await, Ok(7.0));
    assert_eq!(case.counts(), (2, 3), "refused, read, taken");
    *case.taken.lock().unwrap() = "three";
    let Err(MeasureError::Unavailable(text)) = case.ask().await else { panic!("it was refused") };
    assert!(text.contains("401") && !text.contains("two"), "{text}");
    assert_eq!(case.counts(), (3, 4), "the same credentials are not tried twice");
}

#[tokio::test]
async fn credentials_are_kept_for_a_minute_or_as_long_as_a_watch_shows_them_unchanged() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let api = Fake::start(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        if request.path.ends_with("/token") { object(&secret("one")) } else { failure(404, "none") }
    })
    .await;
    let (cluster, secrets, start) = (api.operator().cluster.clone(), Secrets::default(), Instant::now());
    let read = async |metadata: &Look, seconds| {
        let key = ObjectKey::new(Kind::Secret, "test", "token");
        let read = secrets.read(&cluster, &key, metadata, start + Duration::from_secs(seconds)).await;
        assert!(read.unwrap().is_some());
        reads.load(Ordering::Relaxed)
    };
    let at_version = |version: &str| Look::Present(Arc::new(json!({"metadata": {"resourceVersion": version}})));
    assert_eq!((read(&Look::Ask, 0).await, read(&Look::Ask, 59).await, read(&Look::Ask, 60).await), (1, 1, 2));
    assert_eq!((read(&at_version("1"), 300).await, read(&at_version("2"), 300).await), (2, 3));
    let missing = ObjectKey::new(Kind::Secret, "test", "other");
    for _ in 0..2 {
        assert!(secrets.read(&cluster, &missing, &Look::Ask, start).await.unwrap().is_none());
    }
    assert_eq!(reads.load(Ordering::Relaxed), 5, "that there is none is not kept");
}
