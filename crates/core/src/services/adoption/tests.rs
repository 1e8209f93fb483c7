//! Tests of adoption: what a user had is there all the time, and again in the end.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::rollout;
use crate::reconcile::settle;
use crate::rollout::Rollout;
use crate::services::{Role, discovered_ports, render, reverted};
use crate::settings::Settings;
use crate::workload::{Selector, selector};

fn canary(service: &Value) -> Rollout {
    rollout(&json!({"service": service}))
}

fn target() -> Value {
    let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9901}]);
    let labels = json!({"app": "podinfo", "tier": "web"});
    json!({"spec": {"selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "ports": ports}]}}}})
}

fn chosen(rollout: &Rollout) -> Selector {
    selector(rollout, &Settings::default(), &target(), None).unwrap()
}

fn adopted(service: &Value, seen: &Value) -> Value {
    let rollout = canary(service);
    let ports = discovered_ports(&rollout, &target());
    render(&rollout, &chosen(&rollout), &ports, Role::Apex, Some(seen))
}

fn given_back(service: &Value, seen: &Value) -> Value {
    let rollout = canary(service);
    reverted(&rollout, Some(&chosen(&rollout)), seen).unwrap()
}

/// A Service of a user, with these ports.
fn service(ports: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "s", "annotations": {"mine": "yes"}},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.7", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 31000, "selector": {"app": "podinfo", "role": "front"}, "ports": ports}})
}

fn web_and_metrics() -> Value {
    json!([
        {"name": "http-server", "port": 80, "targetPort": 8080, "nodePort": 30429, "protocol": "TCP"},
        {"name": "metrics", "port": 9100, "targetPort": 9100, "nodePort": 32474, "protocol": "TCP"},
    ])
}

/// The ports while a canary with this service has the Service, which rests then and is given back as it was.
#[track_caller]
fn check(canary: &Value, ports: &Value, expected: &Value) {
    let original = service(ports);
    let seen = adopted(canary, &original);
    assert_eq!(seen["spec"]["ports"], *expected);
    assert_eq!(seen["spec"]["selector"], json!({"app": "podinfo-primary", "tier": "web"}));
    assert_eq!(settle(adopted(canary, &seen), Some(&seen)), None);
    let mut unchanged = seen.clone();
    for field in ["ports", "selector"] {
        unchanged["spec"][field] = original["spec"][field].clone();
    }
    assert_eq!(unchanged["spec"], original["spec"], "nothing else of the spec is touched");
    assert_eq!(given_back(canary, &seen), original);
}

#[test]
fn ports_that_the_canary_does_not_name_stay_and_the_one_that_it_names_keeps_what_it_does_not_say() {
    check(&json!({"port": 80, "targetPort": 8080}), &web_and_metrics(), &web_and_metrics());
    check(&json!({"port": 80}), &web_and_metrics(), &web_and_metrics());
    let unnamed = json!([{"port": 8080, "targetPort": 8080, "nodePort": 31517, "protocol": "TCP"}]);
    check(&json!({"port": 8080}), &unnamed, &unnamed);
}

#[test]
fn what_the_canary_says_of_its_port_holds_as_long_as_it_has_it() {
    let mut expected = web_and_metrics();
    expected[0]["name"] = json!("grpc");
    expected[0]["targetPort"] = json!("web");
    expected[0]["appProtocol"] = json!("h2c");
    let canary = json!({"port": 80, "targetPort": "web", "portName": "grpc", "appProtocol": "h2c"});
    check(&canary, &web_and_metrics(), &expected);
    // The name is another port's.
    check(&json!({"port": 80, "portName": "metrics"}), &web_and_metrics(), &web_and_metrics());
}

#[test]
fn a_port_that_was_not_there_is_added_under_a_name_that_is_free() {
    let added = |port: Value| [web_and_metrics().as_array().cloned().unwrap(), vec![port]].concat();
    let port = json!({"name": "http", "protocol": "TCP", "port": 9898, "targetPort": 9898});
    check(&json!({"port": 9898}), &web_and_metrics(), &json!(added(port)));
    let port = json!({"name": "metrics-9898", "protocol": "TCP", "port": 9898, "targetPort": 9898});
    check(&json!({"port": 9898, "portName": "metrics"}), &web_and_metrics(), &json!(added(port)));
    let unnamed = json!([{"port": 8080, "protocol": "UDP"}]);
    let both = json!([{"name": "port-8080", "port": 8080, "protocol": "UDP"},
        {"name": "http", "protocol": "TCP", "port": 8080, "targetPort": 8080}]);
    check(&json!({"port": 8080}), &unnamed, &both);
}

#[test]
fn discovered_ports_are_added_and_never_take_the_place_of_one_that_is_there() {
    let own = json!([{"name": "web", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "admin", "port": 9902, "protocol": "TCP", "targetPort": 9901}]);
    let mut expected = own.as_array().cloned().unwrap();
    expected.push(json!({"name": "admin-9901", "protocol": "TCP", "port": 9901, "targetPort": 9901}));
    check(&json!({"port": 80, "targetPort": 8080, "portDiscovery": true}), &own, &json!(expected));
}

#[test]
fn a_node_port_of_the_api_server_on_an_added_port_is_kept_and_goes_with_it() {
    let canary = json!({"port": 9898});
    let mut seen = adopted(&canary, &service(&web_and_metrics()));
    seen["spec"]["ports"][2]["nodePort"] = json!(31999);
    assert_eq!(settle(adopted(&canary, &seen), Some(&seen)), None);
    assert_eq!(given_back(&canary, &seen), service(&web_and_metrics()));
}

#[test]
fn what_its_user_changes_meanwhile_stays_his() {
    let canary = json!({"port": 80, "targetPort": "web"});
    let mut original = service(&web_and_metrics());
    let mut seen = adopted(&canary, &original);
    for service in [&mut original, &mut seen] {
        let ports = service["spec"]["ports"].as_array_mut().unwrap();
        ports.push(json!({"name": "debug", "protocol": "TCP", "port": 6060, "targetPort": 6060}));
        ports[0]["name"] = json!("renamed");
        service["metadata"]["labels"] = json!({"team": "red"});
        service["spec"]["sessionAffinity"] = json!("ClientIP");
    }
    let seen = adopted(&canary, &seen);
    assert_eq!(seen["spec"]["ports"][0]["targetPort"], "web");
    assert_eq!(given_back(&canary, &seen), original);
}

#[test]
fn the_original_manifest_applied_in_the_middle_is_what_is_given_back() {
    let canary = json!({"port": 80, "targetPort": 8080});
    let original = service(&web_and_metrics());
    let mut seen = adopted(&canary, &original);
    // kubectl sets what its manifest says and leaves what it never mentioned.
    seen["spec"]["selector"]["app"] = json!("podinfo");
    seen["spec"]["selector"]["role"] = json!("front");
    let again = adopted(&canary, &seen);
    assert_eq!(again["spec"], adopted(&canary, &original)["spec"], "the ports are not fought for");
    assert_eq!(given_back(&canary, &again), original);
}

#[test]
fn a_canary_that_names_another_port_gives_the_former_one_back() {
    let mut seen = adopted(&json!({"port": 80, "targetPort": "web"}), &service(&web_and_metrics()));
    seen = adopted(&json!({"port": 9100, "targetPort": "prom"}), &seen);
    let mut expected = web_and_metrics();
    expected[1]["targetPort"] = json!("prom");
    assert_eq!(seen["spec"]["ports"], expected);
    assert_eq!(given_back(&json!({"port": 9100}), &seen), service(&web_and_metrics()));
}

#[test]
fn a_service_that_leads_outside_is_left_as_it_is() {
    let mut outside = service(&Value::Null);
    outside["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
    assert_eq!(settle(adopted(&json!({"port": 80}), &outside), Some(&outside)), None);
    assert_eq!(given_back(&json!({"port": 80}), &outside), outside);
}

#[test]
fn one_that_was_never_adopted_is_given_back_untouched() {
    let original = service(&web_and_metrics());
    assert_eq!(given_back(&json!({"port": 80}), &original), original);
}

#[test]
fn a_target_that_is_gone_keeps_nobody_from_giving_back() {
    let original = service(&web_and_metrics());
    let seen = adopted(&json!({"port": 9898}), &original);
    assert_eq!(reverted(&canary(&json!({"port": 9898})), None, &seen), Some(original));
}

#[test]
fn a_note_says_nothing_but_ports_selector_and_distribution_of_its_own_service() {
    let mut seen = service(&web_and_metrics());
    let hostile = json!({
        "was": {"selector": {"app": "mine"}, "externalIPs": ["1.2.3.4"], "type": "ExternalName",
            "annotations": {"mine": "no", "other": "yes"}, "ports": {"80/TCP": {"hostPort": "1", "name": "x"}}},
        "is": {"selector": {"app": "podinfo"}},
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
    });
    seen["metadata"]["annotations"][NOTE] = json!(hostile.to_string());
    let mut expected = service(&web_and_metrics());
    expected["spec"]["selector"]["app"] = json!("mine");
    assert_eq!(before(&seen), expected);
}

#[test]
fn a_note_that_no_api_server_would_take_back_is_none() {
    for note in [
        "",
        "7",
        "[]",
        "{",
        "null",
        r#"{"was": 7, "is": {}}"#,
        r#"{"was": {"selector": {"app": 7}}, "is": {}}"#,
        r#"{"was": {"ports": {"80/TCP": 7}}, "is": {}}"#,
        r#"{"was": {"ports": {"80/TCP": {"port": "80"}}}, "is": {}}"#,
        r#"{"was": {}, "is": {"trafficDistribution": []}}"#,
        r#"{"was": {}, "is": {"annotations": {"a": {}}}}"#,
    ] {
        let mut seen = service(&web_and_metrics());
        seen["metadata"]["annotations"][NOTE] = json!(note);
        assert_eq!(before(&seen), seen, "{note}");
    }
}
