//! Small reads and writes on Kubernetes objects as JSON. It knows no kind's meaning and decides nothing.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::key::ObjectKey;

/// The annotation in which kubectl keeps what was applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that keep GitOps toolkits away from generated objects (contract: api §4).
pub const TOOLKIT_OFF: [(&str, &str); 2] =
    [("kustomize.toolkit.fluxcd.io/reconcile", "disabled"), ("helm.toolkit.fluxcd.io/driftDetection", "disabled")];

/// Whether a label or annotation belongs to a GitOps toolkit and is never copied (contract: api §4).
pub fn is_toolkit(key: &str) -> bool {
    key.contains("toolkit.fluxcd.io")
}

/// A value as JSON without nulls, whole numbers written as integers (as the API server stores them).
pub fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).map_or(Value::Null, tidied)
}

fn tidied(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, field)| !field.is_null()).map(|(key, field)| (key, tidied(field))).collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(tidied).collect()),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// The number as an integer if it has no fraction.
#[expect(clippy::cast_possible_truncation, reason = "only numbers within the exact range of a double are cast")]
fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < EXACT).map(|n| n as i64))
}

/// Whether a value says nothing: null, an empty map, an empty list.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Sets a field of a map, or removes it when the value says nothing. An absent map is made.
pub fn put(map: &mut Value, field: &str, value: Value) {
    if is_empty(&value) {
        if let Some(fields) = map.as_object_mut() {
            fields.remove(field);
        }
    } else {
        map[field] = value;
    }
}

/// The items of a list, none if it is absent.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The items of a list for change, none if it is absent.
pub fn items_mut(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

/// The entries of a map, none if it is absent.
pub fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The entries of a map whose keys pass.
pub fn filtered(value: &Value, passes: impl Fn(&str) -> bool) -> Value {
    let kept: Map<String, Value> =
        entries(value).filter(|(key, _)| passes(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    Value::Object(kept)
}

/// Adds the entries of one map to another; those of the second win.
pub fn merge(into: &mut Value, from: &Value) {
    for (key, value) in entries(from) {
        into[key.as_str()] = value.clone();
    }
}

/// The annotations that keep GitOps toolkits away.
pub fn toolkit_off() -> Value {
    TOOLKIT_OFF.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<Map<_, _>>().into()
}

/// The object as seen, or a new one with nothing but its name; the kind is spelled out either way.
pub fn based_on(key: &ObjectKey, seen: Option<&Value>) -> Value {
    let mut object = seen.cloned().unwrap_or_else(|| json!({}));
    object["apiVersion"] = json!(key.kind.api_version());
    object["kind"] = json!(key.kind.name());
    object["metadata"]["name"] = json!(key.name);
    object["metadata"]["namespace"] = json!(key.namespace);
    object
}

/// Whether the object is controlled by the owner with this uid.
pub fn is_owned_by(object: &Value, uid: &str) -> bool {
    items(&object["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == uid && owner["controller"] == true)
}

/// What kubectl says was applied last, if it says so.
pub fn last_applied(object: &Value) -> Option<Value> {
    let text = object["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    serde_json::from_str(text).ok()
}
