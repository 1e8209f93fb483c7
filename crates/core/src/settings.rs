//! What the operator was started with, as far as decisions depend on it (contract: operations §1).

use std::collections::BTreeMap;

use burgee_api::Address;
use serde::{Deserialize, Serialize};

/// The flags that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `-mesh-provider`: the provider of canaries that name none.
    pub mesh_provider: String,
    /// `-metrics-server`: address of the Prometheus that builtin and inline queries ask.
    pub metrics_server: Address,
    /// `-selector-labels`, in order of preference.
    pub selector_labels: Vec<String>,
    /// `-include-label-prefix`: prefixes of labels and annotations that are copied to primaries; `*` is all.
    pub include_label_prefixes: Vec<String>,
    /// `-enable-config-tracking`.
    pub config_tracking: bool,
    /// `-no-cross-namespace-refs`.
    pub no_cross_namespace_refs: bool,
    /// `-allowed-hosts`: the hosts that canaries of a namespace may claim, of every namespace under `*`; empty is all (S29).
    pub allowed_hosts: BTreeMap<String, Vec<String>>,
    /// `-drain-delay`, in milliseconds: how long a set keeps its pods after its weight went to 0 (S12).
    pub drain_delay_milliseconds: u64,
    /// `-cluster-name`: named in alerts when not empty.
    pub cluster_name: String,
    /// Who gets the alerts of canaries that name no provider (`-slack-url`, `-msteams-url`).
    pub audience: Audience,
    /// `-pause-new-runs`: runs under way finish, new ones wait.
    pub pause_new_runs: bool,
}

/// Who gets the alerts of canaries that name no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// No address was given.
    Nobody,
    /// The chat of the operator's flags.
    Chat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mesh_provider: "istio".to_owned(),
            metrics_server: "http://prometheus:9090".into(),
            selector_labels: ["app", "name", "app.kubernetes.io/name"].map(str::to_owned).to_vec(),
            include_label_prefixes: Vec::new(),
            config_tracking: true,
            no_cross_namespace_refs: false,
            allowed_hosts: BTreeMap::new(),
            drain_delay_milliseconds: 10_000,
            cluster_name: String::new(),
            audience: Audience::Nobody,
            pause_new_runs: false,
        }
    }
}

impl Settings {
    /// Whether a label or annotation is copied from the target to generated objects (contract: lifecycle §7.2).
    pub fn includes(&self, key: &str) -> bool {
        includes(&self.include_label_prefixes, key)
    }
}

/// Whether one of the prefixes admits a label or annotation; those of GitOps toolkits are never admitted.
pub fn includes(prefixes: &[String], key: &str) -> bool {
    !key.contains("toolkit.fluxcd.io")
        && prefixes.iter().any(|prefix| prefix == "*" || (!prefix.is_empty() && key.starts_with(prefix.as_str())))
}
