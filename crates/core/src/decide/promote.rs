//! Promotion: what was analysed, and nothing else, becomes the primary (S22); traffic returns when the primary has its
//! capacity (S13).

use burgee_api::{Phase, Traffic};
use jiff::{SignedDuration, Timestamp};

use super::builder::PlanBuilder;
use super::copies::known_copies;
use super::facts::Facts;
use super::mistake::Obstacle;
use super::promotion::{self, is_copied, promotion_id};
use super::proposal::{Decision, Proposal};
use super::recorded::{intended_split, keeps_routes};
use super::recreate::recreate_primary;
use super::restart::{self};
use super::revision::{self, Change};
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{autoscaler, capacity, reconcile, rollback, routes};
use crate::notice::Notice;
use crate::plan::{Plan, Step};
use crate::rollout::Strategy;
use crate::router::row::Feature;
use crate::scaler::Sync;
use crate::snapshot;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn promote(facts: &Facts) -> Decision<Proposal> {
    let Some(workloads) = facts.find_scene()? else { return orphaned(facts) };
    let Some(primary) = workloads.primary else { return Ok(recreate_primary(facts, workloads)?) };
    if !is_copied(facts, primary) {
        return copy(facts, workloads, primary);
    }
    let misrouted = if keeps_routes(facts) { Ok(None) } else { routes::misrouted(facts) };
    // Nothing about the routes keeps the traffic on a primary that cannot start.
    if misrouted.is_err()
        && let Readiness::Failed(reason) = facts.primary_readiness()
    {
        return Ok(promotion::fail(facts, reason));
    }
    let misrouted = misrouted?;
    let mut standing = reconcile::standing(facts, workloads);
    match misrouted {
        // Whoever fights for the routes does not keep the traffic from going back to the primary.
        Some(_) if routes::is_fought(facts) => standing.extend(routes::routes_alone(facts, intended_split(facts))?),
        Some(plan) => return Ok(plan),
        None => {}
    }
    reconcile::with_repairs(facts, standing, shift(facts))
}

/// The target was deleted. A primary that has its template already does not need it any more.
fn orphaned(facts: &Facts) -> Decision<Proposal> {
    let primary = workload::find_primary(facts.rollout, facts.world).map_err(Obstacle::Halt)?;
    if !primary.is_some_and(|primary| is_copied(facts, primary)) {
        return Ok(rollback::without_target(facts));
    }
    match routes::misrouted(facts)? {
        Some(plan) => Ok(plan),
        None => shift(facts),
    }
}

/// Copies configs and template to the primary. A target that moved meanwhile was not analysed: back to the start.
fn copy(facts: &Facts, workloads: &Workloads, primary: &serde_json::Value) -> Decision<Proposal> {
    if revision::change(facts, workloads) == Change::Revision {
        return Ok(restart::restart(facts, workloads));
    }
    let status = facts.world.canary.status.clone().unwrap_or_default();
    let mut builder = PlanBuilder::new(facts);
    let copies = known_copies(facts, workloads)?;
    if !copies.is_empty() {
        builder.step(Step::KeepConfigs { key: snapshot::configs_key(facts.rollout), copies: copies.clone() });
    }
    builder.steps(copies.into_iter().map(Step::CopyConfig));
    builder.step(workloads.keep(facts, &status.last_applied_spec));
    let id = promotion_id(facts);
    let promoted = workload::promoted(&workloads.recipe(facts, &id), workloads.target, primary, floor(facts));
    builder.step(Step::Replace(promoted.map_err(Obstacle::Halt)?));
    builder.steps(autoscaler::primary_scaler(facts, Sync::Full, capacity::floor(facts))?);
    Ok(builder.finish(facts.primary_written()))
}

fn floor(facts: &Facts) -> i64 {
    capacity::floor(facts).unwrap_or(0)
}

/// Waits for the primary and moves the traffic back to it.
fn shift(facts: &Facts) -> Decision<Proposal> {
    if facts.rollout.skip_analysis && intended_split(facts) == Split::PRIMARY {
        return Ok(route_to_primary(facts, PlanBuilder::new(facts), Vec::new()));
    }
    match facts.primary_readiness() {
        Readiness::Ready => {}
        Readiness::Waiting { reason, deadline } => {
            let mut builder = PlanBuilder::new(facts);
            builder.tell(Notice::Problem(reason));
            return Ok(builder.finish(deadline.map_or(Wake::OnChange, Wake::At)));
        }
        Readiness::Failed(reason) => return Ok(promotion::fail(facts, reason)),
    }
    if let Some(plan) = missing_capacity(facts) {
        return Ok(plan);
    }
    let step = match &facts.rollout.strategy {
        Strategy::Canary(ladder) if facts.rollout.provider.can(Feature::PromotionSteps) => ladder.promotion_step,
        Strategy::Canary(_) | Strategy::BlueGreen(_) | Strategy::AbTesting(_) => 0,
    };
    if step == 0 || intended_split(facts).canary() == 0 {
        let steps = routes::routes(facts, Split::PRIMARY)?;
        let mut builder = PlanBuilder::new(facts);
        if facts.rollout.provider.can(Feature::Weights) {
            builder.tell(Notice::RoutingToPrimary);
        }
        return Ok(route_to_primary(facts, builder, steps));
    }
    shift_by(facts, step)
}

/// The primary has fewer pods than it began with: wait, say so, and give up after the progress deadline.
fn missing_capacity(facts: &Facts) -> Option<Proposal> {
    let (ready, needed) = (facts.ready_pods(Side::Primary), capacity::needed_pods(facts));
    if ready >= needed {
        return None;
    }
    let known = step_started(facts).filter(|since| *since <= facts.now);
    let since = known.unwrap_or(facts.now);
    let deadline = SignedDuration::from_secs(facts.rollout.progress_deadline_seconds);
    let until = since.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if facts.now >= until {
        return Some(promotion::fail(facts, format!("{ready} of {needed} replicas are ready")));
    }
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::WaitingForCapacity(ready, needed));
    if known.is_none() {
        // By a clock that was set back, or by nobody: the wait ends all the same.
        builder.run().step_started_at = Some(fraction(facts.now));
    }
    Some(builder.finish(Wake::At(until)))
}

fn step_started(facts: &Facts) -> Option<Timestamp> {
    time(facts.run()?.step_started_at.as_deref()?)
}

/// One step of `stepWeightPromotion`; the steps are an interval apart, the first comes at once.
fn shift_by(facts: &Facts, step: u8) -> Decision<Proposal> {
    let Strategy::Canary(_) = &facts.rollout.strategy else { return Ok(Plan::idle().into()) };
    let begun = facts.run().is_some_and(|run| run.traffic == Traffic::Returning);
    if begun && let Some(due) = step_started(facts).map(|at| at.saturating_add(facts.rollout.interval)) {
        let due = due.unwrap_or(Timestamp::MAX);
        if facts.now < due {
            return Ok(PlanBuilder::new(facts).finish(Wake::At(due)));
        }
    }
    let split = Split::with_canary(intended_split(facts).canary().saturating_sub(step));
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::PrimaryAdvanced(split.primary()));
    let steps = routes::routes(facts, split)?;
    if split == Split::PRIMARY {
        return Ok(route_to_primary(facts, builder, steps));
    }
    builder.intend(steps);
    builder.status.canary_weight = i64::from(split.canary());
    builder.run().traffic = Traffic::Returning;
    builder.run().step_started_at = Some(fraction(facts.now));
    Ok(builder.finish(Wake::At(facts.after(facts.rollout.interval))))
}

fn route_to_primary(facts: &Facts, mut builder: PlanBuilder, steps: Vec<Step>) -> Proposal {
    builder.intend(steps);
    builder.enter(Phase::Finalising);
    builder.status.canary_weight = 0;
    builder.status.iterations = 0;
    let until = facts.drained_at();
    builder.run().traffic = Traffic::Weighted;
    builder.run().drain_until = Some(fraction(until));
    builder.finish(Wake::At(until))
}
