//! What is particular to DaemonSets. It must not know who asks.

use std::borrow::Cow;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::deployment::{count, is_lagging};
use super::{Patience, Readiness};
use crate::object::put;
use crate::rollout::Rollout;

/// The node selector that no node matches: the mark of a DaemonSet without pods (contract: api §4).
const MARK: &str = "flagger.app/scale-to-zero";

/// The pod template without the mark. The peer leaves the mark on a primary that is recreated, which then has no pods.
pub(super) fn template(target: &Value) -> Cow<'_, Value> {
    let template = &target["spec"]["template"];
    let Some(mut node_selector) = template["spec"].get("nodeSelector").cloned() else {
        return Cow::Borrowed(template);
    };
    if let Some(fields) = node_selector.as_object_mut() {
        fields.remove(MARK);
    }
    let mut template = template.clone();
    put(&mut template["spec"], "nodeSelector", node_selector);
    Cow::Owned(template)
}

/// Refuses what cannot be rolled (contract: lifecycle §7.3).
pub(super) fn verify(rollout: &Rollout, target: &Value) -> Result<(), String> {
    match target["spec"]["updateStrategy"]["type"].as_str() {
        None | Some("" | "RollingUpdate") => Ok(()),
        Some(other) => Err(format!(
            "daemonset {}.{} must have RollingUpdate strategy but have {other}",
            rollout.target.name, rollout.namespace
        )),
    }
}

pub(super) fn is_scaled_to_zero(object: &Value) -> bool {
    object["spec"]["template"]["spec"]["nodeSelector"].get(MARK).is_some()
}

/// `status.numberReady`; none count any more once the spec wants none.
pub(super) fn ready_pods(object: &Value) -> i64 {
    if is_lagging(object) && is_scaled_to_zero(object) { 0 } else { count(object, "numberReady") }
}

/// The nodes that it is meant for, as its controller last counted them.
pub(super) fn nodes(object: &Value) -> i64 {
    count(object, "desiredNumberScheduled")
}

pub(super) fn add_mark(target: &Value) -> Value {
    let path = "/spec/template/spec/nodeSelector";
    if target.pointer(path).is_some_and(Value::is_object) {
        json!({"op": "add", "path": format!("{path}/{}", MARK.replace('/', "~1")), "value": "true"})
    } else {
        json!({"op": "add", "path": path, "value": {(MARK): "true"}})
    }
}

pub(super) fn remove_mark() -> Value {
    json!({"op": "remove", "path": format!("/spec/template/spec/nodeSelector/{}", MARK.replace('/', "~1"))})
}

/// The contract's rules (lifecycle §7.5).
pub(super) fn readiness(object: &Value, patience: &Patience) -> Readiness {
    if is_lagging(object) {
        let reason = "waiting for rollout to finish: observed daemonset generation less than desired generation";
        return Readiness::Waiting { reason: reason.to_owned(), deadline: None };
    }
    let Some(reason) = shortfall(object, patience.ready_percent) else { return Readiness::Ready };
    let deadline =
        patience.since.and_then(|since| since.checked_add(SignedDuration::from_secs(patience.deadline_seconds)).ok());
    match deadline {
        Some(deadline) if deadline <= patience.now => {
            Readiness::Failed(format!("exceeded its progressDeadlineSeconds: {}", patience.deadline_seconds))
        }
        Some(_) | None => Readiness::Waiting { reason, deadline },
    }
}

fn shortfall(object: &Value, ready_percent: i64) -> Option<String> {
    let desired = nodes(object);
    let (updated, available) = (count(object, "updatedNumberScheduled"), count(object, "numberAvailable"));
    let text = if updated < desired {
        format!("{updated} out of {desired} new pods have been updated")
    } else if available < desired.saturating_mul(ready_percent) / 100 {
        format!("{available} of {desired} (readyThreshold {ready_percent}%) updated pods are available")
    } else {
        return None;
    };
    Some(format!("waiting for rollout to finish: {text}"))
}
