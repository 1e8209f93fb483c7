//! What becomes of Knative Services: each template makes a revision, which gets ready some seconds later or never, and the
//! traffic list is told as it holds. It knows no canary.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_api::Canary;
use burgee_core::digest::digest;
use burgee_core::object::items;
use burgee_core::rollout::Rollout;
use burgee_core::workload::{self, Side};
use burgee_core::world::{Kind, ObjectKey, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::Behaviour;

/// The label by which a revision names its Service.
const OF_SERVICE: &str = "serving.knative.dev/service";

#[derive(Clone, Debug)]
struct Revision {
    template: String,
    name: String,
    ready_at: Option<Timestamp>,
}

impl Revision {
    fn is_ready(&self, now: Timestamp) -> bool {
        self.ready_at.is_some_and(|at| at <= now)
    }
}

/// The controller of all Knative Services.
#[derive(Clone, Debug, Default)]
pub struct Knative {
    made: BTreeMap<ObjectKey, Vec<Revision>>,
}

impl Knative {
    /// Brings revisions and reported statuses to where they are at `now`.
    pub(crate) fn settle(&mut self, cluster: &mut Cluster, behaviour: &Behaviour, now: Timestamp) {
        let services = cluster.of_kind(Kind::KnativeService).map(|(key, object)| (key.clone(), Arc::clone(object)));
        let services: Vec<(ObjectKey, Arc<Value>)> = services.collect();
        for (key, service) in services {
            self.stamp(cluster, behaviour, (&key, &service), now);
            let made = self.made.get(&key).map_or(&[][..], Vec::as_slice);
            for revision in made {
                let ready = if revision.is_ready(now) { "True" } else { "Unknown" };
                let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
                cluster.report(&revision_key(&key, &revision.name), status);
            }
            cluster.report(&key, status(&service, made, now));
        }
    }

    /// When revisions get ready.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Timestamp> {
        self.made.values().flatten().filter_map(|revision| revision.ready_at)
    }

    /// Makes a revision of a template that is new.
    fn stamp(
        &mut self,
        cluster: &mut Cluster,
        behaviour: &Behaviour,
        (key, service): (&ObjectKey, &Value),
        now: Timestamp,
    ) {
        let template = digest(&service["spec"]["template"]);
        let made = self.made.entry(key.clone()).or_insert_with(|| found(cluster, key, service, now));
        if made.last().is_some_and(|last| last.template == template) {
            return;
        }
        let name = format!("{}-{:05}", key.name, made.len() + 1);
        let object = json!({"apiVersion": Kind::KnativeRevision.api_version(), "kind": Kind::KnativeRevision.name(),
            "metadata": {"name": name, "namespace": key.namespace, "labels": {(OF_SERVICE): key.name},
                "ownerReferences": [{"kind": "Service", "name": key.name, "uid": service["metadata"]["uid"]}]},
            "spec": service["spec"]["template"]["spec"]});
        let stuck = behaviour.is_stuck(&key.name, &service["spec"]["template"].to_string());
        let ready_at = now.saturating_add(SignedDuration::from_secs(behaviour.ready_after_seconds)).ok();
        if cluster.create(object).is_ok() {
            made.push(Revision { template, name, ready_at: ready_at.filter(|_| !stuck) });
        }
    }
}

/// The revisions that were there before the play, all of them ready. The last one is the template's if they are alike.
fn found(cluster: &Cluster, key: &ObjectKey, service: &Value, now: Timestamp) -> Vec<Revision> {
    let is_its = |revision: &Value| revision["metadata"]["labels"][OF_SERVICE] == *key.name;
    let revisions = cluster.of_kind(Kind::KnativeRevision).filter(|(known, _)| known.namespace == key.namespace);
    let revisions = revisions.filter(|(_, revision)| is_its(revision)).map(|(known, revision)| Revision {
        template: if revision["spec"] == service["spec"]["template"]["spec"] {
            digest(&service["spec"]["template"])
        } else {
            known.name.clone()
        },
        name: known.name.clone(),
        ready_at: Some(now),
    });
    revisions.collect()
}

fn revision_key(service: &ObjectKey, name: &str) -> ObjectKey {
    ObjectKey::new(Kind::KnativeRevision, &service.namespace, name)
}

/// What Knative tells of a Service: its newest revisions, and the traffic with the name behind "latest".
fn status(service: &Value, made: &[Revision], now: Timestamp) -> Value {
    let created = made.last().map(|revision| revision.name.as_str());
    let ready = made.iter().rev().find(|revision| revision.is_ready(now)).map(|revision| revision.name.as_str());
    let latest = json!([{"latestRevision": true, "percent": 100}]);
    let wanted = if service["spec"]["traffic"].is_array() { &service["spec"]["traffic"] } else { &latest };
    let traffic: Vec<Value> = items(wanted)
        .map(|entry| {
            let mut entry = entry.clone();
            if entry["latestRevision"] == true {
                entry["revisionName"] = json!(ready);
            }
            entry
        })
        .collect();
    json!({
        "observedGeneration": service["metadata"]["generation"],
        "latestCreatedRevisionName": created,
        "latestReadyRevisionName": ready,
        "traffic": if ready.is_some() { traffic } else { Vec::new() },
        "conditions": [{"type": "Ready", "status": if created == ready { "True" } else { "Unknown" }}],
    })
}

/// Ready pods of one side of a Knative Service: one if its revision is ready.
pub fn ready(cluster: &Cluster, rollout: &Rollout, side: Side) -> i64 {
    let mut world = World::new(Canary::default());
    world.insert(rollout.target_key(), cluster.observe(&rollout.target_key()));
    if let Some(key) = workload::revision(rollout, &world, side) {
        world.insert(key.clone(), cluster.observe(&key));
    }
    workload::ready_on(rollout, &world, side)
}
