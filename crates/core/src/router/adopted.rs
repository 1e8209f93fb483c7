//! Routes that a user had before a canary took them over: what they were is noted, and given back. It knows no router.

use serde_json::{Value, json};

use crate::object::{LAST_APPLIED, TOOLKIT_OFF, based_on, filtered, is_owned_by, last_applied, put};
use crate::reconcile::are_alike;
use crate::rollout::Rollout;
use crate::world::{ObjectKey, World};

/// What an adopted object was before (contract: api §4).
pub(super) const ORIGINAL: &str = "flagger.kubernetes.io/original-configuration";

/// Notes what an adopted object was. Only the first time: in the peer a later change overwrites the note.
pub(super) fn remember(rollout: &Rollout, object: &mut Value, seen: &Value) {
    let annotations = &seen["metadata"]["annotations"];
    let is_known = annotations.get(LAST_APPLIED).is_some() || annotations.get(ORIGINAL).is_some();
    if is_known || is_owned_by(seen, &rollout.uid) || are_alike(&object["spec"], &seen["spec"]) {
        return;
    }
    object["metadata"]["annotations"][ORIGINAL] = json!(seen["spec"].to_string());
}

/// An adopted object as it was before; nothing if there is none, or if it is the canary's own.
///
/// # Errors
/// For the user: nobody knows what it was.
pub(super) fn give_back(rollout: &Rollout, world: &World, key: &ObjectKey) -> Result<Vec<Value>, String> {
    let Some(seen) = world.look(key)? else { return Ok(Vec::new()) };
    if is_owned_by(seen, &rollout.uid) {
        return Ok(Vec::new());
    }
    let mut object = based_on(key, Some(seen));
    object["spec"] =
        original(seen).ok_or_else(|| format!("{key} original configuration not found, unable to revert"))?;
    let was_applied = last_applied(seen).unwrap_or_default()["metadata"]["annotations"].clone();
    let is_ours = |name: &str| name == ORIGINAL || TOOLKIT_OFF.iter().any(|(ours, _)| *ours == name);
    let theirs = |name: &str| !is_ours(name) || was_applied.get(name).is_some();
    put(&mut object["metadata"], "annotations", filtered(&seen["metadata"]["annotations"], theirs));
    Ok(vec![object])
}

/// The spec before it was adopted: as applied, or as noted.
fn original(seen: &Value) -> Option<Value> {
    let applied = last_applied(seen).map(|applied| applied["spec"].clone());
    let noted = || serde_json::from_str(seen["metadata"]["annotations"][ORIGINAL].as_str()?).ok();
    applied.filter(Value::is_object).or_else(noted)
}
