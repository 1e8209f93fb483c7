//! What is particular to core Services as targets: two copies of the Service, and nothing behind them. It must not write
//! to the target.

use serde_json::{Value, json};

use super::{FLAGGER_ID, Recipe, is_copied_at_creation};
use crate::object::{based_on, filtered, is_owned_by, merge, put, toolkit_off};
use crate::reconcile::are_alike;
use crate::rollout::Rollout;
use crate::services::{Role, kept_ports, managed};
use crate::world::ObjectKey;

/// What the API server gives to one Service, and what only one Service can have. The peer leaves `clusterIPs` in, and
/// every API server of this decade refuses its copies.
const UNIQUE: [&str; 5] = ["clusterIP", "clusterIPs", "healthCheckNodePort", "externalIPs", "loadBalancerIP"];

/// What the API server gave to a copy and what the copy keeps.
const GIVEN: [&str; 3] = ["clusterIP", "clusterIPs", "healthCheckNodePort"];

/// The primary as it is created: the target's metadata, and this spec of it (contract: lifecycle §7.7).
pub(super) fn primary(recipe: &Recipe<'_>, spec: &Value, target: &Value) -> Value {
    let rollout = recipe.rollout;
    let mut primary = copy(rollout, &rollout.primary_key(), spec, None);
    primary["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    for (field, wanted) in cloned(target) {
        put(&mut primary["metadata"], field, wanted);
    }
    primary["metadata"]["annotations"][FLAGGER_ID] = json!(recipe.flagger_id);
    primary
}

/// The primary with the target's spec, and of its metadata what is included. The owner stays; in the peer the target's
/// owners replace it, and the primary outlives its canary.
pub(super) fn promoted(recipe: &Recipe<'_>, target: &Value, primary: &Value) -> Value {
    let Recipe { rollout, settings, flagger_id, .. } = recipe;
    let mut promoted = copy(rollout, &rollout.primary_key(), &target["spec"], Some(primary));
    let included = |key: &str| settings.includes(key) && is_copied_at_creation(key);
    for field in ["labels", "annotations"] {
        let mut wanted = filtered(&target["metadata"][field], included);
        if field == "annotations" {
            merge(&mut wanted, &toolkit_off());
            wanted[FLAGGER_ID] = json!(flagger_id);
        }
        put(&mut promoted["metadata"], field, managed(rollout, field, wanted, &primary["metadata"][field]));
    }
    promoted
}

/// The primary with a kept spec, and nothing else of it changed.
pub(super) fn restored(recipe: &Recipe<'_>, spec: &Value, primary: &Value) -> Value {
    let mut restored = copy(recipe.rollout, &recipe.rollout.primary_key(), spec, Some(primary));
    restored["metadata"]["annotations"][FLAGGER_ID] = json!(recipe.flagger_id);
    restored
}

/// The Service in front of the canary: the target's metadata and spec under another name. One that is not ours gets the
/// spec alone.
pub(super) fn canary(rollout: &Rollout, target: &Value, seen: Option<&Value>) -> Value {
    let mut canary = copy(rollout, &Role::Canary.key(rollout), &target["spec"], seen);
    if seen.is_none() {
        canary["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    }
    if seen.is_none_or(|seen| is_owned_by(seen, &rollout.uid)) {
        let seen = seen.map_or(&Value::Null, |seen| &seen["metadata"]);
        for (field, wanted) in cloned(target) {
            put(&mut canary["metadata"], field, managed(rollout, field, wanted, &seen[field]));
        }
    }
    canary
}

/// Whether the primary has this spec.
pub(super) fn runs(rollout: &Rollout, spec: &Value, primary: &Value) -> bool {
    are_alike(&copied_spec(rollout, spec, Some(primary)), &primary["spec"])
}

/// The target's labels and annotations, without what speaks of the target alone.
fn cloned(target: &Value) -> [(&'static str, Value); 2] {
    let of = |field: &str| filtered(&target["metadata"][field], is_copied_at_creation);
    let mut annotations = of("annotations");
    merge(&mut annotations, &toolkit_off());
    [("labels", of("labels")), ("annotations", annotations)]
}

fn copy(rollout: &Rollout, key: &ObjectKey, spec: &Value, seen: Option<&Value>) -> Value {
    let mut service = based_on(key, seen);
    service["spec"] = copied_spec(rollout, spec, seen);
    service
}

/// A spec for another Service than the one it is of. What the API server gave to the seen one stays.
fn copied_spec(rollout: &Rollout, spec: &Value, seen: Option<&Value>) -> Value {
    let mut copied = filtered(spec, |field| !UNIQUE.contains(&field));
    if spec["clusterIP"] == "None" {
        copied["clusterIP"] = json!("None");
    }
    if let Some(distribution) = &rollout.service.traffic_distribution {
        copied["trafficDistribution"] = json!(distribution);
    }
    let seen = seen.map_or(&Value::Null, |seen| &seen["spec"]);
    let given: &[&str] = if spec["type"] == "ExternalName" { &[] } else { &GIVEN };
    for field in given {
        if let Some(value) = seen.get(*field) {
            copied[*field] = value.clone();
        }
    }
    let mut ports = copied["ports"].as_array().cloned().unwrap_or_default();
    for port in &mut ports {
        put(port, "nodePort", Value::Null);
    }
    put(&mut copied, "ports", kept_ports(ports, &seen["ports"]));
    copied
}

#[cfg(test)]
mod tests;
