//! HorizontalPodAutoscalers (`autoscaling/v2`). It must not read anything of the cluster but the two objects.

use serde_json::{Value, json};

use super::query::Names;
use super::{Bounds, Source};
use crate::object::{LAST_APPLIED, filtered, is_toolkit, put};
use crate::rollout::Rollout;

/// Where the limits stand.
pub(super) const BOUNDS: Bounds = Bounds { minimum: "minReplicas", maximum: "maxReplicas", least: 1, most: i64::MAX };

/// Makes the primary's autoscaler follow the target's (contract: lifecycle §8; S53). In the peer annotations stay behind,
/// which tell metrics adapters what to ask.
pub(super) fn follow(rollout: &Rollout, scaler: &mut Value, source: &Source<'_>) {
    let names = Names::of(rollout, source);
    let source = source.object;
    put(&mut scaler["metadata"], "labels", filtered(&source["metadata"]["labels"], |key| !is_toolkit(key)));
    let mut annotations = filtered(&source["metadata"]["annotations"], is_copied);
    for (key, value) in annotations.as_object_mut().into_iter().flatten() {
        let query = value.as_str().filter(|_| is_query(key));
        if let Some(pointed) = query.and_then(|query| names.pointed("prometheus", query)) {
            *value = json!(pointed);
        }
    }
    put(&mut scaler["metadata"], "annotations", annotations);
    scaler["spec"] = source["spec"].clone();
    scaler["spec"]["scaleTargetRef"]["name"] = json!(rollout.primary_name());
}

/// What others say of the target's autoscaler alone stays behind.
fn is_copied(key: &str) -> bool {
    !is_toolkit(key)
        && key != LAST_APPLIED
        && !key.starts_with("autoscaling.alpha.kubernetes.io/")
        && !key.starts_with("argocd.argoproj.io/")
}

/// Whether an annotation holds a query for the adapter of Prometheus (`metric-config.…/query`).
fn is_query(key: &str) -> bool {
    key.starts_with("metric-config.") && key.ends_with("prometheus/query")
}
