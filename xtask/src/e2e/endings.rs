//! Bad versions: each is rolled back, for its own reason, with the contract's texts.
use super::delivery::{check_no_retries, image, target_has};
use super::edits::{ask, hook, unmeasured};
use super::objects::{SHORT, revision, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED};
use super::{Group, Test};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_version_that_answers_500s_is_rolled_back_and_no_request_fails_but_its_own",
        space: "errors",
        group: Group::Loaded,
        limit: Duration::from_mins(4),
        run: errors,
    },
    Test {
        name: "a_version_that_answers_slowly_is_rolled_back",
        space: "latency",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: latency,
    },
    Test {
        name: "a_version_whose_hooks_fail_is_rolled_back",
        space: "hooks",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: hooks,
    },
    Test {
        name: "a_version_that_does_not_become_ready_is_rolled_back_at_its_deadline",
        space: "deadline",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: deadline,
    },
];

fn errors(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    set(&mut canary, "/spec/analysis/threshold", json!(3));
    stage.initialize(&canary)?;
    stage.until_open()?;
    let before = stage.counters()?;
    let load = stage.load(200)?;
    stage.patch_target(&revision("6.0.1", &["--random-error"]))?;
    stage.until_phase("Failed", 120)?;
    stage.poll("the target's pods are gone", 60, || {
        Ok(stage.kubectl(&["get", "pods", "-l", "app=podinfo"])?.is_empty())
    })?;
    let answers = load.stop()?;
    let counted = stage.counters()?.since(&before);
    let halt = "Halt podinfo.test advancement success rate *% < 99%";
    let ending = [
        "Advance podinfo.test canary weight 20",
        halt,
        halt,
        halt,
        "Rolling back podinfo.test failed checks threshold reached 3",
        "Canary failed! Scaling down podinfo.test",
    ];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &ending].concat())?;
    let at_gateway: u64 = answers.codes.iter().filter(|(code, _)| **code >= 500).map(|(_, count)| count).sum::<u64>()
        + answers.unanswered;
    let namespace = stage.namespace();
    let canary_errors = counted.requests(namespace, "podinfo-canary", Some(500));
    ensure!(canary_errors > 0, "the bad version made no errors: {answers:?}");
    ensure!(
        at_gateway == canary_errors,
        "{at_gateway} errors at the gateway, {canary_errors} by the canary: {answers:?}"
    );
    let primary = counted.requests(namespace, "podinfo-primary", None);
    let good = counted.requests(namespace, "podinfo-primary", Some(200));
    ensure!(primary == good && good > 1000, "the primary answered {good} of {primary} requests with 200");
    check_no_retries(stage, &counted)?;
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        "Failed checks threshold reached 3",
    ])?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.0", "the primary was changed");
    Ok(())
}

fn latency(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&stage.object(SHORT)?)?;
    stage.until_open()?;
    let _load = stage.load(30)?;
    let slow = ["--random-delay", "--random-delay-unit=ms", "--random-delay-min=600", "--random-delay-max=800"];
    stage.patch_target(&revision("6.0.1", &slow))?;
    stage.until_phase("Failed", 120)?;
    let halt = "Halt podinfo.test advancement request duration * > 500ms";
    let ending = [
        "Advance podinfo.test canary weight 20",
        halt,
        halt,
        "Rolling back podinfo.test failed checks threshold reached 2",
        "Canary failed! Scaling down podinfo.test",
    ];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &ending].concat())?;
    target_has(stage, 0)
}

/// First a hook before the traffic fails, then, for the next version, one during it.
fn hooks(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 20, 40)?;
    ask(&mut canary, &[hook(stage, "acceptance", "pre-rollout"), hook(stage, "load", "rollout")]);
    stage.answer("acceptance", Answer::Status(400, "no token"));
    stage.answer("load", Answer::Status(500, "broken"));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Failed", 120)?;
    let halt = "Halt podinfo.test advancement pre-rollout check acceptance failed 400 Bad Request, answer of 8 bytes";
    let start = "Starting canary analysis for podinfo.test";
    let rolled = "Rolling back podinfo.test failed checks threshold reached 2";
    let failed = "Canary failed! Scaling down podinfo.test";
    let first = [&INITIALIZED[..], &BEGUN, &[halt, start, halt, rolled, failed]].concat();
    stage.expect_told(&first)?;
    stage.answer("acceptance", Answer::Status(200, "token"));
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_phase("Progressing", 30)?;
    stage.until_phase("Failed", 120)?;
    let url = stage.hooks_at();
    let halt =
        format!("Halt podinfo.test advancement external check load failed POST {url} giving up after 1 attempt(s)*");
    let second = [
        "New revision detected! Scaling up podinfo.test",
        start,
        "Pre-rollout check acceptance passed",
        "Advance podinfo.test canary weight 20",
        &halt,
        &halt,
        rolled,
        failed,
    ];
    stage.expect_told(&[&first[..], &second].concat())
}

fn deadline(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    set(&mut canary, "/spec/progressDeadlineSeconds", json!(20));
    stage.initialize(&canary)?;
    let mut patch = revision("6.0.1", &[]);
    let probe = json!({"httpGet": {"path": "/nothing", "port": 9898}, "periodSeconds": 1});
    set(&mut patch, "/spec/template/spec/containers/0/readinessProbe", probe);
    stage.patch_target(&patch)?;
    stage.until_phase("Failed", 120)?;
    let cause = "canary deployment podinfo.test not ready: waiting for rollout to finish: 0 of 2 (readyThreshold 100%) \
                 updated replicas are available";
    let rolled = format!("Rolling back podinfo.test progress deadline exceeded {cause}");
    let ending = [&rolled, "Canary failed! Scaling down podinfo.test"];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN[..1], &ending].concat())?;
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        &format!("Progress deadline exceeded {cause}"),
    ])?;
    target_has(stage, 0)
}
