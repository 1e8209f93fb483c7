//! How somebody writes an object on a stage.

use burgee_core::rollout::Rollout;
use burgee_core::world::ObjectKey;
use serde_json::{Value, json};

use crate::stage::Stage;

/// Whether there was anything to do it to.
pub(crate) type Done = Result<bool, String>;

/// What the canary means, if it can be meant.
pub(crate) fn rollout(stage: &mut Stage) -> Option<Rollout> {
    stage.reading()?.rollout.as_ref().ok().cloned()
}

/// Patches an object; one that is not there is left alone.
pub(crate) fn patch(stage: &mut Stage, key: &ObjectKey, pointer: &str, value: &Value) -> Done {
    if stage.cluster.get(key).is_none() {
        return Ok(false);
    }
    let operations = json!([{"op": "add", "path": pointer, "value": value}]);
    stage.cluster.patch(key, &operations).map_err(|refusal| format!("{pointer} of {key}: {refusal}")).map(|()| true)
}
