//! Names and ports that Kubernetes takes (S44): one that it refuses would fail every write of an object, for ever.

use serde_json::Value;

use super::Rollout;
use crate::dns::{is_label, is_name};

/// Longest name of a container's port.
const PORT_NAME_LIMIT: usize = 15;

/// The first name or port that Kubernetes would refuse.
pub(super) fn verify(rollout: &Rollout) -> Result<(), String> {
    let primary = rollout.primary_name();
    if !is_name(&primary) {
        return Err(format!("spec.targetRef.name: Kubernetes takes no {} named {primary}", rollout.target.kind));
    }
    if !rollout.target_kind.has_services() {
        return Ok(());
    }
    let field = if rollout.apex == rollout.target.name { "spec.targetRef.name" } else { "spec.service.name" };
    for name in [rollout.apex.clone(), rollout.primary_service(), rollout.canary_service()] {
        if !is_service_name(&name) {
            return Err(format!(
                "{field}: Kubernetes takes no Service named {name}, it must begin with a letter and have at most \
                 63 of a-z, 0-9 and -"
            ));
        }
    }
    let service = &rollout.service;
    if !is_port(service.port) {
        return Err(format!("spec.service.port: {} is no port", service.port));
    }
    if let Some(name) = service.port_name.as_deref().filter(|name| !name.is_empty() && !is_label(name)) {
        return Err(format!("spec.service.portName: Kubernetes takes no port named {name}"));
    }
    verify_target_port(&rollout.service_json["targetPort"])
}

/// Without one, or with 0, it is the Service's port.
fn verify_target_port(port: &Value) -> Result<(), String> {
    if let Some(number) = port.as_i64().filter(|number| *number != 0 && !is_port(*number)) {
        return Err(format!("spec.service.targetPort: {number} is no port"));
    }
    match port.as_str().filter(|name| !matches!(*name, "" | "0") && !is_target_port(name)) {
        Some(name) => Err(format!("spec.service.targetPort: Kubernetes takes no port named {name}")),
        None => Ok(()),
    }
}

fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
}

/// A name of a container's port (RFC 6335).
fn is_target_port(name: &str) -> bool {
    let has_letter = name.bytes().any(|letter| letter.is_ascii_lowercase());
    name.len() <= PORT_NAME_LIMIT && has_letter && is_label(name) && !name.contains("--")
}

/// A label that begins with a letter (RFC 1035).
fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|letter: char| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::canary;
    use crate::settings::Settings;

    fn check(spec: &Value, expected: Option<&str>) {
        let refused = Rollout::parse(&canary(spec), &Settings::default()).err();
        assert_eq!(refused.is_some(), expected.is_some(), "{spec}: {refused:?}");
        assert!(refused.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{spec}");
    }

    fn target(name: &str) -> Value {
        json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}})
    }

    #[test]
    fn names_that_kubernetes_refuses_are_refused_before_it_does() {
        check(&target("a"), None);
        check(&target(&"a".repeat(55)), None);
        check(&target(&"a".repeat(56)), Some("spec.targetRef.name: Kubernetes takes no Service named aaa"));
        check(&target("Podinfo"), Some("targetRef.name \"Podinfo\" is no name that Kubernetes takes"));
        check(&target(&"a.".repeat(126)), Some("targetRef.name"));
        check(
            &target(&format!("{}a", "a.".repeat(125))),
            Some("spec.targetRef.name: Kubernetes takes no Deployment named a.a"),
        );
        check(&target("podinfo.v1"), Some("spec.targetRef.name: Kubernetes takes no Service named podinfo.v1"));
        check(&target("2048"), Some("spec.targetRef.name: Kubernetes takes no Service named 2048"));
        check(
            &json!({"service": {"port": 80, "name": "shop.eu"}}),
            Some("spec.service.name: Kubernetes takes no Service"),
        );
        let mut dotted = target("podinfo.v1");
        dotted["service"] = json!({"port": 80, "name": "podinfo"});
        check(&dotted, None);
    }

    #[test]
    fn ports_that_kubernetes_refuses_are_refused_before_it_does() {
        let service = |field: &str, value: Value| json!({"service": {"port": 80, field: value}});
        check(&service("port", json!(0)), Some("spec.service.port: 0 is no port"));
        check(&service("port", json!(70000)), Some("spec.service.port: 70000 is no port"));
        check(&service("targetPort", json!(70000)), Some("spec.service.targetPort: 70000 is no port"));
        check(&service("targetPort", json!(0)), None);
        check(&service("targetPort", json!("http-web")), None);
        check(
            &service("targetPort", json!("a-name-that-is-long")),
            Some("spec.service.targetPort: Kubernetes takes no port"),
        );
        check(&service("targetPort", json!("8080")), Some("spec.service.targetPort: Kubernetes takes no port"));
        check(&service("portName", json!("http_web")), Some("spec.service.portName: Kubernetes takes no port"));
        check(&service("portName", json!("http-web")), None);
    }
}
