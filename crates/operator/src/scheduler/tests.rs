//! Who is started when, and that a canary on which a decision fails leaves the others alone.

use std::time::Instant;

use burgee_core::decide::Tick;
use burgee_core::plan::{Plan, Step};
use burgee_core::question::{Answers, Question};
use serde_json::{Value, json};

use super::*;
use crate::cluster::ApiError;
use crate::fixtures::{Fake, canary, failure, object};

#[test]
fn a_few_canaries_are_looked_at_at_once_and_thousands_over_two_seconds() {
    assert_eq!(spread(3), Duration::from_millis(60));
    assert_eq!(spread(10_000), Duration::from_secs(2));
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Canary, "test", name)
}

/// A decision that fails on one canary, and wants the other one again much later.
#[expect(clippy::unnecessary_wraps, reason = "this is how every decision answers")]
fn fail_on_odd(tick: &Tick, _: &Answers) -> Result<Plan, Question> {
    assert_ne!(tick.rollout.name, "odd", "nobody thought of this one");
    Ok(Plan { next: Wake::At(tick.now + jiff::SignedDuration::from_hours(1)), ..Plan::idle() })
}

impl Scheduler {
    /// Starts whoever is due, and waits for all of them.
    pub(super) async fn turn(&mut self) {
        self.start_due();
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended);
        }
        while self.telling.join_next().await.is_some() {}
    }

    /// Who would be started so many seconds from now.
    fn due_in(&mut self, seconds: i64) -> Vec<String> {
        let due = self.timetable.start(clock::steady() + jiff::SignedDuration::from_secs(seconds), CONCURRENT);
        for key in &due {
            self.timetable.finish(key, Wake::OnChange);
        }
        due.into_iter().map(|key| key.name).collect()
    }
}

#[tokio::test]
async fn a_canary_on_which_a_decision_panics_harms_no_other_and_is_tried_again_a_minute_later() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "POST" => object(&request.body),
        _ => failure(500, "down"),
    })
    .await;
    let operator = fake.operator_deciding(fail_on_odd);
    let scope = operator.stores.scope(&key("odd"));
    operator.stores.start(&operator.cluster, &scope);
    operator.stores.list(&scope, 7, vec![canary("odd"), canary("even")]);
    let mut rounds = Scheduler::new(operator.clone());
    rounds.has_caught_up = true;
    for name in ["odd", "even"] {
        rounds.timetable.wake(&key(name), clock::steady());
    }
    rounds.turn().await;
    let is_told = |message: &Value| message.as_str().is_some_and(|message| message.starts_with("internal error"));
    let told: Vec<Value> =
        fake.seen().into_iter().map(|seen| seen.body).filter(|body| is_told(&body["message"])).collect();
    assert_eq!(told.len(), 1, "one event");
    assert_eq!(told[0]["involvedObject"]["name"], "odd");
    let counted = "burgee_internal_errors_total{canary=\"odd\",name=\"odd\",namespace=\"test\"} 1";
    assert!(operator.telemetry.render().contains(counted), "{}", operator.telemetry.render());
    assert_eq!(rounds.due_in(50), Vec::<String>::new(), "neither is due before its time");
    assert_eq!(rounds.due_in(61), ["odd"], "the odd one is tried again");
    assert_eq!(rounds.due_in(3_601), ["even"], "the other one was decided on");

    // The same process goes on: both are looked at once more, and only the odd one fails again.
    for name in ["odd", "even"] {
        rounds.timetable.wake(&key(name), clock::steady());
    }
    rounds.turn().await;
    assert_eq!(rounds.due_in(61), ["odd"]);
    assert_eq!(rounds.due_in(3_601), ["even"]);
}

/// A canary at a version.
fn canary_at(version: &str) -> Value {
    let mut canary = canary("podinfo");
    canary["metadata"]["resourceVersion"] = version.into();
    canary
}

/// Wins the lease while the watch shows version 7. Answers which version is decided on, if it is looked at.
async fn won(answer: impl Fn() -> axum::response::Response + Send + Sync + 'static) -> Option<String> {
    let fake = Fake::start(move |request| {
        let is_list = request.path.contains("/canaries?limit=");
        if is_list { answer() } else { failure(500, "down") }
    })
    .await;
    let operator = fake.operator_deciding(make_a_service);
    let scope = operator.stores.scope(&key("podinfo"));
    operator.stores.start(&operator.cluster, &scope);
    operator.stores.list(&scope, 7, vec![canary_at("7")]);
    let mut rounds = Scheduler::new(operator.clone());
    rounds.timetable.wake(&key("podinfo"), clock::steady());
    rounds.start_due();
    assert!(rounds.running.is_empty(), "nobody is looked at before");
    rounds.catch_up(&CancellationToken::new()).await;
    rounds.start_due();
    let is_started = !rounds.running.is_empty();
    let seen = observe::canary(&operator, &key("podinfo")).unwrap().unwrap();
    seen.metadata.resource_version.filter(|_| is_started)
}

#[tokio::test]
async fn whoever_wins_the_lease_reads_the_canaries_once_more_before_it_looks_at_any() {
    let listed = |versions: &[&str]| {
        let items: Vec<Value> = versions.iter().map(|version| canary_at(version)).collect();
        object(&json!({"metadata": {"resourceVersion": "9"}, "items": items}))
    };
    assert_eq!(won(move || listed(&["9"])).await.as_deref(), Some("9"), "the watch was behind");
    assert_eq!(won(move || listed(&["6"])).await.as_deref(), Some("7"), "the list was");
    assert_eq!(won(|| failure(503, "not now")).await.as_deref(), Some("7"), "the watch is believed");
}

/// A decision that makes a Service.
#[expect(clippy::unnecessary_wraps, reason = "this is how every decision answers")]
fn make_a_service(_: &Tick, _: &Answers) -> Result<Plan, Question> {
    let owners = json!([{"kind": "Canary", "name": "podinfo", "uid": "podinfo", "controller": true}]);
    let metadata = json!({"name": "podinfo", "namespace": "test", "ownerReferences": owners});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
    Ok(Plan { steps: vec![Step::Create(service)], ..Plan::idle() })
}

/// Looks at a canary whose Service is refused, and has been for so many seconds. Answers its rounds after that, and what
/// was told.
async fn refused(seconds: u64) -> (Scheduler, Vec<Value>) {
    let fake = Fake::start(|request| match (request.method.as_str(), request.path.contains("/services")) {
        ("POST", true) => failure(403, "no"),
        ("POST", false) => object(&request.body),
        _ => failure(500, "down"),
    })
    .await;
    let operator = fake.operator_deciding(make_a_service);
    let scope = operator.stores.scope(&key("podinfo"));
    operator.stores.start(&operator.cluster, &scope);
    operator.stores.list(&scope, 7, vec![canary("podinfo")]);
    let refusal: Result<(), _> = Err(ApiError::Forbidden("no".to_owned()));
    let since = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    operator.doubts.weigh("test", "create Service podinfo.test", &refusal, since);
    let mut rounds = Scheduler::new(operator);
    rounds.has_caught_up = true;
    rounds.timetable.wake(&key("podinfo"), clock::steady());
    rounds.turn().await;
    let events = fake.seen().into_iter().filter(|seen| seen.method == "POST" && seen.path.contains("/events"));
    (rounds, events.map(|seen| seen.body["message"].clone()).collect())
}

#[tokio::test]
async fn a_refused_write_is_tried_again_soon_and_told_once_it_has_been_refused_for_ten_seconds() {
    let (mut rounds, told) = refused(1).await;
    assert_eq!(told, Vec::<Value>::new());
    assert_eq!(rounds.due_in(1), ["podinfo"]);
    let (mut rounds, told) = refused(11).await;
    assert_eq!(told, ["Service podinfo.test create error: no"]);
    assert_eq!(rounds.due_in(1_700), Vec::<String>::new(), "from now on it waits for the interval");
    assert_eq!(rounds.due_in(1_801), ["podinfo"]);
}

#[tokio::test]
async fn a_push_while_the_first_look_is_under_way_leads_to_another_look() {
    let fake = Fake::start(|_| failure(500, "down")).await;
    let operator = fake.operator_deciding(fail_on_odd);
    let scope = operator.stores.scope(&key("podinfo"));
    operator.stores.start(&operator.cluster, &scope);
    operator.stores.list(&scope, 7, vec![canary("podinfo")]);
    let mut rounds = Scheduler::new(operator);
    rounds.has_caught_up = true;
    rounds.timetable.wake(&key("podinfo"), clock::steady());
    rounds.start_due();
    tokio::task::yield_now().await;
    assert_eq!(rounds.running.len(), 1, "the look waits for the first lists");
    rounds.changed(&ObjectKey::new(Kind::Deployment, "test", "podinfo"));
    rounds.turn().await;
    assert_eq!(rounds.due_in(1), ["podinfo"]);
}
