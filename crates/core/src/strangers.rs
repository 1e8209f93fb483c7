//! Workloads of others whose pods the Services of a canary lead to as well, because they share the labels. It finds them,
//! and changes nothing.

use serde_json::Value;

use crate::rollout::Rollout;
use crate::services::Role;
use crate::workload::selects;
use crate::world::{Kind, ObjectKey, Stranger, World};

/// Kinds of workloads whose pods are looked at.
pub const KINDS: [Kind; 2] = [Kind::Deployment, Kind::DaemonSet];

/// The first stranger behind each Service of a canary, as they are seen. `workloads` are those of its namespace, with the
/// labels of their pods.
pub fn strangers(rollout: &Rollout, world: &World, workloads: &[(ObjectKey, Value)]) -> Vec<Stranger> {
    if !rollout.target_kind.has_pods() {
        return Vec::new();
    }
    let own = [rollout.target_key(), rollout.primary_key()];
    let behind = |role: Role| {
        let service = role.key(rollout);
        let selector = &world.present(&service)?["spec"]["selector"];
        let is_stranger = |(key, labels): &&(ObjectKey, Value)| !own.contains(key) && selects(selector, labels);
        let (workload, _) = workloads.iter().find(is_stranger)?;
        Some(Stranger { workload: workload.clone(), service, selector: selector.clone() })
    };
    [Role::Canary, Role::Primary, Role::Apex].into_iter().filter_map(behind).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{canary, rollout, world};

    fn service(name: &str, selector: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "test"},
            "spec": {"selector": selector}})
    }

    fn check(services: &Value, workloads: &[(&str, Value)], expected: &[&str]) {
        let rollout = rollout(&json!({}));
        let world = world(canary(&json!({})), Vec::new(), services);
        let key = |name: &str| ObjectKey::new(Kind::Deployment, "test", name);
        let workloads: Vec<_> = workloads.iter().map(|(name, labels)| (key(name), labels.clone())).collect();
        let texts: Vec<String> = strangers(&rollout, &world, &workloads).iter().map(Stranger::text).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn whoever_has_all_labels_of_a_service_is_behind_it() {
        let services = json!([
            service("podinfo-canary", &json!({"app": "podinfo"})),
            service("podinfo-primary", &json!({"app": "podinfo-primary", "tier": "web"})),
            service("podinfo", &Value::Null),
        ]);
        let others = [
            ("podinfo", json!({"app": "podinfo"})),
            ("podinfo-primary", json!({"app": "podinfo-primary", "tier": "web"})),
        ];
        check(&services, &others, &[]);
        let others = [("eu", json!({"app": "podinfo", "region": "eu"})), ("us", json!({"app": "podinfo-primary"}))];
        let text = "Service podinfo-canary.test leads to the pods of Deployment eu.test as well, both have the labels app=podinfo";
        check(&services, &others, &[text]);
    }
}
