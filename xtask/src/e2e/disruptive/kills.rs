//! The operator is killed in every phase, and at random; the API server goes away. The run goes on as if nothing had
//! happened (I23).
use super::super::edits::{ask, end_at_first_failure, hook, small, unmeasured};
use super::super::objects::{revision, set};
use super::super::receiver::Answer;
use super::super::stage::Stage;
use super::super::story::expect;
use super::audit::Audit;
use super::lives::{Lives, report};
use super::operators::{Operators, Pod};
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

/// What is told until a canary can be tried out.
const BOOT: [&str; 2] = ["all the metrics providers are available!", "Initialization done! podinfo.test"];
const FOUND: [&str; 2] =
    ["New revision detected! Scaling up podinfo.test", "Starting canary analysis for podinfo.test"];
const WEIGHTS: [&str; 2] = ["Advance podinfo.test canary weight 30", "Advance podinfo.test canary weight 60"];
const PROMOTED: [&str; 3] = [
    "Copying podinfo.test template spec to podinfo-primary.test",
    "Routing all traffic to primary",
    "Promotion completed! Scaling down podinfo.test",
];
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

/// Kills the operator and waits until it is started again, which takes as long as is answered.
fn kill(operators: &Operators<'_>, pod: &Pod, lives: &mut Lives) -> Result<Duration> {
    lives.collect(operators, pod)?;
    let process = operators.process(pod).context("the operator does not run")?;
    ensure!(process.signal(Signal::SIGKILL), "the operator cannot be killed");
    let killed = Instant::now();
    operators.next_process(pod, Some(process))?;
    Ok(killed.elapsed())
}

pub(super) fn phases(stage: &Stage<'_>) -> Result<()> {
    let failing = beside(stage, "phases-failing")?;
    let operators = Operators::of(stage)?;
    let audit = Audit::begin(operators.lab)?;
    let mut lives = Lives::default();
    kill_in_phases(stage, &failing, &operators, &mut lives).with_context(|| report([&*failing]))?;
    lives.collect(&operators, &operators.pod()?)?;
    stage.note(&format!("longest time from a start to the lease: {:#}", lives.check_starts()?));
    let gates = ["Halt podinfo.test advancement waiting for approval start", "Confirm-rollout check start passed"];
    let promotion =
        ["Halt podinfo.test advancement waiting for promotion approval end", "Confirm-promotion check end passed"];
    let expected = [&BOOT[..], &gates, &FOUND, &WEIGHTS, &promotion, &PROMOTED].concat();
    lives.check(stage, &audit, &expected)?;
    lives.check(&failing, &audit, &[&BOOT[..], &FOUND, &ROLLED_BACK].concat())?;
    check_routes(stage, 3)?;
    check_routes(&failing, 2)
}

/// Two canaries, so that one kill meets two phases.
fn kill_in_phases(gated: &Stage<'_>, failing: &Stage<'_>, operators: &Operators<'_>, lives: &mut Lives) -> Result<()> {
    let pod = operators.pod()?;
    let mut kill = |during: &str| -> Result<()> {
        let gone = kill(operators, &pod, lives)?;
        gated.note(&format!("killed during {during}, started again after {:.1} s", gone.as_secs_f64()));
        Ok(())
    };
    gated.answer("start", Answer::Status(403, "Forbidden"));
    gated.answer("end", Answer::Status(403, "Forbidden"));
    put(gated, &[hook(gated, "start", "confirm-rollout"), hook(gated, "end", "confirm-promotion")])?;
    put_failing(failing)?;
    gated.until_phase("Initializing", 20)?;
    failing.until_phase("Initializing", 20)?;
    kill("Initializing")?;
    gated.until_phase("Initialized", 60)?;
    failing.until_phase("Initialized", 60)?;
    gated.patch_target(&revision("6.0.1", &[]))?;
    failing.patch_target(&revision("6.0.1", &[]))?;
    gated.until_phase("Waiting", 20)?;
    failing.until("the weight is 30", 40, || Ok(weight(failing) == 30))?;
    kill("Waiting, and Progressing at 30")?;
    failing.until_phase("Failed", 30)?;
    kill("Failed while draining")?;
    gated.answer("start", Answer::Status(200, "OK"));
    gated.until("the weight is 60", 60, || Ok(weight(gated) == 60))?;
    kill("Progressing at 60")?;
    gated.until_phase("WaitingPromotion", 30)?;
    kill("WaitingPromotion")?;
    gated.answer("end", Answer::Status(200, "OK"));
    gated.until_phase("Promoting", 30)?;
    kill("Promoting")?;
    gated.until_phase("Finalising", 60)?;
    kill("Finalising")?;
    gated.until_phase("Succeeded", 60)?;
    drained(failing)?;
    drained(gated)
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
        let expected = [BOOT.to_vec(), self.story.repeat(self.runs)].concat();
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
        Actor::new(stage, "Succeeded", &[&FOUND, &WEIGHTS, &PROMOTED], 3),
        Actor::new(&failing, "Failed", &[&FOUND, &ROLLED_BACK], 2),
    ];
    let mut lives = Lives::default();
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
    let pod = operators.pod()?;
    let mut last = None;
    for kill in 0..KILLS {
        let process = operators.next_process(&pod, last)?;
        std::thread::sleep(Duration::from_millis(200 + next(seed) % 3800));
        lives.collect(operators, &pod)?;
        ensure!(process.signal(Signal::SIGKILL), "the operator ended by itself");
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
    lives.collect(operators, &pod)
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
    let expected = [&BOOT[..], &FOUND, &WEIGHTS, &PROMOTED].concat();
    expect(&stage.told(), &expected)?;
    super::story::check(stage, &expected)?;
    check_routes(stage, 3)?;
    let again = audit.requests()?.iter().filter(|asked| asked.verb == "list").count();
    stage.note(&format!("{again} lists since the test began, the API server's absence included"));
    Ok(())
}
