//! Golden translations and the laws of the lens.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{self, check_rendered, golden_inputs};
use crate::object::entries;
use crate::reconcile::settle;
use crate::settings::Settings;
use crate::world::Observed;

/// The rollout and the world of a spec, with these objects besides.
fn scene(spec: &Value, objects: &Value) -> (Rollout, World) {
    let canary = fixtures::canary(spec);
    let provider = spec["provider"].as_str().unwrap_or("smi:istio");
    let settings = Settings { mesh_provider: provider.to_owned(), ..Settings::default() };
    let rollout = Rollout::parse(&canary, &settings).unwrap();
    let world = fixtures::world(canary, Smi.reads(&rollout), objects);
    (rollout, world)
}

#[test]
fn goldens() {
    for (name, input) in golden_inputs("smi") {
        let (rollout, mut world) = scene(&input["canary"], &input["seen"]);
        Arc::make_mut(&mut world.canary).status = serde_json::from_value(input["status"].clone()).unwrap();
        let canary = input["weight"].as_u64().and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
        let rendered = Smi.render(&rollout, &world, Split::with_canary(canary));
        check_rendered(&format!("smi/{name}.out.yaml"), rendered);
    }
}

fn spec() -> impl Strategy<Value = Value> {
    let providers = prop_oneof![
        Just("smi:istio"),
        Just("smi:v1alpha1"),
        Just("smi:v1alpha2:istio"),
        Just("smi:v1alpha3"),
        Just("linkerd"),
        Just("osm"),
    ];
    let hosts = prop_oneof![Just(json!([])), Just(json!(["a.example.com", "podinfo"]))];
    let gateways = prop_oneof![Just(json!([])), Just(json!(["infra/public"]))];
    (providers, hosts, gateways).prop_map(|(provider, hosts, gateways)| {
        json!({"provider": provider, "service": {"port": 80, "hosts": hosts, "gateways": gateways}})
    })
}

/// A TrafficSplit that somebody else wrote under our name, or nothing.
fn seen(version: &str) -> Value {
    json!([{"apiVersion": format!("split.smi-spec.io/{version}"), "kind": "TrafficSplit",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "t", "resourceVersion": "1",
            "labels": {"theirs": "1"}, "annotations": {"theirs": "1"}},
        "spec": {"service": "podinfo", "matches": [{"kind": "HTTPRouteGroup", "name": "theirs"}],
            "backends": [{"service": "podinfo-old", "weight": 1}]}}])
}

proptest! {
    #[test]
    fn laws(spec in spec(), is_taken in any::<bool>(), canary in 0_u8..=100) {
        let (rollout, _) = scene(&spec, &json!([]));
        let theirs = if is_taken { seen(key(&rollout).kind.names().1) } else { json!([]) };
        let (rollout, world) = scene(&spec, &theirs);
        let split = Split::with_canary(canary);
        let once = Smi.render(&rollout, &world, split).unwrap();

        let (_, world) = scene(&spec, &json!(once));
        prop_assert_eq!(Smi.read(&rollout, &world), Ok(Some(split)));
        let shares = Shares { primary: 100 - i64::from(canary), canary: i64::from(canary) };
        prop_assert_eq!(Smi.shares(&rollout, &world), Some(shares));

        let twice = Smi.render(&rollout, &world, split).unwrap();
        prop_assert_eq!(settle(twice[0].clone(), Some(&once[0])), None);

        let led = Smi.home(&rollout, &world);
        prop_assert_eq!(led.is_empty(), split == Split::PRIMARY);
        let at_home = led.into_iter().next().unwrap_or_else(|| once[0].clone());
        let (_, world) = scene(&spec, &json!([at_home]));
        prop_assert_eq!(Smi.read(&rollout, &world), Ok(Some(Split::PRIMARY)));

        for theirs in items(&theirs) {
            for field in ["labels", "annotations"] {
                for (key, value) in entries(&theirs["metadata"][field]) {
                    prop_assert_eq!(&once[0]["metadata"][field][key], value);
                }
            }
            prop_assert_eq!(&once[0]["spec"]["matches"], &theirs["spec"]["matches"]);
            prop_assert_eq!(&once[0]["metadata"]["resourceVersion"], &theirs["metadata"]["resourceVersion"]);
            // The canary's deletion gives it back, but for the gateways that were asked for.
            let (rollout, world) = scene(&spec, &json!(once));
            let back = Smi.finalize(&rollout, &world).unwrap();
            prop_assert_eq!(&back[0]["spec"], &theirs["spec"]);
        }
    }
}

/// What a TrafficSplit with these backends means, and what it is when all is led to the primary.
fn check(backends: &Value, read: Result<u8, ()>, home: &Value) {
    let split = json!([{"apiVersion": "split.smi-spec.io/v1alpha1", "kind": "TrafficSplit",
        "metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"service": "podinfo", "backends": backends}}]);
    let (rollout, world) = scene(&json!({}), &split);
    let text = "TrafficSplit podinfo.test does not contain routes for podinfo-primary and podinfo-canary";
    let expected = read.map(|canary| Some(Split::with_canary(canary))).map_err(|()| text.to_owned());
    assert_eq!(Smi.read(&rollout, &world), expected, "{backends}");
    let led = Smi.home(&rollout, &world);
    assert_eq!(led.first().map_or(&Value::Null, |object| &object["spec"]["backends"]), home, "{backends}");
}

#[test]
fn weights_are_relative_and_may_be_quantities() {
    let backends = |primary: Value, canary: Value| json!([{"service": "podinfo-canary", "weight": canary}, {"service": "podinfo-primary", "weight": primary}]);
    let texts = backends(json!("100"), json!("0"));
    let numbers = backends(json!(100), json!(0));
    check(&backends(json!("900m"), json!("100m")), Ok(10), &texts);
    check(&backends(json!(1), json!(1)), Ok(50), &numbers);
    check(&backends(json!(1_000_000), json!(1)), Ok(1), &numbers);
    check(&backends(json!(1), json!(1_000_000)), Ok(99), &numbers);
    check(&backends(json!(0), json!(5)), Ok(100), &numbers);
    check(&numbers, Ok(0), &Value::Null);
    check(&backends(json!(0), json!(0)), Err(()), &Value::Null);
    for odd in [json!("many"), json!(-5), json!(true), json!("-5m"), json!(i64::MAX), json!(1.5)] {
        let led = backends(json!(100), if odd.is_string() { json!("0") } else { json!(0) });
        check(&backends(json!(100), odd), Err(()), &led);
    }
}

#[test]
fn what_others_lead_anywhere_stays_when_all_is_led_home() {
    let theirs = json!({"service": "podinfo-old", "weight": 50});
    let alone = json!([{"service": "podinfo-canary", "weight": 1}]);
    check(&alone, Ok(100), &json!([{"service": "podinfo-primary", "weight": 100}]));
    let shared =
        json!([{"service": "podinfo-canary", "weight": 10}, {"service": "podinfo-primary", "weight": 40}, theirs]);
    let home =
        json!([{"service": "podinfo-canary", "weight": 0}, {"service": "podinfo-primary", "weight": 50}, theirs]);
    check(&shared, Ok(20), &home);
}

#[test]
fn what_could_not_be_read_is_neither_absent_nor_written() {
    let (rollout, mut world) = scene(&json!({}), &json!([]));
    world.insert(key(&rollout), Observed::Unknown("forbidden".to_owned()));
    assert_eq!(Smi.read(&rollout, &world), Err("forbidden".to_owned()));
    assert!(Smi.render(&rollout, &world, Split::PRIMARY).is_err());
}
