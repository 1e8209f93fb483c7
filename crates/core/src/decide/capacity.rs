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
pub(super) fn floor(facts: &Facts) -> Option<i64> {
    let status = facts.world.canary.status.as_ref()?;
    let holds = status.phase.is_run() || is_healing_wanted(facts);
    holds.then(|| status.run.as_ref()?.primary_ready_at_start).flatten()
}

/// How many ready pods the primary must have before traffic returns to it: the floor, as far as its scaler and its nodes
/// allow.
pub(super) fn needed_pods(facts: &Facts) -> i64 {
    within_reach(facts, floor(facts).unwrap_or(0))
}

/// How many pods nobody takes from the primary: the floor, and after a rollback until the canary is drained, so that a
/// rollback that was interrupted gives them back all the same.
pub(super) fn kept_pods(facts: &Facts) -> i64 {
    let drains = facts.phase() == Phase::Failed && facts.run().is_some_and(|run| run.drain_until.is_some());
    if drains { within_reach(facts, recorded_pods(facts)) } else { needed_pods(facts) }
}

/// How many pods a primary that was deleted gets at least: those that the status remembers of it, within what its
/// autoscaler allows.
pub(super) fn remembered_pods(facts: &Facts) -> i64 {
    let (least, most) = limits(facts).unwrap_or((1, i64::MAX));
    recorded_pods(facts).min(most).max(least)
}

fn recorded_pods(facts: &Facts) -> i64 {
    facts.run().and_then(|run| run.primary_ready_at_start).unwrap_or(0)
}

/// Notes how many pods the primary is meant to have, for the case that somebody deletes it.
pub(super) fn remember(facts: &Facts, builder: &mut PlanBuilder) {
    let primary = facts.world.present(&facts.rollout.primary_key());
    if let Some(wanted) = primary.and_then(|primary| workload::wanted_pods(facts.rollout.target_kind, primary)) {
        builder.run().primary_ready_at_start = Some(wanted);
    }
}

fn within_reach(facts: &Facts, pods: i64) -> i64 {
    let primary = facts.world.present(&facts.rollout.primary_key());
    let nodes = primary.and_then(|primary| workload::most_pods(facts.rollout.target_kind, primary));
    let scaler = scaler::primary_key(facts.rollout).and_then(|key| facts.world.present(&key));
    let limits = scaler.and_then(|scaler| scaler::limits(facts.rollout, scaler));
    pods.min(limits.map_or(i64::MAX, |(_, most)| most)).min(nodes.map_or(i64::MAX, |nodes| nodes.max(1)))
}

/// What the primary's autoscaler allows; before it is made, what the target's does.
fn limits(facts: &Facts) -> Option<(i64, i64)> {
    let keys = [scaler::primary_key(facts.rollout), scaler::key(facts.rollout)];
    let scaler = keys.into_iter().flatten().find_map(|key| facts.world.present(&key))?;
    scaler::limits(facts.rollout, scaler)
}

/// The step that gives the primary pods again that somebody took from it (S13). With an autoscaler that one does it, by
/// its own floor; but an HPA wakes nothing from zero.
pub(super) fn replicas(facts: &Facts, least: i64) -> Option<Step> {
    let primary = facts.world.present(&facts.rollout.primary_key())?;
    let kind = facts.rollout.target_kind;
    let has_scaler = scaler::primary_key(facts.rollout).is_some_and(|key| facts.world.seen(&key) != Observed::Absent);
    if has_scaler && !workload::is_scaled_to_zero(kind, primary) {
        return None;
    }
    settle(workload::with_replicas(kind, primary.clone(), least), Some(primary))
}
