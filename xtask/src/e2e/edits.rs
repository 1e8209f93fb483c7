//! The tests' objects as several tests change them. It applies none.
use super::objects::{DEPLOYMENT, SHORT, set};
use super::stage::Stage;
use anyhow::Result;
use serde_json::{Value, json};

/// A Canary whose weight goes up by `step` until it is `most`.
pub(crate) fn weighted(stage: &Stage<'_>, step: u32, most: u32) -> Result<Value> {
    let mut canary = stage.object(SHORT)?;
    set(&mut canary, "/spec/analysis/stepWeight", json!(step));
    set(&mut canary, "/spec/analysis/maxWeight", json!(most));
    Ok(canary)
}

/// The same without metrics: its steps need no requests.
pub(crate) fn unmeasured(stage: &Stage<'_>, step: u32, most: u32) -> Result<Value> {
    let mut canary = weighted(stage, step, most)?;
    set(&mut canary, "/spec/analysis/metrics", json!([]));
    Ok(canary)
}

/// The first failed check of a run ends it.
pub(crate) fn end_at_first_failure(canary: &mut Value) {
    set(canary, "/spec/analysis/threshold", json!(1));
}

/// The Canary asks these hooks.
pub(crate) fn ask(canary: &mut Value, hooks: &[Value]) {
    set(canary, "/spec/analysis/webhooks", json!(hooks));
}

/// A hook of the test by its name and type.
pub(crate) fn hook(stage: &Stage<'_>, name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "url": stage.hook_url(name), "timeout": "5s"})
}

/// The Canary refers to the tests' autoscaler.
pub(crate) fn refer_to_autoscaler(canary: &mut Value) {
    let reference = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    set(canary, "/spec/autoscalerRef", reference);
}

/// podinfo with one pod.
pub(crate) fn small(stage: &Stage<'_>) -> Result<Value> {
    let mut deployment = stage.object(DEPLOYMENT)?;
    set(&mut deployment, "/spec/replicas", json!(1));
    Ok(deployment)
}

/// podinfo that takes its environment from the ConfigMap of [`settings`].
pub(crate) fn configured(stage: &Stage<'_>) -> Result<Value> {
    let mut deployment = stage.object(DEPLOYMENT)?;
    let from = json!([{"configMapRef": {"name": "settings"}}]);
    set(&mut deployment, "/spec/template/spec/containers/0/envFrom", from);
    Ok(deployment)
}

/// A ConfigMap with podinfo's color.
pub(crate) fn settings(color: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"PODINFO_UI_COLOR": color},
    })
}
