//! One object as it came from the API server, still as text. Whoever may write only in his namespace may write a megabyte of
//! empty maps, which takes a hundred times as much once it is read: so of what nobody wants only the outline is, and of the
//! rest one at a time. It keeps nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::sized::{self, MOST_VALUES, Unread};

/// Text that ought to be an object.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Text(Box<RawValue>);

/// An object: what is known of it without reading it all, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) outline: Value,
    pub(crate) text: Text,
}

/// A version, and of a list where it goes on.
#[derive(Deserialize)]
pub(crate) struct Versioned {
    #[serde(default, rename = "resourceVersion")]
    version: String,
    #[serde(default, rename = "continue")]
    pub(crate) token: String,
}

impl Versioned {
    pub(crate) fn version(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// Of any object its version alone.
#[derive(Deserialize)]
struct OnlyVersion {
    metadata: Versioned,
}

/// Of a canary how far it is, and what it says field by field.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    spec: BTreeMap<String, Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

/// Who an object is, and which pods a workload makes. Nothing here is deep; `managedFields` is as deep as the object.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    api_version: Option<Value>,
    kind: Option<Value>,
    metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_readable")]
    spec: Option<Workload>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: Option<Value>,
    uid: Option<Value>,
    resource_version: Option<Value>,
    generation: Option<Value>,
    creation_timestamp: Option<Value>,
    deletion_timestamp: Option<Value>,
    labels: Option<Value>,
    annotations: Option<Value>,
    owner_references: Option<Value>,
    finalizers: Option<Value>,
}

#[derive(Deserialize, Serialize)]
struct Workload {
    template: Option<Template>,
}

#[derive(Deserialize, Serialize)]
struct Template {
    metadata: Option<TemplateMetadata>,
}

#[derive(Deserialize, Serialize)]
struct TemplateMetadata {
    labels: Option<Value>,
}

/// Not every kind has a pod template where workloads have theirs.
fn if_readable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Workload>, D::Error> {
    let text = Option::<&'de RawValue>::deserialize(from)?;
    Ok(text.and_then(|text| serde_json::from_str(text.get()).ok()))
}

impl Text {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.get().len()
    }

    pub(crate) fn version(&self) -> Option<u64> {
        serde_json::from_str::<OnlyVersion>(self.0.get()).ok()?.metadata.version()
    }

    /// All of it; none if something lies too deep to be read, as an API server takes it where a schema leaves fields open.
    pub(crate) fn read(&self) -> Option<Value> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// All of it but the managed fields, unless it is too large.
    pub(crate) fn sized(&self) -> Result<Value, Unread> {
        sized::read(self.0.get(), MOST_VALUES)
    }

    /// The outline of a canary that lies too deep to be read, with its status and those fields of its spec that can be read:
    /// they lead the traffic of a run back.
    fn unreadable(&self, mut outline: Value) -> Value {
        if let Ok(Fields { spec, status }) = serde_json::from_str(self.0.get()) {
            let read = |text: &RawValue| serde_json::from_str::<Value>(text.get()).ok();
            outline["status"] = status.and_then(|status| read(&status)).unwrap_or_default();
            outline["spec"] = spec.into_iter().filter_map(|(field, text)| Some((field, read(&text)?))).collect();
        }
        outline["unreadable"] = json!("the canary is nested too deeply to be read");
        outline
    }

    /// The object that it is; none if it is no object of Kubernetes.
    pub(crate) fn item(self) -> Option<Item> {
        let outline: Outline = serde_json::from_str(self.0.get()).ok()?;
        if outline.metadata.name.is_empty() {
            return None;
        }
        let mut outline = serde_json::to_value(outline).ok()?;
        outline["metadata"].as_object_mut()?.retain(|_, value| !value.is_null());
        Some(Item { outline, text: self })
    }
}

impl Item {
    /// All of it. What cannot be read is its outline: then the object is there, and has nothing that anybody could act on.
    /// Of a canary the status and the rest of the spec are kept as well, and it says so: its run must not be forgotten, and is
    /// led back by them.
    pub(crate) fn whole(self) -> Value {
        let Self { outline, text } = self;
        text.read().unwrap_or_else(|| if outline["kind"] == "Canary" { text.unreadable(outline) } else { outline })
    }
}

#[cfg(test)]
impl From<Value> for Text {
    fn from(object: Value) -> Self {
        Self(serde_json::value::to_raw_value(&object).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use burgee_api::Canary;

    use super::*;

    #[test]
    fn a_canary_that_lies_too_deep_to_be_read_says_so_and_keeps_its_run_and_what_leads_it_back() {
        let (open, close) = ("[".repeat(200), "]".repeat(200));
        let read = |kind: &str| {
            let text = format!(
                r#"{{"kind": "{kind}", "metadata": {{"name": "podinfo", "uid": "u"}}, "spec": {{"targetRef": {{"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}},
                        "service": {{"port": 80}}, "analysis": {{"match": {open}{close}}}}},
                    "status": {{"phase": "Progressing", "canaryWeight": 50}}}}"#
            );
            serde_json::from_str::<Text>(&text).unwrap().item().unwrap().whole()
        };
        let canary = Canary::read(&read("Canary").to_string()).unwrap();
        assert_eq!(canary.unreadable.as_deref(), Some("the canary is nested too deeply to be read"));
        assert_eq!(canary.status.map(|status| status.canary_weight), Some(50));
        assert_eq!((canary.spec.target_ref.name.as_str(), canary.spec.service.is_some()), ("podinfo", true));
        assert_eq!(read("Deployment")["status"], Value::Null, "nobody acts on what is left of another object");
    }
}
