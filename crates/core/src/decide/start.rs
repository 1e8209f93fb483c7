//! Between runs: the end of the last drain, drift, and the gate before a new run (contract: lifecycle §3 and §4).

use burgee_api::{PassedHook, Phase, PrimaryState, Run, WebhookType};

use super::ask::{Asker, Gates, voice};
use super::autoscaler::{self};
use super::builder::{PlanBuilder, say};
use super::facts::Facts;
use super::heard::Heard;
use super::mistake::{Obstacle, Seen};
use super::odd_services::odd_services;
use super::proposal::{Decision, Proposal};
use super::reconcile::{self, Standing};
use super::recorded::{is_healing_wanted, keeps_routes};
use super::recreate::recreate_primary;
use super::restart::carry_over;
use super::revision::{self, Change, record_revision};
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{capacity, foreign, heal, rollback, routes};
use crate::ending;
use crate::notice::{Gate, Notice};
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn start(tick: &Facts, answers: &Heard) -> Decision<Proposal> {
    let scene = tick.scene();
    // Nothing that is missing keeps the routes from following the status.
    if scene.is_err()
        && let Some(plan) = routes::misrouted(tick)?
    {
        return Ok(plan);
    }
    let scene = scene?;
    if scene.primary.is_none() {
        return Ok(recreate_primary(tick, scene)?);
    }
    if !keeps_routes(tick)
        && let Some(plan) = routes::misrouted(tick)?
    {
        return Ok(plan);
    }
    let mut standing = reconcile::standing(tick, scene);
    let decision = next_run(tick, answers, scene, &mut standing);
    reconcile::with_repairs(tick, standing, decision)
}

fn next_run(tick: &Facts, answers: &Heard, scene: &Scene, standing: &mut Standing) -> Decision<Proposal> {
    let change = revision::change(tick, scene);
    // While the brake is on nothing is shipped, and what can be put back is put back.
    let is_shipped_at_once = tick.rollout.skip_analysis && !tick.settings.pause_new_runs;
    let ships_a_fix = change == Change::Revision && (is_shipped_at_once || !heal::is_possible(tick)?);
    // What the peer left failed is recorded first: else a revision that fixes it would never look new.
    let is_taken_over = change == Change::Adopt && !heal::is_possible(tick)?;
    if is_healing_wanted(tick) && !ships_a_fix && !is_taken_over {
        return Ok(heal::heal(tick, scene)?);
    }
    match change {
        Change::None => Ok(rest(tick, scene)),
        Change::Adopt => Ok(adopt(tick, scene)),
        Change::Revision => {
            standing.must_be_whole()?;
            gate(tick, answers, scene)
        }
    }
}

/// Nothing new: only the drain of the last run may be left to end.
pub(super) fn rest(tick: &Facts, scene: &Scene) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    if tick.phase() == Phase::Waiting {
        let is_promoted = draft.status.last_applied_spec == draft.status.last_promoted_spec;
        draft.enter(if is_promoted { Phase::Succeeded } else { Phase::Failed });
        ending::forget_orders(draft.run());
        draft.clear_webhooks();
    }
    draft.tell_new_blame();
    let Some(until) = draft.run().drain_until.as_deref().and_then(time) else {
        let Some(reason) = routes::led_astray(tick) else { return draft.finish(Wake::OnChange) };
        draft.tell(Notice::Problem(reason));
        return draft.finish(Wake::At(tick.after(tick.rollout.interval)));
    };
    if tick.now < until {
        return draft.finish(Wake::At(until));
    }
    if tick.ready_pods(Side::Primary) == 0 && tick.ready_pods(Side::Canary) > 0 {
        draft.tell(Notice::Problem(format!("{} has no ready pod, the canary is kept", tick.rollout.primary_name())));
        return draft.finish(Wake::At(tick.after(tick.rollout.interval)));
    }
    draft.steps(autoscaler::pause_target(tick));
    draft.steps(workload::scale_to_zero(tick.rollout, scene.target));
    draft.run().drain_until = None;
    draft.finish(Wake::OnChange)
}

/// A canary that the peer has run: its revision is recorded our way, and nothing else happens (S1).
fn adopt(tick: &Facts, scene: &Scene) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    record_revision(&mut draft, scene, 0);
    if matches!(tick.phase(), Phase::Initialized | Phase::Succeeded) {
        draft.status.last_promoted_spec.clone_from(&scene.revision);
        draft.step(scene.keep(tick, &scene.revision));
    }
    draft.run().started_at = Some(fraction(tick.now));
    draft.run().foreign_until = foreign::before_the_takeover(tick);
    for notice in odd_services(tick) {
        draft.tell(notice);
    }
    capacity::remember(tick, &mut draft);
    draft.finish(Wake::OnChange)
}

/// The gate before a run. A revision counts as seen only in the write that starts its analysis (S2).
fn gate(tick: &Facts, answers: &Heard, scene: &Scene) -> Decision<Proposal> {
    if tick.settings.pause_new_runs {
        return Ok(say(tick, Notice::NewRunsPaused));
    }
    if !tick.rollout.skip_analysis && !is_healing_wanted(tick) {
        primary_is_ready(tick)?;
    }
    let mut draft = PlanBuilder::new(tick);
    if draft.run().revision != scene.revision && tick.phase() == Phase::Waiting {
        draft.run().hooks_passed.clear();
    }
    let known = if tick.phase() == Phase::Waiting { draft.run().hooks_passed.clone() } else { Vec::new() };
    let asker =
        Asker { tick, answers, moment: format!("start {}", scene.revision), phase: tick.phase(), before: Vec::new() };
    if tick.phase() == Phase::Waiting
        && let Some(plan) = rollback::manual(tick, &asker, Some(scene))?
    {
        return Ok(plan);
    }
    let gates = asker.gates(&[WebhookType::ConfirmRollout], &known)?;
    draft.blame_webhooks(&asker);
    match gates {
        Gates::Open(passed) => {
            for hook in passed {
                draft.tell(Notice::GatePassed(Gate::ConfirmRollout, hook));
            }
            begin_run(tick, scene, draft)
        }
        Gates::Closed { passed, hook, .. } => {
            for name in passed {
                draft.run().hooks_passed.push(PassedHook { kind: WebhookType::ConfirmRollout, name: name.clone() });
                draft.tell(Notice::GatePassed(Gate::ConfirmRollout, name));
            }
            debug_assert_eq!(hook.kind, WebhookType::ConfirmRollout, "only that gate is asked here");
            if tick.phase() != Phase::Waiting {
                draft.enter(Phase::Waiting);
                draft.tell(Notice::WaitingForApproval(hook.name.clone(), voice(&hook)));
            }
            draft.run().revision.clone_from(&scene.revision);
            Ok(draft.wait_an_interval())
        }
    }
}

fn primary_is_ready(tick: &Facts) -> Seen<()> {
    match tick.primary_readiness() {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Err(Obstacle::Halt(reason)),
    }
}

/// The run begins: the canary is scaled up, the primary's capacity is recorded and held, the revision counts as seen.
fn begin_run(tick: &Facts, scene: &Scene, mut draft: PlanBuilder) -> Decision<Proposal> {
    draft.enter(Phase::Progressing);
    draft.tell(Notice::NewRevision);
    let scaler = crate::scaler::key(tick.rollout).and_then(|source| tick.world.present(&source));
    let scale_up = workload::scale_from_zero(tick.rollout, scene.target, scene.primary, scaler);
    let moved = i64::from(scale_up.is_some());
    draft.steps(autoscaler::resume_target(tick));
    draft.steps(scale_up);
    let ready = tick.ready_pods(Side::Primary);
    draft.steps(autoscaler::primary_scaler(tick, Sync::CreateOnly, Some(ready))?);
    let run = Run {
        started_at: Some(fraction(tick.now)),
        primary_ready_at_start: Some(ready),
        foreign_until: foreign::before_a_run(tick),
        ..Run::default()
    };
    draft.status.run = Some(carry_over(&draft, run));
    // After a failed promotion the target may have the traffic, and the primary cannot take it back.
    if is_healing_wanted(tick) {
        let run = draft.run();
        run.primary = PrimaryState::Broken;
        run.step_started_at = Some(fraction(tick.now));
    } else {
        draft.status.canary_weight = 0;
    }
    draft.reset_counters();
    draft.drop_condition("Held");
    draft.clear_webhooks();
    draft.quiet_until(tick.now);
    record_revision(&mut draft, scene, moved);
    Ok(draft.finish(Wake::At(tick.now)))
}
