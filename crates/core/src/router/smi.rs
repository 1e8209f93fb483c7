//! The Service Mesh Interface (contract: routers §3): one TrafficSplit. It must not lose what it does not know.

use serde_json::{Value, json};

use super::adopted::{give_back, remember};
use super::{Router, Shares, owned};
use crate::object::{based_on, items, items_mut, put};
use crate::rollout::Rollout;
use crate::split::Split;
use crate::world::{Kind, ObjectKey, World};

pub mod bridge;
pub(super) mod row;

impl Kind {
    /// TrafficSplits, the newest version first: those that are written here, and one that is only read.
    pub const TRAFFIC_SPLITS: [Self; 4] = [
        Self::Route(&row::V1ALPHA4),
        Self::Route(&row::V1ALPHA3),
        Self::Route(&row::V1ALPHA2),
        Self::Route(&row::V1ALPHA1),
    ];
}

/// Where adapters for Istio look for the gateways, as a JSON list.
const GATEWAYS: &str = "VirtualService.v1alpha3.networking.istio.io/spec.gateways";

/// The router for TrafficSplits, of whatever version and mesh.
pub(super) struct Smi;

impl Router for Smi {
    fn reads(&self, rollout: &Rollout) -> Vec<ObjectKey> {
        self.route(rollout).into_iter().collect()
    }

    fn read(&self, rollout: &Rollout, world: &World) -> Result<Option<Split>, String> {
        let Some(seen) = world.look(&key(rollout))? else { return Ok(None) };
        let shares = shares(rollout, &seen["spec"]).ok_or_else(|| {
            let Rollout { apex, namespace, .. } = rollout;
            let (primary, canary) = (rollout.primary_service(), rollout.canary_service());
            format!("TrafficSplit {apex}.{namespace} does not contain routes for {primary} and {canary}")
        })?;
        Ok(Some(Split::with_canary(u8::try_from(shares.canary).unwrap_or(100))))
    }

    fn render(&self, rollout: &Rollout, world: &World, split: Split) -> Result<Vec<Value>, String> {
        let key = key(rollout);
        let seen = world.look(&key)?;
        let mut object = owned(rollout, &key, seen);
        object["spec"]["service"] = json!(rollout.service.hosts.first().unwrap_or(&rollout.apex));
        object["spec"]["backends"] = backends(rollout, split);
        annotate(rollout, &mut object);
        if let Some(seen) = seen {
            remember(rollout, &mut object, seen);
        }
        Ok(vec![object])
    }

    fn home(&self, rollout: &Rollout, world: &World) -> Vec<Value> {
        let Some(seen) = world.present(&key(rollout)) else { return Vec::new() };
        // A weight that cannot be read may be any.
        let canary = backend(&seen["spec"], &rollout.canary_service());
        if canary.is_none_or(|canary| thousandths(&canary["weight"]) == Some(0)) {
            return Vec::new();
        }
        let mut object = based_on(&key(rollout), Some(seen));
        lead_home(rollout, &mut object["spec"]);
        vec![object]
    }

    fn route(&self, rollout: &Rollout) -> Option<ObjectKey> {
        Some(key(rollout))
    }

    fn shares(&self, rollout: &Rollout, world: &World) -> Option<Shares> {
        shares(rollout, &world.present(&key(rollout))?["spec"])
    }

    fn made_beside(&self, _: &Rollout, _: &ObjectKey, _: &Value) -> Option<ObjectKey> {
        None
    }

    /// Nobody reports when a mesh has taken over a TrafficSplit; the drain delay has to cover it.
    fn accepted(&self, _: &Rollout, _: &World) -> Result<(), String> {
        Ok(())
    }

    fn finalize(&self, rollout: &Rollout, world: &World) -> Result<Vec<Value>, String> {
        give_back(rollout, world, &key(rollout))
    }
}

/// The TrafficSplit, in the version of the row.
fn key(rollout: &Rollout) -> ObjectKey {
    let kind = rollout.provider.row().kinds.first().copied().unwrap_or(&row::V1ALPHA1);
    rollout.key(Kind::Route(kind), &rollout.apex)
}

/// The canary's backend comes first, as in the contract.
fn backends(rollout: &Rollout, split: Split) -> Value {
    json!([
        {"service": rollout.canary_service(), "weight": weight(rollout, split.canary())},
        {"service": rollout.primary_service(), "weight": weight(rollout, split.primary())},
    ])
}

/// A weight as its version writes it: at first a quantity, later a number.
fn weight(rollout: &Rollout, percent: u8) -> Value {
    if key(rollout).kind == Kind::Route(&row::V1ALPHA1) { json!(percent.to_string()) } else { json!(percent) }
}

/// The gateways, for whoever makes Istio's routes of it.
fn annotate(rollout: &Rollout, object: &mut Value) {
    if !row::is_for_istio(rollout.provider.row()) {
        return;
    }
    let gateways = &rollout.service.gateways;
    let text = if gateways.is_empty() { Value::Null } else { json!(json!(gateways).to_string()) };
    let mut annotations = object["metadata"]["annotations"].clone();
    put(&mut annotations, GATEWAYS, text);
    put(&mut object["metadata"], "annotations", annotations);
}

/// What the two sets get of each hundred requests: weights are relative. None if neither gets any, or if a weight cannot be
/// read.
fn shares(rollout: &Rollout, spec: &Value) -> Option<Shares> {
    let weight = |service: &str| backend(spec, service).map_or(Some(0), |backend| thousandths(&backend["weight"]));
    let (primary, canary) = (weight(&rollout.primary_service())?, weight(&rollout.canary_service())?);
    let all = primary.checked_add(canary).filter(|all| *all > 0)?;
    let percent = (canary.checked_mul(100)? + all / 2) / all;
    // However little one of them gets, it is not nothing.
    let canary = if canary > 0 && primary > 0 { percent.clamp(1, 99) } else { percent };
    Some(Shares { primary: 100 - canary, canary })
}

fn backend<'a>(spec: &'a Value, service: &str) -> Option<&'a Value> {
    items(&spec["backends"]).find(|backend| backend["service"] == service)
}

/// A weight in thousandths, which a quantity may have. It may be missing, which is none.
fn thousandths(weight: &Value) -> Option<i64> {
    let whole = |number: i64| number.checked_mul(1000);
    let weight = match weight {
        Value::Null => Some(0),
        Value::Number(number) => number.as_i64().and_then(whole),
        Value::String(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse().ok(),
            None => text.parse().ok().and_then(whole),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    weight.filter(|weight| *weight >= 0)
}

/// The primary takes what both had, which is all where nobody else has any; a canary that stands alone becomes the primary.
/// Nothing of the canary's spec goes into it.
fn lead_home(rollout: &Rollout, spec: &mut Value) {
    let (primary, canary) = (rollout.primary_service(), rollout.canary_service());
    let is = |backend: &Value, service: &str| backend["service"] == service;
    let is_ours = |backend: &Value| is(backend, &primary) || is(backend, &canary);
    let has_primary = backend(spec, &primary).is_some();
    let is_shared = !items(&spec["backends"]).all(is_ours);
    let ours = items(&spec["backends"]).filter(|backend| is_ours(backend));
    let had: i64 = ours.filter_map(|backend| thousandths(&backend["weight"])).fold(0, i64::saturating_add) / 1000;
    let all = if is_shared && had > 0 { had } else { 100 };
    for backend in items_mut(spec.get_mut("backends")).filter(|backend| is_ours(backend)) {
        let goes = is(backend, &canary) && has_primary;
        let weight = if goes { 0 } else { all };
        backend["weight"] = if backend["weight"].is_string() { json!(weight.to_string()) } else { json!(weight) };
        if !goes {
            backend["service"] = json!(primary);
        }
    }
}

#[cfg(test)]
mod tests;
