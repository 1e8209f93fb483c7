//! HorizontalPodAutoscalers (`autoscaling/v2`). It must not read anything of the cluster but the two objects.

use serde_json::{Value, json};

use super::Sync;
use crate::object::{based_on, filtered, is_toolkit, put};
use crate::rollout::Rollout;
use crate::world::ObjectKey;

/// On the primary's autoscaler while its minimum is raised: the minimum that it goes back to.
const COPIED_MINIMUM: &str = "flagger.app/copied-min-replicas";

/// The primary's autoscaler without any floor.
pub(super) fn primary_scaler(
    rollout: &Rollout,
    key: &ObjectKey,
    source: &Value,
    seen: Option<&Value>,
    sync: Sync,
) -> Value {
    match (seen, sync) {
        (Some(seen), Sync::CreateOnly) => released(based_on(key, Some(seen))),
        (None, Sync::CreateOnly | Sync::Full) | (Some(_), Sync::Full) => {
            released(copied(rollout, based_on(key, seen), source))
        }
    }
}

fn copied(rollout: &Rollout, mut scaler: Value, source: &Value) -> Value {
    if scaler["spec"].is_null() {
        scaler["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    }
    put(&mut scaler["metadata"], "labels", filtered(&source["metadata"]["labels"], |key| !is_toolkit(key)));
    forget_minimum(&mut scaler);
    scaler["spec"] = source["spec"].clone();
    scaler["spec"]["scaleTargetRef"]["name"] = json!(rollout.primary_name());
    let limits = rollout.scaler.as_ref().and_then(|scaler| scaler.primary_scaler_replicas).unwrap_or_default();
    for (field, limit) in [("minReplicas", limits.min_replicas), ("maxReplicas", limits.max_replicas)] {
        if let Some(limit) = limit {
            scaler["spec"][field] = json!(limit);
        }
    }
    scaler
}

/// Takes back a floor: the minimum is again what was copied.
fn released(mut scaler: Value) -> Value {
    let copied = scaler["metadata"]["annotations"][COPIED_MINIMUM].as_str().and_then(|text| text.parse::<i64>().ok());
    if let Some(minimum) = copied {
        scaler["spec"]["minReplicas"] = json!(minimum);
    }
    forget_minimum(&mut scaler);
    scaler
}

fn forget_minimum(scaler: &mut Value) {
    let annotations = filtered(&scaler["metadata"]["annotations"], |key| key != COPIED_MINIMUM);
    put(&mut scaler["metadata"], "annotations", annotations);
}

/// Raises the minimum to a floor, within the maximum, and notes what it was (S13). The note is what survives a crash.
pub(super) fn held(mut scaler: Value, floor: Option<i64>) -> Value {
    let minimum = scaler["spec"]["minReplicas"].as_i64().unwrap_or(1);
    let maximum = scaler["spec"]["maxReplicas"].as_i64().unwrap_or(i64::MAX);
    let raised = floor.unwrap_or(0).min(maximum);
    if raised > minimum {
        scaler["spec"]["minReplicas"] = json!(raised);
        scaler["metadata"]["annotations"][COPIED_MINIMUM] = json!(minimum.to_string());
    }
    scaler
}
