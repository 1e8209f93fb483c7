//! Alerts against an API server and a chat on the loopback.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_core::notice::AlertText;
use burgee_core::settings::Settings;
use burgee_core::world::Kind;
use serde_json::json;

use super::super::delivery::alert_provider;
use super::super::*;
use super::*;
use crate::fixtures::{Fake, object};
use crate::http::{Exceptions, Guard, Outside};

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
        let context = crate::fixtures::context();
        let alert = worded(&self.operator, &context, "no", Severity::Error);
        let provider = ObjectKey::new(Kind::AlertProvider, namespace, "chat");
        alert_provider(&self.operator, (&context.key, &provider), &alert).await.map_err(|trouble| trouble.text)
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
    let (operator, mut context) = (api.operator(), crate::fixtures::context());
    let webhooks = json!([{"name": "after", "type": "post-rollout", "url": hook.url}]);
    Arc::make_mut(&mut context.canary).spec.analysis = serde_json::from_value(json!({"webhooks": webhooks})).unwrap();
    operator.deliver(
        &context,
        &Delivery { kind: DeliveryKind::PostRollout, phase: Phase::Succeeded, ..Delivery::default() },
    );
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
        let (mut delivered, lane) =
            (0, Letter::Hook { webhook: Webhook::default(), payload: "".into(), aim: Aim::Object }.lane());
        while let Some(letter) = outbox.next(&key, &lane, delivered) {
            delivered = letter.bytes();
        }
    }
    assert_eq!(outbox.sizes(), [("letters", 0), ("calls", 0)]);
    assert_eq!(put("a", "w", large), 0, "what was delivered counts no more");
}

/// What a receiver does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    Hangs,
    Fails,
    /// 429, and a second to wait.
    IsBusy,
}

/// A receiver with moods, on a port that it can leave and come back to.
struct Receiver {
    mood: Arc<Mutex<Mood>>,
    taken: Arc<Mutex<Vec<(String, Instant)>>>,
    asked: Arc<AtomicUsize>,
    port: u16,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Receiver {
    async fn start() -> Self {
        let (mood, taken, asked) = (Arc::new(Mutex::new(Mood::Takes)), Arc::default(), Arc::default());
        let mut receiver = Self { mood, taken, asked, port: 0, server: None };
        receiver.come_back().await;
        receiver
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Every connection ends, and new ones are refused.
    async fn die(&mut self) {
        let server = self.server.take().expect("it lives");
        server.abort();
        let _ = server.await;
    }

    async fn come_back(&mut self) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port");
        self.port = listener.local_addr().expect("an address").port();
        let (mood, taken, asked) = (self.mood.clone(), self.taken.clone(), self.asked.clone());
        let answer = move |body: String| {
            let (mood, taken, asked) = (mood.clone(), taken.clone(), asked.clone());
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                let mood = *lock(&mood);
                match mood {
                    Mood::Takes => {
                        let alert: serde_json::Value = serde_json::from_str(&body).expect("JSON");
                        lock(&taken).push((alert["message"].as_str().expect("a text").to_owned(), Instant::now()));
                        StatusCode::OK.into_response()
                    }
                    Mood::Hangs => std::future::pending().await,
                    Mood::Fails => StatusCode::BAD_GATEWAY.into_response(),
                    Mood::IsBusy => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "").into_response(),
                }
            }
        };
        let router = axum::Router::new().fallback(answer);
        self.server = Some(tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") }));
    }

    fn feels(&self, mood: Mood) {
        *lock(&self.mood) = mood;
    }

    fn taken(&self) -> Vec<String> {
        lock(&self.taken).iter().map(|(message, _)| message.clone()).collect()
    }

    /// Waits until it was asked once more.
    async fn is_asked(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        while self.asked.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn has_taken(&self, expected: &[&str]) {
        while self.taken().len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.taken(), expected);
    }
}

/// An operator that is quick to try again, and whose only alert provider is this receiver.
async fn hasty(receiver: &Receiver) -> (Fake, Arc<Operator>) {
    let spec = json!({"type": "webhook", "address": receiver.url()});
    let api = Fake::start(move |_| object(&json!({"metadata": {"name": "chat"}, "spec": spec}))).await;
    let millis = Duration::from_millis;
    let pace = Pace { first: millis(1), longest: millis(20), patience: Duration::from_mins(10) };
    let operator = api.operator_at(pace);
    (api, operator)
}

/// A canary whose alerts go to the provider `chat`.
fn alerting(name: &str) -> TickContext {
    let mut context = crate::fixtures::context();
    context.key.name = name.to_owned();
    let alerts = json!([{"name": "chat", "providerRef": {"name": "chat"}}]);
    Arc::make_mut(&mut context.canary).spec.analysis = serde_json::from_value(json!({"alerts": alerts})).unwrap();
    context
}

fn alert(text: &str) -> Announcement {
    Announcement::Alert(Delivery { text: text.to_owned(), severity: Severity::Error, ..Delivery::default() })
}

#[tokio::test]
async fn each_alert_arrives_once_whatever_its_receiver_goes_through() {
    let mut receiver = Receiver::start().await;
    let (_api, operator) = hasty(&receiver).await;
    let context = alerting("podinfo");
    operator.post(&context, &alert("one"));
    receiver.has_taken(&["one"]).await;
    receiver.feels(Mood::Fails);
    operator.post(&context, &alert("two"));
    operator.post(&context, &alert("three"));
    receiver.is_asked().await;
    receiver.is_asked().await;
    receiver.die().await;
    receiver.feels(Mood::Takes);
    assert!(!operator.is_delivered(), "nobody has taken them");
    receiver.come_back().await;
    receiver.has_taken(&["one", "two", "three"]).await;
    receiver.feels(Mood::Hangs);
    operator.post(&context, &alert("four"));
    receiver.is_asked().await;
    receiver.die().await;
    receiver.feels(Mood::Takes);
    receiver.come_back().await;
    receiver.has_taken(&["one", "two", "three", "four"]).await;
    while !operator.is_delivered() {
        tokio::task::yield_now().await;
    }
    receiver.has_taken(&["one", "two", "three", "four"]).await;
}

#[tokio::test]
async fn a_receiver_that_asks_to_be_left_alone_is() {
    let receiver = Receiver::start().await;
    let (_api, operator) = hasty(&receiver).await;
    receiver.feels(Mood::IsBusy);
    operator.post(&alerting("podinfo"), &alert("one"));
    receiver.is_asked().await;
    let busy = Instant::now();
    receiver.feels(Mood::Takes);
    receiver.has_taken(&["one"]).await;
    let waited = lock(&receiver.taken)[0].1.duration_since(busy);
    assert!(waited > Duration::from_millis(900), "{waited:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_neither_other_canaries_nor_their_other_receivers() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.feels(Mood::Hangs);
    let urls = [slow.url(), quick.url()];
    let api = Fake::start(move |request| {
        let (name, url) = if request.path.contains("/slow") { ("slow", &urls[0]) } else { ("quick", &urls[1]) };
        object(&json!({"metadata": {"name": name}, "spec": {"type": "webhook", "address": url}}))
    })
    .await;
    let operator = api.operator();
    let context = |name: &str, providers: &[&str]| {
        let mut context = alerting(name);
        let alerts: Vec<_> =
            providers.iter().map(|name| json!({"name": name, "providerRef": {"name": name}})).collect();
        Arc::make_mut(&mut context.canary).spec.analysis = serde_json::from_value(json!({"alerts": alerts})).unwrap();
        context
    };
    operator.post(&context("one", &["slow"]), &alert("one"));
    slow.is_asked().await;
    let began = Instant::now();
    operator.post(&context("two", &["quick"]), &alert("two"));
    quick.has_taken(&["two"]).await;
    assert!(began.elapsed() < Duration::from_secs(4), "the other canary waited for the slow one");
    operator.post(&context("one", &["slow", "quick"]), &alert("three"));
    quick.has_taken(&["two", "three"]).await;
    assert_eq!(slow.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn a_letter_that_nobody_takes_is_given_up_in_the_end() {
    let receiver = Receiver::start().await;
    receiver.feels(Mood::Fails);
    let spec = json!({"type": "webhook", "address": receiver.url()});
    let api = Fake::start(move |_| object(&json!({"metadata": {"name": "chat"}, "spec": spec}))).await;
    let millis = Duration::from_millis;
    // Long enough for a machine that has much else to do.
    let operator = api.operator_at(Pace { first: millis(1), longest: millis(2), patience: millis(500) });
    operator.post(&alerting("podinfo"), &alert("one"));
    while !operator.is_delivered() {
        tokio::task::yield_now().await;
    }
    assert!(receiver.asked.load(Ordering::SeqCst) > 2, "it was tried again");
    assert_eq!(receiver.taken(), Vec::<String>::new());
}

/// What a canary with this webhook sends to the chat at `hooks.slack.com` when something happens to it.
async fn posted_to_slack(webhook: serde_json::Value) -> Vec<(String, serde_json::Value)> {
    let chat = Fake::start(|_| StatusCode::OK.into_response()).await;
    let api = Fake::start(|_| crate::fixtures::failure(500, "down")).await;
    // A proxy is shown the name, so that nobody has to resolve it.
    let guard = Guard::new(&[], Exceptions::parse(["127.0.0.1"]).unwrap());
    let outside = Outside::new(guard).unwrap().through(&chat.url.as_str().into(), Aim::Administrator).await.unwrap();
    let operator = api.operator_outside(Settings::default(), outside);
    let mut context = crate::fixtures::context();
    let analysis = json!({"webhooks": [webhook]});
    Arc::make_mut(&mut context.canary).spec.analysis = serde_json::from_value(analysis).unwrap();
    let (text, at) = ("Halt podinfo.test advancement".to_owned(), Timestamp::UNIX_EPOCH);
    operator
        .post(&context, &Announcement::Event { text, event_type: EventType::Warning, phase: Phase::Progressing, at });
    while !operator.is_delivered() {
        tokio::task::yield_now().await;
    }
    chat.seen().into_iter().map(|seen| (seen.path, seen.body)).collect()
}

#[tokio::test]
async fn an_event_hook_at_a_chat_is_a_message_in_both_forms_of_the_articles() {
    let url = "http://hooks.slack.com/services/T0/B0/X";
    let message = |channel: &str, username: &str| {
        json!({
            "channel": channel, "username": username, "icon_url": "", "icon_emoji": ":rocket:",
            "attachments": [{
                "color": "good", "author_name": "podinfo.test", "text": "Halt podinfo.test advancement",
                "mrkdwn_in": ["text"], "fields": [],
            }],
        })
    };
    let event = json!({"name": "slack-notification", "type": "event", "url": url,
                       "metadata": {"channel": "#releases", "user": "Flagger"}});
    let sent = posted_to_slack(event).await;
    assert_eq!(sent.iter().map(|(_, body)| body).collect::<Vec<_>>(), [&message("#releases", "Flagger")]);
    assert!(sent[0].0.ends_with("/services/T0/B0/X"), "{}", sent[0].0);
    let untyped = json!({"name": "slack", "url": url, "timeout": "5s",
                         "metadata": {"type": "slack", "channel": "deployments", "username": "flagger"}});
    let sent = posted_to_slack(untyped).await;
    assert_eq!(sent.iter().map(|(_, body)| body).collect::<Vec<_>>(), [&message("deployments", "flagger")]);
}

#[tokio::test]
async fn with_severity_info_everything_arrives_from_the_start_to_the_end_and_with_error_only_failures() {
    async fn check(severity: &str, expected: &[&str]) {
        let receiver = Receiver::start().await;
        let (_api, operator) = hasty(&receiver).await;
        let mut context = alerting("podinfo");
        let alerts = json!([{"name": "chat", "severity": severity, "providerRef": {"name": "chat"}}]);
        Arc::make_mut(&mut context.canary).spec.analysis = serde_json::from_value(json!({"alerts": alerts})).unwrap();
        let notices = [
            Notice::InitializationDone,
            Notice::NewRevision,
            Notice::CanaryAdvanced(10),
            Notice::WaitingForPromotion("gate".to_owned(), burgee_core::notice::Voice::Loud),
            Notice::PromotionCompleted,
            Notice::ThresholdReached(5),
        ];
        for alert in notices.iter().filter_map(|notice| notice.alert(&context.names)) {
            let AlertText { text, severity, detail } = alert;
            operator.post(&context, &Announcement::Alert(Delivery { text, severity, detail, ..Delivery::default() }));
        }
        receiver.has_taken(expected).await;
        while !operator.is_delivered() {
            tokio::task::yield_now().await;
        }
        receiver.has_taken(expected).await;
    }
    let all = [
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        "Canary promotion is waiting for approval.",
        "Canary analysis completed successfully, promotion finished.",
        "Failed checks threshold reached 5",
    ];
    check("info", &all).await;
    check("warn", &[all[2], all[4]]).await;
    check("error", &[all[4]]).await;
}

#[tokio::test]
async fn an_alert_is_settled_when_everybody_has_it_and_its_time_is_that_of_its_rise() {
    let receiver = Receiver::start().await;
    let (_api, operator) = hasty(&receiver).await;
    let context = alerting("podinfo");
    let due = Delivery { at: "2026-11-30T20:31:06.500000Z".into(), text: "one".into(), ..Delivery::default() };
    let memory = operator.memory(&context.key);
    receiver.feels(Mood::Fails);
    operator.post(&context, &Announcement::Alert(due.clone()));
    receiver.is_asked().await;
    assert!(lock(&memory).deliveries.settled.is_empty() && lock(&memory).deliveries.in_hand.contains(&due));
    receiver.feels(Mood::Takes);
    receiver.has_taken(&["one"]).await;
    while !operator.is_delivered() {
        tokio::task::yield_now().await;
    }
    assert!(lock(&memory).deliveries.settled.contains(&due) && lock(&memory).deliveries.in_hand.is_empty());
}
