//! A run that the peer began is carried on: its records are made ours before anything is decided on them (S1, I26). It
//! moves no weight, no phase and no pod.

use burgee_api::{CanaryStatus, Phase, PrimaryState, Run};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::Seen;
use super::proposal::Proposal;
use super::recorded::{is_takeover_due, peer_split, traffic};
use super::revision;
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use crate::rollout::Strategy;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::Side;

/// Writes down where the run stands: the true weight and iteration, and when the step began. From here on a new revision
/// is noticed. What is being promoted was copied by the peer, and is recorded when the promotion is over: whether the
/// target is still that revision, its digest cannot tell.
pub(super) fn take_over(facts: &Facts) -> Seen<Option<Proposal>> {
    let status = facts.world.canary.status.clone().unwrap_or_default();
    if !is_takeover_due(&status) || facts.world.present(&facts.rollout.target_key()).is_none() {
        return Ok(None);
    }
    let workloads = facts.workloads()?;
    let mut builder = PlanBuilder::new(facts);
    let split =
        peer_split(facts).unwrap_or_else(|| Split::with_canary(u8::try_from(status.canary_weight).unwrap_or(0)));
    builder.status.canary_weight = i64::from(split.canary());
    builder.status.iterations = iterations(facts, &status, split);
    let mut run = record(facts, workloads, split);
    if builder.status.iterations == 0 && split == Split::PRIMARY && status.failed_checks == 0 {
        run.step_started_at = None;
    }
    match status.phase {
        Phase::Promoting => run.primary = PrimaryState::Copied,
        Phase::Finalising => {
            run.primary = PrimaryState::Copied;
            run.drain_until = Some(fraction(facts.drained_at()));
        }
        Phase::Progressing | Phase::WaitingPromotion => {
            builder.status.last_applied_spec.clone_from(&workloads.revision);
            run.revision.clone_from(&workloads.revision);
        }
        Phase::Unset
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => {}
    }
    builder.status.run = Some(run);
    Ok(Some(builder.finish(Wake::At(facts.now))))
}

/// What is known of the run. The peer's last write tells when the step began.
fn record(facts: &Facts, workloads: &Workloads, split: Split) -> Run {
    let last_write = facts.world.canary.status.as_ref().and_then(|status| status.last_transition_time.as_deref());
    let step_started = last_write.and_then(time).unwrap_or(facts.now);
    let wanted = workloads.primary.and_then(|primary| primary["spec"]["replicas"].as_i64()).unwrap_or(i64::MAX);
    let ready = facts.ready_pods(Side::Primary);
    Run {
        target_uid: revision::uid(workloads.target),
        target_generation: Some(revision::generation(workloads.target)),
        started_at: Some(fraction(facts.now)),
        // In the middle of a rolling update there may be more ready pods than there will be.
        primary_ready_at_start: Some(ready.min(wanted)),
        step_started_at: Some(fraction(step_started)),
        strategy: Some(facts.rollout.strategy.kind()),
        traffic: traffic(split),
        ..Run::default()
    }
}

/// The true number of iterations. In `WaitingPromotion` the peer writes one less than there are, for weights -1 (S8).
fn iterations(facts: &Facts, status: &CanaryStatus, split: Split) -> i64 {
    let waits = status.phase == Phase::WaitingPromotion;
    match facts.rollout.strategy {
        Strategy::Canary(_) => 0,
        Strategy::AbTesting(total) if waits => i64::from(total),
        Strategy::BlueGreen(total) if waits => i64::from(total) + i64::from(split == Split::CANARY),
        Strategy::AbTesting(_) | Strategy::BlueGreen(_) => status.iterations.max(0),
    }
}
