//! What an edit of the spec leaves behind: routes that nobody looks after lead to the primary, and of two autoscalers of
//! the primary the one goes that the canary no longer names. It deletes nothing that others made.

use super::scene::ready_pods;
use super::settle::settle_seen;
use super::{Draft, Tick};
use crate::left;
use crate::plan::{Plan, Step};
use crate::router;
use crate::scaler;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::Side;
use crate::world::{ObjectKey, Observed};

/// The plan that leads routes to the primary that were made for another Service name or provider: the canary that they lead
/// to may go to zero without them (I3). They are written before they are forgotten.
pub(super) fn routes(tick: &Tick) -> Option<Plan> {
    let Tick { rollout, world, .. } = tick;
    let old = left::routed(rollout, &world.canary)?;
    let has_refuge = ready_pods(tick, Side::Primary) > 0 || ready_pods(tick, Side::Canary) == 0;
    let (keys, known) = (router::of(&old).reads(&old), router::of(rollout).reads(rollout));
    let are_known = keys.iter().all(|key| world.look(key).is_ok());
    if !has_refuge || !are_known {
        return None;
    }
    let is_left = |key: &ObjectKey| !known.contains(key) && matches!(world.seen(key), Observed::Present(_));
    let objects = router::of(&old).render(&old, world, Split::PRIMARY).unwrap_or_default();
    let objects = objects.into_iter().filter(|object| ObjectKey::of(object).is_some_and(|key| is_left(&key)));
    let mut draft = Draft::new(tick);
    draft.steps(objects.filter_map(|object| settle_seen(tick, object)));
    draft.tell(left::notice(rollout, &old));
    left::forget_routes(draft.run(), rollout);
    Some(draft.finish(Wake::At(tick.now)))
}

/// The step that drops the primary's copy of an autoscaler that the canary no longer names, once there is another one, or
/// it is made right before: two of them would fight over the primary.
pub(super) fn scaler(tick: &Tick, made: &[Step]) -> Option<Step> {
    let Tick { rollout, world, .. } = tick;
    let former = left::scaler(rollout, &world.canary)?;
    let current = scaler::primary_key(rollout)?;
    let is_made =
        |step: &Step| matches!(step, Step::Create(object) if ObjectKey::of(object).as_ref() == Some(&current));
    let has_successor = world.present(&current).is_some() || made.iter().any(is_made);
    let goes = has_successor && world.present(&former).is_some() && left::is_ours(rollout, world, &former);
    goes.then_some(Step::Drop(former))
}
