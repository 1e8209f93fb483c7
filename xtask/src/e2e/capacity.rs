//! The set that serves is never too small: a primary that cannot start, one that an autoscaler would shrink, and one that
//! somebody shrinks.
use super::adoption::{check_lossless, live, until_gone};
use super::delivery::{image, target_has};
use super::edits::{ask, hook, refer_to_autoscaler, unmeasured};
use super::objects::{AUTOSCALER, DEPLOYMENT, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, PROMOTED};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "an_autoscaler_that_wants_fewer_pods_during_a_run_does_not_shrink_the_primary",
        space: "autoscaled",
        group: Group::Loaded,
        limit: Duration::from_mins(5),
        run: autoscaled,
    },
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
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &steps].concat())?;
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        &format!("Promotion failed, {reason}"),
        "Primary restored to the last promoted revision",
    ])
}

/// Requests per second that the pods' use is measured with: so many that what a pod uses at rest counts for little beside
/// them.
const MUCH: u32 = 400;
/// The gate at whose weight the autoscaler is watched.
const GATE: &str = "end";

/// metrics-server tells the autoscaler's controller what the pods really use: all requests take four pods by the target
/// that is set here, and a fifth of them, at weight 80, takes one.
fn autoscaled(stage: &Stage<'_>) -> Result<()> {
    live(stage)?;
    let load = stage.load(MUCH)?;
    let used = used_nanocores(stage, "app=podinfo", Timestamp::now())?;
    stage.apply(&by_use(stage, used * 9 / 40)?)?;
    let mut canary = unmeasured(stage, 80, 80)?;
    refer_to_autoscaler(&mut canary);
    ask(&mut canary, &[hook(stage, GATE, "confirm-promotion")]);
    stage.answer(GATE, Answer::Status(403, "not yet"));
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 90)?;
    stage.poll("the autoscaler gives the primary 4 pods", 90, || Ok(ready_pods(stage)? == 4))?;
    let before = stage.counters()?;
    stage.release("deployment", "6.0.1")?;
    stage.until_told("Advance podinfo.test canary weight 80", 60)?;
    stage.poll("the autoscaler would rather have fewer pods", 90, || is_held_up(stage))?;
    check_floor(stage, &json!(4))?;
    ensure!(ready_pods(stage)? == 4, "the primary has {} ready pods", ready_pods(stage)?);
    stage.answer(GATE, Answer::Status(200, "go on"));
    stage.until_told("Routing all traffic to primary", 90)?;
    let ready = ready_pods(stage)?;
    ensure!(ready >= 4, "the traffic came back to {ready} pods");
    stage.until_phase("Succeeded", 60)?;
    until_gone(stage, "app=podinfo")?;
    check_lossless(stage, load, &before)?;
    check_floor(stage, &json!(2))
}

/// The tests' autoscaler with so much use for each pod, which follows at once.
fn by_use(stage: &Stage<'_>, nanocores: u64) -> Result<Value> {
    let mut autoscaler = stage.object(AUTOSCALER)?;
    let target = json!({"type": "AverageValue", "averageValue": format!("{nanocores}n")});
    set(&mut autoscaler, "/spec/metrics/0/resource/target", target);
    let at_once = json!({"stabilizationWindowSeconds": 0});
    set(&mut autoscaler, "/spec/behavior", json!({"scaleDown": at_once, "scaleUp": at_once}));
    stage.note(&format!("{} millicores for each pod", nanocores / 1_000_000));
    Ok(autoscaler)
}

/// Whether the primary's autoscaler wants fewer pods than it may have, by what it sees.
fn is_held_up(stage: &Stage<'_>) -> Result<bool> {
    let autoscaler = stage.get("hpa", "podinfo-primary")?;
    let conditions = autoscaler["status"]["conditions"].as_array().context("the autoscaler has not looked yet")?;
    let limited = conditions.iter().find(|condition| condition["type"] == "ScalingLimited");
    Ok(limited.is_some_and(|limited| limited["status"] == "True" && limited["reason"] == "TooFewReplicas"))
}

/// What all pods with this label use together, measured after a time.
fn used_nanocores(stage: &Stage<'_>, label: &str, after: Timestamp) -> Result<u64> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={label}", stage.namespace());
    let mut used = 0;
    stage.poll("metrics-server has measured the pods", 60, || {
        let pods: Value = serde_json::from_str(&stage.kubectl(&["get", "--raw", &path])?).context("parse the use")?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        used = pods.iter().filter_map(|pod| nanocores(pod.pointer("/containers/0/usage/cpu")?.as_str()?)).sum();
        Ok(pods.len() == 2 && pods.iter().all(|pod| measured_since(pod).is_some_and(|since| since > after)))
    })?;
    ensure!(used > 0, "the pods use nothing under load");
    Ok(used)
}

/// When the measurement of a pod began.
fn measured_since(pod: &Value) -> Option<Timestamp> {
    let ended: Timestamp = pod["timestamp"].as_str()?.parse().ok()?;
    let window: jiff::Span = pod["window"].as_str()?.parse().ok()?;
    ended.checked_sub(window).ok()
}

/// Kubernetes' quantities of processors, as metrics-server writes them.
fn nanocores(text: &str) -> Option<u64> {
    let number = |digits: &str, unit: u64| digits.parse::<u64>().ok().map(|number| number * unit);
    match text.strip_suffix(['n', 'u', 'm']) {
        Some(digits) if text.ends_with('n') => number(digits, 1),
        Some(digits) if text.ends_with('u') => number(digits, 1000),
        Some(digits) => number(digits, 1_000_000),
        None => number(text, 1_000_000_000),
    }
}

/// Somebody else writes the primary's scale, as an autoscaler does: up to 4 before the run, and down to 2 when half of the
/// traffic has left the primary. That the primary comes back to 4 is the work of the autoscaler's controller, because the
/// operator holds the minimum there.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_a_pod_is_read_in_each_unit() {
        for (text, expected) in [("12345n", 12_345), ("7u", 7000), ("3m", 3_000_000), ("2", 2_000_000_000)] {
            assert_eq!(nanocores(text), Some(expected), "{text}");
        }
        assert_eq!(nanocores("12Ki"), None);
    }

    #[test]
    fn a_measurement_begins_a_window_before_it_ends() {
        let pod = json!({"timestamp": "2026-01-01T00:00:30Z", "window": "10.5s"});
        assert_eq!(measured_since(&pod), "2026-01-01T00:00:19.5Z".parse().ok());
    }
}
