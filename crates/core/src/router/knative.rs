//! Knative (contract: routers §14): the traffic list of the target itself. It must not lose what others want of it.

use serde_json::{Value, json};

use super::{Router, Shares};
use crate::object::{based_on, filtered, items, last_applied, put};
use crate::rollout::Rollout;
use crate::split::Split;
use crate::workload::knative::{PRIMARY, named};
use crate::world::{ObjectKey, World};

pub(super) mod row;

/// The router for Knative.
pub(super) struct Knative;

impl Router for Knative {
    fn reads(&self, rollout: &Rollout) -> Vec<ObjectKey> {
        vec![rollout.target_key()]
    }

    /// The split that is wanted. What Knative has made of it is for [`Self::accepted`].
    fn read(&self, rollout: &Rollout, world: &World) -> Result<Option<Split>, String> {
        let Some(service) = world.look(&rollout.target_key())? else { return Ok(None) };
        if named(service).is_null() {
            return Ok(None);
        }
        entries(&service["spec"]["traffic"]).map(|entries| Some(entries.split)).ok_or_else(|| invalid(rollout))
    }

    fn render(&self, rollout: &Rollout, world: &World, split: Split) -> Result<Vec<Value>, String> {
        let Some(service) = world.look(&rollout.target_key())? else { return Ok(Vec::new()) };
        let primary = named(service);
        if primary.is_null() {
            let Rollout { target, namespace, .. } = rollout;
            return Err(format!("Knative Service {}.{namespace} annotation {PRIMARY} not found", target.name));
        }
        let seen = &service["spec"]["traffic"];
        let is_there = entries(seen).is_some_and(|entries| entries.split == split && *entries.primary == primary);
        let mut service = based_on(&rollout.target_key(), Some(service));
        if !is_there {
            service["spec"]["traffic"] = traffic(seen, &primary, split);
        }
        Ok(vec![service])
    }

    /// The list names its revisions itself.
    fn home(&self, rollout: &Rollout, world: &World) -> Vec<Value> {
        self.render(rollout, world, Split::PRIMARY).unwrap_or_default()
    }

    /// The split stands in the target.
    fn route(&self, _: &Rollout) -> Option<ObjectKey> {
        None
    }

    fn shares(&self, rollout: &Rollout, world: &World) -> Option<Shares> {
        let split = self.read(rollout, world).ok().flatten()?;
        Some(Shares { primary: i64::from(split.primary()), canary: i64::from(split.canary()) })
    }

    fn made_beside(&self, _: &Rollout, _: &ObjectKey, _: &Value) -> Option<ObjectKey> {
        None
    }

    fn accepted(&self, rollout: &Rollout, world: &World) -> Result<(), String> {
        let Some(service) = world.look(&rollout.target_key())? else { return Ok(()) };
        let lags = service["metadata"]["generation"].as_i64() > service["status"]["observedGeneration"].as_i64();
        if lags || entries(&service["status"]["traffic"]) != entries(&service["spec"]["traffic"]) {
            let Rollout { target, namespace, .. } = rollout;
            return Err(format!("Knative Service {}.{namespace} has not taken over its traffic yet", target.name));
        }
        Ok(())
    }

    /// Without the annotation, and with the traffic that was applied; without any, Knative gives all to the latest revision.
    /// In the peer the traffic stays where it is, and no later revision ever gets any.
    fn finalize(&self, rollout: &Rollout, world: &World) -> Result<Vec<Value>, String> {
        let Some(service) = world.look(&rollout.target_key())? else { return Ok(Vec::new()) };
        let mut object = based_on(&rollout.target_key(), Some(service));
        let annotations = filtered(&service["metadata"]["annotations"], |key| key != PRIMARY);
        put(&mut object["metadata"], "annotations", annotations);
        let applied = last_applied(service).unwrap_or_default()["spec"]["traffic"].clone();
        if applied.is_array() || object["spec"]["traffic"] != json!([{"latestRevision": true, "percent": 100}]) {
            put(&mut object["spec"], "traffic", applied);
        }
        Ok(vec![object])
    }
}

fn invalid(rollout: &Rollout) -> String {
    format!("Knative Service {}.{} traffic spec invalid", rollout.target.name, rollout.namespace)
}

/// What a traffic list gives to the two revisions.
#[derive(Debug, PartialEq)]
struct Entries<'a> {
    split: Split,
    /// Name of the primary revision.
    primary: &'a Value,
}

/// An entry with a tag gives a revision an address of its own. Those are the user's.
fn is_tagged(entry: &Value) -> bool {
    entry["tag"].as_str().is_some_and(|tag| !tag.is_empty())
}

fn entries(traffic: &Value) -> Option<Entries<'_>> {
    let ours = || items(traffic).filter(|entry| !is_tagged(entry));
    let latest = ours().find(|entry| entry["latestRevision"] == true)?;
    let pinned = ours().find(|entry| entry["latestRevision"] != true && entry["revisionName"].is_string())?;
    let (canary, primary) = (latest["percent"].as_u64()?, pinned["percent"].as_u64()?);
    if canary + primary != 100 || ours().count() != 2 {
        return None;
    }
    Some(Entries { split: Split::with_canary(u8::try_from(canary).ok()?), primary: &pinned["revisionName"] })
}

/// Our two entries, and those of others without any share.
fn traffic(seen: &Value, primary: &Value, split: Split) -> Value {
    let mut list = vec![
        json!({"latestRevision": true, "percent": split.canary()}),
        json!({"revisionName": primary, "percent": split.primary()}),
    ];
    for tagged in items(seen).filter(|entry| is_tagged(entry)) {
        let mut tagged = tagged.clone();
        if tagged["percent"].as_u64().unwrap_or(0) > 0 {
            tagged["percent"] = json!(0);
        }
        list.push(tagged);
    }
    Value::Array(list)
}

#[cfg(test)]
mod tests;
