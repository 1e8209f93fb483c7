//! kwok, which answers for nodes that do not exist and for the pods on them. No such pod runs anything or can be reached.
use crate::cluster::Cluster;
use crate::parts::Parts;
use crate::process::{Component, Processes, Spec};
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::Path;

/// The node that takes any number of pods. Nothing schedules: a pod names it.
pub const NODE: &str = "fake";
/// Marks the nodes that kwok answers for.
const MARK: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// Creates the node and starts what answers for it.
///
/// # Errors
/// When the API server refuses the node or the program cannot be started.
pub(crate) fn start(cluster: &Cluster, processes: &Processes, parts: &Parts, state: &Path) -> Result<()> {
    let (mark, value) = MARK;
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "labels": {"type": "kwok"}, "annotations": {mark: value}},
    });
    cluster.apply(&node.to_string())?;
    let mut arguments = vec![
        format!("--kubeconfig={}", state.join("kubeconfigs/kwok").display()),
        format!("--manage-nodes-with-annotation-selector={mark}={value}"),
        "--v=WARN".to_owned(),
        // Stages come from files instead, so that the cluster needs no definition of them.
        "--enable-crds=".to_owned(),
        // As many addresses as thousands of pods take.
        "--cidr=10.128.0.0/10".to_owned(),
    ];
    for stage in fs::read_dir(parts.kwok_stages()).context("list kwok's stages")? {
        arguments.push(format!("--config={}", stage.context("list kwok's stages")?.path().display()));
    }
    processes.start(Spec {
        component: Component::Kwok,
        program: parts.program("kwok"),
        arguments,
        environment: Vec::new(),
    })
}
