//! KEDA's ScaledObjects (`keda.sh/v1alpha1`). It must not read anything of the cluster but the two objects.

use serde_json::{Value, json};

use super::Bounds;
use crate::object::{LAST_APPLIED, filtered, is_toolkit, items_mut, put};
use crate::rollout::Rollout;

/// Where the limits stand.
pub(super) const BOUNDS: Bounds =
    Bounds { minimum: "minReplicaCount", maximum: "maxReplicaCount", least: 0, most: 100 };

/// The annotation that pauses a ScaledObject at a number of pods (contract: api §4).
pub(super) const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

/// The label with which KEDA names each ScaledObject itself, and by which its metrics adapter finds the one of an HPA.
const OWN_NAME: &str = "scaledobject.keda.sh/name";

/// Makes the primary's ScaledObject follow the target's (contract: lifecycle §8). That the target's is paused, or owned
/// by a GitOps tool, stays behind.
pub(super) fn follow(rollout: &Rollout, scaler: &mut Value, source: &Value) {
    let mut labels = filtered(&source["metadata"]["labels"], |key| !is_toolkit(key) && key != OWN_NAME);
    if let Some(name) = scaler["metadata"]["labels"].get(OWN_NAME) {
        labels[OWN_NAME] = name.clone();
    }
    put(&mut scaler["metadata"], "labels", labels);
    let mut annotations = filtered(&source["metadata"]["annotations"], is_copied);
    if let Some(note) = scaler["metadata"]["annotations"].get(super::COPIED_MINIMUM) {
        annotations[super::COPIED_MINIMUM] = note.clone();
    }
    put(&mut scaler["metadata"], "annotations", annotations);
    let mut spec = source["spec"].clone();
    spec["scaleTargetRef"]["name"] = json!(rollout.primary_name());
    if !spec["advanced"]["horizontalPodAutoscalerConfig"].is_object() {
        spec["advanced"]["horizontalPodAutoscalerConfig"] = json!({});
    }
    let name = &mut spec["advanced"]["horizontalPodAutoscalerConfig"]["name"];
    match name.as_str().filter(|name| !name.is_empty()) {
        Some(text) => *name = json!(format!("{text}-primary")),
        None => put(&mut spec["advanced"]["horizontalPodAutoscalerConfig"], "name", Value::Null),
    }
    for trigger in items_mut(spec.get_mut("triggers")) {
        point_at_primary(rollout, trigger);
    }
    scaler["spec"] = spec;
}

fn is_copied(key: &str) -> bool {
    !is_toolkit(key)
        && key != LAST_APPLIED
        && !key.starts_with("autoscaling.keda.sh/paused")
        && !key.starts_with("argocd.argoproj.io/")
}

/// The query that the canary gives for this trigger; if it gives none at all, the trigger's own about the primary.
fn point_at_primary(rollout: &Rollout, trigger: &mut Value) {
    let given = rollout.scaler.as_ref().map(|scaler| &scaler.primary_scaler_queries);
    let Some(given) = given.filter(|queries| !queries.is_empty()) else {
        if let Some(query) = trigger["metadata"]["query"].as_str().map(|query| renamed(query, &rollout.target.name)) {
            trigger["metadata"]["query"] = json!(query);
        }
        return;
    };
    if let Some(query) = trigger["name"].as_str().and_then(|name| given.get(name)) {
        trigger["metadata"]["query"] = json!(query);
    }
}

/// A query with every `<target>-canary` and every other `<target>` replaced by `<target>-primary`, in one pass.
fn renamed(query: &str, target: &str) -> String {
    let (canary, primary) = (format!("{target}-canary"), format!("{target}-primary"));
    let mut renamed = String::new();
    let mut rest = query;
    while let Some(place) = rest.find(target).filter(|_| !target.is_empty()) {
        renamed.push_str(&rest[..place]);
        renamed.push_str(&primary);
        rest = &rest[place..];
        rest = rest
            .strip_prefix(canary.as_str())
            .or_else(|| rest.strip_prefix(primary.as_str()))
            .unwrap_or(&rest[target.len()..]);
    }
    renamed + rest
}
