//! Between runs: the end of the last drain, drift, and the gate before a new run (contract: lifecycle §3 and §4).

use burgee_api::{PassedHook, Phase, PrimaryState, Run, Webhook, WebhookType};

use super::ask::{Asker, Gates, halt};
use super::draft::{fraction, time};
use super::revision::{self, Change};
use super::scene::{Scene, odd_services, primary_readiness, ready_pods};
use super::settle::{self, Standing};
use super::{Decision, Draft, Tick, capacity, foreign, heal, initialize, orders, rollback, strategy};
use crate::ending;
use crate::notice::{Gate, Notice, Voice};
use crate::plan::Plan;
use crate::question::Answers;
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn start(tick: &Tick, answers: &Answers) -> Decision<Plan> {
    let scene = Scene::look(tick);
    // Nothing that is missing keeps the routes from following the status.
    if scene.is_err()
        && let Some(plan) = settle::misrouted(tick)?
    {
        return Ok(plan);
    }
    let scene = scene?;
    if scene.primary.is_none() {
        return initialize::recreate_primary(tick, &scene);
    }
    if !strategy::keeps_routes(tick)
        && let Some(plan) = settle::misrouted(tick)?
    {
        return Ok(plan);
    }
    let mut standing = settle::standing(tick, &scene);
    let decision = next_run(tick, answers, &scene, &mut standing);
    settle::with_repairs(tick, standing, decision)
}

fn next_run(tick: &Tick, answers: &Answers, scene: &Scene, standing: &mut Standing) -> Decision<Plan> {
    let change = revision::change(tick, scene);
    // While the brake is on nothing is shipped, and what can be put back is put back.
    let is_shipped_at_once = tick.rollout.skip_analysis && !tick.settings.pause_new_runs;
    let ships_a_fix = change == Change::Revision && (is_shipped_at_once || !heal::is_possible(tick)?);
    // What the peer left failed is recorded first: else a revision that fixes it would never look new.
    let is_taken_over = change == Change::Adopt && !heal::is_possible(tick)?;
    if heal::is_wanted(tick) && !ships_a_fix && !is_taken_over {
        return heal::heal(tick, scene);
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
pub(super) fn rest(tick: &Tick, scene: &Scene) -> Plan {
    let mut draft = Draft::new(tick);
    if tick.phase() == Phase::Waiting {
        let is_promoted = draft.status.last_applied_spec == draft.status.last_promoted_spec;
        draft.enter(if is_promoted { Phase::Succeeded } else { Phase::Failed });
        ending::forget_orders(draft.run());
        draft.clear_webhooks();
    }
    draft.tell_new_blame(tick);
    let Some(until) = draft.run().drain_until.as_deref().and_then(time) else {
        let Some(reason) = settle::led_astray(tick) else { return draft.finish(Wake::OnChange) };
        draft.tell(Notice::Problem(reason));
        return draft.finish(Wake::At(tick.after(tick.rollout.interval)));
    };
    if tick.now < until {
        return draft.finish(Wake::At(until));
    }
    if ready_pods(tick, Side::Primary) == 0 && ready_pods(tick, Side::Canary) > 0 {
        draft.tell(Notice::Problem(format!("{} has no ready pod, the canary is kept", tick.rollout.primary_name())));
        return draft.finish(Wake::At(tick.after(tick.rollout.interval)));
    }
    draft.steps(settle::pause_target(tick));
    draft.steps(workload::scale_to_zero(tick.rollout, scene.target));
    draft.run().drain_until = None;
    draft.finish(Wake::OnChange)
}

/// A canary that the peer has run: its revision is recorded our way, and nothing else happens (S1).
fn adopt(tick: &Tick, scene: &Scene) -> Plan {
    let mut draft = Draft::new(tick);
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
fn gate(tick: &Tick, answers: &Answers, scene: &Scene) -> Decision<Plan> {
    if tick.settings.pause_new_runs {
        return Ok(super::say(tick, Notice::NewRunsPaused));
    }
    if !tick.rollout.skip_analysis && !heal::is_wanted(tick) {
        primary_is_ready(tick)?;
    }
    let mut draft = Draft::new(tick);
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
            Ok(wait_an_interval(tick, draft))
        }
    }
}

/// The next question is asked an interval from now.
pub(super) fn wait_an_interval(tick: &Tick, mut draft: Draft) -> Plan {
    let next = tick.after(tick.rollout.interval);
    draft.quiet_until(next);
    draft.finish(Wake::At(next))
}

pub(super) fn voice(hook: &Webhook) -> Voice {
    if hook.mute_alert { Voice::Muted } else { Voice::Loud }
}

fn primary_is_ready(tick: &Tick) -> Decision<()> {
    match primary_readiness(tick) {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Err(halt(tick, reason)),
    }
}

/// The run begins: the canary is scaled up, the primary's capacity is recorded and held, the revision counts as seen.
fn begin_run(tick: &Tick, scene: &Scene, mut draft: Draft) -> Decision<Plan> {
    draft.enter(Phase::Progressing);
    draft.tell(Notice::NewRevision);
    let scaler = crate::scaler::key(tick.rollout).and_then(|source| tick.world.present(&source));
    let scale_up = workload::scale_from_zero(tick.rollout, scene.target, scene.primary, scaler);
    let moved = i64::from(scale_up.is_some());
    draft.steps(settle::resume_target(tick));
    draft.steps(scale_up);
    let ready = ready_pods(tick, Side::Primary);
    draft.steps(settle::primary_scaler(tick, Sync::CreateOnly, Some(ready))?);
    let run = Run {
        started_at: Some(fraction(tick.now)),
        primary_ready_at_start: Some(ready),
        foreign_until: foreign::before_a_run(tick),
        ..Run::default()
    };
    draft.status.run = Some(orders::carry_over(&draft, run));
    // After a failed promotion the target may have the traffic, and the primary cannot take it back.
    if heal::is_wanted(tick) {
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

/// Records which revision the status speaks of. `moved` is by how much the plan itself moves the target's generation.
pub(super) fn record_revision(draft: &mut Draft, scene: &Scene, moved: i64) {
    draft.status.last_applied_spec.clone_from(&scene.revision);
    if scene.checksums.is_some() {
        draft.status.tracked_configs.clone_from(&scene.checksums);
    }
    let run = draft.run();
    run.revision.clone_from(&scene.revision);
    run.target_uid = revision::uid(scene.target);
    run.target_generation = Some(revision::generation(scene.target) + moved);
}
