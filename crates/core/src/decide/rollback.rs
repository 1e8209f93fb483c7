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
use super::stamp::fraction;
use super::workloads::{Workloads, missing_target};
use super::{autoscaler, capacity, restore_primary, routes};
use crate::ending;
use crate::notice::{Gate, Notice};
use crate::plan::Count;
use crate::scaler::Sync;
use crate::split::Split;
use crate::timetable::Wake;

/// Rollback hooks: one that passes asks for a rollback.
pub(super) fn manual(facts: &Facts, asker: &Asker, workloads: Option<&Workloads>) -> Decision<Option<Proposal>> {
    for hook in facts.rollout.webhooks(WebhookType::Rollback) {
        if asker.hook(hook)?.is_ok() {
            let mut builder = PlanBuilder::new(facts);
            builder.tell(Notice::GatePassed(Gate::Rollback, hook.name.clone()));
            builder.tell(Notice::ManualRollback);
            if facts.phase() == Phase::Waiting
                && let Some(workloads) = workloads
            {
                // The revision that was turned away is not asked about again.
                record_revision(&mut builder, workloads, 0);
            }
            return Ok(Some(roll_back(facts, builder, RunOutcome::Manual)));
        }
    }
    Ok(None)
}

/// What is said of rollback hooks that were asked and did not pass.
pub(super) fn not_signaled(facts: &Facts) -> Vec<Notice> {
    let hooks = facts.rollout.webhooks(WebhookType::Rollback);
    hooks.into_iter().map(|hook| Notice::RollbackNotSignaled(hook.name.clone())).collect()
}

/// Too many checks failed.
pub(super) fn threshold(facts: &Facts, mut builder: PlanBuilder) -> Proposal {
    if is_stuck(facts, &builder) {
        return wait(facts, builder);
    }
    let checks = u32::try_from(builder.status.failed_checks).unwrap_or(u32::MAX);
    builder.tell(Notice::ThresholdReached(checks));
    roll_back(facts, builder, RunOutcome::FailedChecks)
}

/// A workload did not get ready in time (S4).
pub(super) fn deadline(facts: &Facts, reason: String) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::Problem(reason.clone()));
    builder.tell(Notice::DeadlineExceeded(reason));
    roll_back(facts, builder, RunOutcome::Deadline)
}

/// What a run waits for did not come in time: the traffic goes back as soon as the primary can take it.
pub(super) fn overdue(facts: &Facts, reason: String) -> Proposal {
    let builder = PlanBuilder::new(facts);
    if is_stuck(facts, &builder) { wait(facts, builder) } else { deadline(facts, reason) }
}

/// The target was deleted with traffic on it: back to the primary, if that can take it.
pub(super) fn orphaned(facts: &Facts) -> Decision<Option<Proposal>> {
    let has_traffic = intended_split(facts).canary() > 0;
    if !has_traffic || look(facts, &facts.rollout.target_key())?.is_some() {
        return Ok(None);
    }
    Ok(Some(without_target(facts)))
}

/// There is nothing left to analyse or to promote.
pub(super) fn without_target(facts: &Facts) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.blame(Mistake::TargetMissing, &missing_target(facts));
    builder.tell(Notice::Problem(missing_target(facts)));
    roll_back(facts, builder, RunOutcome::TargetMissing)
}

/// Whether only the canary has pods: the traffic that it has cannot go back (I2).
fn is_stuck(facts: &Facts, builder: &PlanBuilder) -> bool {
    let from = Split::with_canary(u8::try_from(builder.status.canary_weight.clamp(0, 100)).unwrap_or(0));
    let back = placement(Wanted { from, to: Split::PRIMARY }, facts.pods);
    matches!(back, Placement::Stuck(_)) && !is_healing_wanted(facts)
}

/// Whether a rollback waits for a pod of the primary, and that has been told.
pub(super) fn is_awaited(facts: &Facts) -> bool {
    let is_told = facts.run().is_some_and(|run| run.rollback_waits_since.is_some());
    is_told && is_stuck(facts, &PlanBuilder::new(facts))
}

/// A rollback that is due waits for the first pod of the primary, which gets its pods again if somebody took them. It is
/// told once, however long it lasts.
fn wait(facts: &Facts, mut builder: PlanBuilder) -> Proposal {
    builder.steps(capacity::replicas(facts, capacity::needed_pods(facts).max(1)));
    if builder.run().rollback_waits_since.is_none() {
        builder.run().rollback_waits_since = Some(fraction(facts.now));
        builder.tell(Notice::RollbackWaits);
    }
    builder.finish(Wake::At(facts.after(facts.rollout.interval)))
}

/// The end of a run that went wrong, whatever it was. Nothing that cannot be seen or made stands before it (I28).
pub(super) fn roll_back(facts: &Facts, mut builder: PlanBuilder, outcome: RunOutcome) -> Proposal {
    if is_healing_wanted(facts) {
        return restore_primary::turn_away(facts, builder);
    }
    if is_stuck(facts, &builder) {
        return wait(facts, PlanBuilder::new(facts));
    }
    // Traffic that somebody shifted to the canary because the primary has no pod stays there until it has one (I2, I3).
    if routes::led_astray(facts).is_none() {
        builder.intend(routes::home(facts));
    }
    // After the routes: nothing about the primary's pods may keep the traffic from going back to those that it has.
    builder.intend(capacity::replicas(facts, capacity::needed_pods(facts)));
    if facts.phase() == Phase::Waiting {
        // No run has taken any pods.
        capacity::remember(facts, &mut builder);
    }
    builder.enter(Phase::Failed);
    builder.tell(Notice::CanaryFailed);
    builder.intend(autoscaler::primary_scaler(facts, Sync::CreateOnly, None).unwrap_or_default());
    builder.status.canary_weight = 0;
    builder.reset_counters();
    builder.drop_condition("Held");
    let until = facts.drained_at();
    let run = builder.run();
    ending::end(run, outcome);
    run.drain_until = Some(fraction(until));
    builder.count(Count::Failed);
    builder.post_rollout();
    builder.finish(Wake::At(until))
}
