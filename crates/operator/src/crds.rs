//! Whether the installed custom resource definitions keep what the operator must remember. It reads and never installs.

use std::sync::atomic::{AtomicBool, Ordering};

use burgee_api::CanaryStatus;
use http::Method;
use serde_json::Value;
use tokio::sync::Notify;

use crate::cluster::{ApiError, Cluster, Resource};

/// Name of the definition, and the kind that it defines, in the order in which the contract looks at them.
const DEFINITIONS: [(&str, &str); 3] = [
    ("canaries.flagger.app", "Canary"),
    ("metrictemplates.flagger.app", "MetricTemplate"),
    ("alertproviders.flagger.app", "AlertProvider"),
];

/// What is wrong with the definitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// One is missing, or cannot be read: nothing can be done without it.
    #[error("{0} CRD is not registered {1}")]
    Unregistered(&'static str, String),
    /// The one of canaries would silently drop `status.run`, or a field of it.
    #[error(
        "the CRD canaries.flagger.app is outdated: it does not keep status.run whole, without which a restart could \
         repeat a step. Nothing is written until it is updated: burgee crds | kubectl apply --server-side --force-conflicts -f -"
    )]
    Outdated,
}

/// Whether the definitions were found to be current. They can be replaced by older ones at any time.
#[derive(Debug, Default)]
pub struct Guard {
    outdated: AtomicBool,
    noticed: Notify,
}

impl Guard {
    /// Whether anything may be written.
    pub fn is_current(&self) -> bool {
        !self.outdated.load(Ordering::Relaxed)
    }

    /// Looks at what the API server made of a status: one whose run lost a field was pruned by an old definition.
    pub fn inspect(&self, wrote: &CanaryStatus, stored: &Value) {
        let kept = &stored["status"]["run"];
        let run = wrote.run.as_ref().and_then(|run| serde_json::to_value(run).ok()).unwrap_or_default();
        if run.as_object().is_some_and(|fields| fields.keys().any(|field| kept[field].is_null())) {
            self.outdated.store(true, Ordering::Relaxed);
            self.noticed.notify_one();
        }
    }

    /// Waits until the definitions are found to be outdated.
    pub async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// The definitions are current again.
    pub fn settle(&self) {
        self.outdated.store(false, Ordering::Relaxed);
    }
}

/// Looks at the three definitions. A missing permission to read them is told by looking at the kinds instead; whether
/// they are current is then unknown, and assumed.
pub async fn check(cluster: &Cluster) -> Result<(), Trouble> {
    for (name, kind) in DEFINITIONS {
        let path = format!("{}/{name}", Resource::DEFINITIONS.collection(None));
        match cluster.raw(Method::GET, &path, None).await {
            Ok(definition) if kind == "Canary" && !keeps_run(&definition) => return Err(Trouble::Outdated),
            Ok(_) => {}
            Err(ApiError::Forbidden(message)) => {
                tracing::warn!("CRD {name} cannot be read, assuming that it is current: {message}");
            }
            Err(error) => return Err(Trouble::Unregistered(kind, error.to_string())),
        }
    }
    Ok(())
}

/// Whether every served version of the definition keeps every field of `status.run` that ours has.
fn keeps_run(definition: &Value) -> bool {
    let own = run_fields();
    let versions = definition["spec"]["versions"].as_array();
    let mut served = versions.into_iter().flatten().filter(|version| version["served"] == true);
    served.all(|version| {
        let schema = &version["schema"]["openAPIV3Schema"];
        let status = &schema["properties"]["status"];
        let open = |schema: &Value| schema["x-kubernetes-preserve-unknown-fields"] == true;
        let run = &status["properties"]["run"];
        let keeps_all = run.is_object() && own.iter().all(|field| run["properties"][field].is_object());
        open(schema) || open(status) || open(run) || keeps_all
    })
}

/// The fields of `status.run` in our own definition.
fn run_fields() -> Vec<String> {
    let definitions = burgee_api::crds();
    let canary = definitions.iter().find(|definition| definition["spec"]["names"]["kind"] == "Canary");
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/run/properties";
    let fields = canary.and_then(|canary| canary.pointer(path)).and_then(Value::as_object);
    fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keeps(status: &Value) -> bool {
        let schema = json!({"openAPIV3Schema": {"properties": {"status": status}}});
        let version = json!({"name": "v1beta1", "served": true, "schema": schema});
        let old = json!({"name": "v1alpha1", "served": false});
        keeps_run(&json!({"spec": {"versions": [version, old]}}))
    }

    #[test]
    fn a_status_that_comes_back_without_its_run_stops_all_writing() {
        let guard = Guard::default();
        let status = CanaryStatus { run: Some(burgee_api::Run::default()), ..CanaryStatus::default() };
        guard.inspect(&status, &json!({"status": {"run": {"told": 0}}}));
        guard.inspect(&CanaryStatus::default(), &json!({"status": {}}));
        assert!(guard.is_current());
        guard.inspect(&status, &json!({"status": {"phase": "Progressing"}}));
        assert!(!guard.is_current());
        guard.settle();
        assert!(guard.is_current());
    }

    #[test]
    fn a_definition_is_current_when_it_keeps_the_run() {
        let mut fields: serde_json::Map<String, Value> =
            run_fields().into_iter().map(|field| (field, json!({"type": "string"}))).collect();
        assert!(fields.len() > 10, "{fields:?}");
        assert!(keeps(&json!({"properties": {"phase": {}, "run": {"properties": fields}}})));
        fields.remove("orders");
        assert!(!keeps(&json!({"properties": {"phase": {}, "run": {"properties": fields}}})));
        assert!(keeps(&json!({"properties": {"run": {"x-kubernetes-preserve-unknown-fields": true}}})));
        assert!(keeps(&json!({"x-kubernetes-preserve-unknown-fields": true})));
        assert!(!keeps(&json!({"properties": {"phase": {}}})));
        assert!(!keeps(&json!({})));
    }
}
