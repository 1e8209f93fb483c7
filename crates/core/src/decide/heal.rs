//! After a failed promotion the primary is put back to the last promoted revision; only then does it get its traffic
//! back (S3). The healing is finished before any new revision is looked at.

use burgee_api::Phase;
use jiff::{SignedDuration, Timestamp};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::{Obstacle, Seen};
use super::proposal::Proposal;
use super::recorded::is_healing_wanted;
use super::recreate::{kept_template, recreate_primary};
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{capacity, routes};
use crate::ending;
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Recipe, Side};
use crate::{healing, kept};

/// A person turns the fix away for which the canary waits: the target keeps the traffic, and the primary is put back if
/// it can be.
pub(super) fn turn_away(tick: &Facts, mut draft: PlanBuilder) -> Proposal {
    draft.enter(Phase::Failed);
    draft.reset_counters();
    ending::forget_orders(draft.run());
    draft.count(Count::Failed);
    draft.post_rollout();
    draft.finish(Wake::At(tick.now))
}

/// Whether there is a template to put the primary back to.
pub(super) fn is_possible(tick: &Facts) -> Seen<bool> {
    let promoted = tick.world.canary.status.as_ref().map_or("", |status| status.last_promoted_spec.as_str());
    Ok(!is_healing_wanted(tick) || kept_template(tick, promoted)?.is_some())
}

/// What the primary lacks to take its traffic back: whatever the canary could keep goes to no primary with fewer pods than
/// the run began with (I1). Should the canary lose its own, the traffic goes back at once (`failover`, I3).
fn lack(tick: &Facts) -> Option<Notice> {
    let (ready, needed) = (tick.ready_pods(Side::Primary), capacity::needed_pods(tick));
    match tick.primary_readiness() {
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Some(Notice::Problem(reason)),
        Readiness::Ready => (ready < needed).then_some(Notice::WaitingForCapacity(ready, needed)),
    }
}

/// Waits for the primary. When the progress deadline has passed, somebody has to look: it is told once, as an alert too,
/// and shown until the primary is back (I13).
fn wait(tick: &Facts, mut draft: PlanBuilder, lack: Notice) -> Proposal {
    let due = failed_at(tick).saturating_add(SignedDuration::from_secs(tick.rollout.progress_deadline_seconds));
    let due = due.unwrap_or(Timestamp::MAX);
    if tick.now < due {
        draft.tell(lack);
        return draft.finish(Wake::At(due));
    }
    let reason = draft.text(&lack);
    if draft.shows("Held") {
        draft.tell(lack);
    } else {
        draft.set_condition("Held", "True", "PrimaryNotRestored", &reason);
        draft.tell(Notice::RestoringOverdue(reason));
    }
    draft.finish(Wake::OnChange)
}

/// When the promotion failed: since then the condition `Promoted` is false.
fn failed_at(tick: &Facts) -> Timestamp {
    let status = tick.world.canary.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let promoted = conditions.iter().find(|condition| condition.kind == "Promoted");
    promoted.and_then(|promoted| time(promoted.last_transition_time.as_deref()?)).unwrap_or(Timestamp::MIN)
}

pub(super) fn heal(tick: &Facts, scene: &Scene) -> Seen<Proposal> {
    let mut draft = PlanBuilder::new(tick);
    let Some(primary) = scene.primary else { return recreate_primary(tick, scene) };
    let status = tick.world.canary.status.clone().unwrap_or_default();
    let started = status.run.as_ref().and_then(|run| run.started_at.clone()).unwrap_or_default();
    let id = kept::flagger_id(&tick.rollout.uid, &status.last_promoted_spec, &format!("restored {started}"));
    if !workload::is_copy(tick.rollout.target_kind, primary, &id, &status.last_promoted_spec) {
        let Some(kept) = kept_template(tick, &status.last_promoted_spec)? else {
            draft.tell_of_false(&status.last_promoted_spec);
            let reason = match status.canary_weight {
                0 => "no promoted revision is kept to restore the primary to",
                _ => "no promoted revision is kept to restore the primary to, the canary keeps the traffic",
            };
            draft.tell(Notice::Problem(reason.to_owned()));
            return Ok(draft.finish(Wake::OnChange));
        };
        let tracked = scene.tracked_by(kept);
        let recipe = Recipe { tracked: &tracked, ..scene.recipe(tick, &id) };
        let restored = workload::restored(&recipe, &kept::template(kept), scene.target, Some(primary));
        if tick.settings.config_tracking {
            draft.step(Step::RestoreConfigs(kept::configs_key(tick.rollout)));
        }
        draft.step(Step::Replace(restored.map_err(Obstacle::Halt)?));
        return Ok(draft.finish(tick.primary_written()));
    }
    if let Some(lack) = lack(tick) {
        return Ok(wait(tick, draft, lack));
    }
    draft.intend(routes::routes(tick, Split::PRIMARY)?);
    if status.last_applied_spec != status.last_promoted_spec {
        draft.step(Step::Drop(kept::key(tick.rollout, &status.last_applied_spec)));
    }
    if tick.settings.config_tracking {
        draft.step(Step::Drop(kept::configs_key(tick.rollout)));
        draft.run().kept_configs = None;
    }
    draft.tell(Notice::RestoringPrimary);
    draft.status.canary_weight = 0;
    draft.drop_condition("Held");
    healing::end(draft.run());
    let until = tick.drained_at();
    draft.run().drain_until = Some(fraction(until));
    Ok(draft.finish(Wake::At(until)))
}
