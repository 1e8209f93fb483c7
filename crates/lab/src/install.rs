//! Installs the operator with its Helm chart, as a user would. It writes no object of its own.
use crate::cluster::Cluster;
use crate::command::run;
use anyhow::{Context, Result};
use std::path::Path;

/// What to install.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    /// Directory of the chart.
    pub chart: &'a Path,
    /// Image with its tag.
    pub image: &'a str,
    /// Address of Prometheus as seen from inside the cluster.
    pub metrics_server: &'a str,
    /// More values, each `key=value` as for `helm --set`.
    pub values: &'a [&'a str],
    /// What the release's history says of it.
    pub note: Option<&'a str>,
}

/// Installs or upgrades the release `flagger` in `istio-system` and waits until it is rolled out.
///
/// # Errors
/// With helm's own message, or with the state of the pods when the rollout does not finish in two minutes.
pub fn install(cluster: &Cluster, installation: &Installation<'_>) -> Result<()> {
    let Installation { chart, image, metrics_server, values, note } = installation;
    let (repository, tag) = image.rsplit_once(':').with_context(|| format!("image {image} has no tag"))?;
    let mut helm = cluster.command("helm");
    helm.args(["upgrade", "--install", "flagger"]).arg(chart).args(["--namespace", "istio-system"]);
    let own = [
        format!("image.repository={repository}"),
        // A tag of digits alone would become a number.
        format!("meshProvider=istio,metricsServer={metrics_server}"),
    ];
    helm.args(["--set-string", &format!("image.tag={tag}")]);
    for value in own.iter().map(String::as_str).chain(values.iter().copied()) {
        helm.args(["--set", value]);
    }
    helm.args(note.map(|note| ["--description", note]).iter().flatten());
    run(&mut helm).context("install the chart")?;
    let rollout = ["-n", "istio-system", "rollout", "status", "deployment/flagger", "--timeout=120s"];
    cluster.kubectl(&rollout).map(drop).with_context(|| pods(cluster))
}

fn pods(cluster: &Cluster) -> String {
    let list = cluster.kubectl(&["-n", "istio-system", "describe", "pods", "-l", "app.kubernetes.io/name=flagger"]);
    format!("the operator is not ready:\n{}", list.unwrap_or_else(|error| error.to_string()))
}
