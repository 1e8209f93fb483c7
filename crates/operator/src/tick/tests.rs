//! Ticks against a small API server whose watches are down: the stores are as late as can be.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::response::Response;
use burgee_api::{CanaryStatus, Phase, Run};
use burgee_core::question::Answers;
use burgee_core::world::Kind;
use serde_json::{Value, json};

use super::*;
use crate::cluster::path;
use crate::fixtures::{Fake, Seen, canary, failure, object};
use crate::operator::Decide;

/// What is in the cluster, by path.
#[derive(Default)]
struct Objects {
    by_path: BTreeMap<String, Value>,
    version: u64,
    /// How long a status is on its way.
    pause: Duration,
}

impl Objects {
    /// Stores an object under a new version, and answers it.
    fn put(&mut self, path: &str, mut stored: Value) -> Response {
        self.version += 1;
        stored["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.by_path.insert(path.to_owned(), stored.clone());
        object(&stored)
    }

    fn answer(&mut self, request: &Seen) -> Response {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if query.contains("limit=") {
            return failure(500, "no watch today");
        }
        let body = &request.body;
        if request.method == "POST" {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
            let is_there = self.by_path.contains_key(&path);
            let mut made = body.clone();
            made["metadata"]["uid"] = format!("made-{}", self.version).into();
            return if is_there { failure(409, "exists") } else { self.put(&path, made) };
        }
        let path = path.trim_end_matches("/status");
        let Some(mut stored) = self.by_path.get(path).cloned() else { return failure(404, "\"podinfo\" not found") };
        let is_current = |version: &Value| *version == stored["metadata"]["resourceVersion"];
        match request.method.as_str() {
            "PUT" if is_current(&body["metadata"]["resourceVersion"]) => self.put(path, body.clone()),
            "PATCH" if is_current(&body[0]["value"]) => {
                std::thread::sleep(self.pause);
                stored["status"] = body[1]["value"].clone();
                self.put(path, stored)
            }
            "GET" => object(&stored),
            _ => failure(409, "modified"),
        }
    }
}

/// A canary `podinfo.test` at version 7 in the store, and what is in the cluster.
struct Case {
    api: Fake,
    objects: Arc<Mutex<Objects>>,
    operator: Arc<Operator>,
}

impl Case {
    async fn new(decide: Decide) -> Self {
        let objects: Arc<Mutex<Objects>> = Arc::new(Mutex::new(Objects { version: 6, ..Objects::default() }));
        let own = objects.clone();
        let api = Fake::start(move |request| lock(&own).answer(request)).await;
        let case = Self { operator: api.operator_deciding(decide), api, objects };
        case.edit(&key(), canary("podinfo"));
        case.show(&key(), vec![canary("podinfo")]);
        case
    }

    /// What of a kind the watch has shown so far.
    fn show(&self, key: &ObjectKey, objects: Vec<Value>) {
        let stores = &self.operator.stores;
        let scope = stores.scope(key);
        stores.want([key]);
        stores.start(&self.operator.cluster, &scope);
        stores.list(&scope, 7, objects);
    }

    /// Somebody writes an object, and the watch does not show it.
    fn edit(&self, key: &ObjectKey, object: Value) {
        let _ = lock(&self.objects).put(&path(key).unwrap(), object);
    }

    /// The canary as it is in the cluster.
    fn stored(&self) -> Value {
        lock(&self.objects).by_path[&path(&key()).unwrap()].clone()
    }

    /// Somebody writes the canary, its watch shows it, and all that follows is delivered.
    async fn follow_edit(&self, canary: Value) {
        self.edit(&key(), canary);
        self.show(&key(), vec![self.stored()]);
        self.tick(2).await;
        while !self.operator.is_delivered() {
            tokio::task::yield_now().await;
        }
    }

    /// Looks at the canary so many times. Answers what was asked about single objects: watches do not count.
    async fn tick(&self, times: usize) -> Vec<String> {
        for _ in 0..times {
            Box::pin(tick(self.operator.clone(), key())).await;
        }
        let single = self.api.seen().into_iter().filter(|seen| !seen.path.contains("limit="));
        single
            .map(|seen| format!("{} {}", seen.method, seen.path.split_once('?').unwrap_or((&seen.path, "")).0))
            .collect()
    }
}

fn key() -> ObjectKey {
    ObjectKey::new(Kind::Canary, "test", "podinfo")
}

fn service() -> ObjectKey {
    ObjectKey::new(Kind::Service, "test", "podinfo")
}

/// A decision that begins a run, once.
#[expect(clippy::unnecessary_wraps, reason = "this is how every decision answers")]
fn begin(tick: &Tick, _: &Answers) -> Result<Plan, Question> {
    let status = tick.world.canary.status.clone().unwrap_or_default();
    if status.phase == Phase::Progressing {
        return Ok(Plan::idle());
    }
    let begun = CanaryStatus { phase: Phase::Progressing, ..status };
    Ok(Plan { steps: vec![Step::Status(Box::new(begun))], ..Plan::idle() })
}

#[tokio::test]
async fn after_a_conflict_on_its_status_a_canary_is_read_once_and_decided_on_as_it_is() {
    let case = Case::new(begin).await;
    let mut edited = canary("podinfo");
    edited["spec"]["analysis"]["threshold"] = 9.into();
    case.edit(&key(), edited);
    let (write, read) = (format!("PATCH {}/status", path(&key()).unwrap()), format!("GET {}", path(&key()).unwrap()));
    assert_eq!(case.tick(1).await, [write.as_str()], "the watch is late");
    let all = [write.as_str(), read.as_str(), write.as_str()];
    assert_eq!(case.tick(1).await, all);
    let written = lock(&case.objects).by_path[&path(&key()).unwrap()].clone();
    assert_eq!(
        (written["status"]["phase"].as_str(), &written["spec"]["analysis"]["threshold"]),
        (Some("Progressing"), &9.into())
    );
    assert_eq!(case.tick(2).await, all, "nothing is asked any more");
}

#[tokio::test]
async fn a_canary_that_was_deleted_meanwhile_is_known_to_be_gone_after_one_conflict() {
    let case = Case::new(begin).await;
    lock(&case.objects).by_path.clear();
    let asked = case.tick(3).await;
    assert_eq!(asked, [format!("PATCH {}/status", path(&key()).unwrap()), format!("GET {}", path(&key()).unwrap())]);
    assert!(!case.operator.exists(&key()));
}

/// Looks at a canary whose status never fits, when no plan has been carried out for so many seconds. Answers what was told.
async fn told_of_conflicts(seconds: i64) -> Vec<Value> {
    let case = Case::new(begin).await;
    for before in [seconds, seconds / 2] {
        lock(&case.operator.memory(&key())).failed(clock::steady() - SignedDuration::from_secs(before));
    }
    let mut edited = canary("podinfo");
    edited["spec"]["analysis"]["threshold"] = 9.into();
    case.edit(&key(), edited);
    case.tick(1).await;
    let counted =
        "burgee_write_conflicts_total{canary=\"podinfo\",name=\"podinfo\",namespace=\"test\",kind=\"Canary\"} 1";
    assert!(case.operator.telemetry.render().contains(counted), "{}", case.operator.telemetry.render());
    let events = case.api.seen().into_iter().filter(|seen| seen.path.contains("/events"));
    events.map(|seen| seen.body["message"].clone()).collect()
}

#[tokio::test]
async fn conflicts_that_never_end_are_told_within_two_minutes() {
    assert_eq!(told_of_conflicts(60).await, Vec::<Value>::new());
    let told = "Canary podinfo.test is not as it was seen, again and again: modified";
    assert_eq!(told_of_conflicts(115).await, [told]);
}

#[tokio::test]
async fn without_a_conflict_nothing_is_read_anew() {
    let case = Case::new(begin).await;
    assert_eq!(case.tick(3).await, [format!("PATCH {}/status", path(&key()).unwrap())]);
}

/// A decision that wants a Service as it is not.
#[expect(clippy::unnecessary_wraps, reason = "this is how every decision answers")]
fn write_a_service(tick: &Tick, _: &Answers) -> Result<Plan, Question> {
    let step = match tick.world.present(&service()) {
        Some(seen) => Step::Replace(seen.clone()),
        None => Step::Create(manifest()),
    };
    Ok(Plan { steps: vec![step], ..Plan::idle() })
}

fn manifest() -> Value {
    let owners = json!([{"kind": "Canary", "name": "podinfo", "uid": "podinfo", "controller": true}]);
    let metadata =
        json!({"name": "podinfo", "namespace": "test", "uid": "s", "resourceVersion": "5", "ownerReferences": owners});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
}

/// Writes a Service three times over. The first time it is not as the watch has shown it.
async fn check_service(shown: Vec<Value>, is_there: Option<Value>, expected: [&str; 4]) {
    let case = Case::new(write_a_service).await;
    case.show(&service(), shown);
    if let Some(there) = is_there {
        case.edit(&service(), there);
    }
    let asked = case.tick(3).await;
    let methods: Vec<&str> = asked.iter().filter_map(|asked| asked.split(' ').next()).collect();
    assert_eq!(methods, expected);
    assert!(asked.iter().all(|asked| asked.contains("/services")), "the canary is as it was: {asked:?}");
}

#[tokio::test]
async fn after_a_conflict_on_another_object_that_one_is_read_once() {
    check_service(vec![], Some(manifest()), ["POST", "GET", "PUT", "PUT"]).await;
    check_service(vec![manifest()], Some(manifest()), ["PUT", "GET", "PUT", "PUT"]).await;
    check_service(vec![manifest()], None, ["PUT", "GET", "POST", "PUT"]).await;
}

/// A decision that begins a step, and then counts twice, leaving the step as it is.
#[expect(clippy::unnecessary_wraps, reason = "this is how every decision answers")]
fn begin_and_count(tick: &Tick, _: &Answers) -> Result<Plan, Question> {
    let status = match tick.world.canary.status.clone() {
        None => {
            let run = Run { step_started_at: Some(format!("{:.6}", tick.now)), ..Run::default() };
            CanaryStatus { phase: Phase::Progressing, run: Some(run), ..CanaryStatus::default() }
        }
        Some(seen) => CanaryStatus { iterations: seen.iterations + 1, ..seen },
    };
    Ok(Plan { steps: vec![Step::Status(Box::new(status))], ..Plan::idle() })
}

#[tokio::test]
async fn a_step_whose_status_was_long_on_its_way_is_decided_on_as_one_that_began_later() {
    let case = Case::new(begin_and_count).await;
    let pause = Duration::from_millis(300);
    lock(&case.objects).pause = pause;
    case.tick(3).await;
    let written = case.api.seen().into_iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.body);
    let started = written.map(|body| body[1]["value"]["run"]["stepStartedAt"].as_str().unwrap().parse().unwrap());
    let started: Vec<Timestamp> = started.collect();
    assert!(started[1].duration_since(started[0]) >= SignedDuration::try_from(pause).unwrap(), "{started:?}");
    assert_eq!(started[2], started[1], "it is corrected once");
}

/// A canary that has failed, with these alerts due: what a killed process leaves, or what somebody writes there.
fn with_due(texts: &[&str]) -> Value {
    let mut canary = canary("podinfo");
    canary["metadata"]["finalizers"] = json!(["finalizer.flagger.app"]);
    canary["spec"]["analysis"]["alerts"] = json!([{"name": "chat", "providerRef": {"name": "chat"}}]);
    let due = |text: &&str| json!({"at": "2026-11-30T20:31:06.5Z", "kind": "alert", "text": text, "severity": "error"});
    let due: Vec<Value> = texts.iter().map(due).collect();
    canary["status"] = json!({"phase": "Failed", "run": {"due": due}});
    canary
}

/// A chat, and a namespace whose provider leads to it.
async fn with_chat() -> (Fake, Case) {
    let chat = Fake::start(|_| axum::response::IntoResponse::into_response("ok")).await;
    let case = Case::new(decide::decide).await;
    let provider = ObjectKey::new(Kind::AlertProvider, "test", "chat");
    let spec = json!({"type": "slack", "address": chat.url});
    case.edit(&provider, json!({"metadata": {"name": "chat", "namespace": "test"}, "spec": spec}));
    (chat, case)
}

#[tokio::test]
async fn an_alert_that_a_killed_process_left_in_the_status_is_sent_once_and_nothing_that_others_write_there() {
    let (chat, case) = with_chat().await;
    let look = async |texts: &[&str]| {
        case.follow_edit(with_due(texts)).await;
        case.tick(2).await;
        case.stored()["status"]["run"]["due"].clone()
    };
    assert_eq!(look(&["it was bad"]).await, Value::Null, "it is due no longer");
    assert_eq!(look(&["transfer all money"]).await, Value::Null, "nobody wrote this for us");
    let sent: Vec<String> = chat.seen().iter().map(|seen| seen.body.to_string()).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("it was bad"), "{sent:?}");
}

#[tokio::test]
async fn what_others_write_into_a_status_that_is_written_again_is_sent_to_nobody() {
    let (chat, case) = with_chat().await;
    let look = async |edit: &dyn Fn(&mut Value)| {
        let mut edited = case.stored();
        edit(&mut edited);
        case.follow_edit(edited).await;
        case.stored()["status"].clone()
    };
    let refused = look(&|canary| canary["spec"]["targetRef"]["kind"] = "Nonsense".into()).await;
    assert!(refused["conditions"].to_string().contains("Nonsense"), "{refused}");
    look(&|canary| canary["status"]["run"] = with_due(&["transfer all money"])["status"]["run"].clone()).await;
    let again = look(&|canary| canary["spec"]["targetRef"]["kind"] = "OtherNonsense".into()).await;
    assert_eq!(again["run"]["due"][0]["text"], "transfer all money", "it stands where we have written");
    look(&|canary| canary["spec"] = with_due(&[])["spec"].clone()).await;
    assert_eq!(chat.seen(), Vec::new());
}

/// Looks at a canary in the middle of a run that was made unreadable. Answers what was told, and its status.
async fn look_at_unreadable(edit: impl FnOnce(&mut Value)) -> (Vec<Value>, Value) {
    let case = Case::new(decide::decide).await;
    let mut edited = canary("podinfo");
    edited["status"] = json!({"phase": "Progressing", "canaryWeight": 0, "lastAppliedSpec": "b1"});
    edit(&mut edited);
    case.follow_edit(edited).await;
    let events = case.api.seen().into_iter().filter(|seen| seen.method == "POST" && seen.path.contains("/events"));
    let told = events.map(|seen| seen.body["message"].clone()).collect();
    // Read by its watch, what was cut out of the canary is still there.
    (told, case.stored()["status"].clone())
}

#[tokio::test]
async fn a_canary_that_cannot_be_read_is_told_so_where_its_author_looks_and_keeps_its_run() {
    fn check((told, status): &(Vec<Value>, Value), reason: &str) {
        assert_eq!(told, &[json!(format!("Invalid canary spec: {reason}"))]);
        let condition = &status["conditions"][0];
        assert_eq!((&condition["type"], &condition["message"]), (&json!("Invalid"), &json!(reason)));
        assert_eq!((&status["phase"], &status["lastAppliedSpec"]), (&json!("Progressing"), &json!("b1")));
    }
    let wrong = look_at_unreadable(|canary| canary["spec"]["service"]["port"] = json!(["s3cret"])).await;
    check(&wrong, "spec.service.port cannot be read, it is of the wrong type or has an unknown value");
    let large = look_at_unreadable(|canary| canary["spec"]["service"]["labels"] = json!(vec![json!({}); 10_000])).await;
    check(&large, "the canary has more than the 20000 values that are read, most of them in spec.service");
}

/// A decision that puts a Service right, and asks a hook: what a check is while something has drifted.
fn repair_and_ask(tick: &Tick, answers: &Answers) -> Result<Plan, Question> {
    let key = burgee_core::question::AskKey { what: "webhook back".to_owned(), moment: "once".to_owned() };
    if answers.get(&key).is_some() {
        return Ok(Plan::idle());
    }
    let webhook = tick.world.canary.analysis().unwrap().webhooks[0].clone();
    let ask = burgee_core::question::Ask::Hook { webhook, payload: json!({}) };
    let repairs = vec![Step::Replace(tick.world.present(&service()).unwrap().clone())];
    Err(Question { repairs, first: Vec::new(), asks: vec![(key, ask)] })
}

/// No error of a write stands before the safety of the traffic: a rollback hook is heard although the API server refuses a
/// repair for good.
#[tokio::test]
async fn a_repair_that_is_refused_for_good_keeps_no_hook_from_being_asked() {
    let api = Fake::start(|request| match request.method.as_str() {
        "PUT" => failure(422, "metadata.labels: Invalid value"),
        "POST" if request.path.contains("/hook") => object(&json!({})),
        _ => failure(500, "no watch today"),
    })
    .await;
    let operator = api.operator_deciding(repair_and_ask);
    let mut written = canary("podinfo");
    written["spec"]["analysis"]["webhooks"] =
        json!([{"name": "back", "type": "rollback", "url": format!("{}/hook", api.url)}]);
    for (key, shown) in [(key(), written), (service(), manifest())] {
        let scope = operator.stores.scope(&key);
        operator.stores.want([&key]);
        operator.stores.start(&operator.cluster, &scope);
        operator.stores.list(&scope, 7, vec![shown]);
    }
    Box::pin(tick(operator.clone(), key())).await;
    let asked = || api.seen().iter().any(|seen| seen.path.contains("/hook"));
    for _ in 0..100 {
        if asked() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody asked the hook: {:?}", api.seen().iter().map(|seen| seen.path.clone()).collect::<Vec<_>>());
}
