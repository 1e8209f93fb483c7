//! What a version is judged by: the answers that it gives, whatever its pods do.
use super::objects::{DEPLOYMENT, SHORT, revision, set};
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED};
use super::{Group, Test};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "a_bad_version_of_which_one_pod_keeps_crashing_is_judged_and_rolled_back",
    space: "crashing",
    group: Group::Loaded,
    limit: Duration::from_mins(4),
    run: crashing,
}];

/// Requests per second.
const RATE: u32 = 100;

/// Kubernetes calls a Deployment available as long as three of four pods are, and one that was complete never runs out of
/// time: nothing but the answers of the others shows that the version is bad (I29).
fn crashing(stage: &Stage<'_>) -> Result<()> {
    let mut target = stage.object(DEPLOYMENT)?;
    set(&mut target, "/spec/replicas", json!(4));
    set(&mut target, "/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
    let mut canary = stage.object(SHORT)?;
    set(&mut canary, "/spec/analysis/threshold", json!(2));
    stage.initialize_on(&target, &canary)?;
    stage.until_open()?;
    let _load = stage.load(RATE)?;
    stage.patch_target(&revision("6.0.1", &["--random-error"]))?;
    stage.until_told("Advance podinfo.test canary weight 20", 60)?;
    let pod = stage.kubectl(&["get", "pods", "-l", "app=podinfo", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let panic = format!("/api/v1/namespaces/{}/pods/{pod}:9898/proxy/panic", stage.namespace());
    let restarts = ["get", "pod", &pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
    let mut crashes = 0;
    let mut was_short = false;
    stage.poll("the version is rolled back", 90, || {
        // It answers nothing: its process ends.
        let _ = stage.kubectl(&["get", "--raw", &panic]);
        crashes = stage.kubectl(&restarts).ok().and_then(|count| count.parse().ok()).unwrap_or(crashes);
        let deployment = stage.get("deployment", "podinfo")?;
        was_short |= deployment["spec"]["replicas"] == 4 && deployment["status"]["readyReplicas"] == 3;
        Ok(stage.phase() == "Failed")
    })?;
    stage.note(&format!("the pod crashed {crashes} times"));
    ensure!(crashes > 0 && was_short, "{crashes} crashes; three of four pods were ready: {was_short}");
    let halt = "Halt podinfo.test advancement success rate *% < 99%";
    let ending = [
        "Advance podinfo.test canary weight 20",
        halt,
        halt,
        "Rolling back podinfo.test failed checks threshold reached 2",
        "Canary failed! Scaling down podinfo.test",
    ];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &ending].concat())
}
