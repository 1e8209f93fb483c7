//! The Job that a canary wants, read from its payload. It asks nobody.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_core::dns;
use burgee_operator::cluster::escape;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::job::bounded;
use crate::payload::Payload;

/// The annotation that says for which revision a Job was made, and that run-job made it.
pub(super) const REVISION: &str = "burgee.flagger.app/job-revision";
/// The annotation that says for which canary it was made: two that name one Job would delete each other's.
pub(super) const CANARY: &str = "burgee.flagger.app/job-canary";
/// Names of pods are made of a Job's, as are values of labels.
const NAME_MAX: usize = 63;

/// An object of JSON.
type Object = Map<String, Value>;

/// A Job as a canary wants it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Name of the canary that waits for it.
    pub(super) canary: String,
    /// Of the specs of Job and canary.
    pub(super) revision: String,
    labels: Object,
    annotations: Object,
    spec: Object,
}

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Complete,
    /// With the reason.
    Failed(String),
    /// It is being deleted.
    Ending,
}

impl State {
    pub(super) fn of(job: &Value) -> Self {
        if !job["metadata"]["deletionTimestamp"].is_null() {
            return Self::Ending;
        }
        let conditions = job["status"]["conditions"].as_array();
        let mut met = conditions.into_iter().flatten().filter(|condition| condition["status"] == "True");
        let ended = met.find_map(|condition| match condition["type"].as_str() {
            Some("Complete") => Some(Self::Complete),
            Some("Failed") => Some(Self::Failed(condition["message"].as_str().unwrap_or("no reason").to_owned())),
            Some(_) | None => None,
        });
        ended.unwrap_or(Self::Running)
    }
}

impl Wanted {
    /// The Job of a payload. The error is the text of a 400. A text that is made to take long takes a good part of a second.
    pub(crate) fn of(payload: &Payload) -> Result<Self, String> {
        let wanted = |key: &str| {
            let text = Some(payload.text(key)).filter(|text| !text.is_empty());
            text.ok_or_else(|| format!("{key} not found in metadata"))
        };
        let name = wanted("jobName")?;
        if !dns::is_label(name) || name.len() > NAME_MAX {
            return Err(format!("jobName {name:?} is not made of at most 63 lower case letters, digits and dashes"));
        }
        let namespace = &payload.namespace;
        if !dns::is_label(namespace) {
            return Err(format!("namespace {namespace:?} of the canary is no name"));
        }
        let written = read(wanted("jobSpec")?)?;
        let (mut metadata, mut spec) = parts(written)?;
        match metadata.get("namespace").and_then(Value::as_str) {
            Some(other) if other != namespace => {
                return Err(format!("the Job is for namespace {other:?}, and its canary is in {namespace:?}"));
            }
            Some(_) | None => {}
        }
        let mut map = |key: &str| metadata.remove(key).and_then(|value| value.as_object().cloned()).unwrap_or_default();
        let (labels, annotations) = (map("labels"), map("annotations"));
        complete(&mut spec);
        let revision = revision(&spec, &payload.checksum);
        let (namespace, name, canary) = (namespace.clone(), name.to_owned(), payload.name.clone());
        Ok(Self { namespace, name, canary, revision, labels, annotations, spec })
    }

    pub(super) fn title(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    pub(super) fn collection(&self) -> String {
        format!("/apis/batch/v1/namespaces/{}/jobs", escape(&self.namespace))
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection(), escape(&self.name))
    }

    /// The object to create. It ends by itself after the time that a task may take, unless it says otherwise.
    pub(super) fn object(&self, limit: Duration) -> Value {
        let Self { namespace, name, canary, revision, labels, annotations, spec } = self;
        let (mut labels, mut annotations, mut spec) = (labels.clone(), annotations.clone(), spec.clone());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), "burgee-loadtester".into());
        annotations.insert(REVISION.to_owned(), revision.as_str().into());
        annotations.insert(CANARY.to_owned(), canary.as_str().into());
        spec.entry("activeDeadlineSeconds").or_insert_with(|| limit.as_secs().max(1).into());
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations},
            "spec": spec,
        })
    }
}

/// What was written, as base64 of YAML or as YAML.
fn read(text: &str) -> Result<Object, String> {
    let packed: String = text.split_whitespace().collect();
    let unpacked = BASE64.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let yaml = unpacked.as_deref().unwrap_or(text);
    match bounded::read(yaml) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("jobSpec is neither a Job nor the spec of one".to_owned()),
        Err(error) => Err(format!("jobSpec cannot be read as YAML: {error}")),
    }
}

/// Metadata and spec, of a whole Job or of a spec alone.
fn parts(mut written: Object) -> Result<(Object, Object), String> {
    let is_whole = ["kind", "apiVersion", "spec"].iter().any(|key| written.contains_key(*key));
    let (metadata, spec) = if is_whole {
        let version = (written.get("apiVersion").cloned(), written.get("kind").cloned());
        if version != (Some("batch/v1".into()), Some("Job".into())) {
            return Err("jobSpec is of another kind than Job of batch/v1".to_owned());
        }
        (written.remove("metadata").unwrap_or_default(), written.remove("spec").unwrap_or_default())
    } else {
        (Value::Null, Value::Object(written))
    };
    let spec = spec.as_object().filter(|spec| spec.get("template").is_some_and(Value::is_object)).cloned();
    let spec = spec.ok_or("jobSpec has no template")?;
    Ok((metadata.as_object().cloned().unwrap_or_default(), spec))
}

/// A Job must say what becomes of a container that fails, and the default of pods is none that a Job may have.
fn complete(spec: &mut Object) {
    let pod = spec.get_mut("template").and_then(|template| template.get_mut("spec")).and_then(Value::as_object_mut);
    if let Some(pod) = pod {
        pod.entry("restartPolicy").or_insert_with(|| "Never".into());
    }
}

/// A word for what the Job is and which revision of the canary it is for.
fn revision(spec: &Object, checksum: &str) -> String {
    let digest = Sha256::digest(format!("{}\n{checksum}", Value::Object(spec.clone())));
    let (start, _) = digest.split_at(8);
    format!("{:016x}", start.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)))
}
