//! What belongs to the other canaries of a cluster: what their specs name, and what is kept for them. One that is refused
//! because an older one claims the same has nothing but itself. It judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_api::Canary;
use burgee_core::claims::Claim;
use burgee_core::dependencies;
use burgee_core::object::is_owned_by;
use burgee_core::rollout::Rollout;
use burgee_core::settings::Settings;
use burgee_core::world::{Kind, ObjectKey};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Cluster;

/// The objects of all canaries but one.
#[derive(Clone, Debug, Default)]
pub struct Others {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
}

impl Others {
    /// Nothing.
    pub const NONE: &Self = &Self { objects: BTreeMap::new() };

    /// What belongs to canaries other than this one; none if there are no others.
    pub fn of(cluster: &Cluster, canary: &ObjectKey, settings: &Settings) -> Option<Arc<Self>> {
        let mut others = cluster.of_kind(Kind::Canary).filter(|(key, _)| *key != canary).peekable();
        others.peek()?;
        let mut objects = BTreeMap::new();
        for (key, other) in others {
            let belongings = belongings(cluster, key, other, settings).into_iter().chain([key.clone()]);
            objects.extend(belongings.filter_map(|key| Some((key.clone(), Arc::clone(cluster.shared(&key)?)))));
        }
        Some(Arc::new(Self { objects }))
    }

    /// An object that is not the same in both.
    pub fn difference<'a>(&'a self, later: &'a Self) -> Option<&'a ObjectKey> {
        let is_same = |key: &ObjectKey, object: &Arc<Value>| {
            later.objects.get(key).is_some_and(|later| Arc::ptr_eq(object, later))
        };
        let changed = self.objects.iter().find(|(key, object)| !is_same(key, object)).map(|(key, _)| key);
        changed.or_else(|| later.objects.keys().find(|key| !self.objects.contains_key(key)))
    }
}

fn belongings(cluster: &Cluster, key: &ObjectKey, canary: &Value, settings: &Settings) -> Vec<ObjectKey> {
    let uid = canary["metadata"]["uid"].as_str().unwrap_or_default();
    let kept = cluster.of_kind(Kind::ControllerRevision).filter(|(_, kept)| is_owned_by(kept, uid));
    let kept = kept.map(|(key, _)| key.clone());
    let rivals: Vec<Claim> =
        cluster.of_kind(Kind::Canary).filter(|(other, _)| *other != key).map(|(_, other)| Claim::of(other)).collect();
    let is_refused = Claim::of(canary).rival(rivals.iter(), settings).is_some();
    let read: Option<Canary> = Deserialize::deserialize(canary).ok().filter(|_| !is_refused);
    let rollout = read.and_then(|canary| Rollout::parse(&canary, settings).ok());
    kept.chain(rollout.iter().flat_map(dependencies::objects)).collect()
}
