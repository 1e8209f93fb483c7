//! Golden translations and the laws of the lens.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{self, check_rendered, golden_inputs};
use crate::object::{LAST_APPLIED, entries, items};
use crate::reconcile::{is_settled, settle};
use crate::router::adopted::ORIGINAL;
use crate::settings::Settings;
use crate::split::Mirror;

fn split_of(canary: u8, mirror: Mirror) -> Split {
    match mirror {
        Mirror::Off => Split::with_canary(canary),
        Mirror::On => Split::with_canary(canary).mirrored(),
    }
}

/// The rollout and the world of a spec, with these objects besides.
fn scene(spec: &Value, objects: &Value) -> (Rollout, World) {
    let canary = fixtures::canary(spec);
    let rollout = Rollout::parse(&canary, &Settings::default()).unwrap();
    let world = fixtures::world(canary, Istio.reads(&rollout), objects);
    (rollout, world)
}

#[test]
fn goldens() {
    for (name, input) in golden_inputs("istio") {
        let (rollout, mut world) = scene(&input["canary"], &input["seen"]);
        Arc::make_mut(&mut world.canary).status = serde_json::from_value(input["status"].clone()).unwrap();
        let canary = input["weight"].as_u64().and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
        let mirror = if input["mirrored"] == true { Mirror::On } else { Mirror::Off };
        let rendered = Istio.render(&rollout, &world, split_of(canary, mirror));
        check_rendered(&format!("istio/{name}.out.yaml"), rendered);
    }
}

fn service() -> impl Strategy<Value = Value> {
    let uri = prop_oneof![Just(Value::Null), Just(json!([{"uri": {"prefix": "/"}}]))];
    let hosts = prop_oneof![Just(json!([])), Just(json!(["*"])), Just(json!(["a.example.com", "podinfo"]))];
    let gateways = prop_oneof![Just(json!([])), Just(json!(["mesh"])), Just(json!(["infra/public"]))];
    let protocol = prop_oneof![Just("http"), Just("TCP")];
    (uri, hosts, gateways, any::<bool>(), protocol).prop_map(|(uri, hosts, gateways, discovery, protocol)| {
        json!({"port": 80, "match": uri, "hosts": hosts, "gateways": gateways, "portDiscovery": discovery,
            "appProtocol": protocol, "apex": {"labels": {"team": "red"}},
            "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}})
    })
}

fn analysis() -> impl Strategy<Value = Value> {
    let matches = prop_oneof![Just(json!([])), Just(json!([{"headers": {"x-canary": {"exact": "insider"}}}]))];
    let affinity = prop_oneof![Just(Value::Null), Just(json!({"cookieName": "a", "primaryCookieName": "b"}))];
    (matches, 0_i64..3, affinity).prop_map(|(matches, mirror_weight, affinity)| {
        json!({"interval": "30s", "threshold": 5, "stepWeight": 10, "match": matches, "mirrorWeight": mirror_weight,
            "sessionAffinity": affinity})
    })
}

/// Objects that somebody else wrote under our names, or nothing.
fn seen() -> impl Strategy<Value = Value> {
    let foreign = json!([
        {"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
            "metadata": {"name": "podinfo", "namespace": "test", "uid": "v", "resourceVersion": "1",
                "labels": {"theirs": "1"}, "annotations": {"theirs": "1"}},
            "spec": {"hosts": ["podinfo"], "exportTo": ["."], "tls": [{"match": [{"port": 443}]}],
                "http": [{"route": [{"destination": {"host": "podinfo"}}]}]}},
        {"apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule",
            "metadata": {"name": "podinfo-canary", "namespace": "test", "uid": "d", "labels": {"theirs": "1"}},
            "spec": {"host": "other", "exportTo": ["*"]}},
    ]);
    prop_oneof![Just(json!([])), Just(foreign)]
}

proptest! {
    #[test]
    fn laws(service in service(), analysis in analysis(), seen in seen(), canary in 0_u8..=100, mirrored in any::<bool>()) {
        let spec = json!({"service": service, "analysis": analysis});
        let (rollout, world) = scene(&spec, &seen);
        let is_tcp = service["appProtocol"] == "TCP";
        let split = split_of(canary, if mirrored && !is_tcp { Mirror::On } else { Mirror::Off });
        let once = Istio.render(&rollout, &world, split).unwrap();

        let (_, world) = scene(&spec, &json!(once));
        prop_assert_eq!(Istio.read(&rollout, &world), Ok(Some(split)));

        let twice = Istio.render(&rollout, &world, split).unwrap();
        for (again, first) in twice.into_iter().zip(&once) {
            prop_assert_eq!(settle(again, Some(first)), None);
        }

        let led = Istio.home(&rollout, &world);
        prop_assert_eq!(led.is_empty(), split == Split::PRIMARY);
        let at_home = led.into_iter().next().unwrap_or_else(|| once[2].clone());
        let (_, world) = scene(&spec, &json!([at_home]));
        prop_assert_eq!(Istio.read(&rollout, &world), Ok(Some(Split::PRIMARY)));

        for theirs in items(&seen) {
            let ours = once.iter().find(|object| ObjectKey::of(object) == ObjectKey::of(theirs)).unwrap();
            for field in ["labels", "annotations"] {
                for (key, value) in entries(&theirs["metadata"][field]) {
                    prop_assert_eq!(&ours["metadata"][field][key], value);
                }
            }
            prop_assert_eq!(&ours["spec"]["exportTo"], &theirs["spec"]["exportTo"]);
            prop_assert_eq!(&ours["spec"]["tls"], &theirs["spec"]["tls"]);
            prop_assert_eq!(&ours["metadata"]["resourceVersion"], &theirs["metadata"]["resourceVersion"]);
        }
    }
}

/// A VirtualService that a user had before, with or without kubectl's note.
fn foreign(applied: Option<&str>) -> Value {
    let mut object = json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "v", "annotations": {"theirs": "1"}},
        "spec": {"hosts": ["podinfo"], "http": [{"route": [{"destination": {"host": "podinfo"}}]}]}});
    if let Some(text) = applied {
        object["metadata"]["annotations"][LAST_APPLIED] = json!(text);
    }
    object
}

fn adopted(before: &Value) -> (Rollout, World) {
    let (rollout, world) = scene(&json!({}), &json!([before]));
    let objects = Istio.render(&rollout, &world, Split::with_canary(30)).unwrap();
    scene(&json!({}), &json!(objects))
}

#[test]
fn deletion_gives_an_adopted_virtual_service_back_as_it_was() {
    let applied = json!({"spec": foreign(None)["spec"]}).to_string();
    for before in [foreign(None), foreign(Some(&applied))] {
        let (rollout, world) = adopted(&before);
        assert_eq!(Istio.finalize(&rollout, &world), Ok(vec![before]));
    }
}

#[test]
fn the_note_of_the_original_is_written_once() {
    let (rollout, world) = adopted(&foreign(None));
    let objects = Istio.render(&rollout, &world, Split::with_canary(60)).unwrap();
    assert_eq!(objects[2]["metadata"]["annotations"][ORIGINAL], json!(foreign(None)["spec"].to_string()));
}

#[test]
fn an_own_virtual_service_carries_no_note_and_is_not_given_back() {
    let (rollout, world) = scene(&json!({}), &json!([]));
    let objects = Istio.render(&rollout, &world, Split::PRIMARY).unwrap();
    let (_, world) = scene(&json!({}), &json!(objects));
    let moved = Istio.render(&rollout, &world, Split::CANARY).unwrap();
    assert!(!is_settled(&moved[2], &objects[2]));
    assert_eq!(moved[2]["metadata"]["annotations"].get(ORIGINAL), None);
    assert_eq!(Istio.finalize(&rollout, &world), Ok(Vec::new()));
}

#[test]
fn a_virtual_service_without_our_routes_or_a_note_is_named() {
    let (rollout, world) = scene(&json!({}), &json!([foreign(None)]));
    let text = "VirtualService podinfo.test does not contain routes for podinfo-primary and podinfo-canary";
    assert_eq!(Istio.read(&rollout, &world), Err(text.to_owned()));
    let text = "VirtualService podinfo.test original configuration not found, unable to revert";
    assert_eq!(Istio.finalize(&rollout, &world), Err(text.to_owned()));
}

#[test]
fn what_could_not_be_read_is_neither_absent_nor_written() {
    let (rollout, mut world) = scene(&json!({}), &json!([]));
    world.insert(key(&rollout), crate::world::Observed::Unknown("forbidden".to_owned()));
    assert_eq!(Istio.read(&rollout, &world), Err("forbidden".to_owned()));
    assert!(Istio.render(&rollout, &world, Split::PRIMARY).is_err());
}

#[test]
fn a_route_is_led_home_by_what_stands_in_it() {
    let spec = json!({"service": {"port": 80, "timeout": "5s"}, "analysis": {"stepWeight": 10}});
    let (rollout, world) = scene(&spec, &json!([]));
    let mut stands = Istio.render(&rollout, &world, Split::with_canary(40).mirrored()).unwrap();
    let alone = json!({"match": [{"port": 1}], "route": [{"destination": {"host": "podinfo-canary"}}]});
    let theirs = json!({"match": [{"port": 2}], "route": [{"destination": {"host": "other"}}]});
    stands[2]["spec"]["http"].as_array_mut().unwrap().extend([alone.clone(), theirs.clone()]);
    let (mut rollout, world) = scene(&spec, &json!(stands));
    // What the spec says by now can be rendered no more, and is not looked at.
    rollout.service.delegation = true;
    rollout.service.hosts = vec!["example.com".to_owned()];
    assert!(Istio.render(&rollout, &world, Split::PRIMARY).is_err());
    let mut expected = stands[2].clone();
    let route = |host: &str, weight: u8| json!({"destination": {"host": host}, "weight": weight});
    let both = json!([route("podinfo-primary", 100), route("podinfo-canary", 0)]);
    let first = json!({"timeout": "5s", "route": both});
    let alone = json!({"match": [{"port": 1}], "route": [route("podinfo-primary", 100)]});
    expected["spec"]["http"] = json!([first, alone, theirs]);
    assert_eq!(Istio.home(&rollout, &world), [expected.clone()]);
    let (_, world) = scene(&spec, &json!([expected]));
    assert!(Istio.home(&rollout, &world).is_empty(), "nothing is led home twice");
}
