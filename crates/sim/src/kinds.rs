//! The kinds of canaries that are played, with what stands around them. Nothing happens in here.

use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

/// Where all plays are set.
pub(crate) const NAMESPACE: &str = "test";
/// What stands in the image of a revision that never gets ready.
pub(crate) const BROKEN: &str = "broken";
/// The gates of the plays' canaries, by name.
pub(crate) const GATES: [&str; 3] = ["start", "traffic", "promote"];
/// Their checks.
pub(crate) const CHECKS: [&str; 2] = ["acceptance", "load-test"];
/// Their hook that asks for a rollback when it passes.
pub(crate) const ROLLBACK: &str = "rollback";
/// After so long nobody waits for a hook any more: it has failed.
pub(crate) const HOOK_TIMEOUT_SECONDS: i64 = 60;

/// A kind of canary that is played.
#[derive(Clone, Copy, Debug)]
pub struct Kindred {
    /// Its name.
    pub name: &'static str,
    pub(crate) spec: fn() -> Value,
    pub(crate) objects: fn() -> Vec<Value>,
}

/// Every kind of canary that is played.
pub const KINDS: [Kindred; 11] = [
    Kindred { name: "weights", spec: weights, objects: with_hpa },
    Kindred { name: "step weights", spec: step_weights, objects: plain },
    Kindred { name: "A/B testing", spec: ab_testing, objects: with_hpa },
    Kindred { name: "blue/green", spec: blue_green, objects: plain },
    Kindred { name: "blue/green with mirroring", spec: blue_green_mirror, objects: plain },
    Kindred { name: "weights with mirroring", spec: mirror, objects: plain },
    Kindred { name: "session affinity", spec: affinity, objects: plain },
    Kindred { name: "DaemonSet", spec: daemonset, objects: with_daemonset },
    Kindred { name: "KEDA", spec: keda, objects: with_keda },
    Kindred { name: "kubernetes provider", spec: kubernetes, objects: plain },
    Kindred { name: "revertOnDeletion", spec: revert, objects: with_service },
];

/// A canary whose routes are a `TrafficSplit`, played with seeds of its own.
pub const TRAFFIC_SPLIT: Kindred = Kindred { name: "TrafficSplit", spec: traffic_split, objects: with_hpa };

fn key_object(kind: Kind, name: &str) -> Value {
    let key = ObjectKey::new(kind, NAMESPACE, name);
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": key.name, "namespace": key.namespace},
    })
}

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "podinfo"}},
        "spec": {"containers": [{
            "name": "podinfod",
            "image": "podinfo:6.0.0",
            "ports": [{"containerPort": 9898, "name": "http"}],
            "envFrom": [
                {"configMapRef": {"name": "podinfo-config"}},
                {"secretRef": {"name": "podinfo-config"}},
            ],
        }]},
    })
}

fn workload(kind: Kind, spec: Value) -> Value {
    let mut workload = key_object(kind, "podinfo");
    workload["spec"] = spec;
    workload["spec"]["selector"] = json!({"matchLabels": {"app": "podinfo"}});
    workload["spec"]["template"] = template();
    workload
}

fn configs() -> [Value; 2] {
    [Kind::ConfigMap, Kind::Secret].map(|kind| {
        let mut config = key_object(kind, "podinfo-config");
        config["data"] = json!({"color": "Ymx1ZQ"});
        config
    })
}

fn plain() -> Vec<Value> {
    let deployment = workload(Kind::Deployment, json!({"replicas": 2, "progressDeadlineSeconds": 60}));
    [vec![deployment], configs().to_vec()].concat()
}

fn with_daemonset() -> Vec<Value> {
    [vec![workload(Kind::DaemonSet, json!({}))], configs().to_vec()].concat()
}

/// An HPA of the target.
pub(crate) fn hpa() -> Value {
    let mut hpa = key_object(Kind::HorizontalPodAutoscaler, "podinfo");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"});
    hpa["spec"] = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6});
    hpa
}

fn with_hpa() -> Vec<Value> {
    [vec![hpa()], plain()].concat()
}

/// A Service that the user had before, with more than the canary names.
fn with_service() -> Vec<Value> {
    let mut service = key_object(Kind::Service, "podinfo");
    let ports = json!([
        {"name": "web", "protocol": "TCP", "port": 9898, "targetPort": "http", "nodePort": 30429},
        {"name": "metrics", "protocol": "TCP", "port": 9100, "targetPort": 9100, "nodePort": 32474},
    ]);
    service["spec"] = json!({"type": "NodePort", "selector": {"app": "podinfo"}, "ports": ports});
    [vec![service], with_hpa()].concat()
}

/// A `ScaledObject` of the target.
pub(crate) fn scaled_object() -> Value {
    let mut scaler = key_object(Kind::ScaledObject, "podinfo");
    let trigger = json!({"type": "prometheus", "name": "load", "metadata": {"query": "sum(rate(requests{app=\"podinfo\"}[1m]))"}});
    scaler["spec"] = json!({
        "scaleTargetRef": {"name": "podinfo"}, "minReplicaCount": 2, "maxReplicaCount": 6, "triggers": [trigger],
    });
    scaler
}

fn with_keda() -> Vec<Value> {
    [vec![scaled_object()], plain()].concat()
}

/// A canary with this spec.
pub(crate) fn canary(spec: Value) -> Value {
    let mut canary = key_object(Kind::Canary, "podinfo");
    canary["metadata"]["creationTimestamp"] = json!("2023-11-14T22:13:20Z");
    canary["spec"] = spec;
    canary
}

/// A spec with hooks of every type, and with these fields of the analysis.
fn spec(analysis: &Value) -> Value {
    let timeout = format!("{HOOK_TIMEOUT_SECONDS}s");
    let hook =
        |name: &str, kind: &str| json!({"name": name, "type": kind, "url": "http://tester.test/", "timeout": timeout});
    let mut spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
        "progressDeadlineSeconds": 60,
        "service": {"port": 9898},
        "analysis": {
            "interval": "10s",
            "threshold": 3,
            "metrics": [
                {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
                {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "30s"},
            ],
            "webhooks": [
                hook("start", "confirm-rollout"),
                hook("acceptance", "pre-rollout"),
                hook("load-test", "rollout"),
                hook("traffic", "confirm-traffic-increase"),
                hook("promote", "confirm-promotion"),
                hook(ROLLBACK, "rollback"),
                hook("after", "post-rollout"),
            ],
        },
    });
    for (field, value) in analysis.as_object().into_iter().flatten() {
        spec["analysis"][field] = value.clone();
    }
    spec
}

/// The reference to an autoscaler of the target.
pub(crate) fn autoscaler_ref(kind: Kind) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": "podinfo"})
}

fn scaled(mut spec: Value, kind: Kind) -> Value {
    spec["autoscalerRef"] = autoscaler_ref(kind);
    spec
}

fn weights() -> Value {
    scaled(spec(&json!({"stepWeight": 20, "maxWeight": 60})), Kind::HorizontalPodAutoscaler)
}

fn step_weights() -> Value {
    spec(&json!({"stepWeights": [1, 25, 80], "stepWeightPromotion": 40}))
}

fn ab_testing() -> Value {
    let matches = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
    scaled(spec(&json!({"iterations": 3, "match": matches})), Kind::HorizontalPodAutoscaler)
}

fn blue_green() -> Value {
    spec(&json!({"iterations": 3}))
}

fn blue_green_mirror() -> Value {
    spec(&json!({"iterations": 2, "mirror": true}))
}

fn mirror() -> Value {
    spec(&json!({"stepWeight": 30, "maxWeight": 60, "mirror": true}))
}

fn affinity() -> Value {
    spec(&json!({"stepWeight": 25, "maxWeight": 50, "sessionAffinity": {"cookieName": "canary", "maxAge": 3600}}))
}

fn daemonset() -> Value {
    let mut spec = spec(&json!({"stepWeight": 25, "maxWeight": 50}));
    spec["targetRef"]["kind"] = json!("DaemonSet");
    spec
}

fn keda() -> Value {
    scaled(spec(&json!({"stepWeight": 30, "maxWeight": 60})), Kind::ScaledObject)
}

fn kubernetes() -> Value {
    let mut spec = spec(&json!({"iterations": 3}));
    spec["provider"] = json!("kubernetes");
    spec
}

fn traffic_split() -> Value {
    let mut spec = weights();
    spec["provider"] = json!("smi:v1alpha2");
    spec
}

fn revert() -> Value {
    let mut spec = weights();
    spec["revertOnDeletion"] = json!(true);
    spec
}
