//! What an adopted Service was before: noted on the Service itself, next to what was made of it, so that it can be given
//! back as it was and edits of its user survive. It must not decide what the Service should be.
//!
//! The note is only ever used for the selector, the ports and the traffic distribution of the Service that carries it:
//! whoever may write it may write those as well, and gains nothing by it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::object::{TOOLKIT_OFF, entries, filtered, is_empty, items, merge, put};
use crate::reconcile::are_alike;

/// The annotation of an adopted Service with what it was (`was`) and what was made of that (`is`).
pub const NOTE: &str = "burgee.flagger.app/before-adoption";

/// Fields of `spec` that an adoption may change, besides the ports.
const FIELDS: [&str; 2] = ["selector", "trafficDistribution"];

/// The parts of which entries are noted one by one.
const MAPS: [&str; 3] = ["selector", "ports", "annotations"];

/// The fields of a port that an adoption may change. Node ports are the API server's.
const PORT_FIELDS: [&str; 5] = ["name", "protocol", "port", "targetPort", "appProtocol"];

/// What a Service would be if it had never been adopted. Whatever its user has changed since then stays changed.
pub(super) fn before(seen: &Value) -> Value {
    let Some(note) = note(seen) else { return seen.clone() };
    let mut service = seen.clone();
    let was = undone(&parts(seen), &note["was"], &note["is"]);
    for field in FIELDS {
        put(&mut service["spec"], field, was[field].clone());
    }
    let ports = items(&seen["spec"]["ports"]).filter_map(|port| restored(port, &was["ports"]));
    put(&mut service["spec"], "ports", Value::Array(ports.collect()));
    let mut annotations = filtered(&seen["metadata"]["annotations"], |key| key != NOTE && !is_toolkit_off(key));
    merge(&mut annotations, &filtered(&was["annotations"], is_toolkit_off));
    put(&mut service["metadata"], "annotations", annotations);
    service
}

/// The note for a Service that was `before` and becomes `after`.
pub(super) fn noted(before: &Value, after: &Value) -> String {
    let (was, is) = difference(&parts(before), &parts(after));
    json!({"was": was, "is": is}).to_string()
}

/// The number and the protocol of a port: no two ports of a Service have the same.
pub(super) fn place(port: &Value) -> String {
    format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))
}

/// A port as it was; none if it was not there. Fields that no adoption changes stay.
fn restored(port: &Value, was: &Value) -> Option<Value> {
    let was = was.get(place(port)).filter(|was| was.is_object())?;
    let mut restored = port.clone();
    for field in PORT_FIELDS {
        put(&mut restored, field, was[field].clone());
    }
    Some(restored)
}

/// All of a Service that an adoption may change.
fn parts(service: &Value) -> Value {
    let mut all = filtered(&service["spec"], |field| FIELDS.contains(&field));
    let is_of_port = |field: &str| PORT_FIELDS.contains(&field);
    let ports = items(&service["spec"]["ports"]).map(|port| (place(port), filtered(port, is_of_port)));
    all["ports"] = ports.collect::<Map<_, _>>().into();
    all["annotations"] = filtered(&service["metadata"]["annotations"], is_toolkit_off);
    all
}

fn is_toolkit_off(key: &str) -> bool {
    TOOLKIT_OFF.iter().any(|(name, _)| *name == key)
}

/// The note of a Service; none if it has none, or if that is not one of ours: what the API server would refuse must not
/// hold up a deletion.
fn note(seen: &Value) -> Option<Value> {
    let mut note: Value = serde_json::from_str(seen["metadata"]["annotations"][NOTE].as_str()?).ok()?;
    if !note.is_object() || ![&note["was"], &note["is"]].into_iter().all(is_sound) {
        return None;
    }
    for side in ["was", "is"] {
        for map in MAPS {
            if is_empty(&note[side][map]) {
                note[side][map] = json!({});
            }
        }
    }
    Some(note)
}

fn is_sound(noted: &Value) -> bool {
    if !noted.is_object() && !noted.is_null() {
        return false;
    }
    let are_texts = |map: &Value| is_empty(map) || map.is_object() && entries(map).all(|(_, text)| text.is_string());
    let is_port = |port: &Value| port.is_object() && entries(port).all(|(field, value)| is_port_field(field, value));
    let ports = &noted["ports"];
    are_texts(&noted["selector"])
        && are_texts(&noted["annotations"])
        && (noted["trafficDistribution"].is_null() || noted["trafficDistribution"].is_string())
        && (is_empty(ports) || ports.is_object() && entries(ports).all(|(_, port)| is_port(port)))
}

fn is_port_field(field: &str, value: &Value) -> bool {
    match field {
        "port" => value.is_u64(),
        "targetPort" => value.is_u64() || value.is_string(),
        _ => value.is_string(),
    }
}

/// What is seen, with everything that is as we made it put back to what it was. Null is absence.
fn undone(seen: &Value, was: &Value, is: &Value) -> Value {
    if let (Value::Object(_), Value::Object(_), Value::Object(_)) = (seen, was, is) {
        let mut undone = seen.clone();
        for key in keys(was, is) {
            put(&mut undone, key, self::undone(&seen[key], &was[key], &is[key]));
        }
        return undone;
    }
    if are_alike(seen, is) { was.clone() } else { seen.clone() }
}

/// What differs between two values, as each has it. Maps are compared entry by entry; one that both have stands on both
/// sides, so that it is not taken for one that was added.
fn difference(one: &Value, two: &Value) -> (Value, Value) {
    if are_alike(one, two) {
        return (Value::Null, Value::Null);
    }
    if !one.is_object() || !two.is_object() {
        return (one.clone(), two.clone());
    }
    let mut differences = (json!({}), json!({}));
    for key in keys(one, two) {
        let (left, right) = difference(&one[key], &two[key]);
        for (side, value) in [(&mut differences.0, left), (&mut differences.1, right)] {
            if !value.is_null() {
                side[key] = value;
            }
        }
    }
    differences
}

fn keys<'a>(one: &'a Value, two: &'a Value) -> BTreeSet<&'a str> {
    entries(one).chain(entries(two)).map(|(key, _)| key.as_str()).collect()
}

#[cfg(test)]
mod tests;
