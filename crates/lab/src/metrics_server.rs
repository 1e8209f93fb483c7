//! metrics-server, which reads from the kubelet what pods use and serves it to autoscalers. It judges nothing.
use crate::cluster::Cluster;
use crate::parts::Parts;
use crate::process::{Component, Processes, Spec};
use anyhow::Result;
use std::path::Path;

/// Name of the API that it serves.
pub(crate) const API: &str = "v1beta1.metrics.k8s.io";

/// Registers the API and starts the server.
///
/// # Errors
/// When the API server refuses an object or the server cannot be started.
pub(crate) fn start(cluster: &Cluster, processes: &Processes, parts: &Parts, state: &Path) -> Result<()> {
    cluster.apply(include_str!("../manifests/metrics-server.yaml"))?;
    let kubeconfig = state.join("kubeconfigs/metrics-server").display().to_string();
    processes.start(Spec {
        component: Component::MetricsServer,
        program: parts.program("metrics-server"),
        arguments: vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--cert-dir={}", state.join("metrics-server").display()),
            "--secure-port=28110".to_owned(),
            "--kubelet-insecure-tls".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--metric-resolution=10s".to_owned(),
            "--kubelet-request-timeout=5s".to_owned(),
        ],
        environment: Vec::new(),
    })
}
