//! The set that serves is never too small: a primary that cannot start, and one that an autoscaler would shrink.
use super::adoption::{check_lossless, until_gone};
use super::delivery::{image, target_has};
use super::edits::{refer_to_autoscaler, unmeasured};
use super::objects::{AUTOSCALER, DEPLOYMENT, set};
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, PROMOTED, expect};
use super::{Group, Test};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_primary_that_cannot_start_gets_no_traffic_until_it_is_put_back_to_the_version_before",
        space: "unstartable",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: unstartable,
    },
    Test {
        name: "a_primary_that_is_shrunk_during_a_run_gets_its_traffic_back_with_its_capacity",
        space: "shrunk",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: shrunk,
    },
];

/// Requests per second.
const RATE: u32 = 50;
/// Ends at once in a pod of the primary, and runs podinfo in any other.
const NEVER_AS_PRIMARY: &str = "case $HOSTNAME in *-primary-*) exit 1;; esac; exec podinfo --port=9898 --level=info";

fn unstartable(stage: &Stage<'_>) -> Result<()> {
    let mut target = stage.object(DEPLOYMENT)?;
    set(&mut target, "/spec/progressDeadlineSeconds", json!(20));
    stage.initialize_on(&target, &unmeasured(stage, 50, 50)?)?;
    stage.until_open()?;
    let before = stage.counters()?;
    let load = stage.load(RATE)?;
    let command = ["/bin/sh", "-c", NEVER_AS_PRIMARY];
    let container = json!({"name": "podinfod", "image": "lab.local/podinfo:6.0.1", "command": command});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    stage.kubectl(&["patch", "deployment/podinfo", "--type=strategic", "-p", &patch.to_string()])?;
    let failed = stage.until_told("Promotion of podinfo.test failed, primary not ready: *", 120)?;
    stage.until("the canary has all traffic", 5, || {
        Ok(stage.phase() == "Failed" && stage.canary()["status"]["canaryWeight"] == 100)
    })?;
    let served = stage.get("deployment", "podinfo")?;
    ensure!(served["status"]["readyReplicas"] == 2, "the canary has all traffic with {}", served["status"]);
    let restored = stage.until_told("Restoring podinfo.test to the last promoted revision", 60)?;
    stage.note(&format!("the primary was put back {:.1} s after it failed", (restored.at - failed.at).as_secs_f64()));
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.0", "the primary has another version");
    until_gone(stage, "app=podinfo")?;
    let counted = check_lossless(stage, load, &before)?;
    let canary = counted.requests(stage.namespace(), "podinfo-canary", Some(200));
    ensure!(canary > 500, "the canary answered only {canary} requests");
    check_story(stage)?;
    let status = stage.canary_now()?["status"].clone();
    ensure!(status["phase"] == "Failed" && status["canaryWeight"] == 0, "the canary has not healed: {status}");
    target_has(stage, 0)
}

fn check_story(stage: &Stage<'_>) -> Result<()> {
    let reason = "primary not ready: podinfo-primary.test not ready: deployment \"podinfo-primary\" exceeded its \
                  progress deadline";
    let failed = format!("Promotion of podinfo.test failed, {reason}");
    let steps = [
        "Advance podinfo.test canary weight 50",
        PROMOTED[0],
        failed.as_str(),
        "Restoring podinfo.test to the last promoted revision",
    ];
    expect(&stage.told(), &[&INITIALIZED[..], &BEGUN, &steps].concat())?;
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        &format!("Promotion failed, {reason}"),
        "Primary restored to the last promoted revision",
    ])
}

/// The lab has no metrics-server, so the autoscaler's controller can read no usage: it only keeps its limits. What it
/// would do by its metrics is done by hand, as it does it, by writing the primary's scale: up to 4 before the run, and
/// down to 2 when half of the traffic has left the primary. That the primary comes back to 4 is the controller's own
/// work, because the operator holds the minimum there.
fn shrunk(stage: &Stage<'_>) -> Result<()> {
    stage.apply(&stage.object(AUTOSCALER)?)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    refer_to_autoscaler(&mut canary);
    stage.initialize(&canary)?;
    stage.until_open()?;
    scale_primary(stage, 4)?;
    stage.poll("the primary has 4 ready pods", 30, || Ok(ready_pods(stage)? == 4))?;
    let before = stage.counters()?;
    let load = stage.load(RATE)?;
    stage.release("deployment", "6.0.1")?;
    stage.until_told("Advance podinfo.test canary weight 50", 60)?;
    check_floor(stage, &json!(4))?;
    stage.until_phase("Promoting", 30)?;
    stage
        .until("the new version is copied", 10, || Ok(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.1"))?;
    // The controller would undo it within its period of 15 s, so it is done until the operator has seen it.
    stage.until("the operator waits for capacity", 40, || {
        scale_primary(stage, 2)?;
        Ok(stage.times_told("Waiting for * of 4 primary replicas before routing traffic back to podinfo.test") > 0)
    })?;
    let weight = stage.get("virtualservice", "podinfo")?.pointer("/spec/http/0/route/1/weight").cloned();
    ensure!(weight == Some(json!(50)), "while it waits the canary's weight is {weight:?}");
    stage.until_told("Routing all traffic to primary", 40)?;
    let ready = ready_pods(stage)?;
    ensure!(ready >= 4, "the traffic came back to {ready} pods");
    stage.until_phase("Succeeded", 60)?;
    until_gone(stage, "app=podinfo")?;
    check_lossless(stage, load, &before)?;
    check_floor(stage, &json!(2))?;
    target_has(stage, 0)
}

fn scale_primary(stage: &Stage<'_>, replicas: u32) -> Result<()> {
    stage.kubectl(&["scale", "deployment/podinfo-primary", &format!("--replicas={replicas}")]).map(drop)
}

fn ready_pods(stage: &Stage<'_>) -> Result<u64> {
    Ok(stage.get("deployment", "podinfo-primary")?["status"]["readyReplicas"].as_u64().unwrap_or_default())
}

/// The minimum of the primary's autoscaler; the user's own stays at 2 all the time.
fn check_floor(stage: &Stage<'_>, least: &Value) -> Result<()> {
    let own = stage.get("hpa", "podinfo")?["spec"]["minReplicas"].clone();
    ensure!(own == 2, "the user's autoscaler has the minimum {own}");
    let primary = stage.get("hpa", "podinfo-primary")?;
    let (floor, most) = (&primary["spec"]["minReplicas"], &primary["spec"]["maxReplicas"]);
    ensure!(floor == least && *most == 4, "the primary's autoscaler goes from {floor} to {most}, not from {least}");
    Ok(())
}
