//! I22: when the last check allowed has failed, the rollback comes within an interval, whatever else is slow. That a hook
//! or an alert that hangs delays no other canary is tested where they are sent (operator: outbox, hooks).

use burgee_api::{CanaryStatus, Phase};
use burgee_core::notice::Notice;
use burgee_core::plan::Plan;
use burgee_core::workload::{self, Side};
use burgee_core::world::World;

use super::act::{self, Act};
use super::round::{Outcome, Round};
use super::wait::Wait;
use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::{Instant, Part};

/// Since when a rollback has been due.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollback {
    due: Option<(Wait, Cause)>,
    /// When the step began in which the last check failed.
    step: Option<String>,
    /// Since when one has waited for a primary without pods, and nobody was told.
    untold: Wait,
}

/// Of what it was due: in which run, and with how many failed checks allowed, because whoever allows more of them calls it
/// off; and to whom, because whoever takes the lease from one that stands still, or was killed, has to ask anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cause {
    run: String,
    allowed: u32,
    operator: usize,
    deaths: u64,
}

impl Checker for Rollback {
    fn look(&mut self, moment: &Moment) -> Verdict {
        self.untold.heed(moment);
        self.due.iter_mut().for_each(|(wait, _)| wait.heed(moment));
        let What::Decided { plan, world, round } = moment.what else { return Ok(()) };
        let instant = moment.after;
        let Some(status) = &world.canary.status else { return Ok(()) };
        self.is_told(instant, plan, world)?;
        let run = instant.run_start().to_owned();
        let cause =
            Cause { run, allowed: instant.rollout.threshold, operator: moment.operator, deaths: moment.sight.deaths };
        let is_over = self.due.as_ref().is_some_and(|(_, known)| {
            let is_raised = cause.allowed > known.allowed;
            is_raised || *known != Cause { allowed: known.allowed, ..cause.clone() }
        });
        // What failed and could not be written down is void when a set is not ready any more: then nothing is checked. Nor
        // is anything when the brake holds it before it has had any traffic.
        let is_braked = instant.settings.pause_new_runs && !act::has_begun(status);
        let is_whole = instant.is_ready(Part::Target) && instant.is_ready(Part::Primary);
        // Nor when the step began again, because somebody moved the routes.
        let step = status.run.as_ref().and_then(|run| run.step_started_at.clone());
        let is_unwritten = status.failed_checks < i64::from(instant.rollout.threshold);
        let is_void = is_unwritten && (is_braked || !is_whole || self.step != step);
        let passes = matches!(act::of(&instant.rollout, status, plan), Some(Act::Advance | Act::Hold));
        if is_over || is_void || passes || !is_checking(status) || !is_possible(instant, world) {
            self.due = None;
        }
        let ends = plan.status().is_some_and(|next| next.phase != status.phase || begun(next) != begun(status));
        if is_checking(status) && is_possible(instant, world) && !passes && has_failed(instant, status, round) {
            self.due.get_or_insert((Wait::default(), cause));
            self.step = step;
        }
        let Some(waited) = self.due.as_mut().map(|(wait, _)| wait.goes_on(instant.now)) else { return Ok(()) };
        if !ends && waited > instant.rollout.interval {
            return Err(format!("the rollback has been due for {waited:#}"));
        }
        Ok(())
    }
}

impl Rollback {
    /// One that waits for a primary without pods is told within an interval.
    fn is_told(&mut self, instant: &Instant, plan: &Plan, world: &World) -> Verdict {
        let Some(status) = &world.canary.status else { return Ok(()) };
        let run = status.run.clone().unwrap_or_default();
        let has_told =
            run.rollback_waits_since.is_some() || act::tells(plan, |notice| matches!(notice, Notice::RollbackWaits));
        let is_due = is_checking(status) && status.failed_checks >= i64::from(instant.rollout.threshold);
        let pods = |side| workload::ready_on(&instant.rollout, world, side);
        let is_stuck = status.canary_weight > 0 && pods(Side::Primary) == 0 && pods(Side::Canary) > 0;
        let is_free = !instant.rollout.suspended && run.paused_since.is_none() && !instant.is_deleted();
        // A late watch only delays (I14).
        let sees_it = instant.version() == world.canary.metadata.resource_version.as_deref();
        let is_known = instant.primary_pods == 0 && !revision::has_gaps(world) && sees_it;
        if !is_due || !is_stuck || !is_free || !is_known || has_told {
            self.untold.end();
            return Ok(());
        }
        let waited = self.untold.goes_on(instant.now);
        if waited > instant.rollout.interval {
            return Err(format!("the rollback has waited {waited:#} for a pod of the primary, and nobody was told"));
        }
        Ok(())
    }
}

/// When the run began that a status speaks of. With another revision it begins again, with all traffic on the primary.
fn begun(status: &CanaryStatus) -> Option<&str> {
    status.run.as_ref()?.started_at.as_deref()
}

fn is_checking(status: &CanaryStatus) -> bool {
    matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion)
}

/// Nobody rolls back what he cannot see, nor by an old version of the canary: a late watch only delays (I14). Nor to a
/// primary without pods, nor what a person holds.
fn is_possible(instant: &Instant, world: &World) -> bool {
    let sees_it = instant.version() == world.canary.metadata.resource_version.as_deref();
    let sees_all = !revision::has_gaps(world) && sees_it;
    let run = world.canary.status.as_ref().and_then(|status| status.run.as_ref());
    let is_held = instant.rollout.suspended || run.is_some_and(|run| run.paused_since.is_some());
    sees_all && instant.primary_pods > 0 && !is_held && !instant.is_deleted()
}

/// Whether the answers of this round are the last failure allowed.
fn has_failed(instant: &Instant, status: &CanaryStatus, round: &Round) -> bool {
    let held = status.run.as_ref().is_some_and(|run| run.held_since.is_some());
    let has_failed = match round.verdict(&instant.rollout) {
        Some(Outcome::Failed) => true,
        Some(Outcome::NoData) => !held,
        Some(Outcome::Silent | Outcome::Passed) | None => round.has_failed_hook(),
    };
    let allowed = i64::from(instant.rollout.threshold);
    status.failed_checks >= allowed || (has_failed && status.failed_checks + 1 >= allowed)
}
