//! Istio (contract: routers §2): two DestinationRules and a VirtualService. It must not lose what it does not know.

use burgee_api::CanaryStatus;
use serde_json::{Value, json};

use super::adopted::{give_back, remember};
use super::{Router, Shares, owned};
use crate::object::{based_on, merge, put, toolkit_off};
use crate::rollout::Rollout;
use crate::split::Split;
use crate::world::{Kind, ObjectKey, World};

mod affinity;
mod routes;
pub(super) mod row;

impl Kind {
    /// `networking.istio.io/v1beta1` VirtualService.
    pub const VIRTUAL_SERVICE: Self = Self::Route(&row::VIRTUAL_SERVICE);
    /// `networking.istio.io/v1beta1` DestinationRule.
    pub const DESTINATION_RULE: Self = Self::Route(&row::DESTINATION_RULE);
}

/// The router for Istio.
pub(super) struct Istio;

impl Router for Istio {
    fn reads(&self, rollout: &Rollout) -> Vec<ObjectKey> {
        vec![
            rollout.key(Kind::DESTINATION_RULE, &rollout.canary_service()),
            rollout.key(Kind::DESTINATION_RULE, &rollout.primary_service()),
            key(rollout),
        ]
    }

    fn read(&self, rollout: &Rollout, world: &World) -> Result<Option<Split>, String> {
        match world.look(&key(rollout))? {
            None => Ok(None),
            Some(seen) => routes::read(rollout, &seen["spec"]).map(Some).ok_or_else(|| {
                let Rollout { apex, namespace, .. } = rollout;
                format!(
                    "VirtualService {apex}.{namespace} does not contain routes for {apex}-primary and {apex}-canary"
                )
            }),
        }
    }

    fn render(&self, rollout: &Rollout, world: &World, split: Split) -> Result<Vec<Value>, String> {
        let mut objects = Vec::new();
        for name in [rollout.canary_service(), rollout.primary_service()] {
            let key = rollout.key(Kind::DESTINATION_RULE, &name);
            objects.push(destination_rule(rollout, &key, world.look(&key)?));
        }
        let status = world.canary.status.clone().unwrap_or_default();
        objects.push(virtual_service(rollout, &status, world.look(&key(rollout))?, split)?);
        Ok(objects)
    }

    fn home(&self, rollout: &Rollout, world: &World) -> Vec<Value> {
        let Some(seen) = world.present(&key(rollout)) else { return Vec::new() };
        let mut object = based_on(&key(rollout), Some(seen));
        if routes::lead_home(rollout, &mut object["spec"]) { vec![object] } else { Vec::new() }
    }

    fn route(&self, rollout: &Rollout) -> Option<ObjectKey> {
        Some(key(rollout))
    }

    fn shares(&self, rollout: &Rollout, world: &World) -> Option<Shares> {
        Some(routes::shares(rollout, &world.present(&key(rollout))?["spec"]))
    }

    /// A DestinationRule names the Service that it is for.
    fn made_beside(&self, rollout: &Rollout, key: &ObjectKey, object: &Value) -> Option<ObjectKey> {
        let is_rule = key.kind == Kind::DESTINATION_RULE && object["spec"]["host"] == key.name.as_str();
        is_rule.then(|| rollout.key(Kind::Service, &key.name))
    }

    /// Istio does not report when proxies have taken over a route; the drain delay has to cover it.
    fn accepted(&self, _: &Rollout, _: &World) -> Result<(), String> {
        Ok(())
    }

    fn finalize(&self, rollout: &Rollout, world: &World) -> Result<Vec<Value>, String> {
        give_back(rollout, world, &key(rollout))
    }
}

fn key(rollout: &Rollout) -> ObjectKey {
    rollout.key(Kind::VIRTUAL_SERVICE, &rollout.apex)
}

fn destination_rule(rollout: &Rollout, key: &ObjectKey, seen: Option<&Value>) -> Value {
    let mut rule = owned(rollout, key, seen);
    rule["spec"]["host"] = json!(key.name);
    put(&mut rule["spec"], "trafficPolicy", rollout.service_json["trafficPolicy"].clone());
    rule
}

/// The VirtualService for a split. Of one that is there, metadata of others and fields of `spec` besides hosts, gateways
/// and routes stay; the peer drops both.
fn virtual_service(
    rollout: &Rollout,
    status: &CanaryStatus,
    seen: Option<&Value>,
    split: Split,
) -> Result<Value, String> {
    let mut object = owned(rollout, &key(rollout), seen);
    let apex = &rollout.service_json["apex"];
    for (field, wanted) in [("labels", apex["labels"].clone()), ("annotations", annotations(apex))] {
        let mut entries = object["metadata"][field].clone();
        merge(&mut entries, &wanted);
        put(&mut object["metadata"], field, entries);
    }
    address(rollout, &mut object["spec"])?;
    routes::write(rollout, status, &mut object["spec"], split);
    if let Some(seen) = seen {
        remember(rollout, &mut object, seen);
    }
    Ok(object)
}

fn annotations(apex: &Value) -> Value {
    let mut annotations = apex["annotations"].clone();
    merge(&mut annotations, &toolkit_off());
    annotations
}

/// Hosts and gateways.
fn address(rollout: &Rollout, spec: &mut Value) -> Result<(), String> {
    let service = &rollout.service;
    row::verify(service, &format!("{}.{}", rollout.apex, rollout.namespace))?;
    if service.delegation {
        spec["hosts"] = json!([]);
        put(spec, "gateways", Value::Null);
        return Ok(());
    }
    let mut hosts = service.hosts.clone();
    if !hosts.iter().any(|host| *host == rollout.apex || host == "*") {
        hosts.push(rollout.apex.clone());
    }
    spec["hosts"] = json!(hosts);
    spec["gateways"] = if service.gateways.is_empty() { json!(["mesh"]) } else { json!(service.gateways) };
    Ok(())
}

#[cfg(test)]
mod tests;
