//! The safety of the traffic: what takes it off a version that is bad or dead, and what finds out whether it is. It stands
//! before everything in a tick that may go wrong, and asks no object of which it must be known that it is there: no error
//! of a lookup, of the spec or of a router may stand before it (I28, I29; S45, S46).

use burgee_api::Phase;

use super::builder::{PlanBuilder, stopped};
use super::facts::Facts;
use super::heard::Heard;
use super::progress::{asker, check};
use super::proposal::{Proposal, Stop};
use super::recorded::{due, failed_checks, intended_split, is_paused};
use super::{failover, orders, passes, refuse, rollback, takeover};
use crate::plan::{Plan, Step};
use crate::question::Question;
use crate::timetable::Wake;

/// What comes before all else: a run that a peer began is made ours as far as it can be seen, a canary without pods loses
/// its traffic, and whoever orders a run back is obeyed. None of this can fail.
pub(super) fn first(facts: &Facts) -> Option<Proposal> {
    if !is_free(facts) {
        return None;
    }
    let taken = takeover::take_over(facts).ok().flatten();
    // Before all orders: none of them may find the traffic where no pod is.
    taken.or_else(|| failover::seek(facts)).or_else(|| orders::recall(facts))
}

/// Whether the traffic is ours to lead: nobody else claims it, nobody has told the operator to keep off, and it is not on
/// its way back to the target.
fn is_free(facts: &Facts) -> bool {
    let is_deleted = facts.world.canary.metadata.deletion_timestamp.is_some();
    !is_deleted && facts.world.rival.is_none() && !facts.rollout.suspended
}

/// What becomes of a tick that waits: for pods, for what could not be read, for a spec that can be meant. A canary that has
/// traffic is judged at every interval all the same. What is waited for stands before a raise, never before a check or a
/// rollback (S46).
pub(super) fn judged(facts: &Facts, answers: &Heard, waiting: Plan) -> Result<Plan, Question> {
    let is_analysed = matches!(facts.phase(), Phase::Progressing | Phase::WaitingPromotion);
    if !is_analysed || !is_free(facts) || ends(facts, &waiting) {
        return Ok(waiting);
    }
    let is_paused = is_paused(facts);
    if failed_checks(facts) >= facts.rollout.threshold && !is_paused {
        return Ok(passes::plan(facts, rollback::threshold(facts, PlanBuilder::new(facts))));
    }
    if intended_split(facts).canary() == 0 {
        return Ok(waiting);
    }
    if let Some(reason) = refuse::overdue(facts).filter(|_| !is_paused) {
        return Ok(passes::plan(facts, rollback::overdue(facts, reason)));
    }
    if let Some(due) = due(facts).filter(|due| *due > facts.now && !is_paused) {
        return Ok(Plan { next: waiting.next.sooner(Wake::At(due)), ..waiting });
    }
    // What was asked is not asked again before its interval is over. A check that has nothing to ask would pass until then,
    // and each time put off by an interval what is waited for.
    if let Some(until) = answers.quiet_until(facts.now) {
        return Ok(Plan { next: waiting.next.sooner(Wake::At(until)), ..waiting });
    }
    let asker = asker(facts, answers);
    let checked = if is_paused {
        rollback::manual(facts, &asker, None).map(|plan| plan.map_or_else(|| Ok(PlanBuilder::new(facts)), Err))
    } else {
        check(facts, &asker)
    };
    match checked {
        Ok(Ok(builder)) => Ok(wait_on(waiting, passes::plan(facts, builder.wait_an_interval()))),
        Ok(Err(proposal)) => Ok(passes::plan(facts, proposal)),
        Err(Stop::Wait(quiet)) => Ok(Plan { next: waiting.next.sooner(quiet.next), ..waiting }),
        Err(Stop::Blocked(obstacle)) => {
            let next = waiting.next.sooner(stopped(facts, obstacle).next);
            Ok(Plan { next, ..waiting })
        }
        Err(Stop::Ask(mut question)) => {
            // What drifted is put back before asking, because the answer may take minutes.
            question.repairs.extend(waiting.steps.into_iter().filter(|step| step.written().is_some()));
            Err(question)
        }
    }
}

/// Whether a plan that waits has ended the run by itself.
fn ends(facts: &Facts, waiting: &Plan) -> bool {
    waiting.status().is_some_and(|status| status.phase != facts.phase())
}

/// The check passed, and the wait goes on: until what is waited for comes, or the next check is due.
fn wait_on(waiting: Plan, passed: Plan) -> Plan {
    let next = waiting.next.sooner(passed.next);
    if waiting.status().is_some() {
        return Plan { next, quiet_until: passed.quiet_until, ..waiting };
    }
    let is_alone = passed.status().is_some();
    let tells = |step: &Step| step.telling().is_some();
    let mut steps: Vec<Step> = waiting.steps.into_iter().filter(|step| !is_alone || tells(step)).collect();
    steps.extend(passed.steps);
    let repairs = if is_alone { Vec::new() } else { waiting.repairs };
    Plan { steps, next, repairs, ..passed }
}
