//! What every plan gets, whatever the phase: before it, the conditions that stand; after it, what the status notes of the
//! world, and what is told of it. It decides nothing of the rollout.

use burgee_api::{CanaryStatus, Condition, Phase, Run};

use super::analyse::missing_template;
use super::autoscaler::{missing_scaler, unusable_scaler};
use super::builder::{PlanBuilder, told_so_far};
use super::facts::Facts;
use super::mistake::{INVALID, Mistake, blame, is_of_webhooks};
use super::proposal::{Body, Drafted, Proposal, StatusWrite};
use super::readiness::waits_for_pods;
use super::recorded::is_fix;
use super::stamp::{fraction, seconds, time};
use super::tick::Tick;
use super::{follow, foreign, names};
use crate::affinity;
use crate::notice::{Notice, cut};
use crate::phase::{PhaseRules, promoted_condition};
use crate::plan::{Plan, Step, replaced};
use crate::stale_references;
use crate::timetable::Wake;
use crate::workload::{Readiness, Side};
use crate::world::ObjectKey;

/// The type of the condition that shows doubts.
const DOUBTFUL: &str = "Doubtful";

/// The facts of a tick, with the status that its plans begin with.
pub(super) fn facts<'a>(tick: &Tick<'a>) -> Facts<'a> {
    let mut facts = Facts::of(tick);
    facts.opening = opening(&facts);
    facts
}

/// The status as it is seen, with the conditions that stand by now.
fn opening(facts: &Facts) -> CanaryStatus {
    let mut builder = PlanBuilder::new(facts);
    if facts.rollout.refused.is_none() {
        show_mistakes(facts, &mut builder);
        show_doubts(facts, &mut builder);
    }
    if let Some(run) = &mut builder.status.run {
        forget_wait(facts, run);
    }
    builder.status
}

/// Shows a mistake that stops nothing, and takes away one that was mended. Whether a webhook answers by now is not
/// known before it is asked again.
fn show_mistakes(facts: &Facts, builder: &mut PlanBuilder) {
    let known = [
        (Mistake::NameTaken, names::taken(facts)),
        (Mistake::ConfigMissing, facts.missing_config.clone()),
        (Mistake::ScalerMissing, missing_scaler(facts)),
        (Mistake::ScalerUnusable, unusable_scaler(facts)),
        (Mistake::TemplateMissing, missing_template(facts)),
    ];
    if let Some((mistake, text)) = known.into_iter().find_map(|(mistake, text)| Some((mistake, text?))) {
        builder.blame(mistake, &text);
    } else if !builder.blamed().is_some_and(is_of_webhooks) {
        builder.drop_condition(INVALID);
    }
}

/// Shows what of a spec is taken and may not be what was meant, and takes away what was mended. It stops nothing; of a spec
/// that cannot be meant nothing else is said.
fn show_doubts(facts: &Facts, builder: &mut PlanBuilder) {
    let doubts = &facts.rollout.doubts;
    if doubts.is_empty() {
        builder.drop_condition(DOUBTFUL);
    } else {
        builder.set_condition(DOUBTFUL, "True", "DoubtfulSpec", cut(&doubts.join("; ")));
    }
}

/// Forgets that a rollback waited once the primary has a pod: the next outage is told anew.
fn forget_wait(facts: &Facts, run: &mut Run) {
    if facts.ready_pods(Side::Primary) > 0 {
        run.rollback_waits_since = None;
    }
}

/// The plan that a proposal becomes.
pub(super) fn plan(facts: &Facts, proposal: Proposal) -> Plan {
    let Proposal { body, next, drift, repairs } = proposal;
    let plan = match body {
        Body::Whole(plan) => Plan { next, ..*plan },
        Body::Drafted(drafted) => Plan { next, repairs, ..closed(facts, *drafted) },
    };
    match drift {
        Some(drift) => with_drift(facts, plan, drift),
        None => plan,
    }
}

/// Adds the repair of drift to a plan. A plan that moves the status goes first and alone: nothing that drifted may hold up a
/// rollback, and the next tick follows at once. What cannot be looked after is said with the status that shows it.
fn with_drift(tick: &Tick, mut plan: Plan, mut drift: Vec<Step>) -> Plan {
    if plan.status().is_none() {
        // What the plan writes itself is looked at again after that.
        let written: Vec<ObjectKey> = plan.steps.iter().filter_map(Step::written).collect();
        drift.retain(|repair| repair.written().is_none_or(|key| !written.contains(&key)));
        plan.repairs.extend(replaced(&drift));
        drift.append(&mut plan.steps);
        plan.steps = drift;
    } else if !drift.is_empty() {
        plan.next = plan.next.sooner(Wake::At(tick.now));
    }
    plan
}

/// What was collected, in its order: the status is written if anything in it changed, then alerts, counters and hooks follow.
fn closed(facts: &Facts, mut drafted: Drafted) -> Plan {
    let before = facts.world.canary.status.clone().unwrap_or_default();
    keep_cookies(facts, &mut drafted.status);
    note_unready(facts, &mut drafted.status);
    let is_changed = drafted.status != before;
    if is_changed {
        drafted = noted(facts, &before, drafted);
    }
    let Drafted { collected, status } = drafted;
    let mut steps = collected.steps;
    if is_changed && collected.writes == StatusWrite::IfChanged {
        steps.push(Step::Status(Box::new(status)));
    }
    // Alerts, counters and hooks are only handed over: a route that cannot be written must not swallow them.
    steps.extend(collected.afterwards);
    steps.extend(collected.intended);
    debug_assert!(is_once(&steps), "a plan takes no step twice");
    Plan { steps, quiet_until: collected.quiet_until, ..Plan::idle() }
}

/// What is told and noted with a status that is written.
fn noted(facts: &Facts, before: &CanaryStatus, drafted: Drafted) -> Drafted {
    let mut builder = PlanBuilder::resume(facts, drafted);
    tell_what_is_missing(&mut builder, before);
    tell_doubts(&mut builder, before);
    let Drafted { mut status, collected } = builder.into_drafted();
    foreign::note_drained(before, &mut status, facts.now);
    let same_run = run_start(status.run.as_ref()) == run_start(before.run.as_ref());
    let told = if same_run { told_so_far(facts).saturating_add(collected.told.all()) } else { 0 };
    let run = status.run.get_or_insert_default();
    run.told = told;
    stale_references::note(run, facts.rollout);
    if run.scaler_digest.is_none() {
        run.scaler_digest = follow::followed(facts);
    }
    explain_conditions(facts, &mut status);
    status.last_transition_time = Some(seconds(facts.now));
    Drafted { collected, status }
}

/// Tells of what a run goes on without, in the status write that shows it: a restart repeats neither.
fn tell_what_is_missing(builder: &mut PlanBuilder, before: &CanaryStatus) {
    let missing = [Mistake::NameTaken, Mistake::ScalerMissing, Mistake::ScalerUnusable, Mistake::ConfigMissing];
    let is_missing = |blamed: &&Condition| missing.iter().any(|mistake| blamed.reason == mistake.reason());
    let Some(text) = builder.blamed().filter(is_missing).and_then(|blamed| blamed.message.clone()) else { return };
    // The bootstrap does not go on without it, and says so itself.
    let is_known = before.phase.is_bootstrap() || blame(before.conditions.as_deref()) == Some(&text);
    if !is_known && !builder.has_told(&text) {
        builder.tell_aside(Notice::Problem(text));
    }
}

/// Tells of doubts that were not shown before, in the write that shows them.
fn tell_doubts(builder: &mut PlanBuilder, before: &CanaryStatus) {
    let text = shown_doubts(&builder.status).cloned();
    if let Some(text) = text.filter(|text| shown_doubts(before) != Some(text)) {
        builder.tell_aside(Notice::Doubtful(text));
    }
}

fn shown_doubts(status: &CanaryStatus) -> Option<&String> {
    status.conditions.iter().flatten().find(|condition| condition.kind == DOUBTFUL)?.message.as_ref()
}

fn run_start(run: Option<&Run>) -> Option<&str> {
    run.and_then(|run| run.started_at.as_deref())
}

/// Notes since when a set has not been ready that says of no end itself, and forgets it when all are. Where no traffic
/// depends on it, and while a promotion has just begun, a controller that is only a moment behind is not worth a write.
fn note_unready(facts: &Facts, status: &mut CanaryStatus) {
    let Some(run) = &mut status.run else { return };
    let is_endless = |readiness: &Readiness| matches!(readiness, Readiness::Waiting { deadline: None, .. });
    let is_promoted = status.phase == Phase::Promoting;
    let canary = (!is_promoted).then_some(&facts.reported_canary);
    let primary = (!is_fix(facts)).then_some(&facts.reported_primary);
    let sides = || canary.into_iter().chain(primary);
    let is_unready = waits_for_pods(status.phase) && sides().any(|readiness| *readiness != Readiness::Ready);
    let is_carried = is_promoted || status.canary_weight == 0;
    let last = facts.world.canary.status.as_ref().and_then(|status| time(status.last_transition_time.as_deref()?));
    let is_fresh = last.is_some_and(|last| facts.now.duration_since(last) < facts.rollout.interval);
    if !is_unready {
        run.unready_since = None;
    } else if run.unready_since.is_none() && sides().any(is_endless) && !(is_carried && is_fresh) {
        run.unready_since = Some(fraction(facts.now));
    }
}

/// The cookies of session affinity follow from the weight (contract: lifecycle §12).
fn keep_cookies(tick: &Tick, status: &mut CanaryStatus) {
    let Some(affinity) = affinity::affinity(tick.rollout) else { return };
    debug_assert!(!affinity.cookie_name.is_empty(), "an affinity without a cookie name is none");
    if status.canary_weight == 0 {
        let ended = std::mem::take(&mut status.session_affinity_cookie);
        if !ended.is_empty() {
            status.previous_session_affinity_cookie = ended;
        }
        return;
    }
    let text = |cookie: Option<affinity::Cookie>| cookie.map(|cookie| cookie.text()).unwrap_or_default();
    status.session_affinity_cookie = text(affinity::canary_cookie(tick.rollout, status));
    status.primary_session_affinity_cookie = text(affinity::primary_cookie(tick.rollout, status));
}

/// A condition without a message, as others may have left one, gets the best that is known: health checks want one.
fn explain_conditions(tick: &Tick, status: &mut CanaryStatus) {
    let (_, promoted) = promoted_condition(status.phase, &tick.rollout.target.kind);
    for condition in status.conditions.iter_mut().flatten() {
        if condition.message.as_deref().is_none_or(str::is_empty) {
            let is_promoted = condition.kind == "Promoted";
            condition.message = Some(if is_promoted { promoted.clone() } else { condition.reason.clone() });
        }
    }
}

/// Whether no object is written twice; the second write would be of a version that is gone.
fn is_once(steps: &[Step]) -> bool {
    let mut written: Vec<ObjectKey> = steps.iter().filter_map(Step::written).collect();
    let all = written.len();
    written.sort();
    written.dedup();
    written.len() == all
}

#[cfg(test)]
mod tests {
    use burgee_api::Canary;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{canary, rollout, world};
    use crate::plan::Count;
    use crate::scaler;
    use crate::settings::Settings;
    use crate::world::Kind;

    fn repair() -> Step {
        let metadata = json!({"name": "podinfo", "namespace": "test"});
        Step::Replace(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata}))
    }

    /// What a tick makes of a canary with this spec, and of nothing else that is seen.
    fn with<T>(spec: &Value, change: impl FnOnce(&mut Canary), look: impl FnOnce(&Facts) -> T) -> T {
        let mut canary = canary(spec);
        canary.status = Some(CanaryStatus { phase: Phase::Progressing, ..CanaryStatus::default() });
        change(&mut canary);
        let rollout = rollout(spec);
        let world = world(canary, scaler::key(&rollout).into_iter().collect(), &json!([]));
        let (settings, now) = (Settings::default(), Timestamp::MIN);
        look(&facts(&Tick { world: &world, rollout: &rollout, settings: &settings, now, clock: now }))
    }

    fn seen<T>(look: impl FnOnce(&Facts) -> T) -> T {
        with(&json!({}), |_| {}, look)
    }

    fn reasons(status: &CanaryStatus) -> Vec<&str> {
        status.conditions.iter().flatten().map(|condition| condition.reason.as_str()).collect()
    }

    #[test]
    fn drift_is_repaired_with_a_plan_that_moves_nothing_and_never_with_a_status() {
        let services = [ObjectKey::new(Kind::Service, "test", "podinfo")];
        let beside = |it: Plan| seen(|tick| plan(tick, Proposal::from(it).beside(vec![repair()])));
        let still = beside(Plan::idle());
        assert_eq!((still.steps.as_slice(), still.repairs.as_slice()), ([repair()].as_slice(), services.as_slice()));
        let moving = Plan { steps: vec![Step::Status(Box::<CanaryStatus>::default())], ..Plan::idle() };
        assert_eq!(beside(moving.clone()), Plan { next: Wake::At(Timestamp::MIN), ..moving });
    }

    #[test]
    fn whoever_fights_for_what_the_plan_repairs_is_counted_beside_those_who_fight_for_the_rest() {
        let route = ObjectKey::new(Kind::VIRTUAL_SERVICE, "test", "podinfo");
        let own = Plan { repairs: vec![route.clone()], ..Plan::idle() };
        let plan = seen(|tick| plan(tick, Proposal::from(own).beside(vec![repair()])));
        assert_eq!(plan.repairs, [route, ObjectKey::new(Kind::Service, "test", "podinfo")]);
    }

    #[test]
    fn what_the_plan_writes_itself_is_not_repaired_before_it() {
        let own = Plan { steps: vec![repair()], ..Plan::idle() };
        let plan = seen(|tick| plan(tick, Proposal::from(own.clone()).beside(vec![repair()])));
        assert_eq!(plan, own);
    }

    #[test]
    fn what_is_told_goes_first_then_the_status_then_counters_and_what_it_intends_last() {
        let plan = seen(|tick| {
            let mut builder = PlanBuilder::new(tick);
            builder.intend([repair()]);
            builder.count(Count::Failed);
            builder.tell(Notice::CanaryFailed);
            builder.status.canary_weight = 10;
            plan(tick, builder.finish(Wake::OnChange))
        });
        let place = |is_it: fn(&Step) -> bool| plan.steps.iter().position(is_it);
        let places = [
            place(|step| step.telling().is_some()),
            place(|step| step.status().is_some()),
            place(|step| matches!(step, Step::Count(_))),
            place(|step| step.replacement().is_some()),
        ];
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} of {:?}", plan.steps);
        assert_eq!(plan.status().map(|status| status.run.as_ref().map(|run| run.told)), Some(Some(1)));
    }

    #[test]
    fn a_status_in_which_nothing_changed_is_not_written_and_one_that_goes_with_the_canary_neither() {
        let write = |change: fn(PlanBuilder) -> Proposal| {
            seen(|tick| {
                let opening = tick.world.canary.status.clone().unwrap_or_default();
                let mut builder = PlanBuilder::new(tick);
                builder.status = opening;
                plan(tick, change(builder)).status().is_some()
            })
        };
        assert!(!write(|builder| builder.finish(Wake::OnChange)));
        let moved = |mut builder: PlanBuilder| -> Proposal {
            builder.status.iterations = 3;
            builder.finish(Wake::OnChange)
        };
        assert!(write(moved));
        let released = |mut builder: PlanBuilder| -> Proposal {
            builder.status.iterations = 3;
            builder.release(None)
        };
        assert!(!write(released));
    }

    #[test]
    fn a_mistake_is_shown_while_it_stands_and_told_once() {
        let spec =
            json!({"autoscalerRef": {"apiVersion": "any", "kind": "HorizontalPodAutoscaler", "name": "podinfo"}});
        let (opening, first) = with(
            &spec,
            |_| {},
            |tick| (tick.opening.clone(), plan(tick, PlanBuilder::new(tick).finish(Wake::OnChange))),
        );
        assert_eq!(reasons(&opening), ["ScalerMissing"]);
        let told = |plan: &Plan| plan.steps.iter().filter(|step| step.telling().is_some()).count();
        assert_eq!(told(&first), 1);
        let known = |canary: &mut Canary| canary.status = first.status().cloned();
        let again = with(&spec, known, |tick| plan(tick, PlanBuilder::new(tick).finish(Wake::OnChange)));
        assert_eq!((told(&again), again.status()), (0, None));
        let mended = with(&json!({}), known, |tick| tick.opening.clone());
        assert_eq!(reasons(&mended), [""; 0]);
    }
}
