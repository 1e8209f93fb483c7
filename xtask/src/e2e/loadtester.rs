//! The load tester, installed by its chart: what canaries call it for, on a cluster.
use super::charts::helm;
use super::edits::{ask, end_at_first_failure, unmeasured};
use super::objects::revision;
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, PROMOTED};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "the_load_tester_holds_gates_sends_load_and_runs_jobs_whose_failure_ends_a_run",
    space: "loadtester",
    group: Group::Parallel,
    limit: Duration::from_mins(4),
    run: called,
}];

const RELEASE: &str = "flagger-loadtester";
const MIGRATED: &str = "Pre-rollout check migration passed";

fn called(stage: &Stage<'_>) -> Result<()> {
    if stage.world().lab.is_none() {
        stage.note("not run: the image is made by a lab");
        return Ok(());
    }
    install(stage)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    end_at_first_failure(&mut canary);
    ask(&mut canary, &hooks(stage, "migrate-1", "echo migrated"));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Waiting", 20)?;
    let who = json!({"name": "podinfo", "namespace": stage.namespace()}).to_string();
    stage.world().cluster.feed(&["create", "--raw", &proxy(stage, "gate/open"), "-f", "-"], &who)?;
    stage.until_promoted(120)?;
    let advanced = "Advance podinfo.test canary weight 50";
    let waiting = "Halt podinfo.test advancement waiting for approval start";
    let passed = "Confirm-rollout check start passed";
    let good = [&INITIALIZED[..], &[waiting, passed], &BEGUN, &[MIGRATED, advanced], &PROMOTED].concat();
    stage.expect_told(&good)?;
    ensure!(job(stage, "migrate-1")?["status"]["succeeded"] == 1, "the job did not complete");
    stage.until("a load has ended well", 20, || loaded(stage))?;

    ask(&mut canary, &hooks(stage, "migrate-2", "echo no such table; exit 3"));
    stage.apply(&canary)?;
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_phase("Failed", 60)?;
    stage.until_told("Canary failed! Scaling down podinfo.test", 10)?;
    let halt = "Halt podinfo.test advancement pre-rollout check migration failed *";
    let bad = [passed, BEGUN[0], BEGUN[1], halt, "Rolling back podinfo.test failed checks threshold reached 1"];
    stage.expect_told(&[&good[..], &bad, &["Canary failed! Scaling down podinfo.test"]].concat())?;
    ensure!(job(stage, "migrate-2")?["status"]["failed"] == 1, "the job did not fail");
    let log = stage.kubectl(&["logs", &format!("deployment/{RELEASE}")])?;
    ensure!(log.contains("no such table"), "the load tester's log does not have the job's: {log}");
    Ok(())
}

/// The chart, with the image of the operator: it is the same program.
fn install(stage: &Stage<'_>) -> Result<()> {
    let operator = stage.world().cluster.json(&["-n", "istio-system", "get", "deployment", "flagger"])?;
    let image = operator.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str);
    let (repository, tag) = image.and_then(|image| image.rsplit_once(':')).context("the operator has an image")?;
    let repository = format!("image.repository={repository},runJob.enabled=true");
    let tag = format!("image.tag={tag}");
    let chart = ["upgrade", "--install", RELEASE, "charts/loadtester", "--namespace", stage.namespace()];
    helm(stage, &[&chart[..], &["--set", &repository, "--set-string", &tag, "--wait", "--timeout=60s"]].concat())?;
    Ok(())
}

fn hooks(stage: &Stage<'_>, job: &str, script: &str) -> [Value; 3] {
    let url = |path: &str| format!("http://{RELEASE}.{}/{path}", stage.namespace());
    let container = json!({"name": "migrate", "image": "lab.local/tools:1", "command": ["sh", "-c", script]});
    let spec = json!({"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}});
    let load = format!("hey -z 5s -q 5 -c 2 http://podinfo-canary.{}:9898/", stage.namespace());
    [
        json!({"name": "start", "type": "confirm-rollout", "url": url("gate/check"), "timeout": "5s"}),
        json!({"name": "migration", "type": "pre-rollout", "url": url("run-job"), "timeout": "60s",
            "metadata": {"jobName": job, "jobSpec": spec.to_string()}}),
        json!({"name": "load", "url": url(""), "timeout": "5s", "metadata": {"cmd": load}}),
    ]
}

fn job(stage: &Stage<'_>, name: &str) -> Result<Value> {
    stage.get("job", name)
}

/// Whether the load tester has sent its load to the end.
fn loaded(stage: &Stage<'_>) -> Result<bool> {
    let text = stage.kubectl(&["get", "--raw", &proxy(stage, "metrics")])?;
    Ok(text.lines().any(|line| line.starts_with("burgee_loadtester_tasks_total{outcome=\"succeeded\",type=\"cmd\"} ")))
}

fn proxy(stage: &Stage<'_>, path: &str) -> String {
    format!("/api/v1/namespaces/{}/services/{RELEASE}:80/proxy/{path}", stage.namespace())
}
