//! Istio's control plane and the ingress gateway. Plain Envoy stands in for Istio's proxy image.
use crate::cluster::Cluster;
use crate::network::BALANCER_ADDRESS;
use crate::parts::Parts;
use crate::process::{Component, Processes, Spec};
use anyhow::Result;
use std::path::Path;

/// Installs Istio's definitions and starts its control plane; the gateway follows with [`open_gateway`].
///
/// # Errors
/// When the API server refuses an object or istiod cannot be started.
pub(crate) fn start(cluster: &Cluster, processes: &Processes, parts: &Parts, state: &Path) -> Result<()> {
    define(cluster, parts)?;
    cluster.apply(include_str!("../manifests/system.yaml"))?;
    processes.start(Spec {
        component: Component::Istiod,
        program: parts.program("istiod"),
        arguments: vec![
            "discovery".to_owned(),
            format!("--kubeconfig={}", state.join("kubeconfigs/istiod").display()),
            "--grpcAddr=:15010".to_owned(),
            "--httpAddr=:18080".to_owned(),
            "--shutdownDuration=0s".to_owned(),
        ],
        // Plain Envoy lacks Istio's own filters.
        environment: vec![
            ("PILOT_ENABLE_ALPN_FILTER", "false".to_owned()),
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false".to_owned()),
            ("POD_NAMESPACE", "istio-system".to_owned()),
        ],
    })
}

/// Installs Istio's definitions.
///
/// # Errors
/// When the API server refuses them.
pub(crate) fn define(cluster: &Cluster, parts: &Parts) -> Result<()> {
    let definitions = parts.istio_definitions().display().to_string();
    cluster.kubectl(&["apply", "--server-side", "-f", &definitions]).map(drop)
}

/// Creates the gateway `istio-system/public-gateway`, its Envoy and its Service, which has a load balancer's address as on
/// a cloud.
///
/// # Errors
/// When the API server refuses an object.
pub(crate) fn open_gateway(cluster: &Cluster) -> Result<()> {
    let definitions = ["gateways", "virtualservices", "destinationrules"];
    for name in definitions.map(|plural| format!("crd/{plural}.networking.istio.io")) {
        cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", &name])?;
    }
    cluster.apply(include_str!("../manifests/gateway.yaml"))?;
    let status = format!("{{\"status\": {{\"loadBalancer\": {{\"ingress\": [{{\"ip\": \"{BALANCER_ADDRESS}\"}}]}}}}}}");
    let patch = ["patch", "service", "istio-ingressgateway", "--subresource=status", "--type=merge", "-p", &status];
    cluster.kubectl(&[&["-n", "istio-system"][..], &patch].concat()).map(drop)
}
