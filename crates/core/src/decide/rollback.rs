//! Rolling back: the traffic returns to the primary at once, the canary keeps its pods until it is drained, and the
//! run has failed (contract: lifecycle §6.1; S21).

use burgee_api::{Phase, RunOutcome, WebhookType};

use super::ask::Asker;
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::look::look;
use super::mistake::Mistake;
use super::placement::{Placement, Wanted, placement};
use super::proposal::{Decision, Proposal};
use super::recorded::{intended_split, is_healing_wanted};
use super::revision::record_revision;
use super::scene::{Scene, missing_target};
use super::stamp::fraction;
use super::{autoscaler, capacity, heal, routes};
use crate::ending;
use crate::notice::{Gate, Notice};
use crate::plan::Count;
use crate::scaler::Sync;
use crate::split::Split;
use crate::timetable::Wake;

/// Rollback hooks: one that passes asks for a rollback.
pub(super) fn manual(tick: &Facts, asker: &Asker, scene: Option<&Scene>) -> Decision<Option<Proposal>> {
    for hook in tick.rollout.webhooks(WebhookType::Rollback) {
        if asker.hook(hook)?.is_ok() {
            let mut draft = PlanBuilder::new(tick);
            draft.tell(Notice::GatePassed(Gate::Rollback, hook.name.clone()));
            draft.tell(Notice::ManualRollback);
            if tick.phase() == Phase::Waiting
                && let Some(scene) = scene
            {
                // The revision that was turned away is not asked about again.
                record_revision(&mut draft, scene, 0);
            }
            return Ok(Some(roll_back(tick, draft, RunOutcome::Manual)));
        }
    }
    Ok(None)
}

/// What is said of rollback hooks that were asked and did not pass.
pub(super) fn not_signaled(tick: &Facts) -> Vec<Notice> {
    let hooks = tick.rollout.webhooks(WebhookType::Rollback);
    hooks.into_iter().map(|hook| Notice::RollbackNotSignaled(hook.name.clone())).collect()
}

/// Too many checks failed.
pub(super) fn threshold(tick: &Facts, mut draft: PlanBuilder) -> Proposal {
    if is_stuck(tick, &draft) {
        return wait(tick, draft);
    }
    let checks = u32::try_from(draft.status.failed_checks).unwrap_or(u32::MAX);
    draft.tell(Notice::ThresholdReached(checks));
    roll_back(tick, draft, RunOutcome::FailedChecks)
}

/// A workload did not get ready in time (S4).
pub(super) fn deadline(tick: &Facts, reason: String) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::Problem(reason.clone()));
    draft.tell(Notice::DeadlineExceeded(reason));
    roll_back(tick, draft, RunOutcome::Deadline)
}

/// What a run waits for did not come in time: the traffic goes back as soon as the primary can take it.
pub(super) fn overdue(tick: &Facts, reason: String) -> Proposal {
    let draft = PlanBuilder::new(tick);
    if is_stuck(tick, &draft) { wait(tick, draft) } else { deadline(tick, reason) }
}

/// The target was deleted with traffic on it: back to the primary, if that can take it.
pub(super) fn orphaned(tick: &Facts) -> Decision<Option<Proposal>> {
    let has_traffic = intended_split(tick).canary() > 0;
    if !has_traffic || look(tick, &tick.rollout.target_key())?.is_some() {
        return Ok(None);
    }
    Ok(Some(without_target(tick)))
}

/// There is nothing left to analyse or to promote.
pub(super) fn without_target(tick: &Facts) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.blame(Mistake::TargetMissing, &missing_target(tick));
    draft.tell(Notice::Problem(missing_target(tick)));
    roll_back(tick, draft, RunOutcome::TargetMissing)
}

/// Whether only the canary has pods: the traffic that it has cannot go back (I2).
fn is_stuck(tick: &Facts, draft: &PlanBuilder) -> bool {
    let from = Split::with_canary(u8::try_from(draft.status.canary_weight.clamp(0, 100)).unwrap_or(0));
    let back = placement(Wanted { from, to: Split::PRIMARY }, tick.pods);
    matches!(back, Placement::Stuck(_)) && !is_healing_wanted(tick)
}

/// Whether a rollback waits for a pod of the primary, and that has been told.
pub(super) fn is_awaited(tick: &Facts) -> bool {
    let is_told = tick.run().is_some_and(|run| run.rollback_waits_since.is_some());
    is_told && is_stuck(tick, &PlanBuilder::new(tick))
}

/// A rollback that is due waits for the first pod of the primary, which gets its pods again if somebody took them. It is
/// told once, however long it lasts.
fn wait(tick: &Facts, mut draft: PlanBuilder) -> Proposal {
    draft.steps(capacity::replicas(tick, capacity::needed_pods(tick).max(1)));
    if draft.run().rollback_waits_since.is_none() {
        draft.run().rollback_waits_since = Some(fraction(tick.now));
        draft.tell(Notice::RollbackWaits);
    }
    draft.finish(Wake::At(tick.after(tick.rollout.interval)))
}

/// The end of a run that went wrong, whatever it was. Nothing that cannot be seen or made stands before it (I28).
pub(super) fn roll_back(tick: &Facts, mut draft: PlanBuilder, outcome: RunOutcome) -> Proposal {
    if is_healing_wanted(tick) {
        return heal::turn_away(tick, draft);
    }
    if is_stuck(tick, &draft) {
        return wait(tick, PlanBuilder::new(tick));
    }
    // Traffic that somebody shifted to the canary because the primary has no pod stays there until it has one (I2, I3).
    if routes::led_astray(tick).is_none() {
        draft.intend(routes::home(tick));
    }
    // After the routes: nothing about the primary's pods may keep the traffic from going back to those that it has.
    draft.intend(capacity::replicas(tick, capacity::needed_pods(tick)));
    if tick.phase() == Phase::Waiting {
        // No run has taken any pods.
        capacity::remember(tick, &mut draft);
    }
    draft.enter(Phase::Failed);
    draft.tell(Notice::CanaryFailed);
    draft.intend(autoscaler::primary_scaler(tick, Sync::CreateOnly, None).unwrap_or_default());
    draft.status.canary_weight = 0;
    draft.reset_counters();
    draft.drop_condition("Held");
    let until = tick.drained_at();
    let run = draft.run();
    ending::end(run, outcome);
    run.drain_until = Some(fraction(until));
    draft.count(Count::Failed);
    draft.post_rollout();
    draft.finish(Wake::At(until))
}
