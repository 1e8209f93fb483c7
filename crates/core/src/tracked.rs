//! The ConfigMaps and Secrets that a pod template mentions: which, whether they changed, and their copies for the
//! primary. It never keeps a content longer than a checksum takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::dns;
use crate::object::{based_on, entries, filtered, items, items_mut, put};
use crate::plan::ConfigCopy;
use crate::world::{ConfigTracking, Kind, ObjectKey};

/// The annotation that excludes a ConfigMap or Secret when its value starts with `disable`.
const ANNOTATION: &str = "flagger.app/config-tracking";
/// The types of Secrets that are tracked (contract: lifecycle §7.6).
const SECRET_TYPES: [&str; 4] = ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"];

/// A mention of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which object.
    pub key: ObjectKey,
    /// Whether pods start without it. Of several mentions all must say so; in the peer the last one decides.
    pub optional: bool,
}

/// Every ConfigMap and Secret that a pod template mentions, sorted (contract: lifecycle §7.6).
pub fn references(namespace: &str, pod_template: &Value) -> Vec<Reference> {
    let mut found: BTreeMap<ObjectKey, bool> = BTreeMap::new();
    let mut pod_spec = pod_template["spec"].clone();
    visit(&mut pod_spec, &mut |kind, holder, field| {
        let Some(name) = holder[field].as_str().filter(|name| dns::is_name(name)) else { return };
        let optional = holder["optional"] == true;
        found.entry(ObjectKey::new(kind, namespace, name)).and_modify(|all| *all &= optional).or_insert(optional);
    });
    found.into_iter().map(|(key, optional)| Reference { key, optional }).collect()
}

/// Points every mention of a tracked object in a pod spec to its copy `<name>-primary`.
pub fn rename(pod_spec: &mut Value, tracked: &[ObjectKey]) {
    visit(pod_spec, &mut |kind, holder, field| {
        let Some(name) = holder[field].as_str() else { return };
        if tracked.iter().any(|key| key.kind == kind && key.name == name) {
            holder[field] = json!(copy_name(name));
        }
    });
}

/// Name of the primary's copy.
pub fn copy_name(name: &str) -> String {
    format!("{name}-primary")
}

/// Whether a name may be that of a copy.
pub fn is_copy_name(name: &str) -> bool {
    name.strip_suffix("-primary").is_some_and(|source| !source.is_empty())
}

/// Key of the primary's copy.
pub fn copy_key(source: &ObjectKey) -> ObjectKey {
    ObjectKey::new(source.kind, &source.namespace, &copy_name(&source.name))
}

/// Calls `each` with every place of a pod spec that names a ConfigMap or Secret: its kind, the map, and the field.
fn visit(pod_spec: &mut Value, each: &mut dyn FnMut(Kind, &mut Value, &str)) {
    for volume in items_mut(pod_spec.get_mut("volumes")) {
        visit_pair(volume, ("configMap", "name"), ("secret", "secretName"), each);
        for source in items_mut(volume.get_mut("projected").and_then(|projected| projected.get_mut("sources"))) {
            visit_pair(source, ("configMap", "name"), ("secret", "name"), each);
        }
    }
    for containers in ["containers", "initContainers"] {
        for container in items_mut(pod_spec.get_mut(containers)) {
            for variable in items_mut(container.get_mut("env")) {
                if let Some(source) = variable.get_mut("valueFrom") {
                    visit_pair(source, ("configMapKeyRef", "name"), ("secretKeyRef", "name"), each);
                }
            }
            for source in items_mut(container.get_mut("envFrom")) {
                visit_pair(source, ("configMapRef", "name"), ("secretRef", "name"), each);
            }
        }
    }
}

fn visit_pair(
    parent: &mut Value,
    config_map: (&str, &str),
    secret: (&str, &str),
    each: &mut dyn FnMut(Kind, &mut Value, &str),
) {
    for (kind, (field, name)) in [(Kind::ConfigMap, config_map), (Kind::Secret, secret)] {
        if let Some(holder) = parent.get_mut(field).filter(|holder| holder.is_object()) {
            each(kind, holder, name);
        }
    }
}

/// The checksum of a ConfigMap's or Secret's `data`: 16 hex digits, equal to the peer's (contract: lifecycle §7.6).
pub fn checksum(object: &Value) -> String {
    let mut text = String::new();
    match object.get("data").filter(|data| data.is_object()) {
        None => text.push_str("null"),
        Some(data) => write_map(&mut text, data),
    }
    hex(&Sha256::digest(text.as_bytes())[..8])
}

fn write_map(text: &mut String, data: &Value) {
    let sorted: BTreeMap<&String, &Value> = entries(data).collect();
    text.push('{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, key);
        text.push(':');
        match value.as_str() {
            Some(value) => write_string(text, value),
            None => text.push_str("null"),
        }
    }
    text.push('}');
}

/// Writes a string as Go's `json.Marshal` does, which escapes what HTML and JavaScript would mistake.
fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Whether a ConfigMap or Secret is tracked, by its annotation and a Secret's type (contract: lifecycle §7.6).
pub fn tracking(object: &Value) -> ConfigTracking {
    let disabled =
        object["metadata"]["annotations"][ANNOTATION].as_str().is_some_and(|value| value.starts_with("disable"));
    let foreign = object["type"].as_str().is_some_and(|kind| !kind.is_empty() && !SECRET_TYPES.contains(&kind));
    if disabled || foreign { ConfigTracking::Excluded } else { ConfigTracking::Tracked }
}

/// The key in `status.trackedConfigs`: `configmap/<name>` or `secret/<name>`.
pub fn status_key(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind.name().to_lowercase(), key.name)
}

/// The primary's copy of a ConfigMap or Secret (contract: lifecycle §7.6). `binaryData` and `immutable` go along; the
/// peer loses them. Other owners of an existing copy (canaries that share it) stay, none of them as controller.
pub fn copy(source: &Value, copy: &ConfigCopy, seen: Option<&Value>) -> Value {
    let key = ObjectKey::new(copy.source.kind, &copy.source.namespace, &copy.name);
    let includes = |label: &str| crate::settings::includes(&copy.include_label_prefixes, label);
    let mut object = based_on(&key, seen);
    put(&mut object["metadata"], "labels", filtered(&source["metadata"]["labels"], includes));
    put(&mut object["metadata"], "annotations", Value::Null);
    object["metadata"]["ownerReferences"] = owners(&copy.owner, seen);
    for field in CONTENT {
        put(&mut object, field, source[field].clone());
    }
    object
}

/// Whether the API server would take `desired` in place of `seen`; an immutable copy has to be deleted first.
pub fn is_replaceable(seen: &Value, desired: &Value) -> bool {
    let is_same = |field: &str| seen[field] == desired[field];
    is_same("type") && (seen["immutable"] != true || (is_same("data") && is_same("binaryData") && is_same("immutable")))
}

/// Fields of a ConfigMap or Secret that are its content.
const CONTENT: [&str; 4] = ["data", "binaryData", "immutable", "type"];

/// The Secret that keeps some objects whole; none if it would be larger than an API server takes. It is the only place
/// where Burgee writes a content that is not a copy of the same kind.
pub fn bundle(key: &ObjectKey, owner: &Value, objects: &[Value]) -> Option<Value> {
    let texts = objects.iter().map(|object| BASE64.encode(whole(object).to_string()));
    let data: BTreeMap<String, String> = texts.enumerate().map(|(place, text)| (place.to_string(), text)).collect();
    let is_small = data.values().map(String::len).sum::<usize>() < BUNDLE_BYTES;
    let mut bundle = based_on(key, None);
    bundle["metadata"]["ownerReferences"] = json!([owner]);
    bundle["type"] = json!("Opaque");
    bundle["data"] = json!(data);
    is_small.then_some(bundle)
}

/// The API server takes a MiB of content, before it is encoded.
const BUNDLE_BYTES: usize = 1 << 20;

fn whole(object: &Value) -> Value {
    let mut kept = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {}});
    for field in ["name", "namespace", "labels", "ownerReferences"] {
        put(&mut kept["metadata"], field, object["metadata"][field].clone());
    }
    for field in CONTENT {
        put(&mut kept, field, object[field].clone());
    }
    kept
}

/// What a Secret that keeps objects is recognised by: 32 hex digits of its content, for the status to remember.
pub fn seal(bundle: &Value) -> String {
    let mut text = String::new();
    write_map(&mut text, &bundle["data"]);
    hex(&Sha256::digest(text.as_bytes())[..16])
}

/// The objects in such a Secret.
pub fn unbundle(bundle: &Value) -> Vec<Value> {
    let texts = entries(&bundle["data"]).filter_map(|(_, text)| BASE64.decode(text.as_str()?).ok());
    texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect()
}

/// A kept object in place of what is there now: its content and labels; whoever owns it stays.
pub fn restored(key: &ObjectKey, kept: &Value, seen: Option<&Value>) -> Value {
    let Some(seen) = seen else { return kept.clone() };
    let mut object = based_on(key, Some(seen));
    put(&mut object["metadata"], "labels", kept["metadata"]["labels"].clone());
    for field in CONTENT {
        put(&mut object, field, kept[field].clone());
    }
    object
}

/// The owners of an object that one canary controls; others that it had stay, none of them as controller.
pub fn owners(owner: &Value, seen: Option<&Value>) -> Value {
    let seen = seen.map_or(&Value::Null, |seen| &seen["metadata"]["ownerReferences"]);
    let others = items(seen).filter(|other| other["kind"] != owner["kind"] || other["name"] != owner["name"]);
    let mut list = vec![owner.clone()];
    for other in others {
        let mut other = other.clone();
        other["controller"] = json!(false);
        list.push(other);
    }
    Value::Array(list)
}

#[cfg(test)]
mod tests;
