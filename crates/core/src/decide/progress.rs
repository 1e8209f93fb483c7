//! The analysis: ready? due? hooks, metrics, verdict, and the next weight (contract: lifecycle §2, 16–29, and §9.1).

use burgee_api::{CanaryStatus, PassedHook, Phase, PrimaryState, Run, Traffic, WebhookType};
use jiff::Timestamp;

use super::analyse::{self, Verdict};
use super::ask::{Asker, Gates};
use super::draft::{fraction, time};
use super::revision::{self, Change};
use super::scene::{Scene, canary_readiness, odd_services, primary_readiness, ready_pods};
use super::settle::{self, intended_split};
use super::start::record_revision;
use super::{Decision, Draft, Stop, Tick, foreign, heal, orders, promote, refuge, rollback, strategy};
use crate::kept;
use crate::notice::{Gate, Notice};
use crate::plan::{Count, Plan, Step};
use crate::question::{Answers, AskKey, Question};
use crate::timetable::Wake;
use crate::workload::{Readiness, Side};

pub(super) fn progress(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    if let Some(plan) = rollback::orphaned(tick)? {
        return Ok(plan);
    }
    let scene = Scene::look(tick)?;
    if scene.primary.is_none() {
        return Err(Stop::Wait(super::initialize::recreate_primary(tick, &scene)?));
    }
    let standing = settle::standing(tick, &scene);
    settle::with_repairs(tick, standing, run(tick, answers, &scene))
}

fn run(tick: &Tick, answers: &Answers, scene: &Scene) -> Decision<Plan> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(restart(tick, scene));
    }
    if orders::skips_analysis(tick) {
        canary_is_ready(tick)?;
        return promote::begin(tick, scene, Draft::new(tick));
    }
    if failed_checks(tick) >= tick.rollout.threshold && !orders::is_paused(tick) {
        // Before anybody is waited for.
        return Ok(rollback::threshold(tick, Draft::new(tick)));
    }
    if !heal::is_fix(tick) {
        primary_is_ready(tick)?;
    }
    if is_stranded(tick) {
        return Ok(come_back(tick));
    }
    canary_is_ready(tick)?;
    if orders::is_paused(tick) {
        return orders::rest(tick, &asker(tick, answers), scene);
    }
    if let Some(plan) = settle::misrouted(tick)? {
        return if settle::is_fought(tick) { Ok(fought(tick)) } else { Ok(plan) };
    }
    if let Some(due) = due(tick).filter(|due| *due > tick.now) {
        return Ok(Draft::new(tick).finish(Wake::At(due)));
    }
    if strategy::has_begun(tick) {
        return step(tick, answers, scene);
    }
    if tick.settings.pause_new_runs {
        // The brake: what has no traffic yet gets none.
        return Ok(super::say(tick, Notice::NewRunsPaused));
    }
    first_step(tick, answers, scene)
}

/// When the next check is due: exactly one interval after the weight was written or the last check failed.
pub(super) fn due(tick: &Tick) -> Option<Timestamp> {
    let started = time(tick.run()?.step_started_at.as_deref()?)?;
    Some(started.saturating_add(tick.rollout.interval).unwrap_or(Timestamp::MAX))
}

pub(super) fn failed_checks(tick: &Tick) -> u32 {
    tick.world.canary.status.as_ref().map_or(0, |status| u32::try_from(status.failed_checks).unwrap_or(0))
}

/// Another revision came: the analysis begins again from nothing, with the traffic on the primary.
pub(super) fn restart(tick: &Tick, scene: &Scene) -> Plan {
    let mut draft = Draft::new(tick);
    draft.enter(Phase::Progressing);
    draft.tell(Notice::RestartingAnalysis);
    draft.count(Count::Superseded(seconds_so_far(tick)));
    begin_again(tick, scene, &mut draft);
    if !orders::is_paused(tick) {
        draft.drop_condition("Held");
    }
    draft.finish(Wake::At(tick.now))
}

/// For how long the run has lasted.
fn seconds_so_far(tick: &Tick) -> u64 {
    let started = tick.run().and_then(|run| time(run.started_at.as_deref()?));
    let lasted = started.map_or(0, |started| tick.now.duration_since(started).as_secs());
    u64::try_from(lasted).unwrap_or(0)
}

/// The run begins again. A pause outlives it: whoever ordered it has not said that anything may go on.
pub(super) fn begin_again(tick: &Tick, scene: &Scene, draft: &mut Draft) {
    draft.clear_webhooks();
    let has_refuge = ready_pods(tick, Side::Primary) > 0 || ready_pods(tick, Side::Canary) == 0;
    if has_refuge {
        draft.intend(settle::home(tick));
        draft.status.canary_weight = 0;
    }
    if tick.phase() == Phase::Promoting && tick.settings.config_tracking {
        // The copies may have been begun; the primary still runs what was promoted last.
        draft.step(Step::RestoreConfigs(kept::configs_key(tick.rollout)));
        draft.step(Step::Drop(kept::configs_key(tick.rollout)));
        draft.run().kept_configs = None;
    }
    draft.quiet_until(tick.now);
    let before = draft.run().clone();
    let run = Run {
        started_at: Some(fraction(tick.now)),
        primary_ready_at_start: before.primary_ready_at_start,
        paused_since: before.paused_since,
        foreign_until: foreign::before_another_try(tick),
        primary: if heal::is_fix(tick) { PrimaryState::Broken } else { PrimaryState::Promoted },
        ..Run::default()
    };
    draft.status.run = Some(orders::carry_over(draft, run));
    if !has_refuge && draft.status.canary_weight > 0 {
        draft.run().traffic = Traffic::Stranded;
    }
    draft.reset_counters();
    record_revision(draft, scene, 0);
}

/// Whether the run began with traffic that the primary could not take and can take now.
fn is_stranded(tick: &Tick) -> bool {
    let is_marked = tick.run().is_some_and(|run| run.traffic == Traffic::Stranded);
    is_marked && ready_pods(tick, Side::Primary) > 0 && !heal::is_fix(tick)
}

/// The revision gives back what it got without an analysis, and begins with its first weight.
fn come_back(tick: &Tick) -> Plan {
    let mut draft = Draft::new(tick);
    draft.intend(settle::home(tick));
    draft.status.canary_weight = 0;
    draft.run().traffic = Traffic::Weighted;
    draft.finish(Wake::At(tick.now))
}

fn primary_is_ready(tick: &Tick) -> Decision<()> {
    let readiness = primary_readiness(tick);
    if readiness != Readiness::Ready
        && let Readiness::Failed(reason) = canary_readiness(tick)
    {
        // A canary that is not going to be ready waits for no primary.
        return Err(Stop::Wait(rollback::deadline(tick, reason)));
    }
    match readiness {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(tick, reason, deadline)),
        Readiness::Failed(reason) if is_nowhere(tick) => Err(led_back(tick, reason, None)),
        Readiness::Failed(reason) => Err(Stop::Wait(rollback::deadline(tick, reason))),
    }
}

/// Ends a tick in which a set is not ready. Routes that are not where they are meant to be, because they could not be
/// written or somebody moved them, are not left as they are until it is (I3).
fn led_back(tick: &Tick, reason: String, deadline: Option<Timestamp>) -> Stop {
    match settle::misrouted(tick) {
        Ok(Some(_)) if settle::is_fought(tick) => Stop::Wait(fought(tick)),
        Ok(Some(plan)) => Stop::Wait(plan),
        Ok(None) => not_ready(tick, reason, deadline),
        Err(stop) => stop,
    }
}

/// Whether the traffic is all on a primary without pods: nothing could be rolled back.
fn is_nowhere(tick: &Tick) -> bool {
    ready_pods(tick, Side::Primary) == 0 && (intended_split(tick).canary() == 0 || ready_pods(tick, Side::Canary) == 0)
}

fn canary_is_ready(tick: &Tick) -> Decision<()> {
    match canary_readiness(tick) {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(tick, reason, deadline)),
        Readiness::Failed(reason) => Err(Stop::Wait(rollback::deadline(tick, reason))),
    }
}

/// The primary takes the traffic back at once from a canary that has lost its last ready pod (I3). It is a failed check;
/// if more are allowed, the run goes on from its first weight when the pods are back.
pub(super) fn take_back(tick: &Tick) -> Plan {
    let reason = match canary_readiness(tick) {
        Readiness::Ready => refuge::reason(tick),
        Readiness::Waiting { reason, .. } => reason,
        Readiness::Failed(reason) => return rollback::deadline(tick, reason),
    };
    let mut draft = Draft::new(tick);
    if failed_checks(tick) + 1 < tick.rollout.threshold {
        draft.intend(settle::home(tick));
        draft.status.canary_weight = 0;
        draft.status.iterations = 0;
        draft.run().traffic = Traffic::Weighted;
    }
    fail(tick, draft, Notice::Problem(reason))
}

/// Waiting for pods is no failed check; it ends when they are ready or the deadline passes.
fn not_ready(tick: &Tick, reason: String, deadline: Option<Timestamp>) -> Stop {
    let mut draft = Draft::new(tick);
    draft.tell(Notice::Problem(reason));
    Stop::Wait(draft.finish(deadline.map_or(Wake::OnChange, Wake::At)))
}

/// The canary is ready: pre-rollout hooks, then the first step at once, without a metric check (docs/differences.md, Faster).
fn first_step(tick: &Tick, answers: &Answers, scene: &Scene) -> Decision<Plan> {
    let mut asker = asker(tick, answers);
    if let Some(plan) = rollback::manual(tick, &asker, Some(scene))? {
        return Ok(plan);
    }
    let mut draft = Draft::new(tick);
    asker.before = beginning(tick);
    let known = draft.run().hooks_passed.clone();
    let gates = asker.gates(&[WebhookType::PreRollout], &known)?;
    draft.blame_webhooks(&asker);
    for notice in beginning(tick).into_iter().chain(rollback::not_signaled(tick)) {
        draft.tell(notice);
    }
    match gates {
        Gates::Open(passed) => {
            note_passed(&mut draft, Gate::PreRollout, passed);
            strategy::advance(tick, &asker, draft, scene)
        }
        Gates::Closed { passed, hook, error } => {
            note_passed(&mut draft, Gate::PreRollout, passed);
            Ok(fail(tick, draft, Notice::PreRolloutFailed(hook.name, error)))
        }
    }
}

/// What is said before the first question of a run.
fn beginning(tick: &Tick) -> Vec<Notice> {
    if strategy::waits_for_traffic(tick) {
        return Vec::new();
    }
    let warnings = tick.rollout.warnings.iter().cloned().map(Notice::Problem);
    std::iter::once(Notice::StartingAnalysis).chain(warnings).chain(odd_services(tick)).collect()
}

/// Notes and tells the gates that passed. One that is asked only once in a run is not asked again (S18).
pub(super) fn note_passed(draft: &mut Draft, gate: Gate, passed: Vec<String>) {
    let once = match gate {
        Gate::PreRollout => Some(WebhookType::PreRollout),
        Gate::ConfirmPromotion => Some(WebhookType::ConfirmPromotion),
        Gate::ConfirmRollout | Gate::ConfirmTrafficIncrease | Gate::PostRollout | Gate::Rollback => None,
    };
    for name in passed {
        draft.run().hooks_passed.extend(once.map(|kind| PassedHook { kind, name: name.clone() }));
        draft.tell(Notice::GatePassed(gate, name));
    }
}

pub(super) fn asker<'a>(tick: &'a Tick, answers: &'a Answers) -> Asker<'a> {
    let Run { revision, started_at, traffic, .. } = tick.run().cloned().unwrap_or_default();
    let CanaryStatus { canary_weight, iterations, failed_checks, .. } =
        tick.world.canary.status.clone().unwrap_or_default();
    // The step, not the time at which it began: a repair of the routes moves that, and asks no hook anew.
    let step = format!("{canary_weight} {iterations} {failed_checks} {traffic:?}");
    let moment = format!("{revision} {} {step}", started_at.unwrap_or_default());
    Asker { tick, answers, moment, phase: Phase::Progressing, before: Vec::new() }
}

/// A check is due; what follows from it if it passes is the next step.
fn step(tick: &Tick, answers: &Answers, scene: &Scene) -> Decision<Plan> {
    let asker = asker(tick, answers);
    match check(tick, &asker)? {
        Ok(draft) => strategy::advance(tick, &asker, draft, scene),
        Err(plan) => Ok(plan),
    }
}

/// Rollback hooks, rollout hooks, metrics: what a check that passed has told, or the plan that one leads to that did not.
/// It looks at no workload, so that nothing about them stands before it (I29).
pub(super) fn check<'a>(tick: &'a Tick, asker: &Asker) -> Decision<Result<Draft<'a>, Plan>> {
    let mut draft = match hooks(tick, asker) {
        Ok(Ok(draft)) => draft,
        Ok(Err(plan)) => return Ok(Err(plan)),
        Err(Stop::Ask(question)) if asker.is_late(&question) => return overtake(asker, question).map(Err),
        Err(stop) => return Err(stop),
    };
    match analyse::analyse(asker)? {
        Verdict::Failed(notice) => {
            analyse::resume(&mut draft);
            Ok(Err(fail(tick, draft, notice)))
        }
        Verdict::Held(silence) => Ok(Err(analyse::hold(tick, draft, silence))),
        Verdict::Unclean(metric) => Ok(Err(foreign::wait(tick, draft, metric))),
        Verdict::Passed => {
            analyse::resume(&mut draft);
            Ok(Ok(draft))
        }
    }
}

/// The hooks of a check; a plan if one of them ends it.
fn hooks<'a>(tick: &'a Tick, asker: &Asker) -> Decision<Result<Draft<'a>, Plan>> {
    if let Some(plan) = rollback::manual(tick, asker, None)? {
        return Ok(Err(plan));
    }
    let mut draft = Draft::new(tick);
    for notice in rollback::not_signaled(tick) {
        draft.tell(notice);
    }
    let gates = asker.gates(&[WebhookType::Untyped, WebhookType::Rollout], &[])?;
    draft.blame_webhooks(asker);
    match gates {
        Gates::Open(_) => Ok(Ok(draft)),
        Gates::Closed { hook, error, .. } => Ok(Err(fail(tick, draft, Notice::ExternalCheckFailed(hook.name, error)))),
    }
}

/// A hook that takes longer than an interval hides no bad metrics: the check fails for them without it (I22). Otherwise the
/// hook is waited for, and the metrics are asked anew after it; what they say meanwhile passes nothing.
fn overtake(asker: &Asker, mut question: Question) -> Decision<Plan> {
    let Asker { tick, answers, phase, .. } = *asker;
    let beside = Asker { tick, answers, phase, moment: AskKey::beside(&asker.moment), before: Vec::new() };
    match analyse::analyse(&beside) {
        Ok(Verdict::Failed(notice)) => {
            let mut draft = Draft::new(tick);
            analyse::resume(&mut draft);
            Ok(fail(tick, draft, notice))
        }
        Ok(Verdict::Held(_) | Verdict::Unclean(_) | Verdict::Passed) => Err(Stop::Ask(question)),
        Err(Stop::Ask(metrics)) => {
            question.asks.extend(metrics.asks);
            Err(Stop::Ask(question))
        }
        Err(stop) => Err(stop),
    }
}

/// A step that was not left alone is a failed check. The routes are put back right after it.
fn fought(tick: &Tick) -> Plan {
    let plan = fail(tick, Draft::new(tick), Notice::RoutesFought);
    Plan { next: plan.next.sooner(Wake::At(tick.now)), ..plan }
}

/// A failed check: counted, and the end of the run if it was the last one allowed (S21).
fn fail(tick: &Tick, mut draft: Draft, notice: Notice) -> Plan {
    draft.run().last_failure = Some(notice.event_text(&tick.rollout.names()));
    draft.tell(notice);
    draft.status.failed_checks += 1;
    draft.run().fought_since = None;
    draft.run().step_started_at = Some(fraction(tick.now));
    if u32::try_from(draft.status.failed_checks).unwrap_or(u32::MAX) >= tick.rollout.threshold {
        return rollback::threshold(tick, draft);
    }
    draft.finish(Wake::At(tick.after(tick.rollout.interval)))
}
