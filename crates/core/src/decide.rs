//! One tick: from what is seen and what was answered to what is to be done. Pure; the story of a rollout.
//!
//! A decision that lacks an answer leaves through `?` with a [`Question`]; one that has to wait leaves with a proposal that
//! says until when. What remains on the straight path is the rollout as the contract tells it (lifecycle §2), at a pace
//! that waits only where waiting helps (docs/differences.md, Faster). What every plan gets, whatever the phase, is added
//! in one place (`passes`). The safety of the traffic stands around that path: before it, and again wherever it ends
//! without having got on (S45, S46).

use burgee_api::Phase;

use crate::notice::Notice;
use crate::plan::Plan;
use crate::question::{Answers, Question, Round};
use crate::timetable::Wake;

mod analyse;
mod ask;
mod autoscaler;
mod builder;
mod capacity;
mod copies;
mod deliveries;
mod facts;
mod failed_check;
mod failover;
mod finish;
mod follow;
mod foreign;
mod heard;
mod initialize;
mod leave;
mod look;
mod mistake;
mod names;
mod odd_services;
mod orders;
mod passes;
mod pending;
mod placement;
mod progress;
mod promote;
mod promotion;
mod proposal;
mod readiness;
mod reconcile;
mod recorded;
mod recreate;
mod refuse;
mod restart;
mod restore_primary;
mod revision;
mod rollback;
mod routes;
mod safety;
mod stamp;
mod start;
mod strategy;
mod takeover;
mod terminate;
mod tick;
mod workloads;

pub use analyse::template_key;
use builder::{say, stopped};
use facts::Facts;
pub use foreign::waiting_metrics;
use heard::Heard;
use proposal::{Decision, Proposal, Stop};
pub use refuse::refuse;
pub use tick::Tick;

/// Decides what to do next, or what has to be asked first.
pub fn decide(tick: &Tick, answers: &Answers) -> Result<Plan, Question> {
    let (facts, heard) = (passes::facts(tick), Heard::of(answers));
    match route(&facts, &heard) {
        Ok(plan) => {
            let mut plan = names::without_others(&facts, pending::watch(&facts, plan));
            deliveries::keep(tick, &mut plan.steps);
            Ok(Plan { round: round(tick, &heard), ..plan })
        }
        Err(mut question) => {
            question.repairs = names::keep_off(&facts, question.repairs);
            Err(question)
        }
    }
}

/// A plan that would be the same without any answer has come in between. A suspension may last; what was answered before
/// it says nothing about what comes after it.
fn round(tick: &Tick, heard: &Heard) -> Round {
    if heard.is_between() && !tick.rollout.suspended { Round::Open } else { Round::Over }
}

/// The safety of the traffic comes before everything that can go wrong in a tick, and has the last word where something
/// did (I28, I29). What is proposed gets what every plan gets, here and in `safety`.
fn route(facts: &Facts, answers: &Heard) -> Result<Plan, Question> {
    if let Some(proposal) = safety::first(facts) {
        return Ok(passes::plan(facts, proposal));
    }
    let waiting = match story(facts, answers) {
        Ok(proposal) => return Ok(passes::plan(facts, proposal)),
        Err(Stop::Ask(question)) => return Err(question),
        Err(Stop::Wait(proposal)) => *proposal,
        Err(Stop::Blocked(obstacle)) => stopped(facts, obstacle),
    };
    safety::judged(facts, answers, passes::plan(facts, waiting))
}

/// The rollout as the contract tells it. Whatever it cannot see, make or understand ends it.
fn story(facts: &Facts, answers: &Heard) -> Decision<Proposal> {
    if let Some(reason) = refuse::reason(facts) {
        return refuse::refused(facts, &reason);
    }
    if facts.world.canary.metadata.deletion_timestamp.is_some() {
        return Ok(terminate::terminate(facts)?);
    }
    if let Some(step) = terminate::finalizer(facts) {
        return Ok(Plan { steps: vec![step], next: Wake::At(facts.now), ..Plan::idle() }.into());
    }
    if !facts.rollout.suspended
        && let Some(plan) = leave::routes(facts)
            .or_else(|| leave::scaler(facts))
            .or_else(|| strategy::change(facts))
            .or_else(|| follow::note(facts))
    {
        return Ok(plan);
    }
    if let Some(plan) = orders::answer(facts) {
        return Ok(plan);
    }
    if !facts.rollout.suspended
        && let Some(plan) = takeover::take_over(facts)?
    {
        return Ok(plan);
    }
    if facts.rollout.suspended {
        return Ok(say(facts, Notice::Suspended));
    }
    if let Some(plan) = names::claim(facts) {
        return Ok(plan);
    }
    match facts.phase() {
        Phase::Unset | Phase::Initializing => initialize::initialize(facts, answers),
        Phase::Initialized | Phase::Succeeded | Phase::Failed | Phase::Waiting => start::start(facts, answers),
        Phase::Progressing | Phase::WaitingPromotion => progress::progress(facts, answers),
        Phase::Promoting => promote::promote(facts),
        Phase::Finalising => finish::finish(facts),
        Phase::Terminating | Phase::Terminated => Ok(Plan::idle().into()),
    }
}
