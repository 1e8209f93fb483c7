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
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{capacity, routes};
use crate::ending;
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Recipe, Side};
use crate::{restoration, snapshot};

/// A person turns the fix away for which the canary waits: the target keeps the traffic, and the primary is put back if
/// it can be.
pub(super) fn turn_away(facts: &Facts, mut builder: PlanBuilder) -> Proposal {
    builder.enter(Phase::Failed);
    builder.reset_counters();
    ending::forget_orders(builder.run());
    builder.count(Count::Failed);
    builder.post_rollout();
    builder.finish(Wake::At(facts.now))
}

/// Whether there is a template to put the primary back to.
pub(super) fn is_possible(facts: &Facts) -> Seen<bool> {
    let promoted = facts.world.canary.status.as_ref().map_or("", |status| status.last_promoted_spec.as_str());
    Ok(!is_healing_wanted(facts) || kept_template(facts, promoted)?.is_some())
}

/// What the primary lacks to take its traffic back: whatever the canary could keep goes to no primary with fewer pods than
/// the run began with (I1). Should the canary lose its own, the traffic goes back at once (`failover`, I3).
fn lack(facts: &Facts) -> Option<Notice> {
    let (ready, needed) = (facts.ready_pods(Side::Primary), capacity::needed_pods(facts));
    match facts.primary_readiness() {
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Some(Notice::Problem(reason)),
        Readiness::Ready => (ready < needed).then_some(Notice::WaitingForCapacity(ready, needed)),
    }
}

/// Waits for the primary. When the progress deadline has passed, somebody has to look: it is told once, as an alert too,
/// and shown until the primary is back (I13).
fn wait(facts: &Facts, mut builder: PlanBuilder, lack: Notice) -> Proposal {
    let due = failed_at(facts).saturating_add(SignedDuration::from_secs(facts.rollout.progress_deadline_seconds));
    let due = due.unwrap_or(Timestamp::MAX);
    if facts.now < due {
        builder.tell(lack);
        return builder.finish(Wake::At(due));
    }
    let reason = builder.text(&lack);
    if builder.shows("Held") {
        builder.tell(lack);
    } else {
        builder.set_condition("Held", "True", "PrimaryNotRestored", &reason);
        builder.tell(Notice::RestoringOverdue(reason));
    }
    builder.finish(Wake::OnChange)
}

/// When the promotion failed: since then the condition `Promoted` is false.
fn failed_at(facts: &Facts) -> Timestamp {
    let status = facts.world.canary.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let promoted = conditions.iter().find(|condition| condition.kind == "Promoted");
    promoted.and_then(|promoted| time(promoted.last_transition_time.as_deref()?)).unwrap_or(Timestamp::MIN)
}

pub(super) fn heal(facts: &Facts, workloads: &Workloads) -> Seen<Proposal> {
    let mut builder = PlanBuilder::new(facts);
    let Some(primary) = workloads.primary else { return recreate_primary(facts, workloads) };
    let status = facts.world.canary.status.clone().unwrap_or_default();
    let started = status.run.as_ref().and_then(|run| run.started_at.clone()).unwrap_or_default();
    let id = snapshot::flagger_id(&facts.rollout.uid, &status.last_promoted_spec, &format!("restored {started}"));
    if !workload::is_copy(facts.rollout.target_kind, primary, &id, &status.last_promoted_spec) {
        let Some(kept) = kept_template(facts, &status.last_promoted_spec)? else {
            builder.tell_of_false(&status.last_promoted_spec);
            let reason = match status.canary_weight {
                0 => "no promoted revision is kept to restore the primary to",
                _ => "no promoted revision is kept to restore the primary to, the canary keeps the traffic",
            };
            builder.tell(Notice::Problem(reason.to_owned()));
            return Ok(builder.finish(Wake::OnChange));
        };
        let tracked = workloads.tracked_by(kept);
        let recipe = Recipe { tracked: &tracked, ..workloads.recipe(facts, &id) };
        let restored = workload::restored(&recipe, &snapshot::template(kept), workloads.target, Some(primary));
        if facts.settings.config_tracking {
            builder.step(Step::RestoreConfigs(snapshot::configs_key(facts.rollout)));
        }
        builder.step(Step::Replace(restored.map_err(Obstacle::Halt)?));
        return Ok(builder.finish(facts.primary_written()));
    }
    if let Some(lack) = lack(facts) {
        return Ok(wait(facts, builder, lack));
    }
    builder.intend(routes::routes(facts, Split::PRIMARY)?);
    if status.last_applied_spec != status.last_promoted_spec {
        builder.step(Step::Drop(snapshot::key(facts.rollout, &status.last_applied_spec)));
    }
    if facts.settings.config_tracking {
        builder.step(Step::Drop(snapshot::configs_key(facts.rollout)));
        builder.run().kept_configs = None;
    }
    builder.tell(Notice::RestoringPrimary);
    builder.status.canary_weight = 0;
    builder.drop_condition("Held");
    restoration::end(builder.run());
    let until = facts.drained_at();
    builder.run().drain_until = Some(fraction(until));
    Ok(builder.finish(Wake::At(until)))
}
