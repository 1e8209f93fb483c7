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
use super::workloads::Workloads;
use super::{foreign, orders, promotion, reconcile, rollback, routes, strategy};
use crate::notice::{Gate, Notice};
use crate::question::{AskKey, Question};
use crate::timetable::Wake;
use crate::workload::{Readiness, Side};

pub(super) fn progress(facts: &Facts, answers: &Heard) -> Decision<Proposal> {
    if let Some(plan) = rollback::orphaned(facts)? {
        return Ok(plan);
    }
    let workloads = facts.workloads()?;
    if workloads.primary.is_none() {
        return Err(recreate_primary(facts, workloads)?.into());
    }
    let standing = reconcile::standing(facts, workloads);
    reconcile::with_repairs(facts, standing, run(facts, answers, workloads))
}

fn run(facts: &Facts, answers: &Heard, workloads: &Workloads) -> Decision<Proposal> {
    if revision::change(facts, workloads) == Change::Revision {
        return Ok(restart(facts, workloads));
    }
    if skips_analysis(facts) {
        canary_is_ready(facts)?;
        return Ok(promotion::begin(facts, workloads, PlanBuilder::new(facts))?);
    }
    if failed_checks(facts) >= facts.rollout.threshold && !is_paused(facts) {
        // Before anybody is waited for.
        return Ok(rollback::threshold(facts, PlanBuilder::new(facts)));
    }
    if !is_fix(facts) {
        primary_is_ready(facts)?;
    }
    if is_stranded(facts) {
        return Ok(come_back(facts));
    }
    canary_is_ready(facts)?;
    if is_paused(facts) {
        return orders::rest(facts, &asker(facts, answers), workloads);
    }
    if let Some(plan) = routes::misrouted(facts)? {
        return if routes::is_fought(facts) { Ok(fought(facts)) } else { Ok(plan) };
    }
    if let Some(due) = due(facts).filter(|due| *due > facts.now) {
        return Ok(PlanBuilder::new(facts).finish(Wake::At(due)));
    }
    if has_begun(facts) {
        return step(facts, answers, workloads);
    }
    if facts.settings.pause_new_runs {
        // The brake: what has no traffic yet gets none.
        return Ok(say(facts, Notice::NewRunsPaused));
    }
    first_step(facts, answers, workloads)
}

/// Whether the run began with traffic that the primary could not take and can take now.
fn is_stranded(facts: &Facts) -> bool {
    let is_marked = facts.run().is_some_and(|run| run.traffic == Traffic::Stranded);
    is_marked && facts.ready_pods(Side::Primary) > 0 && !is_fix(facts)
}

/// The revision gives back what it got without an analysis, and begins with its first weight.
fn come_back(facts: &Facts) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.intend(routes::home(facts));
    builder.status.canary_weight = 0;
    builder.run().traffic = Traffic::Weighted;
    builder.finish(Wake::At(facts.now))
}

fn primary_is_ready(facts: &Facts) -> Decision<()> {
    let readiness = facts.primary_readiness();
    if readiness != Readiness::Ready
        && let Readiness::Failed(reason) = facts.canary_readiness()
    {
        // A canary that is not going to be ready waits for no primary.
        return Err(rollback::deadline(facts, reason).into());
    }
    match readiness {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(facts, reason, deadline)),
        Readiness::Failed(reason) if is_nowhere(facts) => Err(led_back(facts, reason, None)),
        Readiness::Failed(reason) => Err(rollback::deadline(facts, reason).into()),
    }
}

/// Ends a tick in which a set is not ready. Routes that are not where they are meant to be, because they could not be
/// written or somebody moved them, are not left as they are until it is (I3).
fn led_back(facts: &Facts, reason: String, deadline: Option<Timestamp>) -> Stop {
    match routes::misrouted(facts) {
        Ok(Some(_)) if routes::is_fought(facts) => fought(facts).into(),
        Ok(Some(plan)) => plan.into(),
        Ok(None) => not_ready(facts, reason, deadline),
        Err(obstacle) => obstacle.into(),
    }
}

/// Whether the traffic is all on a primary without pods: nothing could be rolled back.
fn is_nowhere(facts: &Facts) -> bool {
    facts.ready_pods(Side::Primary) == 0 && (intended_split(facts).canary() == 0 || facts.ready_pods(Side::Canary) == 0)
}

fn canary_is_ready(facts: &Facts) -> Decision<()> {
    match facts.canary_readiness() {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(led_back(facts, reason, deadline)),
        Readiness::Failed(reason) => Err(rollback::deadline(facts, reason).into()),
    }
}

/// Waiting for pods is no failed check; it ends when they are ready or the deadline passes.
fn not_ready(facts: &Facts, reason: String, deadline: Option<Timestamp>) -> Stop {
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::Problem(reason));
    builder.finish(deadline.map_or(Wake::OnChange, Wake::At)).into()
}

/// The canary is ready: pre-rollout hooks, then the first step at once, without a metric check (docs/differences.md, Faster).
fn first_step(facts: &Facts, answers: &Heard, workloads: &Workloads) -> Decision<Proposal> {
    let mut asker = asker(facts, answers);
    if let Some(plan) = rollback::manual(facts, &asker, Some(workloads))? {
        return Ok(plan);
    }
    let mut builder = PlanBuilder::new(facts);
    asker.before = beginning(facts);
    let known = builder.run().hooks_passed.clone();
    let gates = asker.gates(&[WebhookType::PreRollout], &known)?;
    builder.blame_webhooks(&asker);
    for notice in beginning(facts).into_iter().chain(rollback::not_signaled(facts)) {
        builder.tell(notice);
    }
    match gates {
        Gates::Open(passed) => {
            note_passed(&mut builder, Gate::PreRollout, passed);
            strategy::advance(facts, &asker, builder, workloads)
        }
        Gates::Closed { passed, hook, error } => {
            note_passed(&mut builder, Gate::PreRollout, passed);
            Ok(fail(facts, builder, Notice::PreRolloutFailed(hook.name, error)))
        }
    }
}

/// What is said before the first question of a run.
fn beginning(facts: &Facts) -> Vec<Notice> {
    if strategy::waits_for_traffic(facts) {
        return Vec::new();
    }
    let warnings = facts.rollout.warnings.iter().cloned().map(Notice::Problem);
    std::iter::once(Notice::StartingAnalysis).chain(warnings).chain(odd_services(facts)).collect()
}

pub(super) fn asker<'a>(facts: &'a Facts<'a>, answers: &'a Heard<'a>) -> Asker<'a> {
    let Run { revision, started_at, traffic, .. } = facts.run().cloned().unwrap_or_default();
    let CanaryStatus { canary_weight, iterations, failed_checks, .. } =
        facts.world.canary.status.clone().unwrap_or_default();
    // The step, not the time at which it began: a repair of the routes moves that, and asks no hook anew.
    let step = format!("{canary_weight} {iterations} {failed_checks} {traffic:?}");
    let moment = format!("{revision} {} {step}", started_at.unwrap_or_default());
    Asker { facts, answers, moment, phase: Phase::Progressing, before: Vec::new() }
}

/// A check is due; what follows from it if it passes is the next step.
fn step(facts: &Facts, answers: &Heard, workloads: &Workloads) -> Decision<Proposal> {
    let asker = asker(facts, answers);
    match check(facts, &asker)? {
        Ok(builder) => strategy::advance(facts, &asker, builder, workloads),
        Err(plan) => Ok(plan),
    }
}

/// Rollback hooks, rollout hooks, metrics: what a check that passed has told, or the plan that one leads to that did not.
/// It looks at no workload, so that nothing about them stands before it (I29).
pub(super) fn check<'a>(facts: &'a Facts<'a>, asker: &Asker) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
    let mut builder = match hooks(facts, asker) {
        Ok(Ok(builder)) => builder,
        Ok(Err(plan)) => return Ok(Err(plan)),
        Err(Stop::Ask(question)) if asker.is_late(&question) => return overtake(asker, question).map(Err),
        Err(stop) => return Err(stop),
    };
    match analyse::analyse(asker)? {
        Verdict::Failed(notice) => {
            analyse::resume(&mut builder);
            Ok(Err(fail(facts, builder, notice)))
        }
        Verdict::Held(silence) => Ok(Err(analyse::hold(facts, builder, silence))),
        Verdict::Unclean(metric) => Ok(Err(foreign::wait(facts, builder, metric))),
        Verdict::Passed => {
            analyse::resume(&mut builder);
            Ok(Ok(builder))
        }
    }
}

/// The hooks of a check; a plan if one of them ends it.
fn hooks<'a>(facts: &'a Facts<'a>, asker: &Asker) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
    if let Some(plan) = rollback::manual(facts, asker, None)? {
        return Ok(Err(plan));
    }
    let mut builder = PlanBuilder::new(facts);
    for notice in rollback::not_signaled(facts) {
        builder.tell(notice);
    }
    let gates = asker.gates(&[WebhookType::Untyped, WebhookType::Rollout], &[])?;
    builder.blame_webhooks(asker);
    match gates {
        Gates::Open(_) => Ok(Ok(builder)),
        Gates::Closed { hook, error, .. } => {
            Ok(Err(fail(facts, builder, Notice::ExternalCheckFailed(hook.name, error))))
        }
    }
}

/// A hook that takes longer than an interval hides no bad metrics: the check fails for them without it (I22). Otherwise the
/// hook is waited for, and the metrics are asked anew after it; what they say meanwhile passes nothing.
fn overtake(asker: &Asker, mut question: Question) -> Decision<Proposal> {
    let Asker { facts, answers, phase, .. } = *asker;
    let beside = Asker { facts, answers, phase, moment: AskKey::beside(&asker.moment), before: Vec::new() };
    match analyse::analyse(&beside) {
        Ok(Verdict::Failed(notice)) => {
            let mut builder = PlanBuilder::new(facts);
            analyse::resume(&mut builder);
            Ok(fail(facts, builder, notice))
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
fn fought(facts: &Facts) -> Proposal {
    fail(facts, PlanBuilder::new(facts), Notice::RoutesFought).sooner(Wake::At(facts.now))
}
