//! The operator's Helm release on a cluster that existed before: borrowed for the tests, and put back as it was. It knows
//! no test.
use anyhow::{Context, Result};
use burgee_lab::{Cluster, Installation, PROMETHEUS_ADDRESS, install, say};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What the release's history says of what was installed for the tests. It outlives a crash of theirs.
const NOTE: &str = "borrowed by the end-to-end tests";

/// The release as it was found; it is put back when dropped.
#[derive(Clone)]
pub(crate) struct Release {
    cluster: Cluster,
    revision: u64,
    is_back: Arc<Mutex<bool>>,
}

impl Release {
    /// The release as its owner has installed it last: what an earlier run left when it crashed is passed over.
    ///
    /// # Errors
    /// When Helm knows no release flagger in istio-system.
    pub(crate) fn find(cluster: &Cluster) -> Result<Self> {
        let advice = "the operator must be installed as Helm release flagger in istio-system";
        let history = helm(cluster, &["history", "flagger", "-o", "json"]).context(advice)?;
        let history: Value = serde_json::from_str(&history).context("parse the history of the release")?;
        let revision = last_of_owner(&history).context("the release flagger was never installed without a failure")?;
        Ok(Self { cluster: cluster.clone(), revision, is_back: Arc::default() })
    }

    /// Installs this chart with other values and the image that the operator has now, for the time of the tests.
    ///
    /// # Errors
    /// With helm's own message.
    pub(crate) fn borrow(&self, chart: &Path, values: &[&str]) -> Result<()> {
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        let image = self.cluster.kubectl(&["-n", "istio-system", "get", "deployment", "flagger", "-o", path])?;
        let metrics_server = PROMETHEUS_ADDRESS;
        install(&self.cluster, &Installation { chart, image: &image, metrics_server, values, note: Some(NOTE) })
    }

    /// Puts the release back as it was found, once.
    pub(crate) fn put_back(&self) {
        let mut is_back = self.is_back.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_back {
            return;
        }
        let revision = self.revision.to_string();
        let line = ["rollback", "flagger", &revision, "--wait", "--timeout", "120s"];
        match helm(&self.cluster, &line) {
            Ok(_) => say(&format!("operator: put back as it was in revision {revision} of its release")),
            Err(error) => say(&format!("operator: not put back: {error:#}; helm {} -n istio-system", line.join(" "))),
        }
        *is_back = true;
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.put_back();
    }
}

fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.command("helm").args(["-n", "istio-system"]).args(arguments).output().context("run helm")?;
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    anyhow::ensure!(output.status.success(), "helm {}: {}", arguments.join(" "), said.trim());
    Ok(said.into_owned())
}

/// The last revision that came up and was not installed by the tests.
fn last_of_owner(history: &Value) -> Option<u64> {
    let came_up = |entry: &&Value| matches!(entry["status"].as_str(), Some("deployed" | "superseded"));
    let entries = history.as_array()?.iter().filter(came_up);
    entries.filter(|entry| entry["description"] != NOTE).filter_map(|entry| entry["revision"].as_u64()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_owners_last_revision_is_put_back_whatever_crashed_tests_have_left() {
        let entry = |revision: u64, status: &str, description: &str| json!({"revision": revision, "status": status, "description": description});
        let check = |entries: &[Value], expected: Option<u64>| assert_eq!(last_of_owner(&json!(entries)), expected);
        let owners = entry(2, "superseded", "Upgrade complete");
        check(&[entry(1, "superseded", "Install complete"), owners.clone(), entry(3, "deployed", NOTE)], Some(2));
        check(&[owners.clone(), entry(3, "superseded", NOTE), entry(4, "deployed", "Rollback to 2")], Some(4));
        check(&[owners, entry(3, "pending-upgrade", "Preparing upgrade")], Some(2));
        check(&[entry(1, "failed", "Release failed")], None);
    }
}
