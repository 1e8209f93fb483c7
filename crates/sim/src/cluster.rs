//! An API server in memory, with the preconditions that the real one enforces and its garbage collection. It decides
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_core::strangers::KINDS;
use burgee_core::tracked;
use burgee_core::world::{ConfigSeen, Kind, ObjectKey, Observed};
use serde_json::{Value, json};

use crate::admission::metadata_problems;

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The object exists already, or is not the one that the write was decided on.
    #[error("conflict on {0}")]
    Conflict(ObjectKey),
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(ObjectKey),
    /// The write makes no sense.
    #[error("invalid object: {0}")]
    Invalid(String),
    /// Nobody knows what became of the write: the answer did not come.
    #[error("no answer to the write of {0}")]
    Lost(ObjectKey),
    /// Whoever writes stood still for too long.
    #[error("the plan is too old")]
    Late,
    /// The lease is not ours any more.
    #[error("fenced: the lease is somebody else's")]
    Fenced,
    /// Something was noted in the status that the rest of the plan has to know.
    #[error("the status has moved")]
    Noted,
}

/// Objects by key, with versions and generations.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    version: u64,
    changed: Vec<Change>,
}

/// An object that was changed, and what it was before.
pub type Change = (ObjectKey, Option<Arc<Value>>);

impl Cluster {
    /// The object, if there is one.
    pub fn get(&self, key: &ObjectKey) -> Option<&Value> {
        self.objects.get(key).map(AsRef::as_ref)
    }

    /// The object as it is shared, if there is one.
    pub fn shared(&self, key: &ObjectKey) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The object as a World sees it.
    pub fn observe(&self, key: &ObjectKey) -> Observed {
        self.objects.get(key).map_or(Observed::Absent, |object| Observed::Present(Arc::clone(object)))
    }

    /// A ConfigMap or Secret as a World sees it.
    pub fn observe_config(&self, key: &ObjectKey) -> ConfigSeen {
        self.get(key).map_or(ConfigSeen::Absent, config_seen)
    }

    /// All objects, in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Value)> {
        self.objects.iter().map(|(key, object)| (key, object.as_ref()))
    }

    /// Whether an object has not moved between two clusters that were one.
    pub fn has_the_same(&self, other: &Self, key: &ObjectKey) -> bool {
        match (self.objects.get(key), other.objects.get(key)) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        }
    }

    /// The objects of one kind, shared.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ObjectKey, &Arc<Value>)> {
        let first = ObjectKey { kind, namespace: String::new(), name: String::new() };
        self.objects.range(first..).take_while(move |(key, _)| key.kind == kind)
    }

    /// The workloads of a namespace, with the labels of their pods.
    pub fn workloads(&self, namespace: &str) -> Vec<(ObjectKey, Value)> {
        let workloads = KINDS.into_iter().flat_map(|kind| self.of_kind(kind));
        let own = workloads.filter(|(key, _)| key.namespace == namespace);
        own.map(|(key, object)| (key.clone(), object["spec"]["template"]["metadata"]["labels"].clone())).collect()
    }

    /// What has changed since the last call, in order; watches are made of this.
    pub fn take_changes(&mut self) -> Vec<ObjectKey> {
        std::mem::take(&mut self.changed).into_iter().map(|(key, _)| key).collect()
    }

    /// What has changed since watches were told last.
    pub fn changes(&self) -> &[Change] {
        &self.changed
    }

    /// Stores an object as a user's `kubectl apply` would: what is there keeps its status and identity.
    pub fn apply(&mut self, object: Value) -> Result<(), Refusal> {
        let key = key_of(&object)?;
        let Some(seen) = self.get(&key) else {
            self.insert(key, object);
            return Ok(());
        };
        let mut merged = seen.clone();
        for (field, value) in object.as_object().into_iter().flatten() {
            if field == "metadata" {
                for (name, value) in value.as_object().into_iter().flatten() {
                    merged["metadata"][name] = value.clone();
                }
            } else if field != "status" {
                merged[field] = value.clone();
            }
        }
        self.store(&key, merged);
        Ok(())
    }

    /// Creates an object; one that exists already is a conflict. One whose owner is gone is collected at once.
    pub fn create(&mut self, object: Value) -> Result<(), Refusal> {
        let key = key_of(&object)?;
        if self.objects.contains_key(&key) {
            return Err(Refusal::Conflict(key));
        }
        if let Some(problem) = metadata_problems(&object).first() {
            return Err(Refusal::Invalid(format!("{} {}: {problem}", object["kind"], key.name)));
        }
        let is_orphan = self.is_orphan(&object);
        self.insert(key.clone(), object);
        if is_orphan {
            self.delete(&key);
        }
        Ok(())
    }

    fn insert(&mut self, key: ObjectKey, mut object: Value) {
        self.version += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if has_generation(&key) {
            object["metadata"]["generation"] = json!(1);
        }
        self.changed.push((key.clone(), None));
        self.objects.insert(key, Arc::new(object));
    }

    /// Whether an object names owners of which none is there.
    fn is_orphan(&self, object: &Value) -> bool {
        let owners = object["metadata"]["ownerReferences"].as_array();
        let Some(owners) = owners.filter(|owners| !owners.is_empty()) else { return false };
        let uids = || self.objects.values().map(|known| &known["metadata"]["uid"]);
        !owners.iter().any(|owner| uids().any(|uid| *uid == owner["uid"]))
    }

    /// Replaces an object that is still the one it was decided on.
    pub fn replace(&mut self, object: Value) -> Result<(), Refusal> {
        let key = key_of(&object)?;
        let seen = self.get(&key).ok_or_else(|| Refusal::NotFound(key.clone()))?;
        if seen["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict(key));
        }
        let mut object = object;
        // The status of what has one is written apart.
        if let Some(status) = seen.get("status") {
            object["status"] = status.clone();
        }
        self.store(&key, object);
        Ok(())
    }

    /// Applies a JSON patch; a `test` that fails is a conflict.
    pub fn patch(&mut self, key: &ObjectKey, operations: &Value) -> Result<(), Refusal> {
        let mut object = self.get(key).ok_or_else(|| Refusal::NotFound(key.clone()))?.clone();
        let operations: json_patch::Patch =
            serde_json::from_value(operations.clone()).map_err(|error| Refusal::Invalid(error.to_string()))?;
        json_patch::patch(&mut object, &operations).map_err(|_| Refusal::Conflict(key.clone()))?;
        self.store(key, object);
        Ok(())
    }

    /// Writes the status of an object that is still the one it was decided on.
    pub fn write_status(&mut self, key: &ObjectKey, version: Option<&str>, status: Value) -> Result<(), Refusal> {
        let seen = self.get(key).ok_or_else(|| Refusal::NotFound(key.clone()))?;
        if seen["metadata"]["resourceVersion"].as_str() != version {
            return Err(Refusal::Conflict(key.clone()));
        }
        let mut object = seen.clone();
        object["status"] = status;
        self.store(key, object);
        Ok(())
    }

    /// Removes an object; that it is gone is success. One with finalizers is only marked.
    pub fn delete(&mut self, key: &ObjectKey) {
        let Some(object) = self.objects.get(key).cloned() else { return };
        if is_held(&object) {
            if object["metadata"]["deletionTimestamp"].is_string() {
                return;
            }
            let mut marked = Value::clone(&object);
            marked["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
            return self.store(key, marked);
        }
        self.objects.remove(key);
        self.version += 1;
        self.changed.push((key.clone(), Some(Arc::clone(&object))));
        self.collect(&object);
    }

    /// What a removed object owned goes with it.
    fn collect(&mut self, owner: &Value) {
        let is_owner = |reference: &Value| reference["uid"] == owner["metadata"]["uid"];
        let belongings: Vec<ObjectKey> = self
            .objects
            .iter()
            .filter(|(_, object)| object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(is_owner))
            .map(|(key, _)| key.clone())
            .collect();
        for key in belongings {
            self.delete(&key);
        }
    }

    /// Stores what a controller reports. The version moves only if something did.
    pub fn report(&mut self, key: &ObjectKey, status: Value) {
        let Some(object) = self.get(key) else { return };
        if object["status"] != status {
            let mut object = object.clone();
            object["status"] = status;
            self.store(key, object);
        }
    }

    /// The generation moves with the spec, the version with anything.
    fn store(&mut self, key: &ObjectKey, mut object: Value) {
        let seen = self.objects.get(key).cloned().unwrap_or_default();
        if has_generation(key) {
            let generation = seen["metadata"]["generation"].as_i64().unwrap_or(1);
            let moved = i64::from(seen["spec"] != object["spec"]);
            object["metadata"]["generation"] = json!(generation + moved);
        }
        object["metadata"]["resourceVersion"] = seen["metadata"]["resourceVersion"].clone();
        if *seen == object {
            return;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let is_over = object["metadata"]["deletionTimestamp"].is_string() && !is_held(&object);
        self.changed.push((key.clone(), self.objects.get(key).cloned()));
        self.objects.insert(key.clone(), Arc::new(object));
        if is_over {
            self.delete(key);
        }
    }

    /// A number that moves with every change.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// What a World sees of a ConfigMap or Secret.
pub fn config_seen(object: &Value) -> ConfigSeen {
    ConfigSeen::Present { checksum: tracked::checksum(object), tracking: tracked::tracking(object) }
}

/// A core Service has none.
fn has_generation(key: &ObjectKey) -> bool {
    key.kind != Kind::Service
}

fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

fn key_of(object: &Value) -> Result<ObjectKey, Refusal> {
    ObjectKey::of(object).ok_or_else(|| {
        let name = object["metadata"]["name"].as_str().unwrap_or("without a name");
        Refusal::Invalid(format!("{} {name} needs a known kind, a name and a namespace", object["kind"]))
    })
}
