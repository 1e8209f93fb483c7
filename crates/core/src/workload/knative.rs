//! What is particular to Knative Services: the primary is the revision that an annotation names, the canary the latest one.
//! It must not touch anything of the Service but that annotation.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Patience, Readiness};
use crate::object::{based_on, items};
use crate::rollout::Rollout;

/// The annotation that names the primary revision (contract: api §4).
pub(crate) const PRIMARY: &str = "flagger.app/primary-revision";

/// Name of the latest revision, or null while there is none.
pub(super) fn latest(service: &Value) -> Value {
    name(&service["status"]["latestCreatedRevisionName"])
}

/// Name of the primary revision, or null.
pub(crate) fn named(service: &Value) -> Value {
    name(&service["metadata"]["annotations"][PRIMARY])
}

fn name(value: &Value) -> Value {
    value.as_str().filter(|name| !name.is_empty()).map_or(Value::Null, |name| json!(name))
}

/// The Service with this revision as the primary. The traffic follows (contract: lifecycle §7.8).
pub(super) fn naming(rollout: &Rollout, service: &Value, revision: &Value) -> Value {
    let mut service = based_on(&rollout.target_key(), Some(service));
    service["metadata"]["annotations"][PRIMARY] = revision.clone();
    service
}

/// Whether a revision's condition `Ready` holds.
pub(super) fn is_ready(revision: &Value) -> bool {
    let mut conditions = items(&revision["status"]["conditions"]);
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The contract's rule (lifecycle §7.5), with the deadline that it lacks: a revision that never gets ready would hold a
/// run for ever (I13).
pub(super) fn readiness(revision: &Value, patience: &Patience) -> Readiness {
    if is_ready(revision) {
        return Readiness::Ready;
    }
    let seconds = patience.deadline_seconds;
    let deadline = patience.since.and_then(|since| since.checked_add(SignedDuration::from_secs(seconds)).ok());
    match deadline {
        Some(deadline) if deadline <= patience.now => {
            Readiness::Failed(format!("is not ready, exceeded its progressDeadlineSeconds: {seconds}"))
        }
        Some(_) | None => Readiness::Waiting { reason: "is not ready".to_owned(), deadline },
    }
}

#[cfg(test)]
mod tests;
