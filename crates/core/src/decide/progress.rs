//! The analysis: ready? due? hooks, metrics, verdict, and the next weight (contract: lifecycle §2, 16–29, and §9.1).

use burgee_api::{Phase, WebhookType};
use jiff::Timestamp;

use super::analyse::{self, Verdict};
use super::ask::{Asker, Gates};
use super::draft::{fraction, time};
use super::revision::{self, Change};
use super::scene::{Scene, canary_readiness, primary_readiness, ready_pods};
use super::settle::{self, intended_split};
use super::start::{record_revision, voice, wait_an_interval};
use super::{Decision, Draft, Stop, Tick, promote, rollback};
use crate::notice::{Gate, Notice};
use crate::plan::Plan;
use crate::question::Answers;
use crate::rollout::{Ladder, Strategy};
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::Readiness;

pub(super) fn progress(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    let scene = Scene::look(tick)?;
    if scene.primary.is_none() {
        return super::initialize::recreate_primary(tick, &scene);
    }
    let repairs = settle::standing(tick, &scene, intended_split(tick))?;
    settle::with_repairs(repairs, run(tick, answers, &scene))
}

fn run(tick: &Tick, answers: &Answers, scene: &Scene) -> Decision<Plan> {
    if revision::change(tick, scene) == Change::Revision {
        return restart(tick, scene);
    }
    if tick.rollout.skip_analysis {
        canary_is_ready(tick, scene)?;
        return promote::begin(tick, scene, Draft::new(tick));
    }
    primary_is_ready(tick, scene)?;
    canary_is_ready(tick, scene)?;
    if failed_checks(tick) >= tick.rollout.threshold {
        return rollback::threshold(tick, scene, Draft::new(tick));
    }
    if let Some(plan) = settle::misrouted(tick)? {
        return Ok(plan);
    }
    let Strategy::Canary(ladder) = &tick.rollout.strategy else {
        return Err(super::ask::halt(tick, "only the canary strategy by weights is supported yet".to_owned()));
    };
    if let Some(due) = due(tick).filter(|due| *due > tick.now) {
        return Ok(Draft::new(tick).finish(Wake::At(due)));
    }
    if intended_split(tick) == Split::PRIMARY {
        first_weight(tick, answers, scene, ladder)
    } else {
        step(tick, answers, scene, ladder)
    }
}

/// When the next check is due: exactly one interval after the weight was written or the last check failed.
fn due(tick: &Tick) -> Option<Timestamp> {
    let run = tick.world.canary.status.as_ref()?.run.as_ref()?;
    let started = time(run.step_started_at.as_deref()?)?;
    Some(started.saturating_add(tick.rollout.interval).unwrap_or(Timestamp::MAX))
}

fn failed_checks(tick: &Tick) -> u32 {
    tick.world.canary.status.as_ref().map_or(0, |status| u32::try_from(status.failed_checks).unwrap_or(0))
}

/// Another revision came: the analysis begins again from nothing, with the traffic on the primary.
pub(super) fn restart(tick: &Tick, scene: &Scene) -> Decision<Plan> {
    let mut draft = Draft::new(tick);
    draft.intend(settle::routes(tick, Split::PRIMARY)?);
    draft.enter(Phase::Progressing);
    draft.tell(Notice::RestartingAnalysis);
    let ready = draft.run().primary_ready_at_start;
    draft.status.run = Some(burgee_api::Run {
        started_at: Some(fraction(tick.now)),
        primary_ready_at_start: ready,
        ..burgee_api::Run::default()
    });
    draft.status.canary_weight = 0;
    draft.status.failed_checks = 0;
    draft.status.iterations = 0;
    record_revision(&mut draft, scene, 0);
    Ok(draft.finish(Wake::At(tick.now)))
}

fn primary_is_ready(tick: &Tick, scene: &Scene) -> Decision<()> {
    let Some(primary) = scene.primary else { return Ok(()) };
    match primary_readiness(tick, primary) {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(not_ready(tick, reason, deadline)),
        Readiness::Failed(reason) if ready_pods(tick, primary) == 0 => Err(not_ready(tick, reason, None)),
        Readiness::Failed(reason) => Err(rolled_back(rollback::deadline(tick, scene, reason))),
    }
}

fn canary_is_ready(tick: &Tick, scene: &Scene) -> Decision<()> {
    match canary_readiness(tick, scene.target) {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, deadline } => Err(not_ready(tick, reason, deadline)),
        Readiness::Failed(reason) => Err(rolled_back(rollback::deadline(tick, scene, reason))),
    }
}

fn rolled_back(decision: Decision<Plan>) -> Stop {
    match decision {
        Ok(plan) => Stop::Wait(plan),
        Err(stop) => stop,
    }
}

/// Waiting for pods is no failed check; it ends when they are ready or the deadline passes.
fn not_ready(tick: &Tick, reason: String, deadline: Option<Timestamp>) -> Stop {
    let mut draft = Draft::new(tick);
    draft.tell(Notice::Problem(reason));
    Stop::Wait(draft.finish(deadline.map_or(Wake::OnChange, Wake::At)))
}

/// The canary is ready: pre-rollout hooks, then the first weight at once, without a metric check (rules: Pace).
fn first_weight(tick: &Tick, answers: &Answers, scene: &Scene, ladder: &Ladder) -> Decision<Plan> {
    let mut asker = asker(tick, answers);
    if let Some(plan) = rollback::manual(tick, &asker, scene)? {
        return Ok(plan);
    }
    let mut draft = Draft::new(tick);
    asker.before = vec![Notice::StartingAnalysis];
    let known = draft.run().hooks_passed.clone();
    let gates = asker.gates(&[WebhookType::PreRollout], &known)?;
    draft.tell(Notice::StartingAnalysis);
    match gates {
        Gates::Open(passed) => {
            note_passed(&mut draft, Gate::PreRollout, passed);
            increase(tick, &asker, draft, ladder)
        }
        Gates::Closed { passed, hook, error } => {
            note_passed(&mut draft, Gate::PreRollout, passed);
            draft.tell(Notice::PreRolloutFailed(hook.name, error));
            fail(tick, scene, draft)
        }
    }
}

fn note_passed(draft: &mut Draft, gate: Gate, passed: Vec<String>) {
    for name in passed {
        if gate == Gate::PreRollout {
            draft.run().hooks_passed.push(format!("pre-rollout/{name}"));
        }
        draft.tell(Notice::GatePassed(gate, name));
    }
}

fn asker<'a>(tick: &'a Tick, answers: &'a Answers) -> Asker<'a> {
    let run = tick.world.canary.status.as_ref().and_then(|status| status.run.clone()).unwrap_or_default();
    let moment = format!("{} {}", run.revision, run.step_started_at.or(run.started_at).unwrap_or_default());
    Asker { tick, answers, moment, phase: Phase::Progressing, before: Vec::new() }
}

/// A check is due: rollback hooks, rollout hooks, metrics, and what follows from them.
fn step(tick: &Tick, answers: &Answers, scene: &Scene, ladder: &Ladder) -> Decision<Plan> {
    let asker = asker(tick, answers);
    if let Some(plan) = rollback::manual(tick, &asker, scene)? {
        return Ok(plan);
    }
    let mut draft = Draft::new(tick);
    let gates = asker.gates(&[WebhookType::Untyped, WebhookType::Rollout], &[])?;
    if let Gates::Closed { hook, error, .. } = gates {
        draft.tell(Notice::ExternalCheckFailed(hook.name, error));
        return fail(tick, scene, draft);
    }
    match analyse::analyse(&asker)? {
        Verdict::Failed(notice) => {
            analyse::resume(&mut draft);
            draft.tell(notice);
            fail(tick, scene, draft)
        }
        Verdict::Held(reason) => Ok(analyse::hold(tick, draft, &reason)),
        Verdict::Passed => {
            analyse::resume(&mut draft);
            advance(tick, &asker, draft, (scene, ladder))
        }
    }
}

/// The check passed: the next weight, or promotion.
fn advance(tick: &Tick, asker: &Asker, draft: Draft, (scene, ladder): (&Scene, &Ladder)) -> Decision<Plan> {
    if intended_split(tick).canary() < ladder.max {
        return increase(tick, asker, draft, ladder);
    }
    let mut draft = match traffic_gate(tick, asker, draft)? {
        Ok(draft) => draft,
        Err(plan) => return Ok(plan),
    };
    match asker.gates(&[WebhookType::ConfirmPromotion], &[])? {
        Gates::Open(passed) => {
            note_passed(&mut draft, Gate::ConfirmPromotion, passed);
            promote::begin(tick, scene, draft)
        }
        Gates::Closed { passed, hook, .. } => {
            if tick.phase() != Phase::WaitingPromotion {
                note_passed(&mut draft, Gate::ConfirmPromotion, passed);
                draft.enter(Phase::WaitingPromotion);
                draft.tell(Notice::WaitingForPromotion(hook.name.clone(), voice(&hook)));
            }
            Ok(wait_an_interval(tick, draft))
        }
    }
}

fn increase(tick: &Tick, asker: &Asker, draft: Draft, ladder: &Ladder) -> Decision<Plan> {
    let weight = ladder.after(intended_split(tick).canary());
    match traffic_gate(tick, asker, draft)? {
        Ok(draft) => raise(tick, draft, weight),
        Err(plan) => Ok(plan),
    }
}

/// The gate before each increase, and before the promotion (contract: lifecycle §9.1).
fn traffic_gate<'a>(tick: &Tick, asker: &Asker, mut draft: Draft<'a>) -> Decision<Result<Draft<'a>, Plan>> {
    if tick.phase() == Phase::WaitingPromotion {
        return Ok(Ok(draft));
    }
    match asker.gates(&[WebhookType::ConfirmTrafficIncrease], &[])? {
        Gates::Open(passed) => {
            note_passed(&mut draft, Gate::ConfirmTrafficIncrease, passed);
            Ok(Ok(draft))
        }
        Gates::Closed { hook, .. } => {
            draft.tell(Notice::WaitingForTrafficIncrease(hook.name.clone(), voice(&hook)));
            Ok(Err(wait_an_interval(tick, draft)))
        }
    }
}

/// Writes a weight: the event, the status, the route. The next check is due an interval after this.
fn raise(tick: &Tick, mut draft: Draft, weight: u8) -> Decision<Plan> {
    draft.intend(settle::routes(tick, Split::with_canary(weight))?);
    if draft.status.phase == Phase::WaitingPromotion {
        draft.enter(Phase::Progressing);
    }
    draft.tell(Notice::CanaryAdvanced(weight));
    draft.status.canary_weight = i64::from(weight);
    draft.run().step_started_at = Some(fraction(tick.now));
    Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))))
}

/// A failed check: counted, and the end of the run if it was the last one allowed (S21).
fn fail(tick: &Tick, scene: &Scene, mut draft: Draft) -> Decision<Plan> {
    draft.status.failed_checks += 1;
    draft.run().step_started_at = Some(fraction(tick.now));
    if u32::try_from(draft.status.failed_checks).unwrap_or(u32::MAX) >= tick.rollout.threshold {
        return rollback::threshold(tick, scene, draft);
    }
    Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))))
}
