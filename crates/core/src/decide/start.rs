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
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{capacity, foreign, restore_primary, rollback, routes};
use crate::ending;
use crate::notice::{Gate, Notice};
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn start(facts: &Facts, answers: &Heard) -> Decision<Proposal> {
    let workloads = facts.workloads();
    // Nothing that is missing keeps the routes from following the status.
    if workloads.is_err()
        && let Some(plan) = routes::misrouted(facts)?
    {
        return Ok(plan);
    }
    let workloads = workloads?;
    if workloads.primary.is_none() {
        return Ok(recreate_primary(facts, workloads)?);
    }
    if !keeps_routes(facts)
        && let Some(plan) = routes::misrouted(facts)?
    {
        return Ok(plan);
    }
    let mut standing = reconcile::standing(facts, workloads);
    let decision = next_run(facts, answers, workloads, &mut standing);
    reconcile::with_repairs(facts, standing, decision)
}

fn next_run(facts: &Facts, answers: &Heard, workloads: &Workloads, standing: &mut Standing) -> Decision<Proposal> {
    let change = revision::change(facts, workloads);
    // While the brake is on nothing is shipped, and what can be put back is put back.
    let is_shipped_at_once = facts.rollout.skip_analysis && !facts.settings.pause_new_runs;
    let ships_a_fix = change == Change::Revision && (is_shipped_at_once || !restore_primary::is_possible(facts)?);
    // What the peer left failed is recorded first: else a revision that fixes it would never look new.
    let is_taken_over = change == Change::Adopt && !restore_primary::is_possible(facts)?;
    if is_healing_wanted(facts) && !ships_a_fix && !is_taken_over {
        return Ok(restore_primary::heal(facts, workloads)?);
    }
    match change {
        Change::None => Ok(rest(facts, workloads)),
        Change::Adopt => Ok(adopt(facts, workloads)),
        Change::Revision => {
            standing.must_be_whole()?;
            gate(facts, answers, workloads)
        }
    }
}

/// Nothing new: only the drain of the last run may be left to end.
pub(super) fn rest(facts: &Facts, workloads: &Workloads) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    if facts.phase() == Phase::Waiting {
        let is_promoted = builder.status.last_applied_spec == builder.status.last_promoted_spec;
        builder.enter(if is_promoted { Phase::Succeeded } else { Phase::Failed });
        ending::forget_orders(builder.run());
        builder.clear_webhooks();
    }
    builder.tell_new_blame();
    let Some(until) = builder.run().drain_until.as_deref().and_then(time) else {
        let Some(reason) = routes::led_astray(facts) else { return builder.finish(Wake::OnChange) };
        builder.tell(Notice::Problem(reason));
        return builder.finish(Wake::At(facts.after(facts.rollout.interval)));
    };
    if facts.now < until {
        return builder.finish(Wake::At(until));
    }
    if facts.ready_pods(Side::Primary) == 0 && facts.ready_pods(Side::Canary) > 0 {
        builder.tell(Notice::Problem(format!("{} has no ready pod, the canary is kept", facts.rollout.primary_name())));
        return builder.finish(Wake::At(facts.after(facts.rollout.interval)));
    }
    builder.steps(autoscaler::pause_target(facts));
    builder.steps(workload::scale_to_zero(facts.rollout, workloads.target));
    builder.run().drain_until = None;
    builder.finish(Wake::OnChange)
}

/// A canary that the peer has run: its revision is recorded our way, and nothing else happens (S1).
fn adopt(facts: &Facts, workloads: &Workloads) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    record_revision(&mut builder, workloads, 0);
    if matches!(facts.phase(), Phase::Initialized | Phase::Succeeded) {
        builder.status.last_promoted_spec.clone_from(&workloads.revision);
        builder.step(workloads.keep(facts, &workloads.revision));
    }
    builder.run().started_at = Some(fraction(facts.now));
    builder.run().foreign_until = foreign::before_the_takeover(facts);
    for notice in odd_services(facts) {
        builder.tell(notice);
    }
    capacity::remember(facts, &mut builder);
    builder.finish(Wake::OnChange)
}

/// The gate before a run. A revision counts as seen only in the write that starts its analysis (S2).
fn gate(facts: &Facts, answers: &Heard, workloads: &Workloads) -> Decision<Proposal> {
    if facts.settings.pause_new_runs {
        return Ok(say(facts, Notice::NewRunsPaused));
    }
    if !facts.rollout.skip_analysis && !is_healing_wanted(facts) {
        primary_is_ready(facts)?;
    }
    let mut builder = PlanBuilder::new(facts);
    if builder.run().revision != workloads.revision && facts.phase() == Phase::Waiting {
        builder.run().hooks_passed.clear();
    }
    let known = if facts.phase() == Phase::Waiting { builder.run().hooks_passed.clone() } else { Vec::new() };
    let asker = Asker {
        facts,
        answers,
        moment: format!("start {}", workloads.revision),
        phase: facts.phase(),
        before: Vec::new(),
    };
    if facts.phase() == Phase::Waiting
        && let Some(plan) = rollback::manual(facts, &asker, Some(workloads))?
    {
        return Ok(plan);
    }
    let gates = asker.gates(&[WebhookType::ConfirmRollout], &known)?;
    builder.blame_webhooks(&asker);
    match gates {
        Gates::Open(passed) => {
            for hook in passed {
                builder.tell(Notice::GatePassed(Gate::ConfirmRollout, hook));
            }
            begin_run(facts, workloads, builder)
        }
        Gates::Closed { passed, hook, .. } => {
            for name in passed {
                builder.run().hooks_passed.push(PassedHook { kind: WebhookType::ConfirmRollout, name: name.clone() });
                builder.tell(Notice::GatePassed(Gate::ConfirmRollout, name));
            }
            debug_assert_eq!(hook.kind, WebhookType::ConfirmRollout, "only that gate is asked here");
            if facts.phase() != Phase::Waiting {
                builder.enter(Phase::Waiting);
                builder.tell(Notice::WaitingForApproval(hook.name.clone(), voice(&hook)));
            }
            builder.run().revision.clone_from(&workloads.revision);
            Ok(builder.wait_an_interval())
        }
    }
}

fn primary_is_ready(facts: &Facts) -> Seen<()> {
    match facts.primary_readiness() {
        Readiness::Ready => Ok(()),
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Err(Obstacle::Halt(reason)),
    }
}

/// The run begins: the canary is scaled up, the primary's capacity is recorded and held, the revision counts as seen.
fn begin_run(facts: &Facts, workloads: &Workloads, mut builder: PlanBuilder) -> Decision<Proposal> {
    builder.enter(Phase::Progressing);
    builder.tell(Notice::NewRevision);
    let scaler = crate::scaler::key(facts.rollout).and_then(|source| facts.world.present(&source));
    let scale_up = workload::scale_from_zero(facts.rollout, workloads.target, workloads.primary, scaler);
    let moved = i64::from(scale_up.is_some());
    builder.steps(autoscaler::resume_target(facts));
    builder.steps(scale_up);
    let ready = facts.ready_pods(Side::Primary);
    builder.steps(autoscaler::primary_scaler(facts, Sync::CreateOnly, Some(ready))?);
    let run = Run {
        started_at: Some(fraction(facts.now)),
        primary_ready_at_start: Some(ready),
        foreign_until: foreign::before_a_run(facts),
        ..Run::default()
    };
    builder.status.run = Some(carry_over(&builder, run));
    // After a failed promotion the target may have the traffic, and the primary cannot take it back.
    if is_healing_wanted(facts) {
        let run = builder.run();
        run.primary = PrimaryState::Broken;
        run.step_started_at = Some(fraction(facts.now));
    } else {
        builder.status.canary_weight = 0;
    }
    builder.reset_counters();
    builder.drop_condition("Held");
    builder.clear_webhooks();
    builder.quiet_until(facts.now);
    record_revision(&mut builder, workloads, moved);
    Ok(builder.finish(Wake::At(facts.now)))
}
