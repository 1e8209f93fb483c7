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
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{autoscaler, capacity, reconcile, rollback, routes};
use crate::kept;
use crate::notice::Notice;
use crate::plan::{Plan, Step};
use crate::rollout::Strategy;
use crate::router::row::Feature;
use crate::scaler::Sync;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn promote(tick: &Facts) -> Decision<Proposal> {
    let Some(scene) = tick.find_scene()? else { return orphaned(tick) };
    let Some(primary) = scene.primary else { return Ok(recreate_primary(tick, scene)?) };
    if !is_copied(tick, primary) {
        return copy(tick, scene, primary);
    }
    let misrouted = if keeps_routes(tick) { Ok(None) } else { routes::misrouted(tick) };
    // Nothing about the routes keeps the traffic on a primary that cannot start.
    if misrouted.is_err()
        && let Readiness::Failed(reason) = tick.primary_readiness()
    {
        return Ok(promotion::fail(tick, reason));
    }
    let misrouted = misrouted?;
    let mut standing = reconcile::standing(tick, scene);
    match misrouted {
        // Whoever fights for the routes does not keep the traffic from going back to the primary.
        Some(_) if routes::is_fought(tick) => standing.extend(routes::routes_alone(tick, intended_split(tick))?),
        Some(plan) => return Ok(plan),
        None => {}
    }
    reconcile::with_repairs(tick, standing, shift(tick))
}

/// The target was deleted. A primary that has its template already does not need it any more.
fn orphaned(tick: &Facts) -> Decision<Proposal> {
    let primary = workload::find_primary(tick.rollout, tick.world).map_err(Obstacle::Halt)?;
    if !primary.is_some_and(|primary| is_copied(tick, primary)) {
        return Ok(rollback::without_target(tick));
    }
    match routes::misrouted(tick)? {
        Some(plan) => Ok(plan),
        None => shift(tick),
    }
}

/// Copies configs and template to the primary. A target that moved meanwhile was not analysed: back to the start.
fn copy(tick: &Facts, scene: &Scene, primary: &serde_json::Value) -> Decision<Proposal> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(restart::restart(tick, scene));
    }
    let status = tick.world.canary.status.clone().unwrap_or_default();
    let mut draft = PlanBuilder::new(tick);
    let copies = known_copies(tick, scene)?;
    if !copies.is_empty() {
        draft.step(Step::KeepConfigs { key: kept::configs_key(tick.rollout), copies: copies.clone() });
    }
    draft.steps(copies.into_iter().map(Step::CopyConfig));
    draft.step(scene.keep(tick, &status.last_applied_spec));
    let id = promotion_id(tick);
    let promoted = workload::promoted(&scene.recipe(tick, &id), scene.target, primary, floor(tick));
    draft.step(Step::Replace(promoted.map_err(Obstacle::Halt)?));
    draft.steps(autoscaler::primary_scaler(tick, Sync::Full, capacity::floor(tick))?);
    Ok(draft.finish(tick.primary_written()))
}

fn floor(tick: &Facts) -> i64 {
    capacity::floor(tick).unwrap_or(0)
}

/// Waits for the primary and moves the traffic back to it.
fn shift(tick: &Facts) -> Decision<Proposal> {
    if tick.rollout.skip_analysis && intended_split(tick) == Split::PRIMARY {
        return Ok(route_to_primary(tick, PlanBuilder::new(tick), Vec::new()));
    }
    match tick.primary_readiness() {
        Readiness::Ready => {}
        Readiness::Waiting { reason, deadline } => {
            let mut draft = PlanBuilder::new(tick);
            draft.tell(Notice::Problem(reason));
            return Ok(draft.finish(deadline.map_or(Wake::OnChange, Wake::At)));
        }
        Readiness::Failed(reason) => return Ok(promotion::fail(tick, reason)),
    }
    if let Some(plan) = missing_capacity(tick) {
        return Ok(plan);
    }
    let step = match &tick.rollout.strategy {
        Strategy::Canary(ladder) if tick.rollout.provider.can(Feature::PromotionSteps) => ladder.promotion_step,
        Strategy::Canary(_) | Strategy::BlueGreen(_) | Strategy::AbTesting(_) => 0,
    };
    if step == 0 || intended_split(tick).canary() == 0 {
        let steps = routes::routes(tick, Split::PRIMARY)?;
        let mut draft = PlanBuilder::new(tick);
        if tick.rollout.provider.can(Feature::Weights) {
            draft.tell(Notice::RoutingToPrimary);
        }
        return Ok(route_to_primary(tick, draft, steps));
    }
    shift_by(tick, step)
}

/// The primary has fewer pods than it began with: wait, say so, and give up after the progress deadline.
fn missing_capacity(tick: &Facts) -> Option<Proposal> {
    let (ready, needed) = (tick.ready_pods(Side::Primary), capacity::needed_pods(tick));
    if ready >= needed {
        return None;
    }
    let known = step_started(tick).filter(|since| *since <= tick.now);
    let since = known.unwrap_or(tick.now);
    let deadline = SignedDuration::from_secs(tick.rollout.progress_deadline_seconds);
    let until = since.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if tick.now >= until {
        return Some(promotion::fail(tick, format!("{ready} of {needed} replicas are ready")));
    }
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::WaitingForCapacity(ready, needed));
    if known.is_none() {
        // By a clock that was set back, or by nobody: the wait ends all the same.
        draft.run().step_started_at = Some(fraction(tick.now));
    }
    Some(draft.finish(Wake::At(until)))
}

fn step_started(tick: &Facts) -> Option<Timestamp> {
    time(tick.run()?.step_started_at.as_deref()?)
}

/// One step of `stepWeightPromotion`; the steps are an interval apart, the first comes at once.
fn shift_by(tick: &Facts, step: u8) -> Decision<Proposal> {
    let Strategy::Canary(_) = &tick.rollout.strategy else { return Ok(Plan::idle().into()) };
    let begun = tick.run().is_some_and(|run| run.traffic == Traffic::Returning);
    if begun && let Some(due) = step_started(tick).map(|at| at.saturating_add(tick.rollout.interval)) {
        let due = due.unwrap_or(Timestamp::MAX);
        if tick.now < due {
            return Ok(PlanBuilder::new(tick).finish(Wake::At(due)));
        }
    }
    let split = Split::with_canary(intended_split(tick).canary().saturating_sub(step));
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::PrimaryAdvanced(split.primary()));
    let steps = routes::routes(tick, split)?;
    if split == Split::PRIMARY {
        return Ok(route_to_primary(tick, draft, steps));
    }
    draft.intend(steps);
    draft.status.canary_weight = i64::from(split.canary());
    draft.run().traffic = Traffic::Returning;
    draft.run().step_started_at = Some(fraction(tick.now));
    Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))))
}

fn route_to_primary(tick: &Facts, mut draft: PlanBuilder, steps: Vec<Step>) -> Proposal {
    draft.intend(steps);
    draft.enter(Phase::Finalising);
    draft.status.canary_weight = 0;
    draft.status.iterations = 0;
    let until = tick.drained_at();
    draft.run().traffic = Traffic::Weighted;
    draft.run().drain_until = Some(fraction(until));
    draft.finish(Wake::At(until))
}
