//! The operator is killed in every phase, and at random; the API server goes away. The run goes on as if nothing had
//! happened (I23).
use super::super::edits::{ask, end_at_first_failure, hook, small, unmeasured};
use super::super::objects::{revision, set};
use super::super::receiver::Answer;
use super::super::stage::Stage;
use super::super::story::{BEGUN, INITIALIZED, PROMOTED, TERMINATED, promotion};
use super::audit::Audit;
use super::lives::{Lives, report};
use super::operators::Operators;
use super::{Beside, beside};
use anyhow::{Context, Result, ensure};
use burgee_lab::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

/// Kills at random moments.
const KILLS: usize = 20;
/// No run is started that has fewer kills than this before it.
const LAST_KILLS: usize = 3;
/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(15);
/// A failed run has drained by then.
const DRAINED: Duration = Duration::from_secs(12);
/// Environment variable with the seed of the random kills.
const SEED: &str = "BURGEE_E2E_SEED";

const WEIGHTS: [&str; 2] = ["Advance podinfo.test canary weight 30", "Advance podinfo.test canary weight 60"];
const ROLLED_BACK: [&str; 4] = [
    "Advance podinfo.test canary weight 30",
    "Halt podinfo.test advancement external check check failed *",
    "Rolling back podinfo.test failed checks threshold reached 1",
    "Canary failed! Scaling down podinfo.test",
];

/// podinfo with one pod, and a Canary of two steps with these hooks.
fn put(stage: &Stage<'_>, hooks: &[Value]) -> Result<()> {
    let mut deployment = small(stage)?;
    set(&mut deployment, "/spec/minReadySeconds", json!(3));
    stage.apply(&deployment)?;
    let mut canary = unmeasured(stage, 30, 60)?;
    end_at_first_failure(&mut canary);
    ask(&mut canary, hooks);
    stage.apply(&canary)
}

/// A canary whose every run fails at its first check.
fn put_failing(stage: &Stage<'_>) -> Result<()> {
    stage.answer("check", Answer::Status(500, "broken"));
    put(stage, &[hook(stage, "check", "rollout")])
}

/// Deletes a canary that gives everything back first.
fn terminate(stage: &Stage<'_>) -> Result<()> {
    stage.patch("canary/podinfo", &json!({"spec": {"revertOnDeletion": true}}))?;
    stage.until("the canary has a finalizer", 20, || Ok(stage.canary()["metadata"]["finalizers"].is_array()))?;
    stage.kubectl(&["delete", "canary", "podinfo", "--wait=false"])?;
    stage.until_phase("Terminating", 20)
}

fn weight(stage: &Stage<'_>) -> i64 {
    stage.canary()["status"]["canaryWeight"].as_i64().unwrap_or_default()
}

/// How often the routes were written: once when made, and once for each weight.
fn check_routes(stage: &Stage<'_>, weights: usize) -> Result<()> {
    let route = stage.get("virtualservice", "podinfo")?;
    let written = &route["metadata"]["generation"];
    ensure!(*written == json!(weights + 1), "the routes were written {written} times for {weights} weights");
    Ok(())
}

/// Kills the operator while the canaries are in these phases, and waits until it is started again.
pub(super) fn kill(operators: &Operators<'_>, lives: &mut Lives, during: &[(&Stage<'_>, &str)]) -> Result<()> {
    lives.collect(operators)?;
    let process = operators.process(lives.pod()).context("the operator does not run")?;
    for (stage, phase) in during {
        ensure!(stage.phase() == *phase, "{} is {} and no longer {phase}", stage.namespace(), stage.phase());
    }
    ensure!(process.signal(Signal::SIGKILL), "the operator cannot be killed");
    lives.end();
    let killed = Instant::now();
    operators.next_process(lives.pod(), Some(process))?;
    let phases: Vec<&str> = during.iter().map(|(_, phase)| *phase).collect();
    let (phases, gone) = (phases.join(" and "), killed.elapsed().as_secs_f64());
    during[0].0.note(&format!("killed during {phases}, started again after {gone:.1} s"));
    Ok(())
}

pub(super) fn phases(stage: &Stage<'_>) -> Result<()> {
    let failing = beside(stage, "phases-failing")?;
    let operators = Operators::of(stage)?;
    let audit = Audit::begin(operators.lab)?;
    let mut lives = Lives::begin(&operators)?;
    kill_in_phases(stage, &failing, &operators, &mut lives).with_context(|| report([&*failing]))?;
    stage.until("the last operator leads", 30, || {
        lives.collect(&operators)?;
        Ok(lives.leads())
    })?;
    // What it does first, it has done by then.
    std::thread::sleep(Duration::from_secs(1));
    lives.collect(&operators)?;
    stage.note(&format!("longest time from a start to the lease: {:#}", lives.check_starts()?));
    let gates = ["Halt podinfo.test advancement waiting for approval start", "Confirm-rollout check start passed"];
    let promotion =
        ["Halt podinfo.test advancement waiting for promotion approval end", "Confirm-promotion check end passed"];
    let expected = [&INITIALIZED[..], &gates, &BEGUN, &WEIGHTS, &promotion, &PROMOTED].concat();
    lives.check(stage, &audit, &expected)?;
    lives.check(&failing, &audit, &[&INITIALIZED[..], &BEGUN, &ROLLED_BACK, &TERMINATED].concat())?;
    check_routes(stage, 3)
}

/// Two canaries, so that one kill meets two phases.
fn kill_in_phases(gated: &Stage<'_>, failing: &Stage<'_>, operators: &Operators<'_>, lives: &mut Lives) -> Result<()> {
    let mut kill = |during: &[(&Stage<'_>, &str)]| kill(operators, lives, during);
    gated.answer("start", Answer::Status(403, "Forbidden"));
    gated.answer("end", Answer::Status(403, "Forbidden"));
    put(gated, &[hook(gated, "start", "confirm-rollout"), hook(gated, "end", "confirm-promotion")])?;
    put_failing(failing)?;
    gated.until_phase("Initializing", 20)?;
    failing.until_phase("Initializing", 20)?;
    kill(&[(gated, "Initializing"), (failing, "Initializing")])?;
    gated.until_phase("Initialized", 60)?;
    failing.until_phase("Initialized", 60)?;
    kill(&[(gated, "Initialized"), (failing, "Initialized")])?;
    gated.patch_target(&revision("6.0.1", &[]))?;
    failing.patch_target(&revision("6.0.1", &[]))?;
    gated.until_phase("Waiting", 20)?;
    failing.until("the weight is 30", 40, || Ok(weight(failing) == 30))?;
    kill(&[(gated, "Waiting"), (failing, "Progressing")])?;
    failing.until_phase("Failed", 30)?;
    kill(&[(failing, "Failed")])?;
    gated.answer("start", Answer::Status(200, "OK"));
    gated.until("the weight is 60", 60, || Ok(weight(gated) == 60))?;
    kill(&[(gated, "Progressing")])?;
    gated.until_phase("WaitingPromotion", 30)?;
    kill(&[(gated, "WaitingPromotion")])?;
    drained(failing)?;
    check_routes(failing, 2)?;
    gated.answer("end", Answer::Status(200, "OK"));
    gated.until_phase("Promoting", 30)?;
    kill(&[(gated, "Promoting")])?;
    gated.until_phase("Finalising", 60)?;
    kill(&[(gated, "Finalising")])?;
    terminate(failing)?;
    kill(&[(failing, "Terminating")])?;
    gated.until_phase("Succeeded", 60)?;
    drained(gated)?;
    failing.until_told("Terminated canary podinfo.test", 60)?;
    kill(&[(gated, "Succeeded")])
}

/// The target has no pods any more.
fn drained(stage: &Stage<'_>) -> Result<()> {
    stage.poll("the target is scaled to zero", 30, || Ok(stage.get("deployment", "podinfo")?["spec"]["replicas"] == 0))
}

/// One of the canaries that run while the operator is killed.
struct Actor<'a> {
    stage: &'a Stage<'a>,
    /// The phase in which each of its runs ends.
    end: &'static str,
    /// What one of its runs tells.
    story: Vec<&'static str>,
    /// How often one of its runs changes the weight.
    weights: usize,
    runs: usize,
    /// The revision of the run before the one that was asked for last.
    before: Value,
    rested: Option<Instant>,
}

impl<'a> Actor<'a> {
    fn new(stage: &'a Stage<'a>, end: &'static str, story: &[&[&'static str]], weights: usize) -> Self {
        Self { stage, end, story: story.concat(), weights, runs: 0, before: Value::Null, rested: None }
    }

    /// Whether its last run has ended.
    fn is_over(&self) -> bool {
        // After a run was asked for, the end of the one before is seen for a while.
        let end = if self.runs == 0 { "Initialized" } else { self.end };
        self.stage.phase() == end && self.revision() != self.before
    }

    fn revision(&self) -> Value {
        self.stage.canary()["status"]["lastAppliedSpec"].clone()
    }

    /// Whether its last run has ended, and what is left of it is gone.
    fn is_at_rest(&mut self) -> bool {
        if !self.is_over() {
            self.rested = None;
            return false;
        }
        let since = *self.rested.get_or_insert_with(Instant::now);
        self.stage.phase() != "Failed" || since.elapsed() > DRAINED
    }

    /// Starts the next run, if the last one has ended.
    fn begin(&mut self) -> Result<()> {
        if self.is_at_rest() {
            let version = if self.runs.is_multiple_of(2) { "6.0.1" } else { "6.0.2" };
            self.before = self.revision();
            self.stage.patch_target(&revision(version, &[]))?;
            self.runs += 1;
            self.rested = None;
        }
        Ok(())
    }

    fn check(&self, lives: &Lives, audit: &Audit<'_>) -> Result<()> {
        ensure!(self.runs > 0, "{} never ran", self.stage.namespace());
        let expected = [INITIALIZED.to_vec(), self.story.repeat(self.runs)].concat();
        lives.check(self.stage, audit, &expected)?;
        check_routes(self.stage, self.runs * self.weights)
    }
}

pub(super) fn random(stage: &Stage<'_>) -> Result<()> {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("read the clock")?;
    let mut seed: u64 = given.unwrap_or(now.as_secs());
    stage.note(&format!("{SEED}={seed}"));
    let failing: Beside<'_> = beside(stage, "random-failing")?;
    let operators = Operators::of(stage)?;
    let audit = Audit::begin(operators.lab)?;
    put(stage, &[])?;
    put_failing(&failing)?;
    let mut actors = [
        Actor::new(stage, "Succeeded", &[&BEGUN, &WEIGHTS, &PROMOTED], 3),
        Actor::new(&failing, "Failed", &[&BEGUN, &ROLLED_BACK], 2),
    ];
    let mut lives = Lives::begin(&operators)?;
    let result = kill_at_random(&operators, &mut actors, &mut lives, &mut seed).and_then(|()| {
        let longest = lives.check_starts()?;
        stage.note(&format!("{} lives, the longest from its start to the lease: {longest:#}", lives.count()));
        actors.iter().try_for_each(|actor| actor.check(&lives, &audit))
    });
    result.with_context(|| report([&*failing]))
}

fn kill_at_random(
    operators: &Operators<'_>,
    actors: &mut [Actor<'_>],
    lives: &mut Lives,
    seed: &mut u64,
) -> Result<()> {
    let pod = lives.pod().clone();
    let mut last = None;
    for kill in 0..KILLS {
        let process = operators.next_process(&pod, last)?;
        std::thread::sleep(Duration::from_millis(200 + next(seed) % 3800));
        lives.collect(operators)?;
        ensure!(process.signal(Signal::SIGKILL), "the operator ended by itself");
        lives.end();
        last = Some(process);
        if kill + LAST_KILLS < KILLS {
            actors.iter_mut().try_for_each(Actor::begin)?;
        }
    }
    operators.next_process(&pod, last)?;
    for actor in &mut *actors {
        actor.stage.until("the last run ends", 90, || Ok(actor.is_over()))?;
        drained(actor.stage)?;
    }
    // The last letters are on their way to the receiver.
    std::thread::sleep(Duration::from_secs(1));
    lives.collect(operators)
}

/// The next number of a small generator (xorshift); the seed is its state.
fn next(seed: &mut u64) -> u64 {
    *seed = (*seed).max(1);
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

pub(super) fn server_away(stage: &Stage<'_>) -> Result<()> {
    let operators = Operators::of(stage)?;
    let audit = Audit::begin(operators.lab)?;
    put(stage, &[])?;
    stage.until_phase("Initialized", 60)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 30", 60)?;
    operators.lab.stop_api_server()?;
    std::thread::sleep(AWAY);
    operators.lab.start_api_server()?;
    stage.until_promoted(120)?;
    let expected = promotion(&WEIGHTS);
    stage.expect_told(&expected)?;
    super::story::check(stage, &expected)?;
    check_routes(stage, 3)?;
    let again = audit.requests()?.iter().filter(|asked| asked.verb == "list").count();
    stage.note(&format!("{again} lists since the test began, the API server's absence included"));
    Ok(())
}
