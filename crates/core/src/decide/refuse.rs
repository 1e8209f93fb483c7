//! A canary that cannot be meant: said in an event and a condition, and left alone (S14, S24).

use burgee_api::{CanaryStatus, Condition};
use jiff::Timestamp;

use super::mistake::INVALID;
use super::terminate;
use crate::notice::Notice;
use crate::phase::PhaseRules;
use crate::plan::{Plan, Step, Telling};
use crate::world::World;

/// Says what is wrong with a canary, once. Its objects stay as they are, and its phase too. One that is being deleted is
/// let go: nothing can be put back for a canary that cannot be meant (I25).
pub fn refuse(world: &World, now: Timestamp, reason: &str) -> Plan {
    if world.canary.metadata.deletion_timestamp.is_some() {
        let steps = terminate::release(&world.canary).into_iter().collect();
        return Plan { steps, ..Plan::idle() };
    }
    let mut status = world.canary.status.clone().unwrap_or_default();
    if is_refused(&status, reason) {
        return Plan::idle();
    }
    let generation = world.canary.metadata.generation.unwrap_or(0);
    let event_suffix = format!("{:08x}{:08x}", now_or_created(world), generation & 0xffff_ffff);
    let telling = Telling { notice: Notice::Invalid(reason.to_owned()), event_suffix, phase: status.phase };
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().find(|condition| condition.kind == INVALID);
    let since = known.and_then(|known| known.last_transition_time.clone());
    conditions.retain(|condition| condition.kind != INVALID);
    conditions.push(Condition {
        kind: INVALID.to_owned(),
        status: "True".to_owned(),
        reason: "InvalidSpec".to_owned(),
        message: Some(reason.to_owned()),
        last_update_time: Some(format!("{now:.0}")),
        last_transition_time: since.or_else(|| Some(format!("{now:.0}"))),
    });
    debug_assert!(status.phase.may_become(status.phase), "refusing never moves a phase");
    Plan { steps: vec![Step::Tell(telling), Step::Status(Box::new(status))], ..Plan::idle() }
}

/// The message of the `Invalid` condition, if the canary is refused.
pub(super) fn is_refused(status: &CanaryStatus, reason: &str) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.kind == INVALID && condition.message.as_deref() == Some(reason))
}

fn now_or_created(world: &World) -> i64 {
    world.canary.metadata.creation_timestamp.as_ref().map_or(0, |created| created.0.as_second()) & 0xffff_ffff
}
