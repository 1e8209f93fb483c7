//! The three Services of a canary: apex, primary and canary. It must not touch what others wrote into an apex Service
//! that was there before.

use serde_json::{Value, json};

use crate::object::{TOOLKIT_OFF, based_on, filtered, is_owned_by, items, last_applied, merge, put, toolkit_off};
use crate::reconcile::is_settled;
use crate::rollout::Rollout;
use crate::workload::Selector;
use crate::world::{Kind, ObjectKey};

pub mod adoption;

/// Containers that meshes inject; their ports are not the target's (contract: lifecycle §13).
const SIDECARS: [&str; 2] = ["istio-proxy", "envoy"];

/// Which of the three Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that clients know; it selects the primary.
    Apex,
    /// The one in front of the primary.
    Primary,
    /// The one in front of the target.
    Canary,
}

impl Role {
    /// Key of the Service.
    pub fn key(self, rollout: &Rollout) -> ObjectKey {
        match self {
            Self::Apex => rollout.key(Kind::Service, &rollout.apex),
            Self::Primary => rollout.key(Kind::Service, &rollout.primary_service()),
            Self::Canary => rollout.key(Kind::Service, &rollout.canary_service()),
        }
    }

    /// The field of `spec.service` with the labels and annotations of this Service.
    const fn field(self) -> &'static str {
        match self {
            Self::Apex => "apex",
            Self::Primary => "primary",
            Self::Canary => "canary",
        }
    }

    /// The labels by which the Service selects its pods.
    fn labels(self, selector: &Selector) -> Value {
        match self {
            Self::Apex | Self::Primary => selector.primary_labels(),
            Self::Canary => selector.canary_labels(),
        }
    }
}

/// The target's container ports besides the one of the canary's service, as Service ports sorted by number; none
/// without `service.portDiscovery` (contract: lifecycle §13).
pub fn discovered_ports(rollout: &Rollout, target: &Value) -> Vec<Value> {
    if !rollout.service.port_discovery {
        return Vec::new();
    }
    let main = main_port(rollout);
    let mut taken = vec![main.clone()];
    for container in items(&target["spec"]["template"]["spec"]["containers"]) {
        let name = container["name"].as_str().unwrap_or_default();
        if SIDECARS.contains(&name) {
            continue;
        }
        for (index, port) in items(&container["ports"]).enumerate() {
            if is_main(&main, port) {
                continue;
            }
            if let Some(port) = discovered_port(port, &format!("tcp-{name}-{index}"), &taken) {
                taken.push(port);
            }
        }
    }
    let mut ports = taken.split_off(1);
    ports.sort_by_key(|port| port["port"].as_i64());
    ports
}

/// A container port as a Service port. What the API server would refuse is left out or named by its place: a number
/// that is taken, a name that is taken.
fn discovered_port(port: &Value, fallback: &str, taken: &[Value]) -> Option<Value> {
    let number = port["containerPort"].as_i64()?;
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    if taken.iter().any(|other| other["port"] == number && other["protocol"] == protocol) {
        return None;
    }
    let is_free = |name: &&str| !name.is_empty() && taken.iter().all(|other| other["name"] != **name);
    let name = port["name"].as_str().filter(is_free).unwrap_or(fallback);
    Some(json!({"name": name, "protocol": protocol, "port": number, "targetPort": number}))
}

fn is_main(main: &Value, port: &Value) -> bool {
    main["targetPort"] == port["containerPort"]
        || (main["targetPort"].is_string() && main["targetPort"] == port["name"])
}

/// The port of `spec.service`.
fn main_port(rollout: &Rollout) -> Value {
    let service = &rollout.service_json;
    let name = service["portName"].as_str().filter(|name| !name.is_empty()).unwrap_or("http");
    let mut port = json!({"name": name, "protocol": "TCP", "port": service["port"],
        "targetPort": target_port(rollout).unwrap_or(&service["port"])});
    put(&mut port, "appProtocol", service["appProtocol"].clone());
    port
}

/// The target port that the canary names, if it does.
fn target_port(rollout: &Rollout) -> Option<&Value> {
    rollout.service_json.get("targetPort").filter(|port| **port != json!(0) && **port != json!("0"))
}

/// A Service as it should be (contract: lifecycle §13). Of one that is not ours its user keeps all that the canary does not
/// name, and what it was is noted on it (S49).
pub fn render(rollout: &Rollout, selector: &Selector, discovered: &[Value], role: Role, seen: Option<&Value>) -> Value {
    let mut ports = vec![main_port(rollout)];
    ports.extend_from_slice(discovered);
    let Some(seen) = seen else { return created(rollout, selector, &ports, role) };
    if !is_owned_by(seen, &rollout.uid) {
        return adopted(rollout, selector, discovered, role, seen);
    }
    let mut service = based_on(&role.key(rollout), Some(seen));
    service["spec"]["selector"] = role.labels(selector);
    put(&mut service["spec"], "ports", kept_ports(ports, &seen["spec"]["ports"]));
    put(&mut service["spec"], "trafficDistribution", json!(rollout.service.traffic_distribution));
    for field in ["labels", "annotations"] {
        let wanted = metadata(rollout, selector, role, field);
        put(&mut service["metadata"], field, managed(rollout, field, wanted, &seen["metadata"][field]));
    }
    service
}

/// A Service that somebody else made. When something of it has to be changed, the annotations that keep GitOps toolkits
/// away are added, and what it was is noted. One that leads to a name outside selects no pods, and is left as it is.
fn adopted(rollout: &Rollout, selector: &Selector, discovered: &[Value], role: Role, seen: &Value) -> Value {
    let before = adoption::before(seen);
    let mut service = based_on(&role.key(rollout), Some(&before));
    if leads_outside(&before) {
        return service;
    }
    service["spec"]["selector"] = role.labels(selector);
    let ports = joined_ports(rollout, discovered, &before["spec"]["ports"]);
    put(&mut service["spec"], "ports", with_node_ports(ports, &seen["spec"]["ports"]));
    if let Some(distribution) = &rollout.service.traffic_distribution {
        service["spec"]["trafficDistribution"] = json!(distribution);
    }
    if is_settled(&service, &before) {
        return service;
    }
    let mut annotations = before["metadata"]["annotations"].clone();
    merge(&mut annotations, &toolkit_off());
    service["metadata"]["annotations"] = annotations;
    let note = adoption::noted(&before, &service);
    service["metadata"]["annotations"][adoption::NOTE] = json!(note);
    service
}

/// Whether a Service is a name for something outside (`type: ExternalName`).
fn leads_outside(service: &Value) -> bool {
    service["spec"]["type"] == "ExternalName"
}

/// The ports of a Service that was there before: of the one that the canary names what it says, of discovered ones those
/// that are missing, and all others as they are.
fn joined_ports(rollout: &Rollout, discovered: &[Value], before: &Value) -> Vec<Value> {
    let mut ports: Vec<Value> = items(before).cloned().collect();
    let main = main_port(rollout);
    let named = ports.iter().position(|port| adoption::place(port) == adoption::place(&main));
    match named {
        Some(index) => {
            let name = rollout.service_json["portName"].as_str().unwrap_or_default();
            let is_free = !name.is_empty() && ports.iter().all(|port| port["name"] != name);
            let port = &mut ports[index];
            if is_free {
                port["name"] = json!(name);
            }
            if let Some(target_port) = target_port(rollout) {
                port["targetPort"] = target_port.clone();
            }
            if let Some(protocol) = rollout.service_json.get("appProtocol") {
                port["appProtocol"] = protocol.clone();
            }
        }
        None => ports.push(main),
    }
    for port in discovered {
        if ports.iter().all(|other| adoption::place(other) != adoption::place(port)) {
            ports.push(port.clone());
        }
    }
    let own = items(before).count();
    name_apart(&mut ports, own);
    ports
}

/// Gives each of several ports a name of its own; the API server refuses them otherwise. The first ones keep theirs.
fn name_apart(ports: &mut [Value], own: usize) {
    if ports.len() < 2 {
        return;
    }
    let mut taken: Vec<String> =
        ports.iter().take(own).filter_map(|port| Some(port["name"].as_str()?.to_owned())).collect();
    for (index, port) in ports.iter_mut().enumerate() {
        let name = port["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() || index >= own && taken.contains(&name) {
            let stem = if name.is_empty() { "port" } else { name.as_str() };
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
            let names = [format!("{stem}-{}", port["port"]), format!("{stem}-{}-{protocol}", port["port"])];
            let free = names.iter().find(|name| !taken.contains(name)).unwrap_or(&names[1]).clone();
            port["name"] = json!(free);
        }
        taken.extend(port["name"].as_str().filter(|_| index >= own || name.is_empty()).map(str::to_owned));
    }
}

fn created(rollout: &Rollout, selector: &Selector, ports: &[Value], role: Role) -> Value {
    let mut service = based_on(&role.key(rollout), None);
    for field in ["labels", "annotations"] {
        put(&mut service["metadata"], field, metadata(rollout, selector, role, field));
    }
    service["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    service["spec"] = json!({"type": "ClusterIP", "ports": ports,
        "selector": role.labels(selector)});
    if rollout.service.headless {
        service["spec"]["clusterIP"] = json!("None");
    }
    if let Some(distribution) = &rollout.service.traffic_distribution {
        service["spec"]["trafficDistribution"] = json!(distribution);
    }
    service
}

/// The labels or annotations that the canary asks for.
fn metadata(rollout: &Rollout, selector: &Selector, role: Role, field: &str) -> Value {
    let mut entries = rollout.service_json[role.field()][field].clone();
    if field == "labels" {
        entries[&selector.label] = json!(role.key(rollout).name);
    } else {
        merge(&mut entries, &toolkit_off());
    }
    entries
}

/// What is wanted, and what is seen under the keys of `service.unmanagedMetadata`.
pub(crate) fn managed(rollout: &Rollout, field: &str, mut wanted: Value, seen: &Value) -> Value {
    let unmanaged = &rollout.service_json["unmanagedMetadata"][field];
    let is_unmanaged = |key: &str| items(unmanaged).any(|name| name == key);
    merge(&mut wanted, &filtered(seen, is_unmanaged));
    wanted
}

/// The wanted ports with the node ports of those that are seen; in the seen order when they are the same ports.
pub(crate) fn kept_ports(ports: Vec<Value>, seen: &Value) -> Value {
    let ports = with_node_ports(ports, seen);
    let mut wanted: Vec<&Value> = items(&ports).collect();
    let mut present: Vec<&Value> = items(seen).collect();
    for list in [&mut wanted, &mut present] {
        list.sort_by_key(|port| (port["port"].as_i64(), port["name"].as_str()));
    }
    if wanted == present { seen.clone() } else { ports }
}

/// The ports with the node ports of those that are seen: of the one with the same number and protocol, or else, when the
/// number was changed, of the one with the same name.
fn with_node_ports(mut ports: Vec<Value>, seen: &Value) -> Value {
    let places: Vec<String> = ports.iter().map(adoption::place).collect();
    for (port, own) in ports.iter_mut().zip(&places) {
        let same = items(seen).find(|other| adoption::place(other) == *own);
        let is_renumbered = |other: &&Value| other["name"] == port["name"] && !places.contains(&adoption::place(other));
        let same = same.or_else(|| items(seen).find(is_renumbered));
        if let Some(node_port) = same.and_then(|same| same.get("nodePort")) {
            port["nodePort"] = node_port.clone();
        }
    }
    Value::Array(ports)
}

/// An adopted apex Service as it was before, for `revertOnDeletion` (contract: lifecycle §11; S49); none if it is ours, and
/// goes with the canary. Of one that was adopted by somebody who noted nothing, such as Flagger, the selector is known from
/// what kubectl applied, or else is the target's.
pub fn reverted(rollout: &Rollout, selector: Option<&Selector>, seen: &Value) -> Option<Value> {
    if is_owned_by(seen, &rollout.uid) {
        return None;
    }
    let mut service = based_on(&Role::Apex.key(rollout), Some(&adoption::before(seen)));
    let Some(selector) = selector.filter(|selector| selector.is_of_primary(&service["spec"]["selector"])) else {
        return Some(service);
    };
    let applied = last_applied(seen).unwrap_or_default();
    let before = applied["spec"].get("selector").filter(|selector| selector.is_object()).cloned();
    let selected = if leads_outside(&service) { Value::Null } else { selector.canary_labels() };
    put(&mut service["spec"], "selector", before.unwrap_or(selected));
    let was_applied = |key: &str| applied["metadata"]["annotations"].get(key).is_some();
    let ours = |key: &str| TOOLKIT_OFF.iter().any(|(name, _)| *name == key) && !was_applied(key);
    let annotations = filtered(&service["metadata"]["annotations"], |key| !ours(key));
    put(&mut service["metadata"], "annotations", annotations);
    Some(service)
}

#[cfg(test)]
mod tests;
