//! The target and its primary: what the primary must look like, whether pods are ready, how the target is scaled to
//! zero and back. It never decides when, and it never drops a field that it does not know.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::digest::digest;
use crate::object::{LAST_APPLIED, based_on, filtered, is_toolkit, merge, put};
use crate::plan::Step;
use crate::rollout::{Rollout, TargetKind};
use crate::settings::Settings;
use crate::tracked;
use crate::world::{Kind, ObjectKey, World};

mod daemonset;
mod deployment;
pub(crate) mod knative;
mod selector;
mod service;
mod spread;

pub use selector::{Selector, selector, selects};
use spread::Rule;

/// The pod template annotation that forces a rollout of the primary at each promotion (contract: api §4).
pub(crate) const FLAGGER_ID: &str = "flagger-id";

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

/// One of the two sets of pods between which traffic is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those that run what was promoted.
    Primary,
    /// Those of the target.
    Canary,
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

/// A primary as it is created (contract: lifecycle §7.2, §7.3; S23).
pub fn primary(recipe: &Recipe<'_>, target: &Value) -> Result<Value, String> {
    match recipe.rollout.target_kind {
        TargetKind::Deployment | TargetKind::DaemonSet => pod_primary(recipe, target),
        TargetKind::Service => Ok(service::primary(recipe, &target["spec"], target)),
        TargetKind::Knative => Ok(knative::naming(recipe.rollout, target, &knative::latest(target))),
    }
}

fn pod_primary(recipe: &Recipe<'_>, target: &Value) -> Result<Value, String> {
    let Recipe { rollout, settings, .. } = recipe;
    verify(rollout, target)?;
    let selector = selector(rollout, settings, target, None)?;
    let mut primary = based_on(&rollout.primary_key(), None);
    primary["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    put(&mut primary["metadata"], "labels", labels(recipe, &selector, target));
    put(&mut primary["metadata"], "annotations", filtered(&target["metadata"]["annotations"], is_copied_at_creation));
    primary["spec"] = json!({"selector": selector.of_new_primary()});
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
        TargetKind::Knative => Ok(knative::naming(recipe.rollout, target, &knative::latest(target))),
    }
}

fn pod_promoted(recipe: &Recipe<'_>, target: &Value, primary: &Value, floor: i64) -> Result<Value, String> {
    let Recipe { rollout, settings, .. } = recipe;
    verify(rollout, target)?;
    let selector = selector(rollout, settings, target, Some(primary))?;
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

/// The primary with the last promoted template, which is kept in the target's form (S3, I12). A
/// primary that is there keeps everything else; a missing one is made like a new one.
pub fn restored(
    recipe: &Recipe<'_>,
    template: &Value,
    target: &Value,
    primary: Option<&Value>,
) -> Result<Value, String> {
    match (recipe.rollout.target_kind, primary) {
        (TargetKind::Deployment | TargetKind::DaemonSet, _) => pod_restored(recipe, template, target, primary),
        (TargetKind::Service, None) => Ok(service::primary(recipe, template, target)),
        (TargetKind::Service, Some(seen)) => Ok(service::restored(recipe, template, seen)),
        (TargetKind::Knative, _) => Ok(knative::naming(recipe.rollout, target, template)),
    }
}

fn pod_restored(
    recipe: &Recipe<'_>,
    template: &Value,
    target: &Value,
    primary: Option<&Value>,
) -> Result<Value, String> {
    let Some(seen) = primary else {
        let mut good = target.clone();
        good["spec"]["template"] = template.clone();
        return self::primary(recipe, &good);
    };
    let selector = selector(recipe.rollout, recipe.settings, target, Some(seen))?;
    let mut restored = based_on(&recipe.rollout.primary_key(), Some(seen));
    restored["spec"]["template"] = primary_template(recipe, &selector, template);
    Ok(restored)
}

/// What makes a revision: the pod template, without the marks of scaling to zero, a Service's whole spec, or the name of
/// Knative's latest revision (contract: lifecycle §3).
pub fn template(kind: TargetKind, target: &Value) -> Cow<'_, Value> {
    match kind {
        TargetKind::Deployment => Cow::Borrowed(&target["spec"]["template"]),
        TargetKind::DaemonSet => daemonset::template(target),
        TargetKind::Service => Cow::Borrowed(&target["spec"]),
        TargetKind::Knative => Cow::Owned(knative::latest(target)),
    }
}

/// The revision that a primary says it runs: only a Knative Service names one.
pub fn named_revision(kind: TargetKind, primary: &Value) -> Option<Value> {
    match kind {
        TargetKind::Knative => Some(knative::named(primary)),
        TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service => None,
    }
}

/// Whether a primary was made with this id, from the template of this digest. A Knative Service tells the latter.
pub fn is_copy(kind: TargetKind, primary: &Value, id: &str, revision: &str) -> bool {
    let marked = match kind {
        TargetKind::Deployment | TargetKind::DaemonSet => &primary["spec"]["template"],
        TargetKind::Service => primary,
        TargetKind::Knative => return digest(&knative::named(primary)) == revision,
    };
    marked["metadata"]["annotations"][FLAGGER_ID] == id
}

/// The primary as seen, if there is one. The error says why nobody knows.
pub fn find_primary<'a>(rollout: &Rollout, world: &'a World) -> Result<Option<&'a Value>, String> {
    let found = world.look(&rollout.primary_key())?;
    let is_one = |found: &&Value| rollout.target_kind != TargetKind::Knative || !knative::named(found).is_null();
    Ok(found.filter(is_one))
}

/// The Knative revision that makes one side; none for another target.
pub fn revision(rollout: &Rollout, world: &World, side: Side) -> Option<ObjectKey> {
    if rollout.target_kind != TargetKind::Knative {
        return None;
    }
    let target = world.present(&rollout.target_key())?;
    let name = match side {
        Side::Primary => knative::named(target),
        Side::Canary => knative::latest(target),
    };
    Some(rollout.key(Kind::KnativeRevision, name.as_str()?))
}

/// The object that tells how the pods of one side are; none if it is not there.
pub fn reporter<'a>(rollout: &Rollout, world: &'a World, side: Side) -> Option<&'a Value> {
    world.present(&match (rollout.target_kind, side) {
        (TargetKind::Knative, _) => revision(rollout, world, side)?,
        (TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service, Side::Primary) => rollout.primary_key(),
        (TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service, Side::Canary) => rollout.target_key(),
    })
}

/// Pods of one side that are ready now.
pub fn ready_on(rollout: &Rollout, world: &World, side: Side) -> i64 {
    reporter(rollout, world, side).map_or(0, |reporter| ready_pods(rollout.target_kind, reporter))
}

/// The Service in front of the canary when the target is a Service: it follows the target (contract: lifecycle §7.7).
pub fn canary_service(rollout: &Rollout, target: &Value, seen: Option<&Value>) -> Value {
    service::canary(rollout, target, seen)
}

/// Whether a primary already runs this template of the target, apart from its random id (S1: taking over).
pub fn runs(recipe: &Recipe<'_>, template: &Value, target: &Value, primary: &Value) -> Result<bool, String> {
    match recipe.rollout.target_kind {
        TargetKind::Deployment | TargetKind::DaemonSet => pod_runs(recipe, template, target, primary),
        TargetKind::Service => Ok(service::runs(recipe.rollout, template, primary)),
        TargetKind::Knative => Ok(knative::named(primary) == *template),
    }
}

fn pod_runs(recipe: &Recipe<'_>, template: &Value, target: &Value, primary: &Value) -> Result<bool, String> {
    let selector = selector(recipe.rollout, recipe.settings, target, Some(primary))?;
    let rules = [
        Rule::Value { namespace: &recipe.rollout.namespace },
        Rule::Flaggers { target: &recipe.rollout.target.name, labels: &recipe.settings.selector_labels },
    ];
    let digest_of = |mut template: Value| {
        if let Some(annotations) = template["metadata"]["annotations"].as_object_mut() {
            annotations.remove(FLAGGER_ID);
        }
        digest(&template)
    };
    let seen = digest_of(primary["spec"]["template"].clone());
    Ok(rules.into_iter().any(|rule| digest_of(template_by(recipe, &selector, template, rule)) == seen))
}

/// Whether a workload is ready (contract: lifecycle §7.5).
pub fn readiness(kind: TargetKind, object: &Value, patience: &Patience) -> Readiness {
    match kind {
        TargetKind::Deployment => deployment::readiness(object, patience),
        TargetKind::DaemonSet => daemonset::readiness(object, patience),
        TargetKind::Service => Readiness::Ready,
        TargetKind::Knative => knative::readiness(object, patience),
    }
}

/// The contract's words before the text of an unready primary.
pub fn primary_prefix(rollout: &Rollout) -> String {
    let (name, namespace) = (rollout.primary_name(), &rollout.namespace);
    match rollout.target_kind {
        TargetKind::Deployment => format!("{name}.{namespace} not ready: "),
        TargetKind::DaemonSet => format!("primary daemonset {name}.{namespace} not ready: "),
        TargetKind::Service | TargetKind::Knative => format!("primary service {name}.{namespace} not ready: "),
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
        TargetKind::Service | TargetKind::Knative => format!("canary service {name}.{namespace} not ready: "),
    }
}

/// Pods that are ready now. While the controller lags behind the spec, pods that are on their way out do not count. A
/// Service counts as one, for it is always ready, and so does a Knative revision that is.
pub fn ready_pods(kind: TargetKind, object: &Value) -> i64 {
    match kind {
        TargetKind::Deployment => deployment::ready_pods(object),
        TargetKind::DaemonSet => daemonset::ready_pods(object),
        TargetKind::Service => 1,
        TargetKind::Knative => i64::from(knative::is_ready(object)),
    }
}

/// Whether a workload is meant to have no pods.
pub fn is_scaled_to_zero(kind: TargetKind, object: &Value) -> bool {
    match kind {
        TargetKind::Deployment => deployment::replicas(object) == 0,
        TargetKind::DaemonSet => daemonset::is_scaled_to_zero(object),
        TargetKind::Service | TargetKind::Knative => false,
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
        TargetKind::Service | TargetKind::Knative => return None,
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
        TargetKind::Service | TargetKind::Knative => return None,
    };
    Some(guarded(rollout.target_key(), target, &operation))
}

/// A workload with at least so many pods. The number of a DaemonSet's pods is its nodes'.
pub fn with_replicas(kind: TargetKind, mut workload: Value, least: i64) -> Value {
    if kind == TargetKind::Deployment && deployment::replicas(&workload) < least {
        workload["spec"]["replicas"] = json!(least);
    }
    workload
}

/// The pods that a workload is meant to have; nothing if it does not say.
pub fn wanted_pods(kind: TargetKind, object: &Value) -> Option<i64> {
    match kind {
        TargetKind::Deployment => Some(deployment::replicas(object)),
        TargetKind::DaemonSet | TargetKind::Service | TargetKind::Knative => None,
    }
}

/// The most pods that a workload can have: of a DaemonSet one for each node, and nodes come and go.
pub fn most_pods(kind: TargetKind, object: &Value) -> Option<i64> {
    match kind {
        TargetKind::DaemonSet => Some(daemonset::nodes(object)),
        TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => None,
    }
}

/// Gives the target as many pods as the primary has, for `revertOnDeletion` (contract: lifecycle §11).
pub fn scale_like_primary(rollout: &Rollout, target: &Value, primary: Option<&Value>) -> Option<Step> {
    match (rollout.target_kind, primary) {
        (TargetKind::Deployment, Some(primary)) => {
            let wanted = deployment::replicas(primary);
            (deployment::replicas(target) != wanted)
                .then(|| guarded(rollout.target_key(), target, &deployment::set_replicas(wanted)))
        }
        (TargetKind::Deployment, None) | (TargetKind::DaemonSet | TargetKind::Service | TargetKind::Knative, _) => {
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
        TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => Ok(()),
        TargetKind::DaemonSet => daemonset::verify(rollout, target),
    }
}

fn copy_settings(kind: TargetKind, primary: &mut Value, target: &Value) {
    let fields: &[&str] = match kind {
        TargetKind::Deployment => &["progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy"],
        TargetKind::DaemonSet => &["minReadySeconds", "revisionHistoryLimit", "updateStrategy"],
        TargetKind::Service | TargetKind::Knative => &[],
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
    template_by(recipe, selector, template, Rule::Value { namespace: &recipe.rollout.namespace })
}

fn template_by(recipe: &Recipe<'_>, selector: &Selector, template: &Value, rule: Rule<'_>) -> Value {
    let Recipe { rollout, tracked, flagger_id, .. } = recipe;
    let mut template = template.clone();
    let mut labels = filtered(&template["metadata"]["labels"], |key| !is_toolkit(key));
    selector.mark(&mut labels);
    let mut annotations = filtered(&template["metadata"]["annotations"], |key| !is_toolkit(key));
    annotations[FLAGGER_ID] = json!(flagger_id);
    if template["metadata"].is_null() {
        template["metadata"] = Value::Object(Map::new());
    }
    template["metadata"]["labels"] = labels;
    template["metadata"]["annotations"] = annotations;
    tracked::rename(&mut template["spec"], tracked);
    if let TargetKind::Deployment = rollout.target_kind {
        spread::spread(&mut template["spec"], selector, rule);
    }
    template
}

#[cfg(test)]
mod tests;
