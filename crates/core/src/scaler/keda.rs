//! KEDA's ScaledObjects (`keda.sh/v1alpha1`). It must not read anything of the cluster but the two objects.

use serde_json::{Value, json};

use super::query::{Names, pod_selector};
use super::{Bounds, Source};
use crate::object::{LAST_APPLIED, filtered, is_toolkit, items, items_mut, put};
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
pub(super) fn follow(rollout: &Rollout, scaler: &mut Value, source: &Source<'_>) {
    let names = Names::of(rollout, source);
    let Source { object: source, selector } = source;
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
        point_at_primary(rollout, names, trigger);
        let pods = trigger.pointer("/metadata/podSelector").and_then(Value::as_str).zip(*selector);
        if let Some(pointed) = pods.map(|(pods, selector)| pod_selector(pods, selector)) {
            trigger["metadata"]["podSelector"] = json!(pointed);
        }
    }
    scaler["spec"] = spec;
}

fn is_copied(key: &str) -> bool {
    !is_toolkit(key)
        && key != LAST_APPLIED
        && !key.starts_with("autoscaling.keda.sh/paused")
        && !key.starts_with("argocd.argoproj.io/")
}

/// The query that the canary gives for this trigger, or else its own about the primary.
fn point_at_primary(rollout: &Rollout, names: Names<'_>, trigger: &mut Value) {
    if let Some(query) = given(rollout, trigger).or_else(|| names.pointed(kind(trigger), own_query(trigger)?)) {
        trigger["metadata"]["query"] = json!(query);
    }
}

/// Why no query about the primary can be made for one of the triggers, if none can.
pub(super) fn obstacle(rollout: &Rollout, source: &Source<'_>) -> Option<String> {
    let names = Names::of(rollout, source);
    let cannot = |trigger: &Value| {
        let query = own_query(trigger).filter(|_| given(rollout, trigger).is_none());
        query.is_some_and(|query| names.pointed(kind(trigger), query).is_none())
    };
    let place = items(&source.object["spec"]["triggers"]).position(cannot)?;
    let trigger = &source.object["spec"]["triggers"][place];
    let called = trigger["name"].as_str().map_or_else(|| format!("{} (without a name)", place + 1), str::to_owned);
    Some(format!(
        "ScaledObject {}.{} trigger {called}: its query names {} where nothing tells target and primary apart, \
         give one for the primary in spec.autoscalerRef.primaryScalerQueries",
        source.object["metadata"]["name"].as_str().unwrap_or_default(),
        rollout.namespace,
        rollout.target.name
    ))
}

fn given(rollout: &Rollout, trigger: &Value) -> Option<String> {
    let queries = &rollout.scaler.as_ref()?.primary_scaler_queries;
    queries.get(trigger["name"].as_str()?).cloned()
}

fn kind(trigger: &Value) -> &str {
    trigger["type"].as_str().unwrap_or_default()
}

fn own_query(trigger: &Value) -> Option<&str> {
    trigger["metadata"]["query"].as_str()
}
