//! The target and its primary: what the primary must look like, whether pods are ready, how the target is scaled to
//! zero and back. It never decides when, and it never drops a field that it does not know.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::object::{LAST_APPLIED, based_on, filtered, is_toolkit, merge, put};
use crate::plan::Step;
use crate::rollout::{Rollout, TargetKind};
use crate::settings::Settings;
use crate::tracked;
use crate::world::ObjectKey;

mod daemonset;
mod deployment;
mod service;

/// The pod template annotation that forces a rollout of the primary at each promotion (contract: api §4).
const FLAGGER_ID: &str = "flagger-id";

/// Whether a workload is ready by the contract's rules (contract: lifecycle §7.5). Texts carry no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready,
    /// Not yet.
    Waiting {
        /// What it waits for.
        reason: String,
        /// When it becomes [`Self::Failed`] without any further change.
        deadline: Option<Timestamp>,
    },
    /// It is not going to be: not retriable.
    Failed(String),
}

/// How long a workload may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Percentage of updated pods that must be available.
    pub ready_percent: i64,
    /// `spec.progressDeadlineSeconds` of the canary.
    pub deadline_seconds: i64,
    /// When the wait began at the earliest: `status.lastTransitionTime` of the canary.
    pub since: Option<Timestamp>,
    /// The time now.
    pub now: Timestamp,
}

/// The label by which the target's pods are selected (contract: lifecycle §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The label.
    pub label: String,
    /// Its value on the target's pods.
    pub value: String,
}

impl Selector {
    /// The label's value on the primary's pods.
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

/// What a primary is made with, besides its target.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// The rollout.
    pub rollout: &'a Rollout,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// ConfigMaps and Secrets of which the primary uses the copies.
    pub tracked: &'a [ObjectKey],
    /// A new random id for the pod template, so that a promotion always rolls the primary.
    pub flagger_id: &'a str,
}

/// The label that selects the target's pods: the first of `-selector-labels` in its `matchLabels`. The error is the
/// contract's text (lifecycle §2 step 4, §7.1).
pub fn selector(rollout: &Rollout, settings: &Settings, target: &Value) -> Result<Selector, String> {
    let labels = &target["spec"]["selector"]["matchLabels"];
    let found = settings.selector_labels.iter().find_map(|label| Some((label, labels[label.as_str()].as_str()?)));
    found.map(|(label, value)| Selector { label: label.clone(), value: value.to_owned() }).ok_or_else(|| {
        let (kind, end) = match rollout.target_kind {
            TargetKind::Deployment => ("deployment", ""),
            // The stray quote is the contract's.
            TargetKind::DaemonSet => ("daemonset", "'"),
            TargetKind::Service => ("service", ""),
        };
        format!(
            "getSelectorLabel failed: {kind} {}.{} spec.selector.matchLabels must contain one of [{}]{end}",
            rollout.target.name,
            rollout.namespace,
            settings.selector_labels.join(" ")
        )
    })
}

/// A primary as it is created (contract: lifecycle §7.2, §7.3; S23).
pub fn primary(recipe: &Recipe<'_>, target: &Value) -> Result<Value, String> {
    match recipe.rollout.target_kind {
        TargetKind::Deployment | TargetKind::DaemonSet => pod_primary(recipe, target),
        TargetKind::Service => Ok(service::primary(recipe, &target["spec"], target)),
    }
}

fn pod_primary(recipe: &Recipe<'_>, target: &Value) -> Result<Value, String> {
    let Recipe { rollout, settings, .. } = recipe;
    verify(rollout, target)?;
    let selector = selector(rollout, settings, target)?;
    let mut primary = based_on(&rollout.primary_key(), None);
    primary["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    put(&mut primary["metadata"], "labels", labels(recipe, &selector, target));
    put(&mut primary["metadata"], "annotations", filtered(&target["metadata"]["annotations"], is_copied_at_creation));
    primary["spec"] = json!({"selector": {"matchLabels": {(&selector.label): selector.primary_value()}}});
    primary["spec"]["template"] = primary_template(recipe, &selector, &template(rollout.target_kind, target));
    copy_settings(rollout.target_kind, &mut primary, target);
    if let TargetKind::Deployment = rollout.target_kind {
        primary["spec"]["replicas"] = json!(deployment::replicas(target).max(1));
    }
    Ok(primary)
}

/// The primary with the target's template (contract: lifecycle §7.2 "At Promote"). Without an autoscaler it takes the
/// target's replicas, but never fewer than `floor`; a target at zero leaves the primary's own.
pub fn promoted(recipe: &Recipe<'_>, target: &Value, primary: &Value, floor: i64) -> Result<Value, String> {
    match recipe.rollout.target_kind {
        TargetKind::Deployment | TargetKind::DaemonSet => pod_promoted(recipe, target, primary, floor),
        TargetKind::Service => Ok(service::promoted(recipe, target, primary)),
    }
}

fn pod_promoted(recipe: &Recipe<'_>, target: &Value, primary: &Value, floor: i64) -> Result<Value, String> {
    let Recipe { rollout, settings, .. } = recipe;
    verify(rollout, target)?;
    let selector = selector(rollout, settings, target)?;
    let mut promoted = based_on(&rollout.primary_key(), Some(primary));
    put(&mut promoted["metadata"], "labels", labels(recipe, &selector, target));
    let annotations = promoted_annotations(settings, target, primary);
    put(&mut promoted["metadata"], "annotations", annotations);
    promoted["spec"]["template"] = primary_template(recipe, &selector, &template(rollout.target_kind, target));
    copy_settings(rollout.target_kind, &mut promoted, target);
    if rollout.target_kind == TargetKind::Deployment && rollout.scaler.is_none() {
        let wanted = deployment::replicas(target);
        let wanted = if wanted > 0 { wanted } else { deployment::replicas(primary) };
        promoted["spec"]["replicas"] = json!(wanted.max(floor));
    }
    Ok(promoted)
}

/// The primary with the last promoted template, which is kept in the target's form (rules: Capacity, S3 and I12). A
/// primary that is there keeps everything else; a missing one is made like a new one.
pub fn restored(
    recipe: &Recipe<'_>,
    template: &Value,
    target: &Value,
    primary: Option<&Value>,
) -> Result<Value, String> {
    if recipe.rollout.target_kind == TargetKind::Service {
        return Ok(primary.map_or_else(
            || service::primary(recipe, template, target),
            |seen| service::restored(recipe, template, seen),
        ));
    }
    let Some(seen) = primary else {
        let mut good = target.clone();
        good["spec"]["template"] = template.clone();
        return self::primary(recipe, &good);
    };
    let selector = selector(recipe.rollout, recipe.settings, target)?;
    let mut restored = based_on(&recipe.rollout.primary_key(), Some(seen));
    restored["spec"]["template"] = primary_template(recipe, &selector, template);
    Ok(restored)
}

/// What makes a revision: the pod template, without the marks of scaling to zero, or a Service's whole spec (contract:
/// lifecycle §3).
pub fn template(kind: TargetKind, target: &Value) -> Value {
    match kind {
        TargetKind::Deployment => target["spec"]["template"].clone(),
        TargetKind::DaemonSet => daemonset::template(target),
        TargetKind::Service => target["spec"].clone(),
    }
}

/// The id that the last copy of a template left on a primary.
pub fn flagger_id(kind: TargetKind, primary: &Value) -> Option<&str> {
    let marked = match kind {
        TargetKind::Deployment | TargetKind::DaemonSet => &primary["spec"]["template"],
        TargetKind::Service => primary,
    };
    marked["metadata"]["annotations"][FLAGGER_ID].as_str()
}

/// The Service in front of the canary when the target is a Service: it follows the target (contract: lifecycle §7.7).
pub fn canary_service(rollout: &Rollout, target: &Value, seen: Option<&Value>) -> Value {
    service::canary(rollout, target, seen)
}

/// Whether a primary already runs this template of the target, apart from its random id (S1: taking over).
pub fn runs(recipe: &Recipe<'_>, template: &Value, target: &Value, primary: &Value) -> Result<bool, String> {
    if recipe.rollout.target_kind == TargetKind::Service {
        return Ok(service::runs(recipe.rollout, template, primary));
    }
    let selector = selector(recipe.rollout, recipe.settings, target)?;
    let mut wanted = primary_template(recipe, &selector, template);
    let mut seen = primary["spec"]["template"].clone();
    for template in [&mut wanted, &mut seen] {
        if let Some(annotations) = template["metadata"]["annotations"].as_object_mut() {
            annotations.remove(FLAGGER_ID);
        }
    }
    Ok(crate::digest::digest(&wanted) == crate::digest::digest(&seen))
}

/// Whether a workload is ready (contract: lifecycle §7.5).
pub fn readiness(kind: TargetKind, object: &Value, patience: &Patience) -> Readiness {
    match kind {
        TargetKind::Deployment => deployment::readiness(object, patience),
        TargetKind::DaemonSet => daemonset::readiness(object, patience),
        TargetKind::Service => Readiness::Ready,
    }
}

/// The contract's words before the text of an unready primary.
pub fn primary_prefix(rollout: &Rollout) -> String {
    let (name, namespace) = (rollout.primary_name(), &rollout.namespace);
    match rollout.target_kind {
        TargetKind::Deployment => format!("{name}.{namespace} not ready: "),
        TargetKind::DaemonSet => format!("primary daemonset {name}.{namespace} not ready: "),
        TargetKind::Service => format!("primary service {name}.{namespace} not ready: "),
    }
}

/// The contract's words before the text of an unready canary.
pub fn canary_prefix(rollout: &Rollout, readiness: &Readiness) -> String {
    let (name, namespace) = (&rollout.target.name, &rollout.namespace);
    let retriable = !matches!(readiness, Readiness::Failed(_));
    match rollout.target_kind {
        TargetKind::Deployment => format!("canary deployment {name}.{namespace} not ready: "),
        // Spelled as in the contract.
        TargetKind::DaemonSet => format!("canary damonset {name}.{namespace} not ready with retryable {retriable}: "),
        TargetKind::Service => format!("canary service {name}.{namespace} not ready: "),
    }
}

/// Pods that are ready now. While the controller lags behind the spec, pods that are on their way out do not count. A
/// Service counts as one: it is always ready.
pub fn ready_pods(kind: TargetKind, object: &Value) -> i64 {
    match kind {
        TargetKind::Deployment => deployment::ready_pods(object),
        TargetKind::DaemonSet => daemonset::ready_pods(object),
        TargetKind::Service => 1,
    }
}

/// Whether a workload is meant to have no pods.
pub fn is_scaled_to_zero(kind: TargetKind, object: &Value) -> bool {
    match kind {
        TargetKind::Deployment => deployment::replicas(object) == 0,
        TargetKind::DaemonSet => daemonset::is_scaled_to_zero(object),
        TargetKind::Service => false,
    }
}

/// Takes all pods from the target; nothing if it is meant to have none already (contract: lifecycle §7.4).
pub fn scale_to_zero(rollout: &Rollout, target: &Value) -> Option<Step> {
    if is_scaled_to_zero(rollout.target_kind, target) {
        return None;
    }
    let operation = match rollout.target_kind {
        TargetKind::Deployment => deployment::set_replicas(0),
        TargetKind::DaemonSet => daemonset::add_mark(target),
        TargetKind::Service => return None,
    };
    Some(guarded(rollout.target_key(), target, &operation))
}

/// Gives the target pods again; nothing if it is meant to have some already (contract: lifecycle §7.4).
pub fn scale_from_zero(
    rollout: &Rollout,
    target: &Value,
    primary: Option<&Value>,
    scaler: Option<&Value>,
) -> Option<Step> {
    if !is_scaled_to_zero(rollout.target_kind, target) {
        return None;
    }
    let operation = match rollout.target_kind {
        TargetKind::Deployment => deployment::set_replicas(wanted_replicas(rollout, primary, scaler)),
        TargetKind::DaemonSet => daemonset::remove_mark(),
        TargetKind::Service => return None,
    };
    Some(guarded(rollout.target_key(), target, &operation))
}

/// Gives the target as many pods as the primary has, for `revertOnDeletion` (contract: lifecycle §11).
pub fn scale_like_primary(rollout: &Rollout, target: &Value, primary: Option<&Value>) -> Option<Step> {
    match (rollout.target_kind, primary) {
        (TargetKind::Deployment, Some(primary)) => {
            let wanted = deployment::replicas(primary);
            (deployment::replicas(target) != wanted)
                .then(|| guarded(rollout.target_key(), target, &deployment::set_replicas(wanted)))
        }
        (TargetKind::Deployment, None) | (TargetKind::DaemonSet | TargetKind::Service, _) => {
            scale_from_zero(rollout, target, primary, None)
        }
    }
}

fn wanted_replicas(rollout: &Rollout, primary: Option<&Value>, scaler: Option<&Value>) -> i64 {
    if rollout.scaler.is_none() {
        return primary.map_or(1, deployment::replicas).max(1);
    }
    let spec = scaler.map_or(&Value::Null, |scaler| &scaler["spec"]);
    spec["minReplicas"].as_i64().or_else(|| spec["minReplicaCount"].as_i64()).unwrap_or(1).max(1)
}

/// A patch of the target, which is not ours: only if it is still the same object with the same spec.
fn guarded(key: ObjectKey, target: &Value, operation: &Value) -> Step {
    let metadata = &target["metadata"];
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/generation", "value": metadata["generation"]},
        operation,
    ]);
    Step::Patch { key, operations }
}

fn verify(rollout: &Rollout, target: &Value) -> Result<(), String> {
    match rollout.target_kind {
        TargetKind::Deployment | TargetKind::Service => Ok(()),
        TargetKind::DaemonSet => daemonset::verify(rollout, target),
    }
}

fn copy_settings(kind: TargetKind, primary: &mut Value, target: &Value) {
    let fields: &[&str] = match kind {
        TargetKind::Deployment => &["progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy"],
        TargetKind::DaemonSet => &["minReadySeconds", "revisionHistoryLimit", "updateStrategy"],
        TargetKind::Service => &[],
    };
    for field in fields {
        put(&mut primary["spec"], field, target["spec"][*field].clone());
    }
}

fn labels(recipe: &Recipe<'_>, selector: &Selector, target: &Value) -> Value {
    let mut labels = filtered(&target["metadata"]["labels"], |key| recipe.settings.includes(key));
    labels[&selector.label] = json!(selector.primary_value());
    labels
}

/// At creation all annotations go along, except those that say what somebody did to the target itself (S23).
fn is_copied_at_creation(key: &str) -> bool {
    !is_toolkit(key)
        && key != LAST_APPLIED
        && key != "deployment.kubernetes.io/revision"
        && key != "deprecated.daemonset.template.generation"
        && !key.starts_with("argocd.argoproj.io/")
}

/// At promotion only those of an included prefix; what Kubernetes itself noted on the primary stays.
fn promoted_annotations(settings: &Settings, target: &Value, primary: &Value) -> Value {
    let of_kubernetes =
        |key: &str| key.starts_with("deployment.kubernetes.io/") || key.starts_with("deprecated.daemonset.template.");
    let copied = |key: &str| settings.includes(key) && is_copied_at_creation(key);
    let mut annotations = filtered(&primary["metadata"]["annotations"], of_kubernetes);
    merge(&mut annotations, &filtered(&target["metadata"]["annotations"], copied));
    annotations
}

/// The primary's pod template from the target's (contract: lifecycle §7.2). Every field of it survives.
fn primary_template(recipe: &Recipe<'_>, selector: &Selector, template: &Value) -> Value {
    let Recipe { rollout, settings, tracked, flagger_id } = recipe;
    let mut template = template.clone();
    let mut labels = filtered(&template["metadata"]["labels"], |key| !is_toolkit(key));
    labels[&selector.label] = json!(selector.primary_value());
    let mut annotations = filtered(&template["metadata"]["annotations"], |key| !is_toolkit(key));
    annotations[FLAGGER_ID] = json!(flagger_id);
    if template["metadata"].is_null() {
        template["metadata"] = Value::Object(Map::new());
    }
    template["metadata"]["labels"] = labels;
    template["metadata"]["annotations"] = annotations;
    tracked::rename(&mut template["spec"], tracked);
    if let TargetKind::Deployment = rollout.target_kind {
        deployment::spread_apart(&mut template["spec"], &rollout.target.name, &settings.selector_labels);
    }
    template
}

#[cfg(test)]
mod tests;
