//! Each step is one request with its precondition, and each answer is read for what it means to the plan.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burgee_api::Phase;
use burgee_core::notice::Notice;
use burgee_core::plan::Telling;
use burgee_core::times::PlanTiming;
use jiff::Timestamp;

use super::*;
use crate::clock::Clocks;
use crate::fixtures::{Fake, Seen, context, failure, object, operator_of_a_slow_server};

/// The owner reference to the canary of the context.
fn owner() -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "podinfo", "uid": "u", "controller": true})
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
           "metadata": {"name": "podinfo", "namespace": "test", "resourceVersion": "3", "ownerReferences": [owner()]},
           "spec": {"new": "field"}})
}

fn seen(method: &str, path: &str, media: &str, body: Value) -> Seen {
    let authorization = String::new();
    Seen { method: method.to_owned(), path: path.to_owned(), media: media.to_owned(), authorization, body }
}

async fn check_request(step: Step, expected: Seen) {
    let fake = Fake::start(|request| object(&request.body)).await;
    act(&fake.operator(), &mut context(), vec![step]).await.unwrap();
    assert_eq!(fake.seen(), [expected]);
}

#[tokio::test]
async fn objects_are_written_whole_and_with_the_version_they_were_decided_on() {
    let path = "/api/v1/namespaces/test/services";
    let json = "application/json";
    check_request(Step::Create(service()), seen("POST", &format!("{path}?fieldManager=burgee"), json, service())).await;
    let one = format!("{path}/podinfo?fieldManager=burgee");
    check_request(Step::Replace(service()), seen("PUT", &one, json, service())).await;
}

#[tokio::test]
async fn the_status_is_written_only_at_the_version_of_the_world() {
    let status = CanaryStatus { phase: Phase::Progressing, ..CanaryStatus::default() };
    let operations = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let path = "/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo/status?fieldManager=burgee";
    let expected = seen("PATCH", path, "application/json-patch+json", operations);
    check_request(Step::Status(Box::new(status)), expected).await;
}

#[tokio::test]
async fn what_is_not_ours_is_patched_with_tests() {
    let key = ObjectKey::new(Kind::Deployment, "test", "podinfo");
    let operations = json!([{"op": "test", "path": "/metadata/generation", "value": 4}]);
    let path = "/apis/apps/v1/namespaces/test/deployments/podinfo?fieldManager=burgee";
    let expected = seen("PATCH", path, "application/json-patch+json", operations.clone());
    check_request(Step::Patch { key, operations }, expected).await;
}

async fn check_answer(step: Step, code: u16, message: &'static str) -> Result<(), Stopped> {
    let fake = Fake::start(move |_| failure(code, message)).await;
    act(&fake.operator(), &mut context(), vec![step]).await
}

/// From now on it is eleven seconds that this has been refused.
fn refused_for_long(operator: &Operator, wanted: &str) {
    let refusal: Result<(), _> = Err(ApiError::Forbidden("no".to_owned()));
    operator.doubts.weigh("test", wanted, &refusal, Instant::now().checked_sub(Duration::from_secs(11)).unwrap());
}

fn patch() -> Step {
    Step::Patch { key: ObjectKey::new(Kind::Deployment, "test", "podinfo"), operations: json!([]) }
}

#[tokio::test]
async fn a_version_that_moved_is_a_conflict_however_it_is_said() {
    let conflict = |message: &str| Err(Stopped::Conflict(key_of(&service()).unwrap(), message.to_owned()));
    assert_eq!(check_answer(Step::Create(service()), 409, "exists").await, conflict("exists"));
    assert_eq!(check_answer(Step::Replace(service()), 409, "modified").await, conflict("modified"));
    assert_eq!(check_answer(Step::Replace(service()), 404, "gone").await, conflict("gone"));
    let test = "the server rejected our request due to an error in our request";
    let target = ObjectKey::new(Kind::Deployment, "test", "podinfo");
    assert_eq!(check_answer(patch(), 422, test).await, Err(Stopped::Conflict(target, test.to_owned())));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_the_object_and_the_operation() {
    let failed = |message: &str| Err(Stopped::Failed(message.to_owned()));
    let text = "Service podinfo.test update error: spec.ports: required";
    assert_eq!(check_answer(Step::Replace(service()), 422, "spec.ports: required").await, failed(text));
    let text = "Deployment podinfo.test patch error: down (503)";
    assert_eq!(check_answer(patch(), 503, "down").await, Err(Stopped::Unavailable(text.to_owned())));
}

async fn check_refused(step: Step, wanted: &str, text: &str) {
    let fake = Fake::start(|_| failure(403, "no")).await;
    let (operator, mut context) = (fake.operator(), context());
    let stopped = act(&operator, &mut context, vec![step.clone()]).await.unwrap_err();
    let Stopped::Doubted(said, left) = stopped else { panic!("{stopped:?}") };
    assert_eq!((said.as_str(), left.as_secs()), (text, 10));
    refused_for_long(&operator, "something else");
    assert!(matches!(act(&operator, &mut context, vec![step.clone()]).await, Err(Stopped::Doubted(..))));
    let operator = fake.operator();
    refused_for_long(&operator, wanted);
    assert_eq!(act(&operator, &mut context, vec![step]).await, Err(Stopped::Failed(text.to_owned())));
}

#[tokio::test]
async fn a_refused_write_is_a_missing_permission_only_after_ten_seconds() {
    let text = "Service podinfo.test create error: no";
    check_refused(Step::Create(service()), "create Service podinfo.test", text).await;
    let text = "Service podinfo.test update error: no";
    check_refused(Step::Replace(service()), "update Service podinfo.test", text).await;
    let text = "Deployment podinfo.test patch error: no";
    check_refused(patch(), "patch Deployment podinfo.test", text).await;
    let text = "Canary podinfo.test patch status error: no";
    check_refused(Step::Status(Box::default()), "patch status Canary podinfo.test", text).await;
    let ends = "services is forbidden: unable to create new content in namespace test because it is being terminated";
    let text = format!("Service podinfo.test create error: {ends}");
    assert_eq!(check_answer(Step::Create(service()), 403, ends).await, Err(Stopped::Failed(text)));
}

#[tokio::test]
async fn the_first_failure_ends_the_plan() {
    let fake = Fake::start(|_| failure(409, "modified")).await;
    let steps = vec![Step::Replace(service()), Step::Create(service())];
    assert!(act(&fake.operator(), &mut context(), steps).await.is_err());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn without_the_lease_nothing_is_written() {
    let status = Box::new(CanaryStatus::default());
    for step in
        [Step::Create(service()), Step::Replace(service()), patch(), Step::Tell(telling("0")), Step::Status(status)]
    {
        let fake = Fake::start(|request| object(&request.body)).await;
        let operator = fake.operator();
        let (now, age) = (Clocks::read(), jiff::SignedDuration::from_secs(12));
        operator.leadership.note(Some(Clocks { steady: now.steady - age, ..now }));
        assert!(!operator.leadership.may_write(), "the wall's clock was set back");
        operator.leadership.note(Some(Clocks { wall: now.wall - age, ..now }));
        assert_eq!(act(&operator, &mut context(), vec![step]).await, Err(Stopped::Fenced));
        assert_eq!(fake.seen(), []);
    }
}

#[tokio::test]
async fn a_plan_that_stood_still_is_not_carried_out_and_what_it_hands_over_still_goes_out() {
    for (step, expected) in [(patch(), Err(Stopped::Late)), (Step::Count(Count::Failed), Ok(()))] {
        let fake = Fake::start(|request| object(&request.body)).await;
        let mut context = context();
        context.timing = PlanTiming::begun(None, clock::steady() - jiff::SignedDuration::from_secs(6));
        assert_eq!(act(&fake.operator(), &mut context, vec![step]).await, expected);
        assert_eq!(fake.seen(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn writes_of_six_seconds_each_are_slow_and_no_standstill() {
    let (operator, asked) = operator_of_a_slow_server(Duration::from_secs(6));
    let plan = vec![Step::Status(Box::default()), Step::Replace(service())];
    assert_eq!(act(&operator, &mut context(), plan).await, Ok(()));
    let methods: Vec<String> = lock(&asked).iter().map(|line| line.chars().take(5).collect()).collect();
    assert_eq!(methods, ["PATCH", "PUT /"], "the status, and then the route that it announces");
}

#[tokio::test]
async fn a_step_begins_when_its_status_is_written_and_not_when_it_was_decided() {
    let fake = Fake::start(|request| object(&request.body)).await;
    let mut context = context();
    context.timing = PlanTiming::begun(None, clock::steady() - jiff::SignedDuration::from_secs(2));
    let decided: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    let run = burgee_api::Run { step_started_at: Some(decided.to_string()), ..Default::default() };
    let status = CanaryStatus { run: Some(run), ..CanaryStatus::default() };
    act(&fake.operator(), &mut context, vec![Step::Status(Box::new(status))]).await.unwrap();
    let started = &fake.seen()[0].body[1]["value"]["run"]["stepStartedAt"];
    let started: Timestamp = started.as_str().unwrap().parse().unwrap();
    assert!(started.duration_since(decided).as_secs() >= 2);
}

fn telling(suffix: &str) -> Telling {
    Telling { notice: Notice::Copying, event_suffix: suffix.to_owned(), phase: Phase::Progressing }
}

/// Tells something and then writes, while events fail so. Answers how the plan ended and what was asked.
async fn told_while(operator: impl Fn(&Operator), code: u16) -> (Result<(), Stopped>, Vec<String>) {
    let fake = Fake::start(
        move |request| {
            if request.path.contains("/events") { failure(code, "no") } else { object(&request.body) }
        },
    )
    .await;
    let own = fake.operator();
    operator(&own);
    let result = act(&own, &mut context(), vec![Step::Tell(telling("00ff")), Step::Create(service())]).await;
    (result, fake.seen().into_iter().map(|seen| seen.path).collect())
}

#[tokio::test]
async fn an_event_that_cannot_be_had_for_a_moment_is_not_lost_and_one_that_may_not_be_holds_nothing_up() {
    let events = "/api/v1/namespaces/test/events?fieldManager=burgee".to_owned();
    let services = "/api/v1/namespaces/test/services?fieldManager=burgee".to_owned();
    for code in [500, 503, 429] {
        let text = format!("event create error: no ({code})");
        assert_eq!(told_while(|_| (), code).await, (Err(Stopped::Unavailable(text)), vec![events.clone()]));
    }
    let (result, asked) = told_while(|_| (), 403).await;
    assert!(matches!(result, Err(Stopped::Doubted(..))), "{result:?}");
    assert_eq!(asked, std::slice::from_ref(&events));
    let all = vec![events, services];
    assert_eq!(told_while(|own| refused_for_long(own, "create events in namespace test"), 403).await, (Ok(()), all));
}

/// An operator whose API server takes no events as long as they are `down`, and has taken none of the canary for so many
/// seconds.
async fn silent_for(seconds: i64, down: Arc<AtomicBool>) -> (Fake, Arc<Operator>) {
    let fake = Fake::start(move |request| {
        let is_refused = request.path.contains("/events") && down.load(Ordering::Relaxed);
        if is_refused { failure(503, "no") } else { object(&request.body) }
    })
    .await;
    let operator = fake.operator();
    let since = clock::steady() - jiff::SignedDuration::from_secs(seconds);
    lock(&operator.memory(&context().key)).event_outage.goes_on(since, clock::steady());
    (fake, operator)
}

#[tokio::test]
async fn a_plan_waits_half_a_minute_for_an_event_and_then_goes_on_without() {
    let down = Arc::new(AtomicBool::new(true));
    let plan = |suffix: &str| vec![Step::Tell(telling(suffix)), Step::Create(service())];
    let (fake, operator) = silent_for(20, down.clone()).await;
    assert!(matches!(act(&operator, &mut context(), plan("00ff")).await, Err(Stopped::Unavailable(_))));
    assert_eq!(fake.seen().len(), 1, "the event, and nothing after it");

    let (fake, operator) = silent_for(30, down.clone()).await;
    let asked = || fake.seen().into_iter().map(|seen| seen.path.contains("/events")).collect::<Vec<bool>>();
    let mut hooked = context();
    let hook = json!([{"name": "events", "type": "event", "url": "http://127.0.0.1:1/"}]);
    let analysis = serde_json::from_value(json!({"webhooks": hook})).unwrap();
    Arc::make_mut(&mut hooked.canary).spec.analysis = Some(analysis);
    act(&operator, &mut hooked, vec![Step::Tell(telling("00ff"))]).await.unwrap();
    assert!(!operator.is_delivered(), "event webhooks are told all the same");
    act(&operator, &mut context(), plan("00ff")).await.unwrap();
    assert_eq!(asked(), [true, false], "what was given up is not tried again");
    let mut other = context();
    other.key.name = "frontend".to_owned();
    assert!(act(&operator, &mut other, plan("00ff")).await.is_err(), "another canary waits by itself");
}

#[tokio::test]
async fn an_event_that_is_taken_ends_the_silence() {
    let down = Arc::new(AtomicBool::new(true));
    let (_fake, operator) = silent_for(30, down.clone()).await;
    let tell = |suffix: &str, notice: Notice| vec![Step::Tell(Telling { notice, ..telling(suffix) })];
    act(&operator, &mut context(), tell("1", Notice::Copying)).await.unwrap();
    act(&operator, &mut context(), tell("2", Notice::NewRevision)).await.unwrap();
    down.store(false, Ordering::Relaxed);
    act(&operator, &mut context(), tell("3", Notice::CanaryFailed)).await.unwrap();
    down.store(true, Ordering::Relaxed);
    let stopped = act(&operator, &mut context(), tell("4", Notice::Problem("odd".to_owned()))).await;
    assert!(matches!(stopped, Err(Stopped::Unavailable(_))), "{stopped:?}");
}

#[tokio::test]
async fn an_event_that_was_refused_at_first_is_told_by_the_next_look() {
    let first = AtomicBool::new(true);
    let fake =
        Fake::start(
            move |request| {
                if first.swap(false, Ordering::Relaxed) { failure(403, "no") } else { object(&request.body) }
            },
        )
        .await;
    let (operator, mut context) = (fake.operator(), context());
    assert!(act(&operator, &mut context, vec![Step::Tell(telling("00ff"))]).await.is_err());
    for _ in 0..2 {
        act(&operator, &mut context, vec![Step::Tell(telling("00ff"))]).await.unwrap();
    }
    let names: Vec<Value> = fake.seen().into_iter().map(|seen| seen.body["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["podinfo.00ff", "podinfo.00ff"], "once refused, once told, and never again");
}

#[tokio::test]
async fn an_event_is_told_once_and_its_repetition_counted_or_kept_quiet() {
    let fake = Fake::start(|request| object(&request.body)).await;
    let operator = fake.operator();
    let steps = vec![Step::Tell(telling("00ff")), Step::Tell(telling("00ff"))];
    act(&operator, &mut context(), steps).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen.len(), 1, "the second one comes within the interval");
    assert_eq!(seen[0].path, "/api/v1/namespaces/test/events?fieldManager=burgee");
    assert_eq!(seen[0].body["metadata"]["name"], "podinfo.00ff");
    assert_eq!(seen[0].body["message"], "Copying podinfo.test template spec to podinfo-primary.test");
}

mod kept;
