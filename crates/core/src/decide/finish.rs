//! The end of a promotion: drained and accepted, then the target goes to zero (S12).

use burgee_api::{Phase, RunOutcome};

use super::ask::halt;
use super::draft::time;
use super::scene::{Scene, primary_readiness, ready_pods};
use super::settle;
use super::{Decision, Draft, Stop, Tick, capacity, heal, orders, promote};
use crate::ending;
use crate::kept;
use crate::notice::Notice;
use crate::plan::{Count, Plan, Step};
use crate::router;
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn finish(tick: &Tick) -> Decision<Plan> {
    let scene = Scene::find(tick)?;
    if let Some(scene) = scene.as_ref().filter(|scene| scene.primary.is_none()) {
        return super::initialize::recreate_primary(tick, scene);
    }
    if let Some(plan) = settle::misrouted(tick)? {
        return Ok(plan);
    }
    // Without a target nothing is left to scale down.
    let Some(scene) = scene else { return succeed(tick, None) };
    let standing = settle::standing(tick, &scene);
    settle::with_repairs(tick, standing, succeed(tick, Some(&scene)))
}

fn succeed(tick: &Tick, scene: Option<&Scene>) -> Decision<Plan> {
    let mut draft = Draft::new(tick);
    if let Some(until) = draft.run().drain_until.as_deref().and_then(time).filter(|until| *until > tick.now) {
        return Ok(draft.finish(Wake::At(until)));
    }
    router::of(tick.rollout).accepted(tick.rollout, tick.world).map_err(|reason| halt(tick, reason))?;
    if ready_pods(tick, Side::Primary) == 0 && ready_pods(tick, Side::Canary) > 0 {
        if let Readiness::Failed(reason) = primary_readiness(tick) {
            return Ok(promote::fail(tick, reason));
        }
        draft.tell(Notice::WaitingForCapacity(0, 1));
        return Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))));
    }
    let scale_down = scene.and_then(|scene| workload::scale_to_zero(tick.rollout, scene.target));
    if let Some(scene) = scene.filter(|_| scale_down.is_some()) {
        let generation = super::revision::generation(scene.target);
        let run = draft.run();
        // A revision that came meanwhile stays new: only the generation of the analysed one moves with the scale-down.
        if run.target_generation == Some(generation) {
            run.target_generation = Some(generation + 1);
        }
    }
    draft.steps(settle::pause_target(tick));
    draft.steps(scale_down);
    match settle::primary_scaler(tick, Sync::Full, None) {
        Ok(steps) => draft.steps(steps),
        Err(stop) if scene.is_some() => return Err(stop),
        Err(Stop::Ask(_) | Stop::Wait(_)) => {}
    }
    let replaced = std::mem::take(&mut draft.status.last_promoted_spec);
    draft.status.last_promoted_spec.clone_from(&draft.status.last_applied_spec);
    if !replaced.is_empty() && replaced != draft.status.last_promoted_spec {
        // After the status that does not need it any more: until then a primary that is deleted comes back from it (I12).
        draft.intend([Step::Drop(kept::key(tick.rollout, &replaced))]);
    }
    // A run that ships a fix may have found configs kept by the promotion that failed before it.
    let may_be_kept =
        orders::skips_analysis(tick) || heal::is_fix(tick) || scene.is_none_or(|scene| !scene.tracked.is_empty());
    if tick.settings.config_tracking && may_be_kept {
        draft.step(Step::Drop(kept::configs_key(tick.rollout)));
        draft.run().kept_configs = None;
    }
    draft.enter(Phase::Succeeded);
    let is_skipped = orders::skips_analysis(tick);
    draft.tell(if is_skipped { Notice::AnalysisSkipped } else { Notice::PromotionCompleted });
    draft.count(if is_skipped { Count::Skipped } else { Count::Completed });
    draft.post_rollout();
    draft.status.canary_weight = 0;
    draft.reset_counters();
    let run = draft.run();
    run.drain_until = None;
    ending::end(run, RunOutcome::Promoted);
    capacity::remember(tick, &mut draft);
    Ok(draft.finish(Wake::At(tick.now)))
}
