//! KEDA's controller, which scales by ScaledObjects. It runs without its metrics adapter: an HPA that it makes keeps within
//! its limits and does not follow a metric between them.
use crate::cluster::Cluster;
use crate::parts::Parts;
use crate::process::{Component, Processes, Spec};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Page that answers 200 as soon as the controller works.
pub(crate) const READY: &str = "http://127.0.0.1:28101/readyz";
/// Its namespace.
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: keda}\n";

/// Installs KEDA's definitions and starts its controller.
///
/// # Errors
/// When the API server refuses an object or the controller cannot be started.
pub(crate) fn start(cluster: &Cluster, processes: &Processes, parts: &Parts, state: &Path) -> Result<()> {
    let definitions = parts.keda_definitions().display().to_string();
    cluster.kubectl(&["apply", "--server-side", "-f", &definitions])?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &definitions])?;
    cluster.apply(NAMESPACE)?;
    let certificates = state.join("keda");
    write_certificates(&certificates)?;
    processes.start(Spec {
        component: Component::Keda,
        program: parts.program("keda"),
        arguments: vec![
            format!("--cert-dir={}", certificates.display()),
            "--enable-webhook-patching=false".to_owned(),
            "--enable-apiservice-patching=false".to_owned(),
            "--metrics-bind-address=:28100".to_owned(),
            "--health-probe-bind-address=:28101".to_owned(),
            "--metrics-service-bind-address=:28102".to_owned(),
        ],
        environment: vec![
            ("KUBECONFIG", state.join("kubeconfigs/keda").display().to_string()),
            ("POD_NAMESPACE", "keda".to_owned()),
            // It insists on the variable; empty is all namespaces.
            ("WATCH_NAMESPACE", String::new()),
            ("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda".to_owned()),
        ],
    })
}

/// The controller does not start without a certificate for its adapter; this one vouches for itself.
fn write_certificates(directory: &Path) -> Result<()> {
    let names = vec!["keda-operator.keda.svc".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("make KEDA's certificate")?;
    fs::create_dir_all(directory).context("create the directory of KEDA's certificate")?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (name, text) in [("ca.crt", &certificate), ("tls.crt", &certificate), ("tls.key", &key)] {
        fs::write(directory.join(name), text).with_context(|| format!("write KEDA's {name}"))?;
    }
    Ok(())
}
