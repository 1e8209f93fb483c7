//! Credentials against an API server and a provider on the loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use std::time::{Duration, Instant};

use burgee_core::metric::provider::{Exchange, Next};
use burgee_core::world::{Kind, ObjectKey};
use bytes::Bytes;
use http::{Request, StatusCode};
use jiff::SignedDuration;

use super::measure::{converse, measure};
use super::*;
use crate::fixtures::{Fake, failure, object};
use crate::secrets::{SecretError, Secrets};
use crate::stores::Look;

/// A query, and how far it looks back.
const UP: (&str, SignedDuration) = ("up", SignedDuration::from_mins(1));

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
            address: provider.url.as_str().into(),
            secret: Some(("test".to_owned(), "token".to_owned())),
            ..ProviderSource::default()
        };
        Self { operator: api.operator(), source, provider, api, stored, taken }
    }

    async fn ask(&self) -> Result<f64, MeasureError> {
        measure(&self.operator, &self.source, UP).await
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
        assert!(read.is_ok());
        reads.load(Ordering::Relaxed)
    };
    let at_version = |version: &str| Look::Present(Arc::new(json!({"metadata": {"resourceVersion": version}})));
    assert_eq!((read(&Look::Ask, 0).await, read(&Look::Ask, 59).await, read(&Look::Ask, 60).await), (1, 1, 2));
    assert_eq!((read(&at_version("1"), 300).await, read(&at_version("2"), 300).await), (2, 3));
    let missing = ObjectKey::new(Kind::Secret, "test", "other");
    for _ in 0..2 {
        let read = secrets.read(&cluster, &missing, &Look::Ask, start).await;
        assert_eq!(read.err(), Some(SecretError::Missing("other".to_owned())));
    }
    assert_eq!(reads.load(Ordering::Relaxed), 5, "that there is none is not kept");
}

#[tokio::test]
async fn what_lets_its_bearer_into_the_cluster_is_never_sent_to_a_provider() {
    for kind in ["kubernetes.io/service-account-token", "helm.sh/release.v1", "bootstrap.kubernetes.io/token"] {
        let api = Fake::start(move |_| {
            let mut secret = secret("one");
            secret["type"] = json!(kind);
            object(&secret)
        })
        .await;
        let case = Case { operator: api.operator(), ..Case::new().await };
        let expected = format!("secret token.test is of type {kind}, which is never used as credentials");
        assert_eq!(case.ask().await, Err(MeasureError::Secret(expected)));
        assert_eq!(case.provider.seen(), []);
    }
}

#[tokio::test]
async fn where_references_across_namespaces_are_off_no_template_of_another_one_is_asked() {
    let settings = burgee_core::settings::Settings { no_cross_namespace_refs: true, ..Default::default() };
    let case = Case::new().await;
    let (strict, context) = (case.api.operator_with(settings), crate::fixtures::context());
    let ask = |namespace: &str| {
        let template = Some((namespace.to_owned(), "rate".to_owned()));
        let source = ProviderSource { template, ..case.source.clone() };
        Ask::Measure { metric: "rate".to_owned(), scale: 1.0, source, query: "up".to_owned(), window: UP.1 }
    };
    let refused = MeasureError::Wrong("cross-namespace references are disabled".to_owned());
    assert_eq!(answer(&strict, &context, &ask("other")).await, Answer::Measured(Err(refused)));
    assert_eq!(case.counts(), (0, 0), "neither the Secret was read nor the provider asked");
    assert_eq!(answer(&strict, &context, &ask("test")).await, Answer::Measured(Ok(7.0)));
    assert_eq!(answer(&case.operator, &context, &ask("other")).await, Answer::Measured(Ok(7.0)));
}

#[tokio::test]
async fn the_flags_prometheus_may_be_on_the_loopback_and_a_templates_may_not() {
    let case = Case::new().await;
    let source = ProviderSource { secret: None, ..case.source.clone() };
    let outside = crate::http::Outside::new(crate::http::Guard::default()).unwrap();
    let settings = burgee_core::settings::Settings { metrics_server: source.address.clone(), ..Default::default() };
    let operator = case.api.operator_outside(settings, outside);
    let template = ProviderSource { template: Some(("test".to_owned(), "rate".to_owned())), ..source.clone() };
    let inline = ProviderSource { address: format!("{}/", source.address.written()).into(), ..source.clone() };
    for aimed in [template, inline] {
        let Err(MeasureError::Wrong(text)) = measure(&operator, &aimed, UP).await else { panic!("it was asked") };
        let expected = "request refused: 127.0.0.1, a loopback address, may not be asked by an object of the cluster, \
                        unless -allow-addresses lists it";
        assert_eq!(text, expected);
    }
    assert_eq!(case.provider.seen(), []);
    let Err(MeasureError::Unavailable(text)) = measure(&operator, &source, UP).await else { panic!("it was refused") };
    assert!(text.contains("401"), "{text}");
}

/// Asks a hook that never answers, ends the question in some way, and waits until the connection is closed. Answers
/// whether the same may be asked again.
async fn ended_by(end: impl FnOnce(&Operator, &ObjectKey)) -> bool {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Fake::start(|_| failure(404, "none")).await;
    let (operator, context) = (api.operator(), crate::fixtures::context());
    let key = AskKey { what: "webhook load-test".to_owned(), moment: String::new() };
    let webhook = burgee_api::Webhook {
        url: format!("http://{}/", listener.local_addr().unwrap()).into(),
        timeout: Some("1h".to_owned()),
        retries: Some(1000),
        ..Default::default()
    };
    ask(&operator, &context, vec![(key.clone(), Ask::Hook { webhook, payload: json!({}) })]);
    let (mut connection, _) = listener.accept().await.unwrap();
    end(&operator, &context.key);
    // It ends when the caller has gone; a caller that stays would let the test hang.
    let mut heard = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut heard).await;
    let memory = operator.memory(&context.key);
    lock(&memory).answers.ask(&key, clock::steady())
}

#[tokio::test]
async fn a_question_ends_with_its_canary_and_with_the_lease_and_frees_its_slot() {
    assert!(ended_by(Operator::forget).await);
    assert!(ended_by(|operator, _| operator.end_questions()).await);
}

#[tokio::test]
async fn a_question_whose_task_panics_may_be_asked_again_and_one_that_is_out_may_not() {
    let memory = Arc::new(Mutex::new(Memory::default()));
    let key = AskKey { what: "metric success-rate".to_owned(), moment: String::new() };
    let may_ask = || lock(&memory).answers.ask(&key, clock::steady());
    let out = || Out { memory: memory.clone(), key: Some(key.clone()), ended: lock(&memory).questions.clone() };
    assert!(may_ask());
    let (first, late, silent) = (out(), out(), out());
    assert!(!may_ask());
    let panicking = tokio::spawn(async move {
        let _first = first;
        panic!("as a bug would")
    });
    assert!(panicking.await.is_err());
    assert!(may_ask());
    lock(&memory).end_questions();
    assert!(may_ask() && !late.came(Answer::Hook(Ok(()))), "an answer that comes late is nobody's");
    drop(silent);
    assert!(!may_ask(), "what ended before withdraws nothing that was asked since");
}

#[tokio::test]
async fn a_question_that_panics_is_an_answer_that_says_nothing_of_the_version() {
    let source = ProviderSource::default();
    let ask = Ask::Online { source };
    let answer = answered(&crate::fixtures::context(), &ask, async { panic!("nobody thought of this") }).await;
    assert_eq!(answer, Answer::Measured(Err(MeasureError::Unavailable("internal error while asking".to_owned()))));
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

/// Talks as a provider would that gives a token, then a job, and then its number; the job is not done the first time.
fn in_three_steps(url: &str) -> Exchange {
    let base = url.to_owned();
    Exchange::new(get(&format!("{url}/token")), move |token, _| {
        let mut start = get(&format!("{base}/start"));
        let token = format!("Bearer {}", String::from_utf8_lossy(token.body()));
        start.headers_mut().insert("authorization", token.parse().unwrap());
        Ok(Next::send(Exchange::new(start, move |_, _| Ok(Next::send(polled(base))))))
    })
}

fn polled(base: String) -> Exchange {
    let exchange = Exchange::new(get(&format!("{base}/poll")), move |answer, _| {
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        Ok(text.parse().map_or_else(|_| Next::send(polled(base)), Next::Sample))
    });
    exchange.after(Duration::from_millis(1))
}

/// How a conversation with a provider that answers so ends, and how often that was asked.
async fn talked(
    answer: impl Fn(&str, usize) -> axum::response::Response + Send + Sync + 'static,
    first: impl Fn(&str) -> Exchange,
) -> (Result<f64, MeasureError>, Vec<(String, String)>) {
    let asked = AtomicUsize::new(0);
    let provider = Fake::start(move |request| answer(&request.path, asked.fetch_add(1, Ordering::Relaxed))).await;
    let operator = Fake::start(|_| failure(404, "none")).await.operator();
    let source = ProviderSource { address: provider.url.as_str().into(), ..ProviderSource::default() };
    let end = converse(&operator, &source, first(&provider.url)).await;
    (end.result, provider.seen().into_iter().map(|seen| (seen.path, seen.authorization)).collect())
}

#[tokio::test]
async fn a_conversation_has_as_many_steps_as_its_provider_needs() {
    let answer = |path: &str, asked: usize| match (path, asked) {
        ("/token", _) => "t".into_response(),
        ("/poll", 3) => "42.5".into_response(),
        _ => "not yet".into_response(),
    };
    let (result, asked) = talked(answer, in_three_steps).await;
    assert_eq!(result, Ok(42.5));
    let asked: Vec<_> = asked.iter().map(|(path, authorization)| (path.as_str(), authorization.as_str())).collect();
    assert_eq!(asked, [("/token", ""), ("/start", "Bearer t"), ("/poll", ""), ("/poll", "")]);
}

#[tokio::test]
async fn a_conversation_that_has_no_end_is_ended() {
    let (result, asked) = talked(|_, _| "not yet".into_response(), in_three_steps).await;
    let text = "request failed: no number after 8 answers".to_owned();
    assert_eq!((result, asked.len()), (Err(MeasureError::Unavailable(text)), 8));
}

#[tokio::test]
async fn the_deadline_is_that_of_the_whole_conversation() {
    let patient = |url: &str| polled(url.to_owned()).after(Duration::from_secs(5));
    let (result, asked) = talked(|_, _| "1".into_response(), patient).await;
    let text = "request failed: operation timed out".to_owned();
    assert_eq!((result, asked.len()), (Err(MeasureError::Unavailable(text)), 0), "it is not even waited for");
}

#[tokio::test]
async fn the_bytes_are_those_of_the_whole_conversation() {
    let (result, asked) = talked(|_, _| "x".repeat(100 << 10).into_response(), in_three_steps).await;
    let text = "answer longer than 256 KiB, a query must give one number".to_owned();
    assert_eq!((result, asked.len()), (Err(MeasureError::Unavailable(text)), 3));
}

#[tokio::test]
async fn no_step_of_a_conversation_leads_where_an_object_may_not_aim() {
    let first = |url: &str| {
        let own = url.replace("127.0.0.1", "169.254.169.254");
        Exchange::new(get(url), move |_, _| Ok(Next::send(polled(own))))
    };
    let (result, asked) = talked(|_, _| "1".into_response(), first).await;
    let Err(MeasureError::Wrong(text)) = result else { panic!("it was asked: {result:?}") };
    assert!(text.starts_with("request refused: 169.254.169.254"), "{text}");
    assert_eq!(asked.len(), 1);
}
