//! What becomes of Deployments and DaemonSets: pods get ready some seconds after they are made, or never. It knows no canary.

use std::collections::{BTreeMap, BTreeSet};

use burgee_core::digest::digest;
use burgee_core::world::{Kind, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;

mod daemonset;

/// How pods behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Seconds from a pod's making to its readiness.
    pub ready_after_seconds: i64,
    /// New pods of the Deployments of these names never get ready if their template mentions this text.
    pub stuck: BTreeSet<(String, String)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { ready_after_seconds: 3, stuck: BTreeSet::new() }
    }
}

impl Behaviour {
    fn is_stuck(&self, name: &str, template: &str) -> bool {
        self.stuck.iter().any(|(stuck, mention)| stuck == name && template.contains(mention.as_str()))
    }
}

#[derive(Clone, Debug)]
struct Pod {
    template: String,
    ready_at: Option<Timestamp>,
}

/// The pods of all Deployments and DaemonSets.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// How pods behave from now on.
    pub behaviour: Behaviour,
    pods: BTreeMap<ObjectKey, Vec<Pod>>,
    unavailable_since: BTreeMap<ObjectKey, Timestamp>,
    rolling_until: BTreeMap<ObjectKey, (String, Timestamp)>,
}

impl Workloads {
    /// Brings pods and reported statuses to where they are at `now`.
    pub fn settle(&mut self, cluster: &mut Cluster, now: Timestamp) {
        let deployments: Vec<(ObjectKey, Value)> = cluster
            .iter()
            .filter(|(key, _)| key.kind == Kind::Deployment)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        self.settle_daemonsets(cluster, now);
        for (key, deployment) in deployments {
            self.roll(&key, &deployment, now);
            let status = self.status(&key, &deployment, now);
            cluster.report(&key, status);
        }
    }

    /// When the next pod gets ready or a deadline passes.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let deadlines = self.rolling_until.values().map(|(_, until)| *until);
        let pods = self.pods.values().flatten().filter_map(|pod| pod.ready_at);
        pods.chain(deadlines).filter(|at| *at > now).min()
    }

    /// Pods of a Deployment or DaemonSet that are ready.
    pub fn ready(&self, key: &ObjectKey, now: Timestamp) -> usize {
        self.pods.get(key).into_iter().flatten().filter(|pod| is_ready(pod, now)).count()
    }

    /// A rolling update in one stride: new pods are made at once, old ones stay until as many new ones are ready.
    fn roll(&mut self, key: &ObjectKey, deployment: &Value, now: Timestamp) {
        let wanted = usize::try_from(deployment["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
        let template = digest(&deployment["spec"]["template"]);
        let stuck = self.behaviour.is_stuck(&key.name, &deployment["spec"]["template"].to_string());
        let ready_at = now.saturating_add(SignedDuration::from_secs(self.behaviour.ready_after_seconds)).ok();
        let pods = self.pods.entry(key.clone()).or_default();
        let fresh = pods.iter().filter(|pod| pod.template == template).count();
        for _ in fresh..wanted {
            let ready_at = if stuck { None } else { ready_at };
            pods.push(Pod { template: template.clone(), ready_at });
        }
        let ready = pods.iter().filter(|pod| pod.template == template && is_ready(pod, now)).count();
        let mut surplus_fresh = fresh.saturating_sub(wanted);
        let mut old_to_keep = wanted.saturating_sub(ready);
        pods.retain(|pod| {
            let counter = if pod.template == template { &mut surplus_fresh } else { &mut old_to_keep };
            let keeps = (*counter == 0) == (pod.template == template);
            *counter = counter.saturating_sub(1);
            keeps
        });
    }

    fn status(&mut self, key: &ObjectKey, deployment: &Value, now: Timestamp) -> Value {
        let template = digest(&deployment["spec"]["template"]);
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let pods = self.pods.get(key).cloned().unwrap_or_default();
        let ready = pods.iter().filter(|pod| is_ready(pod, now)).count();
        let updated: Vec<&Pod> = pods.iter().filter(|pod| pod.template == template).collect();
        let is_available = i64::try_from(ready).unwrap_or(i64::MAX) >= wanted;
        if is_available {
            self.unavailable_since.remove(key);
        }
        let since = if is_available { now } else { *self.unavailable_since.entry(key.clone()).or_insert(now) };
        let is_done = updated.len() == pods.len() && ready >= updated.len();
        let progress = self.progress(key, deployment, (&template, is_done), now);
        let (available, reason) =
            if is_available { ("True", "MinimumReplicasAvailable") } else { ("False", "MinimumReplicasUnavailable") };
        let since = if is_available { String::new() } else { format!("{since:.0}") };
        json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": pods.len(),
            "updatedReplicas": updated.len(),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [
                {"type": "Available", "status": available, "reason": reason, "lastUpdateTime": since},
                progress,
            ],
        })
    }

    /// The controller gives up a rolling update after the Deployment's own deadline.
    fn progress(
        &mut self,
        key: &ObjectKey,
        deployment: &Value,
        (template, is_done): (&str, bool),
        now: Timestamp,
    ) -> Value {
        if is_done {
            self.rolling_until.remove(key);
            return json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"});
        }
        let seconds = deployment["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600);
        let until = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let rolling = self.rolling_until.entry(key.clone()).or_insert((template.to_owned(), until));
        if rolling.0 != template {
            *rolling = (template.to_owned(), until);
        }
        if rolling.1 <= now {
            return json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
        }
        json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"})
    }
}

fn is_ready(pod: &Pod, now: Timestamp) -> bool {
    pod.ready_at.is_some_and(|at| at <= now)
}
