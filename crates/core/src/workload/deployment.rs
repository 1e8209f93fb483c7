//! What is particular to Deployments. It must not know who asks.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Patience, Readiness};
use crate::object::items;

/// `spec.replicas`, of which absence means one.
pub(super) fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// The patch operation that sets the replicas. `add` also replaces.
pub(super) fn set_replicas(replicas: i64) -> Value {
    json!({"op": "add", "path": "/spec/replicas", "value": replicas})
}

/// `status.readyReplicas`; while the controller lags behind the spec, no more than the spec still wants.
pub(super) fn ready_pods(object: &Value) -> i64 {
    let ready = count(object, "readyReplicas");
    if is_lagging(object) { ready.min(replicas(object)) } else { ready }
}

/// Whether the status is about an older spec.
pub(super) fn is_lagging(object: &Value) -> bool {
    object["metadata"]["generation"].as_i64().unwrap_or(0) > count(object, "observedGeneration")
}

pub(super) fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

/// The contract's rules, first match wins (lifecycle §7.5).
pub(super) fn readiness(object: &Value, patience: &Patience) -> Readiness {
    if is_lagging(object) {
        let reason = "waiting for rollout to finish: observed deployment generation less than desired generation";
        return Readiness::Waiting { reason: reason.to_owned(), deadline: None };
    }
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return Readiness::Failed(format!("deployment {name:?} exceeded its progress deadline"));
    }
    let Some(reason) = shortfall(object, patience.ready_percent) else { return Readiness::Ready };
    // One that was unavailable long before somebody waited for it, such as a primary that gets a fix, is given its time. A
    // time that lies ahead is by a clock that ours is behind of: then only our own counts (I13).
    let deadline = progressing
        .and_then(|_| unavailable_since(object))
        .map(|since| match patience.since {
            Some(waiting) if since > patience.now => waiting,
            Some(waiting) => waiting.max(since),
            None => since,
        })
        .and_then(|since| since.checked_add(SignedDuration::from_secs(patience.deadline_seconds)).ok());
    match deadline {
        Some(deadline) if deadline <= patience.now => Readiness::Failed(reason),
        Some(_) | None => Readiness::Waiting { reason, deadline },
    }
}

fn shortfall(object: &Value, ready_percent: i64) -> Option<String> {
    let (wanted, all) = (replicas(object), count(object, "replicas"));
    let (updated, available) = (count(object, "updatedReplicas"), count(object, "availableReplicas"));
    let text = if updated < wanted {
        format!("{updated} out of {wanted} new replicas have been updated")
    } else if all > updated {
        format!("{} old replicas are pending termination", all - updated)
    } else if available < updated.saturating_mul(ready_percent) / 100 {
        format!("{available} of {updated} (readyThreshold {ready_percent}%) updated replicas are available")
    } else {
        return None;
    };
    Some(format!("waiting for rollout to finish: {text}"))
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&object["status"]["conditions"]).find(|condition| condition["type"] == kind)
}

fn unavailable_since(object: &Value) -> Option<Timestamp> {
    let available = condition(object, "Available")?;
    let is_short = available["status"] == "False" && available["reason"] == "MinimumReplicasUnavailable";
    available["lastUpdateTime"].as_str().filter(|_| is_short)?.parse().ok()
}
