//! What an edit of the spec leaves behind: routes that nobody looks after lead to the primary, and the primary's copies of
//! autoscalers go that the canary no longer names. It deletes nothing that others made.

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::look::settle_seen;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::stamp::fraction;
use super::tick::Tick;
use crate::plan::Step;
use crate::router;
use crate::scaler;
use crate::split::Split;
use crate::stale_references;
use crate::timetable::Wake;
use crate::world::{ObjectKey, Observed};

/// The plan that leads routes to the primary that were made for another Service name or provider: the canary that they lead
/// to may go to zero without them (I3). They are written before they are forgotten.
pub(super) fn routes(facts: &Facts) -> Option<Proposal> {
    let Tick { rollout, world, .. } = **facts;
    let old = stale_references::routed(rollout, &world.canary)?;
    let is_stuck = matches!(placement(Wanted::HOME, facts.pods), Placement::Stuck(_));
    let (keys, known) = (router::of(&old).reads(&old), router::of(rollout).reads(rollout));
    let are_known = keys.iter().all(|key| world.look(key).is_ok());
    if is_stuck || !are_known {
        return None;
    }
    let is_left = |key: &ObjectKey| !known.contains(key) && matches!(world.seen(key), Observed::Present(_));
    let objects = router::of(&old).render(&old, world, Split::PRIMARY).unwrap_or_default();
    let objects = objects.into_iter().filter(|object| ObjectKey::of(object).is_some_and(|key| is_left(&key)));
    let mut builder = PlanBuilder::new(facts);
    builder.steps(objects.filter_map(|object| settle_seen(facts, object)));
    builder.tell(stale_references::notice(rollout, &old));
    stale_references::forget_routes(builder.run(), rollout);
    // Whoever renames the Service fights for no routes. What they led to the canary begins to be drained now.
    builder.run().fought_since = None;
    if builder.run().drain_until.is_some() {
        builder.run().drain_until = Some(fraction(facts.drained_at()));
    }
    Some(builder.finish(Wake::At(facts.now)))
}

/// The plan that notes of which autoscaler the primary is about to get a copy: whatever is made after it and goes wrong, and
/// however often the canary names another one, no copy is forgotten.
pub(super) fn scaler(facts: &Facts) -> Option<Proposal> {
    let Tick { rollout, world, .. } = **facts;
    if facts.run().is_none() || stale_references::is_noted(rollout, &world.canary) {
        return None;
    }
    let mut builder = PlanBuilder::new(facts);
    stale_references::note(builder.run(), rollout);
    Some(builder.finish(Wake::At(facts.now)))
}

/// The steps that drop the primary's copies of autoscalers that the canary no longer names. If it names another one, that
/// one is there, or made right before: two of them would fight over the primary, but without any it would not be scaled.
pub(super) fn scalers(facts: &Facts, made: &[Step]) -> Vec<Step> {
    let Tick { rollout, world, .. } = **facts;
    let is_made = |key: &ObjectKey| {
        let makes = |step: &Step| matches!(step, Step::Create(object) if ObjectKey::of(object).as_ref() == Some(key));
        world.present(key).is_some() || made.iter().any(makes)
    };
    if scaler::primary_key(rollout).is_some_and(|named| !is_made(&named)) {
        return Vec::new();
    }
    let goes = |key: &ObjectKey| world.present(key).is_some() && stale_references::is_ours(rollout, world, key);
    stale_references::scalers(rollout, &world.canary).into_iter().filter(goes).map(Step::Drop).collect()
}
