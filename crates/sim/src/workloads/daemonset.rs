//! What becomes of DaemonSets: one pod on each node, replaced one at a time. It knows no canary.

use burgee_core::digest::digest;
use burgee_core::rollout::TargetKind;
use burgee_core::workload::is_scaled_to_zero;
use burgee_core::world::{Kind, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Pod, Workloads, is_ready};
use crate::cluster::Cluster;

/// Nodes of the cluster. None has the label that a DaemonSet without pods asks for.
const NODES: usize = 2;

impl Workloads {
    pub(super) fn settle_daemonsets(&mut self, cluster: &mut Cluster, now: Timestamp) {
        let daemonsets: Vec<(ObjectKey, Value)> = cluster
            .iter()
            .filter(|(key, _)| key.kind == Kind::DaemonSet)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, daemonset) in daemonsets {
            self.replace_one(&key, &daemonset, now);
            let status = self.daemonset_status(&key, &daemonset, now);
            cluster.report(&key, status);
        }
    }

    /// A node without a pod gets one; an old pod goes when it is not ready anyway, or when all are.
    fn replace_one(&mut self, key: &ObjectKey, daemonset: &Value, now: Timestamp) {
        let template = digest(&daemonset["spec"]["template"]);
        let stuck = self.behaviour.is_stuck(&key.name, &daemonset["spec"]["template"].to_string());
        let ready_at = now.saturating_add(SignedDuration::from_secs(self.behaviour.ready_after_seconds)).ok();
        let pod = Pod { template: template.clone(), ready_at: ready_at.filter(|_| !stuck) };
        let pods = self.pods.entry(key.clone()).or_default();
        pods.resize(nodes(daemonset), pod.clone());
        let all_are_ready = pods.iter().all(|pod| is_ready(pod, now));
        let may_go = |old: &&mut Pod| old.template != template && (all_are_ready || !is_ready(old, now));
        if let Some(old) = pods.iter_mut().find(may_go) {
            *old = pod;
        }
    }

    fn daemonset_status(&self, key: &ObjectKey, daemonset: &Value, now: Timestamp) -> Value {
        let template = digest(&daemonset["spec"]["template"]);
        let pods = self.pods.get(key).cloned().unwrap_or_default();
        let ready = self.ready(key, now);
        json!({
            "observedGeneration": daemonset["metadata"]["generation"],
            "desiredNumberScheduled": nodes(daemonset),
            "currentNumberScheduled": pods.len(),
            "updatedNumberScheduled": pods.iter().filter(|pod| pod.template == template).count(),
            "numberReady": ready,
            "numberAvailable": ready,
        })
    }
}

/// Nodes on which the DaemonSet wants a pod.
fn nodes(daemonset: &Value) -> usize {
    if is_scaled_to_zero(TargetKind::DaemonSet, daemonset) { 0 } else { NODES }
}
