//! How many pods the primary must have: during a run those that it began with, and when it has been deleted those that are
//! remembered of it (S13). Between runs their number is the user's.

use burgee_api::Phase;

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::recorded::is_healing_wanted;
use crate::phase::PhaseRules;
use crate::plan::Step;
use crate::reconcile::settle;
use crate::scaler;
use crate::workload;
use crate::world::Observed;

/// The floor under the primary during a run (S13).
pub(super) fn floor(tick: &Facts) -> Option<i64> {
    let status = tick.world.canary.status.as_ref()?;
    let holds = status.phase.is_run() || is_healing_wanted(tick);
    holds.then(|| status.run.as_ref()?.primary_ready_at_start).flatten()
}

/// How many ready pods the primary must have before traffic returns to it: the floor, as far as its scaler and its nodes
/// allow.
pub(super) fn needed_pods(tick: &Facts) -> i64 {
    within_reach(tick, floor(tick).unwrap_or(0))
}

/// How many pods nobody takes from the primary: the floor, and after a rollback until the canary is drained, so that a
/// rollback that was interrupted gives them back all the same.
pub(super) fn kept_pods(tick: &Facts) -> i64 {
    let drains = tick.phase() == Phase::Failed && tick.run().is_some_and(|run| run.drain_until.is_some());
    if drains { within_reach(tick, recorded_pods(tick)) } else { needed_pods(tick) }
}

/// How many pods a primary that was deleted gets at least: those that the status remembers of it, within what its
/// autoscaler allows.
pub(super) fn remembered_pods(tick: &Facts) -> i64 {
    let (least, most) = limits(tick).unwrap_or((1, i64::MAX));
    recorded_pods(tick).min(most).max(least)
}

fn recorded_pods(tick: &Facts) -> i64 {
    tick.run().and_then(|run| run.primary_ready_at_start).unwrap_or(0)
}

/// Notes how many pods the primary is meant to have, for the case that somebody deletes it.
pub(super) fn remember(tick: &Facts, draft: &mut PlanBuilder) {
    let primary = tick.world.present(&tick.rollout.primary_key());
    if let Some(wanted) = primary.and_then(|primary| workload::wanted_pods(tick.rollout.target_kind, primary)) {
        draft.run().primary_ready_at_start = Some(wanted);
    }
}

fn within_reach(tick: &Facts, pods: i64) -> i64 {
    let primary = tick.world.present(&tick.rollout.primary_key());
    let nodes = primary.and_then(|primary| workload::most_pods(tick.rollout.target_kind, primary));
    let scaler = scaler::primary_key(tick.rollout).and_then(|key| tick.world.present(&key));
    let limits = scaler.and_then(|scaler| scaler::limits(tick.rollout, scaler));
    pods.min(limits.map_or(i64::MAX, |(_, most)| most)).min(nodes.map_or(i64::MAX, |nodes| nodes.max(1)))
}

/// What the primary's autoscaler allows; before it is made, what the target's does.
fn limits(tick: &Facts) -> Option<(i64, i64)> {
    let keys = [scaler::primary_key(tick.rollout), scaler::key(tick.rollout)];
    let scaler = keys.into_iter().flatten().find_map(|key| tick.world.present(&key))?;
    scaler::limits(tick.rollout, scaler)
}

/// The step that gives the primary pods again that somebody took from it (S13). With an autoscaler that one does it, by
/// its own floor; but an HPA wakes nothing from zero.
pub(super) fn replicas(tick: &Facts, least: i64) -> Option<Step> {
    let primary = tick.world.present(&tick.rollout.primary_key())?;
    let kind = tick.rollout.target_kind;
    let has_scaler = scaler::primary_key(tick.rollout).is_some_and(|key| tick.world.seen(&key) != Observed::Absent);
    if has_scaler && !workload::is_scaled_to_zero(kind, primary) {
        return None;
    }
    settle(workload::with_replicas(kind, primary.clone(), least), Some(primary))
}
