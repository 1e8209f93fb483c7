//! The routes, compared with what is seen of them. Drift is repaired with the weights that hold, never with the initial ones
//! (S6). It chooses no split.

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::look::{look, settle_seen};
use super::mistake::{Obstacle, Seen};
use super::names::keep_off;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::recorded::intended_split;
use super::stamp::{fraction, time};
use crate::plan::{Step, replaced};
use crate::reconcile::settle;
use crate::rollout::Rollout;
use crate::router;
use crate::services::{self, Role};
use crate::split::Split;
use crate::stale_references;
use crate::timetable::Wake;
use crate::workload::{self, Side};
use crate::world::Observed;

/// Steps towards the routes. A Service that they lead to and that is gone is made before them (I3), and one that they lead
/// to no longer after them: if it cannot be made, that stands before no rollback (I28).
pub(super) fn routes(facts: &Facts, split: Split) -> Seen<Vec<Step>> {
    let steps = routes_alone(facts, split)?;
    if steps.is_empty() {
        return Ok(steps);
    }
    Ok(with_services(facts, split, steps))
}

fn with_services(facts: &Facts, split: Split, steps: Vec<Step>) -> Vec<Step> {
    let [primary, canary] = missing_services(facts);
    let (before, after) = if split.canary() > 0 { (canary, None) } else { (None, canary) };
    before.into_iter().chain(primary).chain(steps).chain(after).collect()
}

/// Steps that lead all traffic to the primary. They change the routes as they stand, and nothing of what the spec says by
/// now goes into them: what was taken of it once is taken again, whatever is wrong with the spec, cannot be made of it or
/// cannot be read (I28; S45). Only where no route that can be seen leads to the canary are they made anew. What differs
/// besides is drift, and is put back after this.
pub(super) fn home(facts: &Facts) -> Vec<Step> {
    let led = led_home(facts);
    let steps = if led.is_empty() { routes_alone(facts, Split::PRIMARY).unwrap_or_default() } else { led };
    if steps.is_empty() {
        return steps;
    }
    with_services(facts, Split::PRIMARY, steps)
}

/// The routes that lead to the canary as they stand, also those that an edit has left behind, with all on the primary.
fn led_home(facts: &Facts) -> Vec<Step> {
    let stand = |rollout: &Rollout| router::of(rollout).home(rollout, facts.world);
    let mut objects = stand(facts.rollout);
    objects.extend(stale_references::routed(facts.rollout, &facts.world.canary).iter().flat_map(stand));
    objects.into_iter().filter_map(|object| settle_seen(facts, object)).collect()
}

/// Steps towards a split that the status is about to announce, as far as they can be made now. Whoever follows the status
/// makes the others, as soon as they can be.
pub(super) fn towards(facts: &Facts, split: Split) -> Vec<Step> {
    if split == Split::PRIMARY { home(facts) } else { routes(facts, split).unwrap_or_default() }
}

/// Steps towards the routes for whoever sees to the Services himself. Where they cannot be made, all traffic is led to the
/// primary all the same if that is where it belongs (I28).
pub(super) fn routes_alone(facts: &Facts, split: Split) -> Seen<Vec<Step>> {
    made(facts, split).or_else(|obstacle| {
        let led = if split == Split::PRIMARY { led_home(facts) } else { Vec::new() };
        if led.is_empty() { Err(obstacle) } else { Ok(led) }
    })
}

/// The steps that make the routes as the spec has them.
fn made(facts: &Facts, split: Split) -> Seen<Vec<Step>> {
    let router = router::of(facts.rollout);
    for key in router.reads(facts.rollout) {
        look(facts, &key)?;
    }
    if facts.rollout.refused.is_some() {
        // Nothing is made of a spec that cannot be meant.
        return Ok(if split == Split::PRIMARY { led_home(facts) } else { Vec::new() });
    }
    let objects = router.render(facts.rollout, facts.world, split).map_err(Obstacle::Halt)?;
    Ok(keep_off(facts, objects.into_iter().filter_map(|object| settle_seen(facts, object)).collect()))
}

/// What makes the Services of the primary and of the canary where they are gone. Of a target that is a Service itself others see to it, and
/// one that cannot be read is taken to be there (I11).
fn missing_services(facts: &Facts) -> [Option<Step>; 2] {
    let rollout = facts.rollout;
    let none = [None, None];
    let Some(target) = facts.world.present(&rollout.target_key()) else { return none };
    if !rollout.target_kind.has_pods() || rollout.refused.is_some() {
        return none;
    }
    let primary = facts.world.present(&rollout.primary_key());
    let Ok(selector) = workload::selector(rollout, facts.settings, target, primary) else { return none };
    let is_gone = |role: &Role| facts.world.seen(&role.key(rollout)) == Observed::Absent;
    let make = |role: Role| {
        let ports = services::discovered_ports(rollout, target);
        settle(services::render(rollout, &selector, &ports, role, None), None)
    };
    [Role::Primary, Role::Canary].map(|role| is_gone(&role).then(|| make(role)).flatten())
}

/// The plan that puts the routes where the status says they are, if they are not: after a crash between the two writes,
/// or when somebody else changed them. What is timed from the route begins again: the step, and the drain.
pub(super) fn misrouted(facts: &Facts) -> Seen<Option<Proposal>> {
    let steps = routes(facts, intended_split(facts))?;
    if steps.is_empty() {
        return Ok(None);
    }
    if led_astray(facts).is_some() {
        // Whatever ends that, the next pod or a deadline, must not wait for the routes.
        return Ok(None);
    }
    let repairs = replaced(&steps);
    let mut builder = PlanBuilder::new(facts);
    // The time first: routes that are back before their new time could be noted would be drained too early.
    builder.intend(steps);
    let now = fraction(facts.now);
    let goes_on = was_repaired_lately(facts);
    let run = builder.run();
    if run.step_started_at.is_some() {
        run.fought_since = run.fought_since.take().filter(|_| goes_on).or_else(|| Some(now.clone()));
        run.step_started_at = Some(now);
    }
    if builder.run().drain_until.is_some() {
        builder.run().drain_until = Some(fraction(facts.drained_at()));
    }
    Ok(Some(Proposal { repairs, ..builder.finish(Wake::At(facts.now)) }))
}

/// Why the routes cannot be put back: the set that would get more has no ready pod, and the one that has it now has some
/// (I1). Whoever shifted the traffic by hand may have had that very reason.
pub(super) fn led_astray(facts: &Facts) -> Option<String> {
    let seen = router::of(facts.rollout).read(facts.rollout, facts.world).ok().flatten()?;
    let wanted = Wanted { from: seen, to: intended_split(facts) };
    let unready = match placement(wanted, facts.pods) {
        Placement::Go(_) => return None,
        Placement::Stay(side) | Placement::Stuck(side) => match side {
            Side::Primary => facts.rollout.primary_name(),
            Side::Canary => facts.rollout.target.name.clone(),
        },
    };
    Some(format!("{unready}.{} has no ready pod, its share of the traffic is not put back", facts.rollout.namespace))
}

/// Whether somebody has changed the routes again and again for an interval: the step never had its traffic, and putting
/// it off for ever would leave the run without an end (I13).
pub(super) fn is_fought(facts: &Facts) -> bool {
    let since = facts.run().and_then(|run| time(run.fought_since.as_deref()?));
    was_repaired_lately(facts) && since.is_some_and(|since| facts.now.duration_since(since) >= facts.rollout.interval)
}

/// Whether the step began less than two intervals ago, so that a repair now belongs to the same fight as the one before:
/// repairs of fought objects come at least once in an interval.
fn was_repaired_lately(facts: &Facts) -> bool {
    let last = facts.run().and_then(|run| time(run.step_started_at.as_deref()?));
    last.is_some_and(|last| facts.now.duration_since(last) < facts.rollout.interval.saturating_mul(2))
}
