//! What an on-call engineer orders: the commands, by somebody who may only get and patch canaries, against a live operator.
//! And the brake.
use super::delivery::{image, target_has};
use super::edits::unmeasured;
use super::objects::revision;
use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_run_is_paused_resumed_and_aborted_by_who_may_patch_it_and_each_order_is_answered_once",
        space: "ordered",
        group: Group::Parallel,
        limit: Duration::from_mins(5),
        run: aborted,
    },
    Test {
        name: "a_failed_revision_is_retried_and_promoted_by_order",
        space: "retried",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: retried,
    },
    Test {
        name: "the_brake_keeps_a_new_revision_waiting_until_it_is_released",
        space: "braked",
        group: Group::Disruptive("keeps all runs from beginning"),
        limit: Duration::from_mins(3),
        run: braked,
    },
];

/// Who gives orders.
enum Person {
    /// Whoever may exec into the operator, with its permissions.
    Operator,
    /// Somebody with this kubeconfig.
    Account(String),
}

impl Person {
    /// An account of the namespace that may do only this with canaries.
    fn who_may(stage: &Stage<'_>, name: &str, verbs: &str) -> Result<Self> {
        stage.kubectl(&["create", "serviceaccount", name])?;
        stage.kubectl(&["create", "role", name, "--resource=canaries.flagger.app", &format!("--verb={verbs}")])?;
        let account = format!("--serviceaccount={}:{name}", stage.namespace());
        stage.kubectl(&["create", "rolebinding", name, &format!("--role={name}"), &account])?;
        let token = stage.kubectl(&["create", "token", name])?;
        let certificate = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
        let cluster = json!({"server": "https://kubernetes.default.svc", "certificate-authority": certificate});
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token.trim()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "current-context": "lab",
        });
        Ok(Self::Account(kubeconfig.to_string()))
    }
}

/// Gives an order through the image's own kubectl plugin, and returns what it printed and its exit code.
fn order(stage: &Stage<'_>, person: &Person, words: &[&str]) -> Result<(String, i32)> {
    let program = ["-n", "istio-system", "exec", "-i", "deploy/flagger", "--", "/kubectl-burgee"];
    let mut command = stage.world().cluster.command("kubectl");
    command.args(program).args(words).args(["-n", stage.namespace()]);
    let input = match person {
        Person::Operator => "",
        Person::Account(kubeconfig) => {
            command.args(["--kubeconfig", "/dev/stdin"]);
            kubeconfig
        }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("run kubectl")?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).context("write to kubectl")?;
    }
    let output = child.wait_with_output().context("wait for kubectl")?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((text, output.status.code().unwrap_or(-1)))
}

/// Gives an order and expects this exit code.
fn answered(stage: &Stage<'_>, person: &Person, words: &[&str], code: i32) -> Result<String> {
    let (text, found) = order(stage, person, words)?;
    ensure!(found == code, "burgee {words:?} ended with {found}: {text}");
    Ok(text)
}

fn aborted(stage: &Stage<'_>) -> Result<()> {
    let engineer = Person::who_may(stage, "engineer", "get,patch")?;
    stage.initialize(&unmeasured(stage, 10, 50)?)?;
    let text = answered(stage, &engineer, &["abort", "podinfo", "--wait"], 1)?;
    ensure!(text.contains("no run is under way, the canary is Initialized"), "the refusal is {text}");
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 10", 60)?;
    let reader = Person::who_may(stage, "reader", "get")?;
    let text = answered(stage, &reader, &["abort", "podinfo", "--wait"], 1)?;
    let missing = format!("missing permission: patch canaries.flagger.app in namespace {}", stage.namespace());
    ensure!(text.contains(&missing), "who may not patch is told {text}");
    answered(stage, &engineer, &["pause", "podinfo", "--wait"], 0)?;
    let weight = stage.canary_now()?["status"]["canaryWeight"].clone();
    stage.never("a paused canary goes on", 25, || stage.canary()["status"]["canaryWeight"] != weight)?;
    let status = answered(stage, &engineer, &["status", "podinfo"], 0)?;
    ensure!(status.contains("nothing until it is resumed"), "the status is {status}");
    let why = answered(stage, &Person::Operator, &["why", "podinfo", "--operator", "istio-system/flagger"], 0)?;
    ensure!(why.contains("the analysis is paused"), "the reason is {why}");
    answered(stage, &engineer, &["resume", "podinfo", "--wait"], 0)?;
    stage.until_told("Advance podinfo.test canary weight 30", 60)?;
    answered(stage, &engineer, &["abort", "podinfo", "--wait"], 0)?;
    stage.until_phase("Failed", 10)?;
    target_has(stage, 0)?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.0", "the primary was changed");
    for pattern in [
        "Pausing analysis *",
        "Resuming analysis *",
        "Rolling back podinfo.test ordered by system:serviceaccount:*:engineer (*)",
    ] {
        stage.until_told(pattern, 10)?;
        ensure!(stage.times_told(pattern) == 1, "{pattern} was told {} times", stage.times_told(pattern));
    }
    Ok(())
}

fn retried(stage: &Stage<'_>) -> Result<()> {
    let engineer = Person::who_may(stage, "engineer", "get,patch")?;
    stage.initialize(&unmeasured(stage, 10, 50)?)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 10", 60)?;
    answered(stage, &engineer, &["abort", "podinfo", "--wait"], 0)?;
    stage.until_phase("Failed", 10)?;
    answered(stage, &engineer, &["retry", "podinfo", "--wait"], 0)?;
    stage.until("the first weight comes again", 60, || {
        Ok(stage.times_told("Advance podinfo.test canary weight 10") == 2)
    })?;
    answered(stage, &engineer, &["promote", "podinfo", "--wait"], 0)?;
    stage.until_phase("Succeeded", 90)?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.1", "the primary has another version");
    let weights = stage.times_told("Advance podinfo.test canary weight *");
    ensure!(weights <= 3, "the analysis went on: {weights} weights were told");
    target_has(stage, 0)
}

fn braked(stage: &Stage<'_>) -> Result<()> {
    let system = |arguments: &[&str]| {
        let cluster = &stage.world().cluster;
        cluster.kubectl(&[&["-n", "istio-system"], arguments].concat())
    };
    let release = || system(&["delete", "configmap", "burgee-brake", "--ignore-not-found"]);
    stage.initialize(&unmeasured(stage, 50, 50)?)?;
    system(&["create", "configmap", "burgee-brake", "--from-literal=pause-new-runs=true"])?;
    let waits = (|| {
        let is_seen = |line: &Value| line["msg"].as_str().is_some_and(|text| text.contains("paused by ConfigMap"));
        stage.until("the operator sees the brake", 15, || Ok(!stage.world().feed.lines(is_seen).is_empty()))?;
        stage.patch_target(&revision("6.0.1", &[]))?;
        stage.until_told("New runs are paused, podinfo.test waits", 15)?;
        stage.never("a braked canary starts a run", 15, || stage.phase() != "Initialized")
    })();
    release()?;
    waits?;
    stage.until_phase("Succeeded", 120)?;
    let said = stage.times_told("New runs are paused, podinfo.test waits");
    ensure!(said == 1, "the brake was told {said} times");
    stage.patch("canary/podinfo", &json!({"metadata": {"annotations": {"burgee.flagger.app/order": "stop!"}}}))?;
    stage.until_told("Order (*) refused for podinfo.test: it is no JSON", 10).map(drop)
}
