//! One object: what is seen of it, and the step that makes it as wanted.

use serde_json::Value;

use super::mistake::{Obstacle, Seen};
use super::tick::Tick;
use crate::plan::Step;
use crate::reconcile::settle;
use crate::world::ObjectKey;

/// The object or its absence; what is unknown ends the tick (I11).
pub(super) fn look<'a>(tick: &Tick<'a>, key: &ObjectKey) -> Seen<Option<&'a Value>> {
    tick.world.look(key).map_err(Obstacle::Halt)
}

/// The step that makes an object as wanted, whatever is seen of it.
pub(super) fn settle_seen(tick: &Tick, desired: Value) -> Option<Step> {
    let seen = ObjectKey::of(&desired).and_then(|key| tick.world.present(&key));
    settle(desired, seen)
}
