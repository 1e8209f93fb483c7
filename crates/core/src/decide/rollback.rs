//! Rolling back: the traffic returns to the primary at once, the canary keeps its pods until it is drained, and the
//! run has failed (contract: lifecycle §6.1; S21).

use burgee_api::{Phase, Run, RunOutcome, WebhookType};

use super::ask::Asker;
use super::draft::fraction;
use super::mistake::Mistake;
use super::scene::{Scene, missing_target, ready_pods};
use super::start::record_revision;
use super::{Decision, Draft, Tick, capacity, heal, settle};
use crate::ending;
use crate::notice::{Gate, Notice};
use crate::plan::{Count, Plan};
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::Side;

/// Rollback hooks: one that passes asks for a rollback.
pub(super) fn manual(tick: &Tick, asker: &Asker, scene: Option<&Scene>) -> Decision<Option<Plan>> {
    for hook in tick.rollout.webhooks(WebhookType::Rollback) {
        if asker.hook(hook)?.is_ok() {
            let mut draft = Draft::new(tick);
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
pub(super) fn not_signaled(tick: &Tick) -> Vec<Notice> {
    let hooks = tick.rollout.webhooks(WebhookType::Rollback);
    hooks.into_iter().map(|hook| Notice::RollbackNotSignaled(hook.name.clone())).collect()
}

/// Too many checks failed.
pub(super) fn threshold(tick: &Tick, mut draft: Draft) -> Plan {
    if is_stuck(tick, &draft) {
        return wait(tick, draft);
    }
    let checks = u32::try_from(draft.status.failed_checks).unwrap_or(u32::MAX);
    draft.tell(Notice::ThresholdReached(checks));
    roll_back(tick, draft, RunOutcome::FailedChecks)
}

/// A workload did not get ready in time (S4).
pub(super) fn deadline(tick: &Tick, reason: String) -> Plan {
    let mut draft = Draft::new(tick);
    draft.tell(Notice::Problem(reason.clone()));
    draft.tell(Notice::DeadlineExceeded(reason));
    roll_back(tick, draft, RunOutcome::Deadline)
}

/// What a run waits for did not come in time: the traffic goes back as soon as the primary can take it.
pub(super) fn overdue(tick: &Tick, reason: String) -> Plan {
    let draft = Draft::new(tick);
    if is_stuck(tick, &draft) { wait(tick, draft) } else { deadline(tick, reason) }
}

/// The target was deleted with traffic on it: back to the primary, if that can take it.
pub(super) fn orphaned(tick: &Tick) -> Decision<Option<Plan>> {
    let has_traffic = settle::intended_split(tick).canary() > 0;
    if !has_traffic || settle::look(tick, &tick.rollout.target_key())?.is_some() {
        return Ok(None);
    }
    Ok(Some(without_target(tick)))
}

/// There is nothing left to analyse or to promote.
pub(super) fn without_target(tick: &Tick) -> Plan {
    let mut draft = Draft::new(tick);
    draft.blame(Mistake::TargetMissing, &missing_target(tick));
    draft.tell(Notice::Problem(missing_target(tick)));
    roll_back(tick, draft, RunOutcome::TargetMissing)
}

/// Whether only the canary has pods: the traffic that it has cannot go back (I2).
fn is_stuck(tick: &Tick, draft: &Draft) -> bool {
    let is_alone = ready_pods(tick, Side::Primary) == 0 && ready_pods(tick, Side::Canary) > 0;
    is_alone && draft.status.canary_weight > 0 && !heal::is_wanted(tick)
}

/// Whether a rollback waits for a pod of the primary, and that has been told.
pub(super) fn is_awaited(tick: &Tick) -> bool {
    let is_told = tick.run().is_some_and(|run| run.rollback_waits_since.is_some());
    is_told && is_stuck(tick, &Draft::new(tick))
}

/// A rollback that is due waits for the first pod of the primary, which gets its pods again if somebody took them. It is
/// told once, however long it lasts.
fn wait(tick: &Tick, mut draft: Draft) -> Plan {
    draft.steps(capacity::replicas(tick, capacity::needed_pods(tick).max(1)));
    if draft.run().rollback_waits_since.is_none() {
        draft.run().rollback_waits_since = Some(fraction(tick.now));
        draft.tell(Notice::RollbackWaits);
    }
    draft.finish(Wake::At(tick.after(tick.rollout.interval)))
}

/// Forgets that a rollback waited once the primary has a pod: the next outage is told anew.
pub(super) fn forget_wait(tick: &Tick, run: &mut Run) {
    if ready_pods(tick, Side::Primary) > 0 {
        run.rollback_waits_since = None;
    }
}

/// The end of a run that went wrong, whatever it was. Nothing that cannot be seen or made stands before it (I28).
pub(super) fn roll_back(tick: &Tick, mut draft: Draft, outcome: RunOutcome) -> Plan {
    if heal::is_wanted(tick) {
        return heal::turn_away(tick, draft);
    }
    if is_stuck(tick, &draft) {
        return wait(tick, Draft::new(tick));
    }
    // Traffic that somebody shifted to the canary because the primary has no pod stays there until it has one (I2, I3).
    if settle::led_astray(tick).is_none() {
        draft.intend(settle::home(tick));
    }
    // After the routes: nothing about the primary's pods may keep the traffic from going back to those that it has.
    draft.intend(capacity::replicas(tick, capacity::needed_pods(tick)));
    if tick.phase() == Phase::Waiting {
        // No run has taken any pods.
        capacity::remember(tick, &mut draft);
    }
    draft.enter(Phase::Failed);
    draft.tell(Notice::CanaryFailed);
    draft.intend(settle::primary_scaler(tick, Sync::CreateOnly, None).unwrap_or_default());
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
