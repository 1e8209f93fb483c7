//! Two operators: one acts, the other takes over when the first is gone or stands still, and never do both (I17).
use super::super::edits::unmeasured;
use super::super::objects::revision;
use super::super::stage::Stage;
use super::super::story::promotion;
use super::audit::{Asked, Audit};
use super::operators::{Operators, Pod};
use anyhow::{Context, Result, ensure};
use burgee_lab::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// Within this time another one leads.
const TAKEOVER_SECONDS: u64 = 20;
/// How long a leader stands still.
const STILL: Duration = Duration::from_mins(1);

/// Two operators whose kubelet does not mind that one stands still; one again when dropped.
struct Two<'a> {
    operators: Operators<'a>,
    probe: serde_json::Value,
}

impl<'a> Two<'a> {
    fn scale(stage: &'a Stage<'_>) -> Result<Self> {
        let operators = Operators::of(stage)?;
        let deployment = operators.lab.cluster().json(&["-n", "istio-system", "get", "deployment", "flagger"])?;
        let path = "/spec/template/spec/containers/0/livenessProbe";
        let probe = deployment.pointer(path).cloned().context("the operator has no liveness probe")?;
        let two = Self { operators, probe };
        two.operators.reshape(&json!([
            {"op": "replace", "path": "/spec/replicas", "value": 2},
            {"op": "remove", "path": path},
        ]))?;
        Ok(two)
    }

    /// The pod that leads, and the other one.
    fn roles(&self) -> Result<(Pod, Pod)> {
        let holder = self.operators.holder()?;
        let pods = self.operators.pods()?;
        let leader = pods.iter().find(|pod| pod.uid == holder).context("nobody leads")?;
        let other = pods.iter().find(|pod| pod.uid != holder).context("there is no second operator")?;
        Ok((leader.clone(), other.clone()))
    }

    /// Waits until another pod than this one leads; answers which, and after how long.
    fn successor(&self, stage: &Stage<'_>, of: &Pod) -> Result<(String, Duration)> {
        let began = Instant::now();
        let mut holder = String::new();
        stage.until("another operator leads", TAKEOVER_SECONDS + 1, || {
            holder = self.operators.holder()?;
            Ok(!holder.is_empty() && holder != of.uid)
        })?;
        Ok((holder, began.elapsed()))
    }
}

impl Drop for Two<'_> {
    fn drop(&mut self) {
        let back = self.operators.reshape(&json!([
            {"op": "replace", "path": "/spec/replicas", "value": 1},
            {"op": "add", "path": "/spec/template/spec/containers/0/livenessProbe", "value": self.probe},
        ]));
        if let Err(error) = back {
            println!("the operator stays doubled: {error:#}");
        }
    }
}

/// Writes of a pod that are not about the lease.
fn writes<'a>(requests: &'a [Asked], pod: &'a Pod) -> impl Iterator<Item = &'a Asked> {
    requests.iter().filter(|asked| asked.pod == pod.name && asked.is_write() && !asked.is_lease())
}

pub(super) fn replicas(stage: &Stage<'_>) -> Result<()> {
    let two = Two::scale(stage)?;
    stage.poll("one leads", 30, || two.roles().map(|_| true))?;
    let (leader, other) = two.roles()?;
    let audit = Audit::begin(two.operators.lab)?;
    stage.initialize(&unmeasured(stage, 50, 50)?)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 50", 60)?;
    let requests = audit.requests()?;
    ensure!(writes(&requests, &leader).count() > 0, "the leader has written nothing");
    let wrong: Vec<_> = writes(&requests, &other).collect();
    ensure!(wrong.is_empty(), "the one that does not lead wrote: {wrong:?}");
    let taken_over = remove(stage, &two, &leader)?;
    stage.note(&format!("another operator led {:.1} s after the leader was killed", taken_over.as_secs_f64()));
    stage.until_promoted(90)?;
    let expected = promotion(&["Advance podinfo.test canary weight 50"]);
    stage.expect_told(&expected)?;
    super::story::check(stage, &expected)?;
    ensure!(taken_over <= Duration::from_secs(TAKEOVER_SECONDS), "it took {taken_over:?}");
    Ok(())
}

/// Kills a leader for good: stopped first, so that it cannot hand its lease over, then its pod is removed.
fn remove(stage: &Stage<'_>, two: &Two<'_>, leader: &Pod) -> Result<Duration> {
    let process = two.operators.process(leader).context("the leader does not run")?;
    ensure!(process.signal(Signal::SIGSTOP), "the leader cannot be stopped");
    let gone = ["-n", "istio-system", "delete", "pod", &leader.name, "--force", "--grace-period=0", "--wait=false"];
    two.operators.lab.kubectl(&gone)?;
    process.signal(Signal::SIGKILL);
    two.successor(stage, leader).map(|(_, after)| after)
}

pub(super) fn paused(stage: &Stage<'_>) -> Result<()> {
    let two = Two::scale(stage)?;
    stage.poll("one leads", 30, || two.roles().map(|_| true))?;
    stage.initialize(&unmeasured(stage, 25, 50)?)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 25", 60)?;
    let (leader, _) = two.roles()?;
    let process = two.operators.process(&leader).context("the leader does not run")?;
    ensure!(process.signal(Signal::SIGSTOP), "the leader cannot be stopped");
    let stopped = Instant::now();
    let observed = observe_pause(stage, &two, &leader, stopped);
    ensure!(process.signal(Signal::SIGCONT), "the stopped operator is gone");
    let audit = observed?;
    let before = state(stage)?;
    stage.never("the canary changes", 10, || stage.phase() != "Succeeded")?;
    ensure!(state(stage)? == before, "something was overwritten:\n{before}\n{}", state(stage)?);
    let requests = audit.requests()?;
    let wrong: Vec<_> = writes(&requests, &leader).collect();
    ensure!(wrong.is_empty(), "the one that had stood still wrote: {wrong:?}");
    let expected = promotion(&["Advance podinfo.test canary weight 25", "Advance podinfo.test canary weight 50"]);
    stage.expect_told(&expected)?;
    super::story::check(stage, &expected)
}

/// While the leader stands still the other one takes over and brings the run to its end.
fn observe_pause<'a>(stage: &'a Stage<'_>, two: &'a Two<'_>, leader: &Pod, stopped: Instant) -> Result<Audit<'a>> {
    let audit = Audit::begin(two.operators.lab)?;
    let (_, after) = two.successor(stage, leader)?;
    stage.note(&format!("another operator led {:.1} s after the leader was stopped", after.as_secs_f64()));
    stage.until_promoted(90)?;
    std::thread::sleep(STILL.saturating_sub(stopped.elapsed()));
    Ok(audit)
}

/// What must not change: the canary's status and the routes.
fn state(stage: &Stage<'_>) -> Result<String> {
    let canary = stage.canary_now()?;
    let route = stage.get("virtualservice", "podinfo")?;
    let version = |object: &serde_json::Value| object["metadata"]["resourceVersion"].clone();
    Ok(format!("canary {} {}\nroute {} {}", version(&canary), canary["status"], version(&route), route["spec"]))
}
