//! HorizontalPodAutoscalers (`autoscaling/v2`). It must not read anything of the cluster but the two objects.

use serde_json::{Value, json};

use super::Bounds;
use crate::object::{filtered, is_toolkit, put};
use crate::rollout::Rollout;

/// Where the limits stand.
pub(super) const BOUNDS: Bounds = Bounds { minimum: "minReplicas", maximum: "maxReplicas", least: 1, most: i64::MAX };

/// Makes the primary's autoscaler follow the target's (contract: lifecycle §8). Annotations stay behind.
pub(super) fn follow(rollout: &Rollout, scaler: &mut Value, source: &Value) {
    put(&mut scaler["metadata"], "labels", filtered(&source["metadata"]["labels"], |key| !is_toolkit(key)));
    scaler["spec"] = source["spec"].clone();
    scaler["spec"]["scaleTargetRef"]["name"] = json!(rollout.primary_name());
}
