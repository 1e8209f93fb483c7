//! The analysis: ready? due? hooks, metrics, verdict, and the next weight (contract: lifecycle §2, 16–29, and §9.1).

use burgee_api::{CanaryStatus, Phase, Run, Traffic, WebhookType};
use jiff::Timestamp;

use super::analyse::{self, Verdict};
use super::ask::{Asker, Gates, note_passed};
use super::builder::{PlanBuilder, say};
use super::facts::Facts;
use super::failed_check::fail;
use super::heard::Heard;
use super::odd_services::odd_services;
use super::proposal::{Decision, Proposal, Stop};
use super::recorded::{due, failed_checks, has_begun, intended_split, is_fix, is_paused, skips_analysis};
use super::recreate::recreate_primary;
use super::restart::restart;
use super::revision::{self, Change};
use super::scene::Scene;
use super::{foreign, orders, promotion, reconcile, rollback, routes, strategy};
use crate::notice::{Gate, Notice};
use crate::question::{AskKey, Question};
use crate::timetable::Wake;
use crate::workload::{Readiness, Side};

pub(super) fn progress(tick: &Facts, answers: &Heard) -> Decision<Proposal> {
    if let Some(plan) = rollback::orphaned(tick)? {
        return Ok(plan);
    }
    let scene = tick.scene()?;
    if scene.primary.is_none() {
        return Err(recreate_primary(tick, scene)?.into());
    }
    let standing = reconcile::standing(tick, scene);
    reconcile::with_repairs(tick, standing, run(tick, answers, scene))
}

fn run(tick: &Facts, answers: &Heard, scene: &Scene) -> Decision<Proposal> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(restart(tick, scene));
    }
    if skips_analysis(tick) {
        canary_is_ready(tick)?;
        return Ok(promotion::begin(tick, scene, PlanBuilder::new(tick))?);
    }
    if failed_checks(tick) >= tick.rollout.threshold && !is_paused(tick) {
        // Before anybody is waited for.
        return Ok(rollback::threshold(tick, PlanBuilder::new(tick)));
    }
    if !is_fix(tick) {
        primary_is_ready(tick)?;
    }
    if is_stranded(tick) {
        return Ok(come_back(tick));
    }
    canary_is_ready(tick)?;
    if is_paused(tick) {
        return orders::rest(tick, &asker(tick, answers), scene);
    }
    if let Some(plan) = routes::misrouted(tick)? {
        return if routes::is_fought(tick) { Ok(fought(tick)) } else { Ok(plan) };
    }
    if let Some(due) = due(tick).filter(|due| *due > tick.now) {
        return Ok(PlanBuilder::new(tick).finish(Wake::At(due)));
    }
    if has_begun(tick) {
        return step(tick, answers, scene);
    }
    if tick.settings.pause_new_runs {
        // The brake: what has no traffic yet gets none.
        return Ok(say(tick, Notice::NewRunsPaused));
    }
    first_step(tick, answers, scene)
}

/// Whether the run began with traffic that the primary could not take and can take now.
fn is_stranded(tick: &Facts) -> bool {
    let is_marked = tick.run().is_some_and(|run| run.traffic == Traffic::Stranded);
    is_marked && tick.ready_pods(Side::Primary) > 0 && !is_fix(tick)
}

/// The revision gives back what it got without an analysis, and begins with its first weight.
fn come_back(tick: &Facts) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.intend(routes::home(tick));
    draft.status.canary_weight = 0;
    draft.run().traffic = Traffic::Weighted;
    draft.finish(Wake::At(tick.now))
}

fn primary_is_ready(tick: &Facts) -> Decision<()> {
    let readiness = tick.primary_readiness();
    if readiness != Readiness::Ready
        && let Readiness::Failed(reason) = tick.canary_readiness()
    {
        // A canary that is not going to be ready waits for no primary.
        return Err(rollback::deadline(tick, reason).into());
    }
    match readiness {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(tick, reason, deadline)),
        Readiness::Failed(reason) if is_nowhere(tick) => Err(led_back(tick, reason, None)),
        Readiness::Failed(reason) => Err(rollback::deadline(tick, reason).into()),
    }
}

/// Ends a tick in which a set is not ready. Routes that are not where they are meant to be, because they could not be
/// written or somebody moved them, are not left as they are until it is (I3).
fn led_back(tick: &Facts, reason: String, deadline: Option<Timestamp>) -> Stop {
    match routes::misrouted(tick) {
        Ok(Some(_)) if routes::is_fought(tick) => fought(tick).into(),
        Ok(Some(plan)) => plan.into(),
        Ok(None) => not_ready(tick, reason, deadline),
        Err(obstacle) => obstacle.into(),
    }
}

/// Whether the traffic is all on a primary without pods: nothing could be rolled back.
fn is_nowhere(tick: &Facts) -> bool {
    tick.ready_pods(Side::Primary) == 0 && (intended_split(tick).canary() == 0 || tick.ready_pods(Side::Canary) == 0)
}

fn canary_is_ready(tick: &Facts) -> Decision<()> {
    match tick.canary_readiness() {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(tick, reason, deadline)),
        Readiness::Failed(reason) => Err(rollback::deadline(tick, reason).into()),
    }
}

/// Waiting for pods is no failed check; it ends when they are ready or the deadline passes.
fn not_ready(tick: &Facts, reason: String, deadline: Option<Timestamp>) -> Stop {
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::Problem(reason));
    draft.finish(deadline.map_or(Wake::OnChange, Wake::At)).into()
}

/// The canary is ready: pre-rollout hooks, then the first step at once, without a metric check (docs/differences.md, Faster).
fn first_step(tick: &Facts, answers: &Heard, scene: &Scene) -> Decision<Proposal> {
    let mut asker = asker(tick, answers);
    if let Some(plan) = rollback::manual(tick, &asker, Some(scene))? {
        return Ok(plan);
    }
    let mut draft = PlanBuilder::new(tick);
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
fn beginning(tick: &Facts) -> Vec<Notice> {
    if strategy::waits_for_traffic(tick) {
        return Vec::new();
    }
    let warnings = tick.rollout.warnings.iter().cloned().map(Notice::Problem);
    std::iter::once(Notice::StartingAnalysis).chain(warnings).chain(odd_services(tick)).collect()
}

pub(super) fn asker<'a>(tick: &'a Facts<'a>, answers: &'a Heard<'a>) -> Asker<'a> {
    let Run { revision, started_at, traffic, .. } = tick.run().cloned().unwrap_or_default();
    let CanaryStatus { canary_weight, iterations, failed_checks, .. } =
        tick.world.canary.status.clone().unwrap_or_default();
    // The step, not the time at which it began: a repair of the routes moves that, and asks no hook anew.
    let step = format!("{canary_weight} {iterations} {failed_checks} {traffic:?}");
    let moment = format!("{revision} {} {step}", started_at.unwrap_or_default());
    Asker { tick, answers, moment, phase: Phase::Progressing, before: Vec::new() }
}

/// A check is due; what follows from it if it passes is the next step.
fn step(tick: &Facts, answers: &Heard, scene: &Scene) -> Decision<Proposal> {
    let asker = asker(tick, answers);
    match check(tick, &asker)? {
        Ok(draft) => strategy::advance(tick, &asker, draft, scene),
        Err(plan) => Ok(plan),
    }
}

/// Rollback hooks, rollout hooks, metrics: what a check that passed has told, or the plan that one leads to that did not.
/// It looks at no workload, so that nothing about them stands before it (I29).
pub(super) fn check<'a>(tick: &'a Facts<'a>, asker: &Asker) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
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
fn hooks<'a>(tick: &'a Facts<'a>, asker: &Asker) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
    if let Some(plan) = rollback::manual(tick, asker, None)? {
        return Ok(Err(plan));
    }
    let mut draft = PlanBuilder::new(tick);
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
fn overtake(asker: &Asker, mut question: Question) -> Decision<Proposal> {
    let Asker { tick, answers, phase, .. } = *asker;
    let beside = Asker { tick, answers, phase, moment: AskKey::beside(&asker.moment), before: Vec::new() };
    match analyse::analyse(&beside) {
        Ok(Verdict::Failed(notice)) => {
            let mut draft = PlanBuilder::new(tick);
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
fn fought(tick: &Facts) -> Proposal {
    fail(tick, PlanBuilder::new(tick), Notice::RoutesFought).sooner(Wake::At(tick.now))
}
