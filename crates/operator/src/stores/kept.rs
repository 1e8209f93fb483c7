//! What of an object is kept, and what of it matters.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::Stored;

/// A ConfigMap or Secret as it is known: who it is, and its version.
pub(super) fn config_text(key: &ObjectKey, stored: &Stored) -> Arc<str> {
    let metadata = json!({"name": key.name, "namespace": key.namespace, "uid": stored.uid,
                                      "resourceVersion": stored.version.to_string()});
    let (api_version, kind) = (key.kind.api_version(), key.kind.name());
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}).to_string().into()
}

/// The object as it is kept: named, without managed fields, and of ConfigMaps and Secrets only who they are.
pub(crate) fn strip(kind: Kind, mut object: Value) -> Value {
    if !object.is_object() {
        return object;
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.name().into();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if kind.is_confidential() {
            metadata.retain(|field, _| ["name", "namespace", "uid", "resourceVersion"].contains(&field.as_str()));
        }
    }
    if let Some(fields) = object.as_object_mut().filter(|_| kind.is_confidential()) {
        fields.retain(|field, _| ["apiVersion", "kind", "metadata"].contains(&field.as_str()));
    }
    object
}

/// Versions are compared as numbers; one that is none counts as the oldest.
pub(crate) fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or_default()
}

pub(super) fn uid_of(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Hash of what of an object can matter to a tick. An autoscaler's status moves with every sample and matters to none.
pub(super) fn meaning(kind: Kind, object: &Value) -> u64 {
    let is_status_noise = matches!(kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject | Kind::Service);
    let mut hasher = DefaultHasher::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        field.hash(&mut hasher);
        match (field.as_str(), value.as_object()) {
            ("status", _) if is_status_noise => {}
            ("metadata", Some(metadata)) if !kind.is_confidential() => {
                let matters = metadata.iter().filter(|(name, _)| *name != "resourceVersion");
                matters.for_each(|entry| entry.hash(&mut hasher));
            }
            (_, _) => value.hash(&mut hasher),
        }
    }
    hasher.finish()
}
