//! What a version is judged by: the answers that it gives, whatever its pods do.
use super::objects::{DEPLOYMENT, SHORT, revision, set};
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, promotion};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_bad_version_of_which_one_pod_keeps_crashing_is_judged_and_rolled_back",
        space: "crashing",
        group: Group::Loaded,
        limit: Duration::from_mins(4),
        run: crashing,
    },
    Test {
        name: "a_fix_is_not_judged_by_the_errors_of_the_version_before_it",
        space: "fixed",
        group: Group::Loaded,
        limit: Duration::from_mins(4),
        run: fixed,
    },
];

/// Requests per second.
const RATE: u32 = 100;

/// Kubernetes calls a Deployment available as long as three of four pods are, and one that was complete never runs out of
/// time: nothing but the answers of the others shows that the version is bad (I29).
fn crashing(stage: &Stage<'_>) -> Result<()> {
    let mut target = stage.object(DEPLOYMENT)?;
    set(&mut target, "/spec/replicas", json!(4));
    set(&mut target, "/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
    let mut canary = stage.object(SHORT)?;
    // Time for the crash to be seen: a request that shall crash the pod is answered at random too.
    set(&mut canary, "/spec/analysis/threshold", json!(4));
    stage.initialize_on(&target, &canary)?;
    stage.until_open()?;
    let _load = stage.load(RATE)?;
    stage.patch_target(&revision("6.0.1", &["--random-error"]))?;
    stage.until_told("Advance podinfo.test canary weight 20", 60)?;
    let pod = staying_pod(stage)?;
    let panic = format!("/api/v1/namespaces/{}/pods/{pod}:9898/proxy/panic", stage.namespace());
    let restarts = ["get", "pod", &pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
    let mut crashes = 0;
    let mut was_short = false;
    stage.poll("the version is rolled back", 90, || {
        // It answers nothing: its process ends.
        let _ = stage.kubectl(&["get", "--raw", &panic]);
        // With the end of the run the pod goes, and what it said last holds.
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
        halt,
        halt,
        "Rolling back podinfo.test failed checks threshold reached 4",
        "Canary failed! Scaling down podinfo.test",
    ];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &ending].concat())
}

/// A pod of the bad version: those of the version before it may still be on their way out, and they have no part in this.
fn staying_pod(stage: &Stage<'_>) -> Result<String> {
    let pods = stage.list("pods")?;
    let mut pods = pods["items"].as_array().context("a list of pods")?.iter();
    let staying =
        |pod: &&Value| pod["metadata"]["labels"]["app"] == "podinfo" && pod["metadata"]["deletionTimestamp"].is_null();
    Ok(pods.find(staying).and_then(|pod| pod["metadata"]["name"].as_str()).context("a pod that stays")?.to_owned())
}

/// The window of the metrics is three times the interval of the checks: it holds the errors of the bad version for two more
/// checks, and with a threshold of two its fix would be rolled back by them (S25).
fn fixed(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    for metric in 0..2 {
        set(&mut canary, &format!("/spec/analysis/metrics/{metric}/interval"), json!("30s"));
    }
    stage.initialize(&canary)?;
    stage.until_open()?;
    let _load = stage.load(RATE)?;
    stage.patch_target(&revision("6.0.1", &["--random-error"]))?;
    let halt = "Halt podinfo.test advancement success rate *% < 99%";
    stage.until_told(halt, 60)?;
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_promoted(120)?;
    let restarted = "New revision detected! Restarting analysis for podinfo.test";
    let holding = "Holding podinfo.test, metric request-success-rate still looks back on requests of before this run";
    let first = "Advance podinfo.test canary weight 20";
    let second = "Advance podinfo.test canary weight 40";
    // The first run begins so soon after the bootstrap that users of before may have been counted.
    let begun = [first, holding, halt];
    let steps = [restarted, "Starting canary analysis for podinfo.test", first, holding, second];
    let steps = [&begun[..], &steps].concat();
    stage.expect_told(&promotion(&steps))?;
    let told = stage.told();
    let at = |pattern: &str| told.iter().rfind(|told| told.text == pattern).context("it was told");
    let waited = at(second)?.at.duration_since(at(first)?.at);
    stage.note(&format!("the weight was held for {:.1} s", waited.as_secs_f64()));
    ensure!(at(holding)?.kind == "Normal", "to wait is no warning");
    ensure!((29..42).contains(&waited.as_secs()), "the first weight was held for {waited:?}");
    Ok(())
}
