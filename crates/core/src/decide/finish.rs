//! The end of a promotion: drained and accepted, then the target goes to zero (S12).

use burgee_api::{Phase, RunOutcome};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::{Obstacle, Seen};
use super::proposal::{Decision, Proposal, Stop};
use super::recorded::{is_fix, skips_analysis};
use super::recreate::recreate_primary;
use super::revision::generation;
use super::scene::Scene;
use super::stamp::time;
use super::{autoscaler, capacity, promotion, reconcile, routes};
use crate::ending;
use crate::kept;
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::router;
use crate::scaler::Sync;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn finish(tick: &Facts) -> Decision<Proposal> {
    let scene = tick.find_scene()?;
    if let Some(scene) = scene.filter(|scene| scene.primary.is_none()) {
        return Ok(recreate_primary(tick, scene)?);
    }
    if let Some(plan) = routes::misrouted(tick)? {
        return Ok(plan);
    }
    // Without a target nothing is left to scale down.
    let Some(scene) = scene else { return Ok(succeed(tick, None)?) };
    let standing = reconcile::standing(tick, scene);
    reconcile::with_repairs(tick, standing, succeed(tick, Some(scene)).map_err(Stop::from))
}

fn succeed(tick: &Facts, scene: Option<&Scene>) -> Seen<Proposal> {
    let mut draft = PlanBuilder::new(tick);
    if let Some(until) = draft.run().drain_until.as_deref().and_then(time).filter(|until| *until > tick.now) {
        return Ok(draft.finish(Wake::At(until)));
    }
    router::of(tick.rollout).accepted(tick.rollout, tick.world).map_err(Obstacle::Halt)?;
    if tick.ready_pods(Side::Primary) == 0 && tick.ready_pods(Side::Canary) > 0 {
        if let Readiness::Failed(reason) = tick.primary_readiness() {
            return Ok(promotion::fail(tick, reason));
        }
        draft.tell(Notice::WaitingForCapacity(0, 1));
        return Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))));
    }
    let scale_down = scene.and_then(|scene| workload::scale_to_zero(tick.rollout, scene.target));
    if let Some(scene) = scene.filter(|_| scale_down.is_some()) {
        let generation = generation(scene.target);
        let run = draft.run();
        // A revision that came meanwhile stays new: only the generation of the analysed one moves with the scale-down.
        if run.target_generation == Some(generation) {
            run.target_generation = Some(generation + 1);
        }
    }
    draft.steps(autoscaler::pause_target(tick));
    draft.steps(scale_down);
    match autoscaler::primary_scaler(tick, Sync::Full, None) {
        Ok(steps) => draft.steps(steps),
        Err(obstacle) if scene.is_some() => return Err(obstacle),
        Err(_) => {}
    }
    let replaced = std::mem::take(&mut draft.status.last_promoted_spec);
    draft.status.last_promoted_spec.clone_from(&draft.status.last_applied_spec);
    if !replaced.is_empty() && replaced != draft.status.last_promoted_spec {
        // After the status that does not need it any more: until then a primary that is deleted comes back from it (I12).
        draft.intend([Step::Drop(kept::key(tick.rollout, &replaced))]);
    }
    // A run that ships a fix may have found configs kept by the promotion that failed before it.
    let may_be_kept = skips_analysis(tick) || is_fix(tick) || scene.is_none_or(|scene| !scene.tracked.is_empty());
    if tick.settings.config_tracking && may_be_kept {
        draft.step(Step::Drop(kept::configs_key(tick.rollout)));
        draft.run().kept_configs = None;
    }
    draft.enter(Phase::Succeeded);
    let is_skipped = skips_analysis(tick);
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
