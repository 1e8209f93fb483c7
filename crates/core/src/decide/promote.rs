//! Promotion: what was analysed, and nothing else, becomes the primary (S22); traffic returns when the primary has its
//! capacity (S13).

use burgee_api::{Phase, PrimaryState, RunOutcome, Traffic};
use jiff::{SignedDuration, Timestamp};

use super::ask::halt;
use super::draft::{fraction, time};
use super::initialize::known_copies;
use super::revision::{self, Change};
use super::scene::{Scene, primary_readiness, ready_pods};
use super::settle::{self, intended_split};
use super::{Decision, Draft, Tick, capacity, progress, rollback, strategy};
use crate::ending;
use crate::notice::Notice;
use crate::plan::{Count, Plan, Step};
use crate::rollout::Strategy;
use crate::router::row::Feature;
use crate::scaler::Sync;
use crate::split::{Mirror, Split};
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};
use crate::{healing, kept};

/// The analysis is complete. The phase is written before the primary is touched: whoever finds the primary changed
/// also finds the phase that says so.
pub(super) fn begin(tick: &Tick, scene: &Scene, mut draft: Draft) -> Decision<Plan> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(progress::restart(tick, scene));
    }
    draft.tell(Notice::Copying);
    draft.enter(Phase::Promoting);
    draft.drop_condition("Held");
    draft.clear_webhooks();
    if intended_split(tick).mirror() == Mirror::On {
        // An order or `skipAnalysis` came in the step with the copies.
        draft.intend(settle::routes(tick, Split::with_canary(intended_split(tick).canary()))?);
        draft.run().traffic = Traffic::Weighted;
    }
    let run = draft.run();
    ending::forget_hold(run);
    run.paused_since = None;
    run.fought_since = None;
    run.step_started_at = Some(fraction(tick.now));
    Ok(draft.finish(Wake::At(tick.now)))
}

pub(super) fn promote(tick: &Tick) -> Decision<Plan> {
    let Some(scene) = Scene::find(tick)? else { return orphaned(tick) };
    let Some(primary) = scene.primary else { return super::initialize::recreate_primary(tick, &scene) };
    if !is_copied(tick, primary) {
        return copy(tick, &scene, primary);
    }
    let misrouted = if strategy::keeps_routes(tick) { Ok(None) } else { settle::misrouted(tick) };
    // Nothing about the routes keeps the traffic on a primary that cannot start.
    if misrouted.is_err()
        && let Readiness::Failed(reason) = primary_readiness(tick)
    {
        return Ok(fail(tick, reason));
    }
    let misrouted = misrouted?;
    let mut standing = settle::standing(tick, &scene);
    match misrouted {
        // Whoever fights for the routes does not keep the traffic from going back to the primary.
        Some(_) if settle::is_fought(tick) => standing.extend(settle::routes_alone(tick, intended_split(tick))?),
        Some(plan) => return Ok(plan),
        None => {}
    }
    settle::with_repairs(tick, standing, shift(tick))
}

/// The target was deleted. A primary that has its template already does not need it any more.
fn orphaned(tick: &Tick) -> Decision<Plan> {
    let primary = workload::find_primary(tick.rollout, tick.world).map_err(|reason| halt(tick, reason))?;
    if !primary.is_some_and(|primary| is_copied(tick, primary)) {
        return Ok(rollback::without_target(tick));
    }
    match settle::misrouted(tick)? {
        Some(plan) => Ok(plan),
        None => shift(tick),
    }
}

/// Whether the primary has the template of this promotion, from us or from a peer whose run was taken over.
pub(super) fn is_copied(tick: &Tick, primary: &serde_json::Value) -> bool {
    let by_peer = tick.run().is_some_and(|run| run.primary == PrimaryState::Copied);
    let revision = tick.run().map_or("", |run| run.revision.as_str());
    by_peer || workload::is_copy(tick.rollout.target_kind, primary, &promotion_id(tick), revision)
}

/// Marks the primary of this promotion: a restarted operator finds out whether the copy was made.
fn promotion_id(tick: &Tick) -> String {
    let run = tick.run().cloned().unwrap_or_default();
    kept::flagger_id(&tick.rollout.uid, &run.revision, &run.started_at.unwrap_or_default())
}

/// Copies configs and template to the primary. A target that moved meanwhile was not analysed: back to the start.
fn copy(tick: &Tick, scene: &Scene, primary: &serde_json::Value) -> Decision<Plan> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(progress::restart(tick, scene));
    }
    let status = tick.world.canary.status.clone().unwrap_or_default();
    let mut draft = Draft::new(tick);
    let copies = known_copies(tick, scene)?;
    if !copies.is_empty() {
        draft.step(Step::KeepConfigs { key: kept::configs_key(tick.rollout), copies: copies.clone() });
    }
    draft.steps(copies.into_iter().map(Step::CopyConfig));
    draft.step(scene.keep(tick, &status.last_applied_spec));
    let id = promotion_id(tick);
    let promoted = workload::promoted(&scene.recipe(tick, &id), scene.target, primary, floor(tick));
    draft.step(Step::Replace(promoted.map_err(|reason| halt(tick, reason))?));
    draft.steps(settle::primary_scaler(tick, Sync::Full, capacity::floor(tick))?);
    Ok(draft.finish(tick.primary_written()))
}

fn floor(tick: &Tick) -> i64 {
    capacity::floor(tick).unwrap_or(0)
}

/// Waits for the primary and moves the traffic back to it.
fn shift(tick: &Tick) -> Decision<Plan> {
    if tick.rollout.skip_analysis && intended_split(tick) == Split::PRIMARY {
        return Ok(route_to_primary(tick, Draft::new(tick), Vec::new()));
    }
    match primary_readiness(tick) {
        Readiness::Ready => {}
        Readiness::Waiting { reason, deadline } => {
            let mut draft = Draft::new(tick);
            draft.tell(Notice::Problem(reason));
            return Ok(draft.finish(deadline.map_or(Wake::OnChange, Wake::At)));
        }
        Readiness::Failed(reason) => return Ok(fail(tick, reason)),
    }
    if let Some(plan) = missing_capacity(tick) {
        return Ok(plan);
    }
    let step = match &tick.rollout.strategy {
        Strategy::Canary(ladder) if tick.rollout.provider.can(Feature::PromotionSteps) => ladder.promotion_step,
        Strategy::Canary(_) | Strategy::BlueGreen(_) | Strategy::AbTesting(_) => 0,
    };
    if step == 0 || intended_split(tick).canary() == 0 {
        let steps = settle::routes(tick, Split::PRIMARY)?;
        let mut draft = Draft::new(tick);
        if tick.rollout.provider.can(Feature::Weights) {
            draft.tell(Notice::RoutingToPrimary);
        }
        return Ok(route_to_primary(tick, draft, steps));
    }
    shift_by(tick, step)
}

/// The primary has fewer pods than it began with: wait, say so, and give up after the progress deadline.
fn missing_capacity(tick: &Tick) -> Option<Plan> {
    let (ready, needed) = (ready_pods(tick, Side::Primary), capacity::needed_pods(tick));
    if ready >= needed {
        return None;
    }
    let known = step_started(tick).filter(|since| *since <= tick.now);
    let since = known.unwrap_or(tick.now);
    let deadline = SignedDuration::from_secs(tick.rollout.progress_deadline_seconds);
    let until = since.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if tick.now >= until {
        return Some(fail(tick, format!("{ready} of {needed} replicas are ready")));
    }
    let mut draft = Draft::new(tick);
    draft.tell(Notice::WaitingForCapacity(ready, needed));
    if known.is_none() {
        // By a clock that was set back, or by nobody: the wait ends all the same.
        draft.run().step_started_at = Some(fraction(tick.now));
    }
    Some(draft.finish(Wake::At(until)))
}

fn step_started(tick: &Tick) -> Option<Timestamp> {
    time(tick.run()?.step_started_at.as_deref()?)
}

/// One step of `stepWeightPromotion`; the steps are an interval apart, the first comes at once.
fn shift_by(tick: &Tick, step: u8) -> Decision<Plan> {
    let Strategy::Canary(_) = &tick.rollout.strategy else { return Ok(Plan::idle()) };
    let begun = tick.run().is_some_and(|run| run.traffic == Traffic::Returning);
    if begun && let Some(due) = step_started(tick).map(|at| at.saturating_add(tick.rollout.interval)) {
        let due = due.unwrap_or(Timestamp::MAX);
        if tick.now < due {
            return Ok(Draft::new(tick).finish(Wake::At(due)));
        }
    }
    let split = Split::with_canary(intended_split(tick).canary().saturating_sub(step));
    let mut draft = Draft::new(tick);
    draft.tell(Notice::PrimaryAdvanced(split.primary()));
    let steps = settle::routes(tick, split)?;
    if split == Split::PRIMARY {
        return Ok(route_to_primary(tick, draft, steps));
    }
    draft.intend(steps);
    draft.status.canary_weight = i64::from(split.canary());
    draft.run().traffic = Traffic::Returning;
    draft.run().step_started_at = Some(fraction(tick.now));
    Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))))
}

fn route_to_primary(tick: &Tick, mut draft: Draft, steps: Vec<Step>) -> Plan {
    draft.intend(steps);
    draft.enter(Phase::Finalising);
    draft.status.canary_weight = 0;
    draft.status.iterations = 0;
    let until = tick.drained_at();
    draft.run().traffic = Traffic::Weighted;
    draft.run().drain_until = Some(fraction(until));
    draft.finish(Wake::At(until))
}

/// The primary cannot start: the canary, which runs the analysed revision, takes all traffic until the primary has
/// been put back (S3, I2).
pub(super) fn fail(tick: &Tick, reason: String) -> Plan {
    let mut draft = Draft::new(tick);
    draft.tell(Notice::PromotionFailed(reason));
    revoke(tick, draft, (Split::CANARY, RunOutcome::PromotionFailed))
}

/// Somebody takes back a promotion that has begun. Whoever does trusts the version less than before: it gets no more
/// traffic than it has, if the primary can keep its own.
pub(super) fn abort(tick: &Tick, draft: Draft, outcome: RunOutcome) -> Plan {
    let meant = match (ready_pods(tick, Side::Primary) > 0, strategy::has_changed(tick)) {
        (true, false) => intended_split(tick),
        // The routes of another strategy would give it more.
        (true, true) => Split::PRIMARY,
        (false, _) => Split::CANARY,
    };
    revoke(tick, draft, (meant, outcome))
}

/// Where the traffic waits until the primary has been put back. Only a canary that has pods and runs what was analysed
/// takes what is meant for it; no other one gets more than it has (I1, I12).
fn refuge(tick: &Tick, meant: Split) -> Split {
    let is_analysed = Scene::look(tick).is_ok_and(|scene| revision::change(tick, &scene) != Change::Revision);
    if is_analysed && ready_pods(tick, Side::Canary) > 0 {
        meant
    } else if ready_pods(tick, Side::Primary) > 0 {
        Split::PRIMARY
    } else {
        intended_split(tick)
    }
}

/// Ends a promotion that has begun. Wherever the traffic waits, the primary is put back.
fn revoke(tick: &Tick, mut draft: Draft, (meant, outcome): (Split, RunOutcome)) -> Plan {
    let split = refuge(tick, meant);
    draft.intend(settle::towards(tick, split));
    draft.enter(Phase::Failed);
    draft.status.canary_weight = i64::from(split.canary());
    draft.reset_counters();
    let run = draft.run();
    ending::end(run, outcome);
    run.drain_until = None;
    healing::begin(run);
    draft.count(Count::Failed);
    draft.post_rollout();
    draft.finish(Wake::At(tick.now))
}
