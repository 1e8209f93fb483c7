//! Whose an object is that bears a name which a canary needs (S27). It looks at nothing but owners and marks, and decides
//! nothing.

use serde_json::Value;

use crate::bounds::{Bounds, controller};
use crate::object::{is_owned_by, items};
use crate::reconcile::are_alike;
use crate::world::{Kind, ObjectKey};

/// The annotation by which a person hands an object over to the canary that it names.
pub const ADOPT: &str = "burgee.flagger.app/adopt";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The canary's: it is the controller.
    Ours,
    /// It is being deleted, or belongs to a canary of this name that is gone, and goes with it.
    Leaving,
    /// It has no controller.
    Nobody,
    /// Its controller is another object, named as `Deployment web`.
    Another(String),
}

/// Whose an object is.
pub fn holder(object: &Value, bounds: &Bounds) -> Holder {
    if is_owned_by(object, bounds.uid()) {
        return Holder::Ours;
    }
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Holder::Leaving;
    }
    match controller(object) {
        None => Holder::Nobody,
        Some(owner) if is_canary(owner) && owner["name"] == bounds.name() => Holder::Leaving,
        Some(owner) => Holder::Another(format!("{} {}", text(&owner["kind"]), text(&owner["name"]))),
    }
}

/// Whether the copy of a config may be written: it is the canary's, or shared with another canary (contract: lifecycle
/// §7.6), or nobody's and either handed over or the same already.
pub fn is_copy_free(seen: &Value, desired: &Value, bounds: &Bounds) -> bool {
    let is_same = || ["data", "binaryData", "type"].iter().all(|field| are_alike(&seen[*field], &desired[*field]));
    let is_shared = items(&seen["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == bounds.uid());
    match holder(seen, bounds) {
        Holder::Ours => true,
        Holder::Leaving => false,
        Holder::Nobody => is_shared || is_handed_over(seen, bounds.name()) || is_same(),
        Holder::Another(_) => is_shared || controller(seen).is_some_and(is_canary),
    }
}

/// Whether a person has handed an object over to the canary of this name.
pub fn is_handed_over(object: &Value, canary: &str) -> bool {
    object["metadata"]["annotations"][ADOPT] == canary
}

/// What stands in the way of the canary, for the user.
pub fn taken(key: &ObjectKey, holder: &Holder, canary: &str) -> String {
    match holder {
        Holder::Ours => format!("{key} is not what the canary has made"),
        Holder::Leaving => format!("waiting for {key} to go, it is being deleted"),
        Holder::Nobody => format!(
            "{key} is not the canary's and nobody's, remove it or hand it over with the annotation {ADOPT}: {canary}"
        ),
        Holder::Another(owner) => format!("{key} is not the canary's, it belongs to {owner}"),
    }
}

/// Whether an owner is a canary, whatever version it is written in.
fn is_canary(owner: &Value) -> bool {
    owner["kind"] == Kind::Canary.name() && text(&owner["apiVersion"]).starts_with("flagger.app/")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
