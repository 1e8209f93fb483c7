//! The objects of the benchmark: a Deployment, an autoscaler, a ConfigMap and a Canary for each, as a user would write
//! them. It creates none.
use burgee_lab::KWOK_NODE;
use serde_json::{Value, json};

/// Namespace of them all.
pub(super) const NAMESPACE: &str = "bench";
/// Steps of a rollout, and seconds between them: what the canary below says.
pub(super) const STEPS: u64 = 5;
pub(super) const INTERVAL_SECONDS: u64 = 10;
/// How long the operator leaves a set its pods after its traffic has gone, by default.
pub(super) const DRAIN_SECONDS: u64 = 10;
/// ConfigMaps that each target reads.
pub(super) const TRACKED_CONFIGS: u32 = 1;
/// Where Deployments are.
pub(super) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/bench/deployments";

/// Name of one canary and of all that belongs to it.
pub(super) fn name(number: u32) -> String {
    format!("app-{number:04}")
}

/// The objects of one canary, each with the collection in which it is created. The Canary is the last.
pub(super) fn of(number: u32) -> [(&'static str, Value); 4] {
    let name = name(number);
    [
        ("/api/v1/namespaces/bench/configmaps", config(&name)),
        (DEPLOYMENTS, deployment(&name)),
        ("/apis/autoscaling/v2/namespaces/bench/horizontalpodautoscalers", autoscaler(&name)),
        ("/apis/flagger.app/v1beta1/namespaces/bench/canaries", canary(&name)),
    ]
}

/// A strategic merge patch that gives a Deployment another version: a new revision.
pub(super) fn revision() -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image(2)}]}}}})
}

fn image(version: u32) -> String {
    format!("lab.local/app:{version}.0.0")
}

fn config(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"settings.yaml": "colour: red\nlimit: 10\n"},
    })
}

fn deployment(name: &str) -> Value {
    let container = json!({
        "name": "app", "image": image(1), "ports": [{"name": "http", "containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": name}}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                // No scheduler runs, so the pod names its node.
                "spec": {"nodeName": KWOK_NODE, "containers": [container]},
            },
        },
    })
}

fn autoscaler(name: &str) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": 80});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1, "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    })
}

fn canary(name: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": name},
        "spec": {
            "provider": "istio",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": name},
            "service": {"port": 80, "targetPort": 8080},
            "analysis": {"interval": format!("{INTERVAL_SECONDS}s"), "threshold": 5, "stepWeight": 10, "maxWeight": 10 * STEPS},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_canary_go_into_the_namespace_and_refer_to_each_other() {
        let objects = of(7);
        assert!(objects.iter().all(|(collection, _)| collection.contains(&format!("/namespaces/{NAMESPACE}/"))));
        assert!(objects.iter().all(|(_, object)| object["metadata"]["name"] == "app-0007"));
        let [_, (_, deployment), (_, autoscaler), (_, canary)] = objects;
        assert_eq!(autoscaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
        assert_eq!(canary["spec"]["targetRef"]["name"], deployment["metadata"]["name"]);
        assert_eq!(canary["spec"]["autoscalerRef"]["name"], autoscaler["metadata"]["name"]);
    }

    #[test]
    fn a_revision_changes_the_image_of_the_container_that_there_is() {
        let (before, after) = (deployment("app"), revision());
        let container = |object: &Value| object["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(container(&before)["name"], container(&after)["name"]);
        assert_ne!(container(&before)["image"], container(&after)["image"]);
    }
}
