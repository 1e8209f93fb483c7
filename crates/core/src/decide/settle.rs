//! The objects that stand in every phase, compared with what is seen: Services, the primary's scaler, the routes.
//! Drift is repaired with the weights that hold, never with the initial ones (S6).

use burgee_api::Traffic;
use serde_json::Value;

use super::ask::halt;
use super::draft::{fraction, time};
use super::mistake::{Mistake, mistaken};
use super::scene::{Scene, missing_config, ready_pods};
use super::{Decision, Draft, Stop, Tick, capacity, follow, leave, names, takeover};
use crate::left;
use crate::phase::PhaseRules;
use crate::plan::{Plan, Step, replaced};
use crate::reconcile::settle;
use crate::rollout::Rollout;
use crate::router;
use crate::scaler::{self, Source, Sync};
use crate::services::{self, Role};
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Selector, Side};
use crate::world::{ObjectKey, Observed};

/// The standing objects but the routes: how to put them right, and why something of them cannot be looked after. The
/// latter stops the beginning of a run and nothing else: a run under way, a drain and a healing have to end all the same.
#[derive(Debug, Default)]
pub(super) struct Standing {
    steps: Vec<Step>,
    obstacle: Option<Stop>,
}

impl Standing {
    fn add(&mut self, part: Decision<Vec<Step>>) {
        match part {
            Ok(steps) => self.steps.extend(steps),
            Err(stop) if self.obstacle.is_none() => self.obstacle = Some(stop),
            Err(_) => {}
        }
    }

    /// Adds steps that are no drift.
    pub(super) fn extend(&mut self, steps: Vec<Step>) {
        self.steps.extend(steps);
    }

    /// Nothing begins while something is missing.
    pub(super) fn must_be_whole(&mut self) -> Decision<()> {
        self.obstacle.take().map_or(Ok(()), Err)
    }
}

/// Looks at all standing objects but the routes; no steps when all is as it should be.
pub(super) fn standing(tick: &Tick, scene: &Scene) -> Standing {
    let mut standing = Standing::default();
    standing.add(configs(tick).map(|()| Vec::new()));
    for role in [Role::Canary, Role::Primary, Role::Apex] {
        standing.add(service(tick, scene, role));
    }
    standing.add(source(tick).map(|_| Vec::new()));
    standing.add(primary_scaler(tick, follow::sync(tick), capacity::floor(tick)));
    standing.steps.extend(capacity::replicas(tick, capacity::kept_pods(tick)));
    let left = leave::scalers(tick, &standing.steps);
    standing.steps.extend(left);
    standing.steps = names::keep_off(tick, std::mem::take(&mut standing.steps));
    standing
}

/// The configs without which the target's pods do not start.
pub(super) fn configs(tick: &Tick) -> Decision<()> {
    missing_config(tick).map_or(Ok(()), |text| Err(mistaken(tick, Mistake::ConfigMissing, text)))
}

/// Adds the repair of drift to a decision. A plan that moves the status goes first and alone: nothing that drifted may
/// hold up a rollback, and the next tick follows at once. What cannot be looked after is said with the status that shows it.
pub(super) fn with_repairs(tick: &Tick, standing: Standing, decision: Decision<Plan>) -> Decision<Plan> {
    let now = Wake::At(tick.now);
    let mut repairs = standing.steps;
    let repair = |mut plan: Plan, mut repairs: Vec<Step>| {
        if plan.status().is_none() {
            // What the plan writes itself is looked at again after that.
            let written: Vec<ObjectKey> = plan.steps.iter().filter_map(Step::written).collect();
            repairs.retain(|repair| repair.written().is_none_or(|key| !written.contains(&key)));
            plan.repairs = replaced(&repairs);
            repairs.append(&mut plan.steps);
            plan.steps = repairs;
        } else if !repairs.is_empty() {
            plan.next = plan.next.sooner(now);
        }
        plan
    };
    match decision {
        Ok(plan) => Ok(repair(plan, repairs)),
        Err(Stop::Wait(plan)) => Err(Stop::Wait(repair(plan, repairs))),
        Err(Stop::Ask(mut question)) => {
            question.repairs.append(&mut repairs);
            Err(Stop::Ask(question))
        }
    }
}

/// Steps towards one Service. Of a target that is a Service itself only the canary's is made here: the primary's is its
/// primary, and the apex is the target. A Knative Service needs none.
pub(super) fn service(tick: &Tick, scene: &Scene, role: Role) -> Decision<Vec<Step>> {
    let rollout = tick.rollout;
    if !rollout.target_kind.has_services() {
        return Ok(Vec::new());
    }
    let seen = look(tick, &role.key(rollout))?;
    let desired = match (&scene.selector, role) {
        (Some(selector), _) => {
            let ports = services::discovered_ports(rollout, scene.target);
            services::render(rollout, selector, &ports, role, seen)
        }
        (None, Role::Canary) => workload::canary_service(rollout, scene.target, seen),
        (None, Role::Primary | Role::Apex) => return Ok(Vec::new()),
    };
    Ok(settle(desired, seen).into_iter().collect())
}

/// Steps towards the routes. A Service that they lead to and that is gone is made before them (I3).
pub(super) fn routes(tick: &Tick, split: Split) -> Decision<Vec<Step>> {
    let steps = routes_alone(tick, split)?;
    if steps.is_empty() {
        return Ok(steps);
    }
    Ok(missing_services(tick).into_iter().chain(steps).collect())
}

/// Steps that lead all traffic to the primary. They change the routes as they stand, and nothing of what the spec says by
/// now goes into them: what was taken of it once is taken again, whatever is wrong with the spec, cannot be made of it or
/// cannot be read (I28; S45). Only where no route that can be seen leads to the canary are they made anew. What differs
/// besides is drift, and is put back after this.
pub(super) fn home(tick: &Tick) -> Vec<Step> {
    let led = led_home(tick);
    let steps = if led.is_empty() { routes_alone(tick, Split::PRIMARY).unwrap_or_default() } else { led };
    if steps.is_empty() {
        return steps;
    }
    missing_services(tick).into_iter().chain(steps).collect()
}

/// The routes that lead to the canary as they stand, also those that an edit has left behind, with all on the primary.
fn led_home(tick: &Tick) -> Vec<Step> {
    let stand = |rollout: &Rollout| router::of(rollout).home(rollout, tick.world);
    let mut objects = stand(tick.rollout);
    objects.extend(left::routed(tick.rollout, &tick.world.canary).iter().flat_map(stand));
    objects.into_iter().filter_map(|object| settle_seen(tick, object)).collect()
}

/// Steps towards a split that the status is about to announce, as far as they can be made now. Whoever follows the status
/// makes the others, as soon as they can be.
pub(super) fn towards(tick: &Tick, split: Split) -> Vec<Step> {
    if split == Split::PRIMARY { home(tick) } else { routes(tick, split).unwrap_or_default() }
}

/// Steps towards the routes for whoever sees to the Services himself. Where they cannot be made, all traffic is led to the
/// primary all the same if that is where it belongs (I28).
pub(super) fn routes_alone(tick: &Tick, split: Split) -> Decision<Vec<Step>> {
    made(tick, split).or_else(|stop| {
        let led = if split == Split::PRIMARY { led_home(tick) } else { Vec::new() };
        if led.is_empty() { Err(stop) } else { Ok(led) }
    })
}

/// The steps that make the routes as the spec has them.
fn made(tick: &Tick, split: Split) -> Decision<Vec<Step>> {
    let router = router::of(tick.rollout);
    for key in router.reads(tick.rollout) {
        look(tick, &key)?;
    }
    if tick.rollout.refused.is_some() {
        // Nothing is made of a spec that cannot be meant.
        return Ok(if split == Split::PRIMARY { led_home(tick) } else { Vec::new() });
    }
    let objects = router.render(tick.rollout, tick.world, split).map_err(|reason| halt(tick, reason))?;
    Ok(names::keep_off(tick, objects.into_iter().filter_map(|object| settle_seen(tick, object)).collect()))
}

/// What makes the Services of the two sets where they are gone. Of a target that is a Service itself others see to it, and
/// one that cannot be read is taken to be there (I11).
fn missing_services(tick: &Tick) -> Vec<Step> {
    let rollout = tick.rollout;
    let Some(target) = tick.world.present(&rollout.target_key()) else { return Vec::new() };
    if !rollout.target_kind.has_pods() || rollout.refused.is_some() {
        return Vec::new();
    }
    let primary = tick.world.present(&rollout.primary_key());
    let Ok(selector) = workload::selector(rollout, tick.settings, target, primary) else { return Vec::new() };
    let is_gone = |role: &Role| tick.world.seen(&role.key(rollout)) == Observed::Absent;
    let make = |role: Role| {
        let ports = services::discovered_ports(rollout, target);
        settle(services::render(rollout, &selector, &ports, role, None), None)
    };
    [Role::Canary, Role::Primary].into_iter().filter(is_gone).filter_map(make).collect()
}

/// The plan that puts the routes where the status says they are, if they are not: after a crash between the two writes,
/// or when somebody else changed them. What is timed from the route begins again: the step, and the drain.
pub(super) fn misrouted(tick: &Tick) -> Decision<Option<Plan>> {
    let steps = routes(tick, intended_split(tick))?;
    if steps.is_empty() {
        return Ok(None);
    }
    if led_astray(tick).is_some() {
        // Whatever ends that, the next pod or a deadline, must not wait for the routes.
        return Ok(None);
    }
    let repairs = replaced(&steps);
    let mut draft = Draft::new(tick);
    // The time first: routes that are back before their new time could be noted would be drained too early.
    draft.intend(steps);
    let now = fraction(tick.now);
    let goes_on = was_repaired_lately(tick);
    let run = draft.run();
    if run.step_started_at.is_some() {
        run.fought_since = run.fought_since.take().filter(|_| goes_on).or_else(|| Some(now.clone()));
        run.step_started_at = Some(now);
    }
    if draft.run().drain_until.is_some() {
        draft.run().drain_until = Some(fraction(tick.drained_at()));
    }
    Ok(Some(Plan { repairs, ..draft.finish(Wake::At(tick.now)) }))
}

/// Why the routes cannot be put back: the set that would get more has no ready pod, and the one that has it now has some
/// (I1). Whoever shifted the traffic by hand may have had that very reason.
pub(super) fn led_astray(tick: &Tick) -> Option<String> {
    let seen = router::of(tick.rollout).read(tick.rollout, tick.world).ok().flatten()?;
    let wanted = intended_split(tick);
    let (primary, canary) = (ready_pods(tick, Side::Primary), ready_pods(tick, Side::Canary));
    let unready = if wanted.primary() > seen.primary() && primary == 0 && canary > 0 {
        tick.rollout.primary_name()
    } else if wanted.canary() > seen.canary() && canary == 0 && primary > 0 {
        tick.rollout.target.name.clone()
    } else {
        return None;
    };
    Some(format!("{unready}.{} has no ready pod, its share of the traffic is not put back", tick.rollout.namespace))
}

/// Whether somebody has changed the routes again and again for an interval: the step never had its traffic, and putting
/// it off for ever would leave the run without an end (I13).
pub(super) fn is_fought(tick: &Tick) -> bool {
    let since = tick.run().and_then(|run| time(run.fought_since.as_deref()?));
    was_repaired_lately(tick) && since.is_some_and(|since| tick.now.duration_since(since) >= tick.rollout.interval)
}

/// Whether the step began less than two intervals ago, so that a repair now belongs to the same fight as the one before:
/// repairs of fought objects come at least once in an interval.
fn was_repaired_lately(tick: &Tick) -> bool {
    let last = tick.run().and_then(|run| time(run.step_started_at.as_deref()?));
    last.is_some_and(|last| tick.now.duration_since(last) < tick.rollout.interval.saturating_mul(2))
}

/// The target's autoscaler, if the canary names one.
pub(super) fn source<'a>(tick: &Tick<'a>) -> Decision<Option<&'a Value>> {
    let Some(key) = scaler::key(tick.rollout) else { return Ok(None) };
    let Some(source) = look(tick, &key)? else {
        return Err(mistaken(tick, Mistake::ScalerMissing, missing(&key)));
    };
    match unusable_scaler(tick) {
        Some(reason) => Err(mistaken(tick, Mistake::ScalerUnusable, reason)),
        None => Ok(Some(source)),
    }
}

/// What selects the target's pods, for whoever can do without it.
pub(super) fn target_selector(tick: &Tick) -> Option<Selector> {
    let target = tick.world.present(&tick.rollout.target_key()).filter(|_| tick.rollout.target_kind.has_pods())?;
    workload::selector(tick.rollout, tick.settings, target, None).ok()
}

/// The target's autoscaler as it is seen.
pub(super) fn scaler_source<'a>(tick: &Tick<'a>, selector: Option<&'a Selector>) -> Option<Source<'a>> {
    let object = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    Some(Source { object, selector })
}

/// Why the primary's autoscaler cannot be made from the one that the canary names.
pub(super) fn unusable_scaler(tick: &Tick) -> Option<String> {
    let selector = target_selector(tick);
    scaler::obstacle(tick.rollout, &scaler_source(tick, selector.as_ref())?)
}

/// What is said of an autoscaler that the canary names and that is not there.
pub(super) fn missing_scaler(tick: &Tick) -> Option<String> {
    let key = scaler::key(tick.rollout)?;
    (tick.world.seen(&key) == Observed::Absent).then(|| missing(&key))
}

/// Steps towards the primary's scaler: created if missing, and brought up to date where the contract says so. Without the
/// one that it is made from, or with one that it cannot be made from, only the floor is moved.
pub(super) fn primary_scaler(tick: &Tick, sync: Sync, floor: Option<i64>) -> Decision<Vec<Step>> {
    let (Some(source_key), Some(primary_key)) = (scaler::key(tick.rollout), scaler::primary_key(tick.rollout)) else {
        return Ok(Vec::new());
    };
    let (source, seen) = (look(tick, &source_key)?, look(tick, &primary_key)?);
    let selector = target_selector(tick);
    let source = source.map(|object| Source { object, selector: selector.as_ref() });
    let desired = match (source.filter(|source| scaler::obstacle(tick.rollout, source).is_none()), seen) {
        (None, None) => None,
        (None, Some(_)) => {
            let nothing = Source { object: &Value::Null, selector: None };
            scaler::primary_scaler(tick.rollout, &nothing, seen, floor, Sync::CreateOnly)
        }
        (Some(source), _) => scaler::primary_scaler(tick.rollout, &source, seen, floor, sync),
    };
    Ok(desired.and_then(|desired| settle(desired, seen)).into_iter().collect())
}

/// Keeps the target's own autoscaler from scaling it up while it is meant to have no pods (KEDA).
pub(super) fn pause_target(tick: &Tick) -> Option<Step> {
    let source = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    scaler::pause(tick.rollout, source)
}

/// Lets the target's own autoscaler scale again (KEDA).
pub(super) fn resume_target(tick: &Tick) -> Option<Step> {
    let source = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    scaler::resume(tick.rollout, source)
}

/// The contract's text for an autoscaler that is not there (lifecycle §8).
fn missing(key: &ObjectKey) -> String {
    let (group, _, kind, plural) = key.kind.names();
    format!("{kind} {}.{} get query error: {plural}.{group} \"{}\" not found", key.name, key.namespace, key.name)
}

/// The split that holds according to the status. Only what was written there is intended; anything else is drift.
pub(super) fn intended_split(tick: &Tick) -> Split {
    let Some(status) = &tick.world.canary.status else { return Split::PRIMARY };
    if takeover::is_due(status)
        && let Some(split) = takeover::split(tick)
    {
        return split;
    }
    let split = Split::with_canary(u8::try_from(status.canary_weight.clamp(0, 100)).unwrap_or(0));
    let is_mirrored = status.run.as_ref().is_some_and(|run| run.traffic == Traffic::Mirrored);
    if status.phase.is_run() && is_mirrored { split.mirrored() } else { split }
}

/// The object or its absence; what is unknown ends the tick (I11).
pub(super) fn look<'a>(tick: &Tick<'a>, key: &ObjectKey) -> Decision<Option<&'a Value>> {
    tick.world.look(key).map_err(|reason| halt(tick, reason))
}

/// The step that makes an object as wanted, whatever is seen of it.
pub(super) fn settle_seen(tick: &Tick, desired: Value) -> Option<Step> {
    let seen = ObjectKey::of(&desired).and_then(|key| tick.world.present(&key));
    settle(desired, seen)
}

#[cfg(test)]
mod tests {
    use burgee_api::CanaryStatus;
    use serde_json::json;

    use super::*;
    use crate::fixtures::{canary, rollout};
    use crate::question::Question;
    use crate::settings::Settings;
    use crate::world::World;

    fn repair() -> Step {
        let metadata = json!({"name": "podinfo", "namespace": "test"});
        Step::Replace(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata}))
    }

    fn check(decision: Decision<Plan>, expected: impl FnOnce(Decision<Plan>) -> bool) {
        let (world, rollout) = (World::new(canary(&json!({}))), rollout(&json!({})));
        let (settings, now) = (Settings::default(), jiff::Timestamp::MIN);
        let tick = Tick { world: &world, rollout: &rollout, settings: &settings, now, clock: now };
        let standing = Standing { steps: vec![repair()], obstacle: None };
        assert!(expected(with_repairs(&tick, standing, decision)));
    }

    #[test]
    fn repairs_go_with_a_plan_that_moves_nothing_and_with_a_question_and_never_with_a_status() {
        let services = [ObjectKey::new(crate::world::Kind::Service, "test", "podinfo")];
        check(Ok(Plan::idle()), |plan| plan.is_ok_and(|plan| plan.steps == [repair()] && plan.repairs == services));
        let moving = Plan { steps: vec![Step::Status(Box::<CanaryStatus>::default())], ..Plan::idle() };
        let alone = Plan { next: Wake::At(jiff::Timestamp::MIN), ..moving.clone() };
        check(Ok(moving), |plan| plan.is_ok_and(|plan| plan == alone));
        let question = Question { repairs: Vec::new(), first: Vec::new(), asks: Vec::new() };
        check(Err(Stop::Ask(question)), |decision| match decision {
            Err(Stop::Ask(question)) => question.repairs == [repair()] && question.first.is_empty(),
            Ok(_) | Err(Stop::Wait(_)) => false,
        });
    }
}
