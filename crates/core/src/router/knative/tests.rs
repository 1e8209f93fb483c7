//! Golden translations and the laws of the lens.

use proptest::prelude::*;

use super::*;
use crate::fixtures::{self, check_rendered, golden_inputs};
use crate::object::LAST_APPLIED;
use crate::reconcile::settle;
use crate::settings::Settings;
use crate::world::Observed;

/// The rollout, and a world in which the Knative Service is this one.
fn scene(service: &Value) -> (Rollout, World) {
    let target = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "podinfo"});
    let canary = fixtures::canary(&json!({"provider": "knative", "targetRef": target, "service": null}));
    let rollout = Rollout::parse(&canary, &Settings::default()).unwrap();
    let world = fixtures::world(canary, Knative.reads(&rollout), &json!([service]));
    (rollout, world)
}

fn service(traffic: &Value) -> Value {
    json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "s", "resourceVersion": "1", "generation": 2,
            "labels": {"theirs": "1"}, "annotations": {"theirs": "1", PRIMARY: "podinfo-00001"}},
        "spec": {"template": {"spec": {"fieldOfTomorrow": 1}}, "traffic": traffic},
        "status": {"observedGeneration": 2, "latestCreatedRevisionName": "podinfo-00002", "traffic": traffic}})
}

#[test]
fn goldens() {
    for (name, input) in golden_inputs("knative") {
        let (rollout, world) = scene(&input["seen"]);
        let canary = input["weight"].as_u64().and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
        let rendered = Knative.render(&rollout, &world, Split::with_canary(canary));
        check_rendered(&format!("knative/{name}.out.yaml"), rendered);
    }
}

/// A traffic list as others may have left it.
fn seen() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([{"latestRevision": true, "percent": 100}])),
        Just(
            json!([{"tag": "try", "revisionName": "podinfo-00001", "percent": 20}, {"latestRevision": true, "percent": 80}])
        ),
        Just(json!([{"latestRevision": true, "percent": 30},
            {"latestRevision": false, "revisionName": "podinfo-00001", "percent": 70},
            {"tag": "latest", "latestRevision": true}])),
    ]
}

proptest! {
    #[test]
    fn laws(seen in seen(), canary in 0_u8..=100) {
        let split = Split::with_canary(canary);
        let (rollout, world) = scene(&service(&seen));
        let once = Knative.render(&rollout, &world, split).unwrap();

        let (_, world) = scene(&once[0]);
        prop_assert_eq!(Knative.read(&rollout, &world), Ok(Some(split)));
        let twice = Knative.render(&rollout, &world, split).unwrap();
        prop_assert_eq!(settle(twice[0].clone(), Some(&once[0])), None);

        let mut rest = once[0].clone();
        rest["spec"]["traffic"] = seen.clone();
        prop_assert_eq!(rest, service(&seen));
        let tags = |traffic: &Value| items(traffic).filter(|entry| is_tagged(entry)).count();
        prop_assert_eq!(tags(&once[0]["spec"]["traffic"]), tags(&seen));
    }
}

fn split(canary: u8, primary: &str) -> Value {
    json!([{"latestRevision": true, "percent": canary}, {"revisionName": primary, "percent": 100 - canary}])
}

#[test]
fn what_knative_fills_in_is_no_drift_but_another_primary_is() {
    let mut defaulted = split(30, "podinfo-00001");
    defaulted[1]["latestRevision"] = json!(false);
    let (rollout, world) = scene(&service(&defaulted));
    let rendered = Knative.render(&rollout, &world, Split::with_canary(30)).unwrap();
    assert_eq!(rendered, [service(&defaulted)]);
    let (rollout, world) = scene(&service(&split(30, "podinfo-00000")));
    let rendered = Knative.render(&rollout, &world, Split::with_canary(30)).unwrap();
    assert_eq!(rendered[0]["spec"]["traffic"], split(30, "podinfo-00001"));
}

#[test]
fn a_traffic_list_that_is_not_ours_is_named() {
    let odd = [
        json!([]),
        json!([{"latestRevision": true, "percent": 100}]),
        json!([{"latestRevision": true},
        {"revisionName": "podinfo-00001", "percent": 100}]),
    ];
    for traffic in odd {
        let (rollout, world) = scene(&service(&traffic));
        let text = "Knative Service podinfo.test traffic spec invalid";
        assert_eq!(Knative.read(&rollout, &world), Err(text.to_owned()));
    }
}

#[test]
fn traffic_is_taken_over_when_the_status_shows_it_for_this_generation() {
    let (rollout, world) = scene(&service(&split(0, "podinfo-00001")));
    assert_eq!(Knative.accepted(&rollout, &world), Ok(()));
    let text = "Knative Service podinfo.test has not taken over its traffic yet";
    let mut other = service(&split(0, "podinfo-00001"));
    other["status"]["traffic"] = split(50, "podinfo-00001");
    let mut late = service(&split(0, "podinfo-00001"));
    late["metadata"]["generation"] = json!(3);
    for service in [other, late] {
        let (rollout, world) = scene(&service);
        assert_eq!(Knative.accepted(&rollout, &world), Err(text.to_owned()));
    }
}

#[test]
fn without_a_primary_there_is_no_route_to_read_or_write() {
    let mut unmarked = service(&split(0, "podinfo-00001"));
    unmarked["metadata"]["annotations"] = json!({});
    let (rollout, world) = scene(&unmarked);
    assert_eq!(Knative.read(&rollout, &world), Ok(None));
    let text = "Knative Service podinfo.test annotation flagger.app/primary-revision not found";
    assert_eq!(Knative.render(&rollout, &world, Split::PRIMARY), Err(text.to_owned()));
}

#[test]
fn what_could_not_be_read_is_neither_absent_nor_written() {
    let (rollout, mut world) = scene(&service(&Value::Null));
    world.insert(rollout.target_key(), Observed::Unknown("forbidden".to_owned()));
    assert_eq!(Knative.read(&rollout, &world), Err("forbidden".to_owned()));
    assert!(Knative.render(&rollout, &world, Split::PRIMARY).is_err());
    world.insert(rollout.target_key(), Observed::Absent);
    assert_eq!(Knative.render(&rollout, &world, Split::PRIMARY), Ok(Vec::new()));
}

/// What deletion leaves of a Service that was applied with this traffic.
fn given_back(applied: Option<&Value>, seen: &Value) -> Value {
    let mut before = service(seen);
    if let Some(traffic) = applied {
        before["metadata"]["annotations"][LAST_APPLIED] = json!(json!({"spec": {"traffic": traffic}}).to_string());
    }
    let (rollout, world) = scene(&before);
    let object = Knative.finalize(&rollout, &world).unwrap().remove(0);
    assert_eq!(object["metadata"]["annotations"].get(PRIMARY), None);
    assert_eq!(object["metadata"]["annotations"]["theirs"], "1");
    object["spec"]["traffic"].clone()
}

#[test]
fn deletion_gives_the_traffic_back_as_it_was_applied() {
    let tagged = json!([{"tag": "try", "revisionName": "podinfo-00001"}, {"latestRevision": true, "percent": 100}]);
    let latest = json!([{"latestRevision": true, "percent": 100}]);
    let ours = split(50, "podinfo-00001");
    assert_eq!(given_back(Some(&tagged), &ours), tagged);
    assert_eq!(given_back(Some(&Value::Null), &ours), Value::Null);
    assert_eq!(given_back(None, &ours), Value::Null);
    // Knative fills in what is not said; that is as good.
    assert_eq!(given_back(None, &latest), latest);
}
