//! One tick: from what is seen and what was answered to what is to be done. Pure; the story of a rollout.
//!
//! A decision that lacks an answer leaves through `?` with a [`Question`]; one that has to wait leaves with a [`Plan`]
//! that says until when. What remains on the straight path is the rollout as the contract tells it (lifecycle §2),
//! at a pace that waits only where waiting helps (docs/differences.md, Faster). The safety of the traffic stands around
//! that path: before it, and again wherever it ends without having got on (S45, S46).

use burgee_api::{Phase, Run};
use jiff::Timestamp;

use crate::notice::Notice;
use crate::plan::Plan;
use crate::question::{Answers, Question, Round};
use crate::rollout::{Rollout, TargetKind};
use crate::settings::Settings;
use crate::timetable::Wake;
use crate::world::World;

mod analyse;
mod ask;
mod capacity;
mod deliveries;
mod doubt;
mod draft;
mod finish;
mod follow;
mod foreign;
mod heal;
mod initialize;
mod leave;
mod mistake;
mod names;
mod orders;
mod pending;
mod progress;
mod promote;
mod refuge;
mod refuse;
mod revision;
mod rollback;
mod safety;
mod scene;
mod settle;
mod start;
mod strategy;
mod takeover;
mod terminate;

pub use analyse::template_key;
use draft::Draft;
pub use foreign::waiting_metrics;
pub use refuse::refuse;

/// All that a decision depends on. Time and chance are arguments.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// What is seen.
    pub world: &'a World,
    /// What is wanted.
    pub rollout: &'a Rollout,
    /// What the operator was started with.
    pub settings: &'a Settings,
    /// The time of the canary; see [`crate::times::Hours`].
    pub now: Timestamp,
    /// What the wall's clock shows: only what others wrote by theirs is compared with it.
    pub clock: Timestamp,
}

/// Why a decision ends before its last line.
#[derive(Debug)]
enum Stop {
    /// Something has to be asked first.
    Ask(Question),
    /// Nothing more can be done for now.
    Wait(Plan),
}

type Decision<T> = Result<T, Stop>;

/// Decides what to do next, or what has to be asked first.
pub fn decide(tick: &Tick, answers: &Answers) -> Result<Plan, Question> {
    match route(tick, answers) {
        Ok(plan) | Err(Stop::Wait(plan)) => {
            let mut plan = names::without_others(tick, pending::watch(tick, plan));
            deliveries::keep(tick, &mut plan.steps);
            Ok(Plan { round: round(tick, answers), ..plan })
        }
        Err(Stop::Ask(mut question)) => {
            question.repairs = names::keep_off(tick, question.repairs);
            Err(question)
        }
    }
}

/// A plan that would be the same without any answer has come in between. A suspension may last; what was answered before
/// it says nothing about what comes after it.
fn round(tick: &Tick, answers: &Answers) -> Round {
    let is_independent = || !matches!(route(tick, &Answers::default()), Err(Stop::Ask(_)));
    let is_between = !answers.is_empty() && !tick.rollout.suspended && is_independent();
    if is_between { Round::Open } else { Round::Over }
}

/// The safety of the traffic comes before everything that can go wrong in a tick, and has the last word where something
/// did (I28, I29).
fn route(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    if let Some(plan) = safety::first(tick) {
        return Ok(plan);
    }
    match story(tick, answers) {
        Err(Stop::Wait(plan)) => safety::judged(tick, answers, plan),
        decision => decision,
    }
}

/// The rollout as the contract tells it. Whatever it cannot see, make or understand ends it.
fn story(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    if let Some(reason) = refuse::reason(tick) {
        return refuse::refused(tick, &reason);
    }
    if tick.world.canary.metadata.deletion_timestamp.is_some() {
        return terminate::terminate(tick);
    }
    if let Some(step) = terminate::finalizer(tick) {
        return Ok(Plan { steps: vec![step], next: Wake::At(tick.now), ..Plan::idle() });
    }
    if !tick.rollout.suspended
        && let Some(plan) = leave::routes(tick)
            .or_else(|| leave::scaler(tick))
            .or_else(|| strategy::change(tick))
            .or_else(|| follow::note(tick))
    {
        return Ok(plan);
    }
    if let Some(plan) = orders::answer(tick) {
        return Ok(plan);
    }
    if !tick.rollout.suspended
        && let Some(plan) = takeover::take_over(tick)?
    {
        return Ok(plan);
    }
    if tick.rollout.suspended {
        return Ok(say(tick, Notice::Suspended));
    }
    if let Some(plan) = names::claim(tick) {
        return Ok(plan);
    }
    match tick.phase() {
        Phase::Unset | Phase::Initializing => initialize::initialize(tick, answers),
        Phase::Initialized | Phase::Succeeded | Phase::Failed | Phase::Waiting => start::start(tick, answers),
        Phase::Progressing | Phase::WaitingPromotion => progress::progress(tick, answers),
        Phase::Promoting => promote::promote(tick),
        Phase::Finalising => finish::finish(tick),
        Phase::Terminating | Phase::Terminated => Ok(Plan::idle()),
    }
}

/// Says one thing and waits for a change. Routes that are wrong while nothing is done are nobody's fault.
fn say(tick: &Tick, notice: Notice) -> Plan {
    let mut draft = Draft::new(tick);
    draft.tell(notice);
    let is_suspended = tick.rollout.suspended;
    if is_suspended && tick.run().is_some_and(|run| run.fought_since.is_some()) {
        draft.run().fought_since = None;
    }
    draft.finish(Wake::OnChange)
}

impl<'a> Tick<'a> {
    /// What the status remembers of the run, if there is one.
    fn run(&self) -> Option<&'a Run> {
        self.world.canary.status.as_ref()?.run.as_ref()
    }

    /// The phase that the status is in.
    fn phase(&self) -> Phase {
        self.world.canary.status.as_ref().map_or(Phase::Unset, |status| status.phase)
    }

    /// A time after now, in nanosecond arithmetic that cannot overflow.
    fn after(&self, duration: jiff::SignedDuration) -> Timestamp {
        self.now.saturating_add(duration).unwrap_or(Timestamp::MAX)
    }

    /// When to look again after the primary was written. Of pods their controller tells; nobody tells of a Service, and
    /// our own write wakes nobody.
    fn primary_written(&self) -> Wake {
        match self.rollout.target_kind {
            TargetKind::Deployment | TargetKind::DaemonSet => Wake::OnChange,
            TargetKind::Service | TargetKind::Knative => Wake::At(self.now),
        }
    }

    /// When the drain that begins now ends (S12).
    fn drained_at(&self) -> Timestamp {
        let delay = i64::try_from(self.settings.drain_delay_milliseconds).unwrap_or(i64::MAX);
        self.after(jiff::SignedDuration::from_millis(delay))
    }
}
