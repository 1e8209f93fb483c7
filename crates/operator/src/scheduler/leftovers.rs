//! Canaries come and go, and nothing of them stays in the process (I31).

use burgee_api::{CanaryStatus, Delivery, DeliveryKind, Phase, Severity};
use burgee_core::decide::Tick;
use burgee_core::notice::Notice;
use burgee_core::plan::{Count, Plan, Step, Telling};
use burgee_core::question::{Answers, Ask, AskKey, ProviderSource, Question, Round};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{Fake, Seen, failure, object};
use crate::stores::{Deletion, Scope};

/// How many come and go.
const CANARIES: usize = 1_000;
/// How many are there at the same time.
const AT_ONCE: usize = 50;

/// What a canary asks on its way: a hook that its spec names, and a number with credentials.
fn questions(tick: &Tick) -> Vec<(AskKey, Ask)> {
    let key = |what: &str| AskKey { what: what.to_owned(), moment: "once".to_owned() };
    let webhook = tick.world.canary.analysis().unwrap().webhooks[0].clone();
    let source = ProviderSource {
        provider_type: "prometheus".to_owned(),
        address: webhook.url.clone(),
        secret: Some(("test".to_owned(), "token".to_owned())),
        ..ProviderSource::default()
    };
    let (metric, query, window) = ("latency".to_owned(), "up".to_owned(), SignedDuration::from_mins(1));
    vec![
        (key("webhook"), Ask::Hook { webhook, payload: json!({}) }),
        (key("metric"), Ask::Measure { metric, scale: 1.0, source, query, window }),
    ]
}

/// A decision that leaves a trace wherever one can be left: it asks, tells, writes, contention, counts, alerts and calls.
fn leave_traces(tick: &Tick, answers: &Answers) -> Result<Plan, Question> {
    let asks = questions(tick);
    if asks.iter().any(|(key, _)| answers.get(key).is_none()) {
        return Err(Question { repairs: Vec::new(), first: Vec::new(), asks });
    }
    let alert = Delivery { text: "no".to_owned(), severity: Severity::Error, ..Delivery::default() };
    let hooks = Delivery { kind: DeliveryKind::PostRollout, phase: Phase::Failed, ..Delivery::default() };
    let status = CanaryStatus { phase: Phase::Progressing, ..CanaryStatus::default() };
    let telling = Telling { notice: Notice::Copying, event_suffix: "0".to_owned(), phase: Phase::Progressing };
    let service = json!({"apiVersion": "v1", "kind": "Service",
                         "metadata": {"name": tick.rollout.name, "namespace": "test", "resourceVersion": "1"}});
    let steps = vec![
        Step::Tell(telling),
        Step::Status(Box::new(status)),
        Step::Deliver(alert),
        Step::Count(Count::Failed),
        Step::Deliver(hooks),
        Step::Replace(service),
    ];
    let next = Wake::At(tick.now + SignedDuration::from_secs(1));
    let repairs = vec![ObjectKey::new(Kind::Service, "test", &tick.rollout.name)];
    Ok(Plan { steps, next, quiet_until: None, round: Round::Open, repairs })
}

/// An API server, a provider and a webhook in one. It has no watches, and every replaced object has moved.
fn answer(request: &Seen) -> axum::response::Response {
    let path = request.path.split('?').next().unwrap_or_default();
    match request.method.as_str() {
        "GET" if request.path.contains("limit=") || request.path.contains("watch=") => failure(500, "no watch today"),
        "GET" if path.contains("/secrets/token") => {
            object(&json!({"metadata": {"resourceVersion": "1"}, "data": {"token": "eA=="}}))
        }
        "GET" if path.contains("/configmaps/") => {
            let name = path.rsplit('/').next();
            object(
                &json!({"metadata": {"name": name, "namespace": "test", "resourceVersion": "7"}, "data": {"a": "1"}}),
            )
        }
        "GET" if path.contains("/query") => {
            object(&json!({"data": {"resultType": "vector", "result": [{"value": [0, "7"]}]}}))
        }
        "PUT" => failure(403, "no"),
        "PATCH" => {
            let name = path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
            let mut written = crate::fixtures::canary(name);
            written["status"] = request.body[1]["value"].clone();
            object(&written)
        }
        _ => object(&request.body),
    }
}

/// A canary, its target and a ConfigMap that the target names.
fn objects(name: &str, url: &str) -> [Value; 3] {
    let mut canary = crate::fixtures::canary(name);
    let hook = |kind: &str| json!({"name": kind, "type": kind, "url": format!("{url}/hook")});
    canary["spec"]["analysis"]["webhooks"] = json!([hook("rollout"), hook("event"), hook("post-rollout")]);
    canary["spec"]["analysis"]["alerts"] = json!([{"name": "chat", "providerRef": {"name": "chat"}}]);
    let metadata = json!({"name": name, "namespace": "test", "uid": format!("u-{name}"), "resourceVersion": "7"});
    let containers = json!([{"name": "app", "envFrom": [{"configMapRef": {"name": name}}]}]);
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
                        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}});
    [canary, target, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})]
}

/// What a canary's objects are watched by.
fn scopes(operator: &Operator) -> [Scope; 3] {
    [Kind::Canary, Kind::Deployment, Kind::ConfigMap]
        .map(|kind| operator.stores.scope(&ObjectKey::new(kind, "test", "")))
}

impl Scheduler {
    /// How much the process remembers, by what. Whoever adds a map must say here what becomes of it.
    fn sizes(&self) -> BTreeMap<&'static str, usize> {
        let Self { operator, timetable, running, telling, names, canaries, has_caught_up: _ } = self;
        let mut sizes = operator.sizes();
        sizes.insert("timetable", timetable.known());
        sizes.insert("running", running.len());
        sizes.insert("telling", telling.len());
        sizes.insert("names", names.len());
        sizes.insert("canaries", canaries.len());
        sizes
    }

    /// Canaries come, are looked at twice, and go: every second one while its second look is under way.
    async fn come_and_go(&mut self, names: &[String], url: &str) {
        let operator = self.operator.clone();
        operator.leadership.note(Some(clock::Clocks::read()));
        let scopes = scopes(&operator);
        for name in names {
            for (scope, object) in scopes.iter().zip(objects(name, url)) {
                operator.stores.event(scope, object, Deletion::No);
            }
            self.changed(&key(name));
        }
        for is_last in [false, true] {
            for name in names {
                self.timetable.wake(&key(name), clock::steady());
            }
            self.start_due();
            tokio::task::yield_now().await;
            if is_last {
                names.iter().step_by(2).for_each(|name| self.goes(name, url));
            }
            self.turn().await;
            while !is_last && names.iter().any(|name| !is_answered(&operator, &key(name))) {
                tokio::task::yield_now().await;
            }
        }
        names.iter().skip(1).step_by(2).for_each(|name| self.goes(name, url));
        while !operator.is_delivered() {
            tokio::task::yield_now().await;
        }
    }

    /// A canary is deleted, and what it looked at with it.
    fn goes(&mut self, name: &str, url: &str) {
        for (scope, mut object) in scopes(&self.operator).iter().zip(objects(name, url)) {
            object["metadata"]["resourceVersion"] = "9".into();
            self.operator.stores.event(scope, object, Deletion::Yes);
        }
        self.changed(&key(name));
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Canary, "test", name)
}

/// Whether what a canary has asked is answered.
fn is_answered(operator: &Operator, canary: &ObjectKey) -> bool {
    let memory = operator.memory(canary);
    let asked = |what: &str| AskKey { what: what.to_owned(), moment: "once".to_owned() };
    let memory = crate::lock::lock(&memory);
    ["webhook", "metric"].iter().all(|what| memory.answers.get(&asked(what)).is_some())
}

/// Lets what was ended come to its end.
async fn settle(rounds: &Scheduler, expected: &BTreeMap<&'static str, usize>) {
    for _ in 0..1_000 {
        if rounds.sizes() == *expected {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_thousand_canaries_that_came_and_went_leave_nothing_in_any_map() {
    let fake = Fake::start(answer).await;
    let operator = fake.operator_deciding(leave_traces);
    for scope in scopes(&operator) {
        operator.stores.start(&operator.cluster, &scope);
        operator.stores.list(&scope, 7, Vec::new());
    }
    let mut rounds = Scheduler::new(operator);
    rounds.has_caught_up = true;
    let names: Vec<String> = (0..=CANARIES).map(|number| format!("c-{number}")).collect();
    // The first one starts the watches, whose end is not the business of this test.
    let (first, others) = names.split_at(1);
    rounds.come_and_go(first, &fake.url).await;
    let nothing = rounds.sizes().into_keys().map(|what| (what, 0)).collect();
    settle(&rounds, &nothing).await;
    let before = rounds.sizes();
    for some in others.chunks(AT_ONCE) {
        rounds.come_and_go(some, &fake.url).await;
    }
    settle(&rounds, &before).await;
    assert_eq!(rounds.sizes(), before);
    let text = rounds.operator.telemetry.render();
    assert!(!text.contains("c-1"), "{text}");
}

#[tokio::test]
async fn the_series_of_a_former_target_go_and_those_of_the_new_one_stay() {
    let fake = Fake::start(|_| failure(500, "down")).await;
    let operator = fake.operator();
    let subject = |target: &str| crate::telemetry::Subject {
        canary: "podinfo".to_owned(),
        target: target.to_owned(),
        namespace: "test".to_owned(),
    };
    let show = |target: &str| {
        operator.meet(&key("podinfo"), "u", &subject(target));
        operator.show(&key("podinfo"), |telemetry| telemetry.status(&subject(target), 1));
        let text = operator.telemetry.render();
        text.lines().filter(|line| line.starts_with("flagger_canary_status")).map(str::to_owned).collect::<Vec<_>>()
    };
    show("old");
    assert_eq!(show("new"), ["flagger_canary_status{canary=\"podinfo\",name=\"new\",namespace=\"test\"} 1"]);
}
