//! The end of a promotion: drained and accepted, then the target goes to zero (S12).

use burgee_api::{Phase, RunOutcome};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::{Obstacle, Seen};
use super::proposal::{Decision, Proposal, Stop};
use super::recorded::{is_fix, skips_analysis};
use super::recreate::recreate_primary;
use super::revision::generation;
use super::stamp::time;
use super::workloads::Workloads;
use super::{autoscaler, capacity, promotion, reconcile, routes};
use crate::ending;
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::router;
use crate::scaler::Sync;
use crate::snapshot;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

pub(super) fn finish(facts: &Facts) -> Decision<Proposal> {
    let workloads = facts.find_scene()?;
    if let Some(workloads) = workloads.filter(|workloads| workloads.primary.is_none()) {
        return Ok(recreate_primary(facts, workloads)?);
    }
    if let Some(plan) = routes::misrouted(facts)? {
        return Ok(plan);
    }
    // Without a target nothing is left to scale down.
    let Some(workloads) = workloads else { return Ok(succeed(facts, None)?) };
    let standing = reconcile::standing(facts, workloads);
    reconcile::with_repairs(facts, standing, succeed(facts, Some(workloads)).map_err(Stop::from))
}

fn succeed(facts: &Facts, workloads: Option<&Workloads>) -> Seen<Proposal> {
    let mut builder = PlanBuilder::new(facts);
    if let Some(until) = builder.run().drain_until.as_deref().and_then(time).filter(|until| *until > facts.now) {
        return Ok(builder.finish(Wake::At(until)));
    }
    router::of(facts.rollout).accepted(facts.rollout, facts.world).map_err(Obstacle::Halt)?;
    if facts.ready_pods(Side::Primary) == 0 && facts.ready_pods(Side::Canary) > 0 {
        if let Readiness::Failed(reason) = facts.primary_readiness() {
            return Ok(promotion::fail(facts, reason));
        }
        builder.tell(Notice::WaitingForCapacity(0, 1));
        return Ok(builder.finish(Wake::At(facts.after(facts.rollout.interval))));
    }
    let scale_down = workloads.and_then(|workloads| workload::scale_to_zero(facts.rollout, workloads.target));
    if let Some(workloads) = workloads.filter(|_| scale_down.is_some()) {
        let generation = generation(workloads.target);
        let run = builder.run();
        // A revision that came meanwhile stays new: only the generation of the analysed one moves with the scale-down.
        if run.target_generation == Some(generation) {
            run.target_generation = Some(generation + 1);
        }
    }
    builder.steps(autoscaler::pause_target(facts));
    builder.steps(scale_down);
    match autoscaler::primary_scaler(facts, Sync::Full, None) {
        Ok(steps) => builder.steps(steps),
        Err(obstacle) if workloads.is_some() => return Err(obstacle),
        Err(_) => {}
    }
    let replaced = std::mem::take(&mut builder.status.last_promoted_spec);
    builder.status.last_promoted_spec.clone_from(&builder.status.last_applied_spec);
    if !replaced.is_empty() && replaced != builder.status.last_promoted_spec {
        // After the status that does not need it any more: until then a primary that is deleted comes back from it (I12).
        builder.intend([Step::Drop(snapshot::key(facts.rollout, &replaced))]);
    }
    // A run that ships a fix may have found configs kept by the promotion that failed before it.
    let may_be_kept =
        skips_analysis(facts) || is_fix(facts) || workloads.is_none_or(|workloads| !workloads.tracked.is_empty());
    if facts.settings.config_tracking && may_be_kept {
        builder.step(Step::Drop(snapshot::configs_key(facts.rollout)));
        builder.run().kept_configs = None;
    }
    builder.enter(Phase::Succeeded);
    let is_skipped = skips_analysis(facts);
    builder.tell(if is_skipped { Notice::AnalysisSkipped } else { Notice::PromotionCompleted });
    builder.count(if is_skipped { Count::Skipped } else { Count::Completed });
    builder.post_rollout();
    builder.status.canary_weight = 0;
    builder.reset_counters();
    let run = builder.run();
    run.drain_until = None;
    ending::end(run, RunOutcome::Promoted);
    capacity::remember(facts, &mut builder);
    Ok(builder.finish(Wake::At(facts.now)))
}
