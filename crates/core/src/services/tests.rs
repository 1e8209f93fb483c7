//! Tests of the three Services.

use super::*;
use crate::fixtures::rollout;
use crate::object::LAST_APPLIED;
use crate::reconcile::settle;
use crate::settings::Settings;

fn selector() -> Selector {
    let target = json!({"spec": {"selector": {"matchLabels": {"app": "podinfo"}}}});
    crate::workload::selector(&rollout(&json!({})), &Settings::default(), &target, None).unwrap()
}

fn made(service: &Value, role: Role, seen: Option<&Value>) -> Value {
    render(&rollout(&json!({"service": service})), &selector(), &[], role, seen)
}

#[test]
fn the_canary_service_selects_the_target_and_the_others_the_primary() {
    let service = json!({"port": 80});
    let value = |role| made(&service, role, None)["spec"]["selector"]["app"].clone();
    assert_eq!(
        [value(Role::Apex), value(Role::Primary), value(Role::Canary)],
        [json!("podinfo-primary"), json!("podinfo-primary"), json!("podinfo")]
    );
}

#[test]
fn a_new_service_has_every_field_of_the_contract() {
    let service = json!({"name": "web", "port": 80, "targetPort": "http", "portName": "grpc", "appProtocol": "h2c",
        "headless": true, "trafficDistribution": "PreferClose",
        "canary": {"labels": {"team": "red"}, "annotations": {"a": "b"}}});
    let made = made(&service, Role::Canary, None);
    let expected = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web-canary", "namespace": "test",
            "labels": {"team": "red", "app": "web-canary"},
            "annotations": {"a": "b", "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
                "helm.toolkit.fluxcd.io/driftDetection": "disabled"},
            "ownerReferences": [rollout(&json!({})).owner_reference()]},
        "spec": {"type": "ClusterIP", "clusterIP": "None", "trafficDistribution": "PreferClose",
            "selector": {"app": "podinfo"},
            "ports": [{"name": "grpc", "protocol": "TCP", "port": 80, "targetPort": "http", "appProtocol": "h2c"}]}});
    assert_eq!(made, expected);
}

/// The Service as the API server stores it.
fn stored(mut service: Value) -> Value {
    service["spec"]["clusterIP"] = json!("10.0.0.1");
    service["spec"]["sessionAffinity"] = json!("None");
    service["metadata"]["resourceVersion"] = json!("1");
    service
}

#[test]
fn what_was_created_is_settled() {
    for role in [Role::Apex, Role::Primary, Role::Canary] {
        let seen = stored(made(&json!({"port": 80}), role, None));
        assert_eq!(settle(made(&json!({"port": 80}), role, Some(&seen)), Some(&seen)), None);
    }
}

#[test]
fn an_own_service_loses_foreign_keys_except_unmanaged_ones_and_keeps_its_type_and_node_port() {
    let service = json!({"port": 80, "unmanagedMetadata": {"annotations": ["keep"]}});
    let mut seen = stored(made(&service, Role::Apex, None));
    seen["metadata"]["annotations"]["keep"] = json!("1");
    seen["metadata"]["annotations"]["drop"] = json!("1");
    seen["spec"]["type"] = json!("NodePort");
    seen["spec"]["ports"][0]["nodePort"] = json!(30000);
    seen["spec"]["ports"][0]["port"] = json!(81);
    let again = made(&service, Role::Apex, Some(&seen));
    assert_eq!(again["metadata"]["annotations"].get("keep"), Some(&json!("1")));
    assert_eq!(again["metadata"]["annotations"].get("drop"), None);
    assert_eq!(again["spec"]["type"], "NodePort");
    assert_eq!(again["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(
        (&again["spec"]["ports"][0]["nodePort"], &again["spec"]["ports"][0]["port"]),
        (&json!(30000), &json!(80))
    );
}

/// An apex Service that a user had before.
fn foreign() -> Value {
    let applied = json!({"spec": {"selector": {"app": "podinfo", "tier": "web"}}}).to_string();
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "s", "labels": {"mine": "yes"},
            "annotations": {"mine": "yes", LAST_APPLIED: applied}},
        "spec": {"type": "LoadBalancer", "selector": {"app": "podinfo", "tier": "web"},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]}})
}

#[test]
fn an_adopted_service_keeps_its_metadata_and_gets_the_toolkit_annotations() {
    let adopted = made(&json!({"port": 80}), Role::Apex, Some(&foreign()));
    let mut expected = foreign();
    expected["spec"]["selector"] = json!({"app": "podinfo-primary"});
    for (key, value) in TOOLKIT_OFF {
        expected["metadata"]["annotations"][key] = json!(value);
    }
    let note = json!({
        "was": {"selector": {"app": "podinfo", "tier": "web"}, "annotations": {}},
        "is": {"selector": {"app": "podinfo-primary"}, "annotations": toolkit_off()},
    });
    expected["metadata"]["annotations"][adoption::NOTE] = json!(note.to_string());
    assert_eq!(adopted, expected);
    assert_eq!(settle(made(&json!({"port": 80}), Role::Apex, Some(&adopted)), Some(&adopted)), None);
}

#[test]
fn an_adopted_service_that_needs_nothing_is_left_alone() {
    let mut seen = foreign();
    seen["spec"]["selector"] = json!({"app": "podinfo-primary"});
    assert_eq!(made(&json!({"port": 80}), Role::Apex, Some(&seen)), seen);
}

#[test]
fn reverting_gives_an_adopted_service_back_as_it_was() {
    let rollout = rollout(&json!({"service": {"port": 80}}));
    let adopted = made(&json!({"port": 80}), Role::Apex, Some(&foreign()));
    assert_eq!(reverted(&rollout, Some(&selector()), &adopted), Some(foreign()));
    let own = made(&json!({"port": 80}), Role::Apex, None);
    assert_eq!(reverted(&rollout, Some(&selector()), &own), None);
}

/// As the peer leaves an adopted Service: nothing is noted on it.
fn adopted_by_flagger() -> Value {
    let mut seen = foreign();
    seen["spec"]["selector"] = json!({"app": "podinfo-primary"});
    merge(&mut seen["metadata"]["annotations"], &toolkit_off());
    seen
}

#[test]
fn without_a_note_the_selector_is_what_kubectl_applied_or_the_targets() {
    let rollout = rollout(&json!({"service": {"port": 80}}));
    let mut seen = adopted_by_flagger();
    assert_eq!(reverted(&rollout, Some(&selector()), &seen), Some(foreign()));
    seen["metadata"]["annotations"].as_object_mut().unwrap().remove(LAST_APPLIED);
    let reverted = reverted(&rollout, Some(&selector()), &seen).unwrap();
    assert_eq!(reverted["spec"]["selector"], json!({"app": "podinfo"}));
}

fn discovered(service: &Value) -> Vec<(String, i64)> {
    let target = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "istio-proxy", "ports": [{"containerPort": 15090}]},
        {"name": "app", "ports": [{"name": "web", "containerPort": 8080}, {"containerPort": 9999},
            {"name": "grpc", "containerPort": 9000, "protocol": "TCP"}, {"name": "http", "containerPort": 7000}]},
    ]}}}});
    discovered_ports(&rollout(&json!({"service": service})), &target)
        .iter()
        .map(|port| (port["name"].as_str().unwrap().to_owned(), port["port"].as_i64().unwrap()))
        .collect()
}

#[test]
fn other_container_ports_are_discovered_and_named() {
    let all = discovered(&json!({"port": 80, "targetPort": "web", "portDiscovery": true}));
    let expected = [("tcp-app-3", 7000), ("grpc", 9000), ("tcp-app-1", 9999)];
    assert_eq!(all, expected.map(|(name, port)| (name.to_owned(), port)));
    let numbers = |service: &Value| discovered(service).into_iter().map(|(_, port)| port).collect::<Vec<_>>();
    assert_eq!(numbers(&json!({"port": 80, "targetPort": 9000, "portDiscovery": true})), [7000, 8080, 9999]);
    assert_eq!(numbers(&json!({"port": 9999, "portDiscovery": true})), [7000, 8080, 9000]);
    assert!(discovered(&json!({"port": 9999})).is_empty());
}

#[test]
fn a_service_without_a_usable_target_port_uses_its_port() {
    for service in [json!({"port": 80}), json!({"port": 80, "targetPort": 0}), json!({"port": 80, "targetPort": "0"})] {
        assert_eq!(made(&service, Role::Apex, None)["spec"]["ports"][0]["targetPort"], 80);
    }
}

#[test]
fn each_service_carries_its_own_custom_metadata() {
    let entries = |name: &str| json!({"labels": {"for": name}, "annotations": {"note": name}});
    let service = json!({"name": "web", "port": 80,
        "apex": entries("apex"), "primary": entries("primary"), "canary": entries("canary")});
    for (role, name, own) in
        [(Role::Apex, "web", "apex"), (Role::Primary, "web-primary", "primary"), (Role::Canary, "web-canary", "canary")]
    {
        let metadata = made(&service, role, None)["metadata"].clone();
        assert_eq!(metadata["name"], name);
        assert_eq!(metadata["labels"], json!({"for": own, "app": name}));
        assert_eq!(metadata["annotations"]["note"], own);
    }
}

#[test]
fn another_name_of_the_service_does_not_change_whom_it_selects() {
    let service = json!({"name": "web", "port": 80});
    assert_eq!(made(&service, Role::Primary, None)["spec"]["selector"], json!({"app": "podinfo-primary"}));
    assert_eq!(made(&service, Role::Canary, None)["spec"]["selector"], json!({"app": "podinfo"}));
}

#[test]
fn type_and_headlessness_are_not_changed_after_creation() {
    let seen = stored(made(&json!({"port": 80}), Role::Primary, None));
    let wanted = json!({"port": 80, "headless": true});
    assert_eq!(settle(made(&wanted, Role::Primary, Some(&seen)), Some(&seen)), None);
}

#[test]
fn the_traffic_distribution_follows_the_canary_on_services_that_are_there() {
    for role in [Role::Apex, Role::Primary, Role::Canary] {
        let distribution = |seen: &Value| seen["spec"].get("trafficDistribution").cloned();
        let seen = stored(made(&json!({"port": 80}), role, None));
        let near = made(&json!({"port": 80, "trafficDistribution": "PreferClose"}), role, Some(&seen));
        assert_eq!(distribution(&near), Some(json!("PreferClose")));
        let same_node = made(&json!({"port": 80, "trafficDistribution": "PreferSameNode"}), role, Some(&near));
        assert_eq!(distribution(&same_node), Some(json!("PreferSameNode")));
        assert_eq!(distribution(&made(&json!({"port": 80}), role, Some(&near))), None);
    }
}

#[test]
fn the_traffic_distribution_of_an_adopted_service_is_the_canarys_or_else_its_users() {
    let mut original = foreign();
    original["spec"]["trafficDistribution"] = json!("PreferSameZone");
    let near = json!({"port": 80, "trafficDistribution": "PreferClose"});
    let mut seen = made(&near, Role::Apex, Some(&original));
    assert_eq!(seen["spec"]["trafficDistribution"], "PreferClose");
    seen = made(&json!({"port": 80}), Role::Apex, Some(&seen));
    assert_eq!(seen["spec"]["trafficDistribution"], "PreferSameZone");
    seen = made(&near, Role::Apex, Some(&seen));
    let rollout = rollout(&json!({"service": near}));
    assert_eq!(reverted(&rollout, Some(&selector()), &seen), Some(original));
}

#[test]
fn unmanaged_labels_stay_as_they_are_found_and_others_are_put_back() {
    let service = json!({"port": 80, "unmanagedMetadata": {"labels": ["theirs", "team"]},
        "primary": {"labels": {"team": "red", "tier": "web"}}});
    let mut seen = stored(made(&service, Role::Primary, None));
    seen["metadata"]["labels"] = json!({"theirs": "1", "team": "blue", "tier": "db", "stray": "1"});
    let labels = made(&service, Role::Primary, Some(&seen))["metadata"]["labels"].clone();
    assert_eq!(labels, json!({"theirs": "1", "team": "blue", "tier": "web", "app": "podinfo-primary"}));
}

#[test]
fn a_changed_protocol_or_port_name_reaches_a_service_that_is_there() {
    let seen = stored(made(&json!({"port": 80}), Role::Canary, None));
    let again = made(&json!({"port": 80, "portName": "grpc", "appProtocol": "grpc"}), Role::Canary, Some(&seen));
    let port = json!({"name": "grpc", "protocol": "TCP", "port": 80, "targetPort": 80, "appProtocol": "grpc"});
    assert_eq!(again["spec"]["ports"], json!([port]));
}

#[test]
fn ports_that_the_api_server_would_refuse_are_not_discovered_twice() {
    let ports = json!([{"name": "web", "containerPort": 8080}, {"name": "same", "containerPort": 80},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns-tcp", "containerPort": 53}]);
    let target = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "ports": ports},
        {"name": "envoy", "ports": [{"containerPort": 9901}]}]}}}});
    let service = json!({"port": 80, "targetPort": "web", "portDiscovery": true});
    let found = discovered_ports(&rollout(&json!({"service": service})), &target);
    let expected = json!([
        {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
        {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53},
    ]);
    assert_eq!(Value::Array(found), expected);
}
