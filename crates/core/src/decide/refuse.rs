//! A canary that cannot be meant: said in an event and a condition, and left alone (S14, S24). A run of it gets no further,
//! but it is judged, and can be taken back by order (S45, S46); any other order is refused.

use burgee_api::{AnsweredOrder, CanaryStatus, Condition, OrderResult, Phase};
use jiff::{SignedDuration, Timestamp};
use sha2::Digest as _;

use super::facts::Facts;
use super::mistake::{INVALID, Seen};
use super::orders::{self, by};
use super::proposal::{Decision, Proposal};
use super::recorded::is_busy;
use super::stamp::time;
use super::tick::Tick;
use super::{routes, start, terminate};
use crate::digest::hex;
use crate::notice::{Names, Notice};
use crate::order::{self, Order, Unreadable};
use crate::phase::PhaseRules;
use crate::plan::{Plan, Step, Telling};
use crate::timetable::Wake;
use crate::world::{Rival, World};

/// Why a canary cannot be meant, if it cannot.
pub(super) fn reason(facts: &Facts) -> Option<String> {
    let Tick { world, rollout, .. } = **facts;
    // Whoever claims a host from elsewhere stops no run that is under way: it could not be taken back.
    let is_elsewhere = |rival: &Rival| rival.namespace != rollout.namespace;
    let rival = world.rival.as_ref().filter(|rival| !is_elsewhere(rival) || !is_busy(facts));
    let name = |rival: &Rival| {
        let Rival { name, namespace, .. } = rival;
        if is_elsewhere(rival) { format!("{name}.{namespace}") } else { name.clone() }
    };
    let refused = rollout.refused.clone();
    refused.or_else(|| rival.map(|rival| format!("{} is claimed by canary {}", rival.claim, name(rival))))
}

/// Why a run with traffic is not waited for any longer: its spec has been refused for longer than the progress deadline. It
/// may have lost what could have failed it.
pub(super) fn overdue(facts: &Facts) -> Option<String> {
    let reason = reason(facts)?;
    let conditions = facts.world.canary.status.as_ref()?.conditions.as_deref()?;
    let told = conditions.iter().find(|condition| condition.kind == INVALID)?;
    let since = told.last_transition_time.as_deref().and_then(time)?;
    let deadline = SignedDuration::from_secs(facts.rollout.progress_deadline_seconds);
    let is_over = facts.now.duration_since(since) >= deadline && told.message.as_deref() == Some(&reason);
    is_over.then(|| format!("the canary is invalid: {reason}"))
}

/// Leaves a canary alone, but for the end of a run that was taken back. What it waits for is a spec that can be meant.
pub(super) fn refused(facts: &Facts, reason: &str) -> Decision<Proposal> {
    let ended = end(facts, reason)?;
    Err(ended.unwrap_or_else(|| refuse(facts.world, facts.now, reason).into()).into())
}

/// What ends a run that was taken back. The routes of a canary with a rival are the rival's.
fn end(facts: &Facts, reason: &str) -> Seen<Option<Proposal>> {
    let canary = &facts.world.canary;
    let is_told = canary.status.as_ref().is_some_and(|status| is_refused(status, reason));
    if canary.metadata.deletion_timestamp.is_some() || facts.world.rival.is_some() || !is_told {
        return Ok(None);
    }
    if let Some(plan) = orders::not_recalled(facts) {
        return Ok(Some(plan));
    }
    let drains = facts.phase() == Phase::Failed && facts.run().is_some_and(|run| run.drain_until.is_some());
    if !drains || facts.world.present(&facts.rollout.target_key()).is_none() {
        return Ok(None);
    }
    match routes::misrouted(facts)? {
        Some(plan) => Ok(Some(plan)),
        None => Ok(Some(start::rest(facts, facts.workloads()?))),
    }
}

/// Says what is wrong with a canary, once. Its objects stay as they are, and its phase too. One that is being deleted is
/// let go: nothing can be put back for a canary that cannot be meant (I25).
pub fn refuse(world: &World, now: Timestamp, reason: &str) -> Plan {
    if world.canary.metadata.deletion_timestamp.is_some() {
        let steps = terminate::release(&world.canary).into_iter().collect();
        return Plan { steps, ..Plan::idle() };
    }
    let mut status = world.canary.status.clone().unwrap_or_default();
    if is_refused(&status, reason) {
        return match order::pending(&world.canary) {
            Some(order) => refuse_order(world, now, (order, reason)),
            None => Plan::idle(),
        };
    }
    let generation = world.canary.metadata.generation.unwrap_or(0);
    let event_suffix = format!("{:08x}{:08x}", created(world), generation & 0xffff_ffff);
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
    // An order that came with it is answered next.
    let next = order::pending(&world.canary).map_or(Wake::OnChange, |_| Wake::At(now));
    Plan { steps: vec![Step::Tell(telling), Step::Status(Box::new(status))], next, ..Plan::idle() }
}

/// An order to a canary that cannot be meant is refused with the reason, once.
fn refuse_order(world: &World, now: Timestamp, (order, reason): (Result<Order, Unreadable>, &str)) -> Plan {
    let (id, order, reason) = match order {
        Err(Unreadable { id, reason }) => (id.clone(), format!("({id})"), reason),
        Ok(order) => {
            let reason = order.mistimed(now).unwrap_or_else(|| format!("the canary is invalid, {reason}"));
            (order.id.clone(), format!("{} by {}", order.word, by(&order)), reason)
        }
    };
    let notice = Notice::OrderRefused(order, reason);
    let mut status = world.canary.status.clone().unwrap_or_default();
    let message = notice.text(&names(world));
    orders::remember(
        status.run.get_or_insert_default(),
        AnsweredOrder { id: id.clone(), result: OrderResult::Refused, message },
    );
    let event_suffix = format!("{:08x}{}", created(world), hex(&sha2::Sha256::digest(id.as_bytes())[..4]));
    let telling = Telling { notice, event_suffix, phase: status.phase };
    Plan { steps: vec![Step::Tell(telling), Step::Status(Box::new(status))], ..Plan::idle() }
}

/// Whom notices are about, whatever the spec says.
fn names(world: &World) -> Names {
    let (metadata, target) = (&world.canary.metadata, &world.canary.spec.target_ref);
    Names {
        canary: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        target: target.name.clone(),
        target_kind: target.kind.clone(),
    }
}

/// The message of the `Invalid` condition, if the canary is refused.
pub(super) fn is_refused(status: &CanaryStatus, reason: &str) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.kind == INVALID && condition.message.as_deref() == Some(reason))
}

fn created(world: &World) -> i64 {
    world.canary.metadata.creation_timestamp.as_ref().map_or(0, |created| created.0.as_second()) & 0xffff_ffff
}
