//! Autoscalers: HPAs and those of KEDA keep their workloads between their limits, at the number that the load
//! wants. It knows no canary.

use std::collections::BTreeMap;

use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// KEDA's annotation that keeps a workload at a number of pods.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

/// How many pods the load wants, by the names of the workloads. Without a wish the number stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Scalers {
    /// Whether there are autoscalers at all. In a scenario somebody plays their part.
    pub are_at_work: bool,
    /// The wishes from now on.
    pub wanted: BTreeMap<String, i64>,
}

impl Scalers {
    /// Scales what is out of its limits, or not where the load wants it.
    pub fn settle(&self, cluster: &mut Cluster) {
        if !self.are_at_work {
            return;
        }
        let mut moves = BTreeMap::new();
        for kind in [Kind::HorizontalPodAutoscaler, Kind::ScaledObject] {
            for (key, scaler) in cluster.of_kind(kind) {
                let Some((workload, replicas)) = self.scale(cluster, key, scaler) else { continue };
                // Two of them would scale one workload up and down for ever, if only now and then; here the first one wins.
                moves.entry(workload).or_insert(replicas);
            }
        }
        for (key, replicas) in moves {
            if cluster.get(&key).is_some_and(|workload| workload["spec"]["replicas"].as_i64().unwrap_or(1) == replicas)
            {
                continue;
            }
            let operations = json!([{"op": "add", "path": "/spec/replicas", "value": replicas}]);
            // Somebody who deletes the workload at the same instant makes this pointless, not wrong.
            let _ = cluster.patch(&key, &operations);
        }
    }

    fn scale(&self, cluster: &Cluster, key: &ObjectKey, scaler: &Value) -> Option<(ObjectKey, i64)> {
        let name = scaler["spec"]["scaleTargetRef"]["name"].as_str()?;
        let target = ObjectKey::new(Kind::Deployment, &key.namespace, name);
        let replicas = cluster.get(&target)?["spec"]["replicas"].as_i64().unwrap_or(1);
        let wanted = self.wanted.get(name).copied().unwrap_or(replicas);
        let is_keda = key.kind == Kind::ScaledObject;
        let replicas_then = if is_keda { keda(scaler, wanted) } else { hpa(scaler, replicas, wanted) };
        Some((target, replicas_then))
    }
}

/// An HPA is inactive while its workload has no replicas.
fn hpa(scaler: &Value, replicas: i64, wanted: i64) -> i64 {
    if replicas == 0 {
        return 0;
    }
    let spec = &scaler["spec"];
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    wanted.min(spec["maxReplicas"].as_i64().unwrap_or(10)).max(least)
}

/// KEDA with an active trigger wakes its workload from zero, unless it is paused.
fn keda(scaler: &Value, wanted: i64) -> i64 {
    let paused = scaler["metadata"]["annotations"][PAUSED].as_str().and_then(|text| text.parse().ok());
    if let Some(paused) = paused {
        return paused;
    }
    let spec = &scaler["spec"];
    let least = spec["minReplicaCount"].as_i64().unwrap_or(0).max(1);
    wanted.min(spec["maxReplicaCount"].as_i64().unwrap_or(100)).max(least)
}
