//! No requests go on to a canary without ready pods while the primary has some, in any phase that splits traffic (I3).
//! It never gives the canary more than it has.

use burgee_api::{Phase, Traffic};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::failed_check::fail;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::recorded::{failed_checks, intended_split};
use super::tick::Tick;
use super::workloads::missing_target;
use super::{rollback, routes};
use crate::notice::Notice;
use crate::restoration;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

/// The plan that takes the traffic from a canary that has lost its last ready pod, if there is one.
pub(super) fn seek(facts: &Facts) -> Option<Proposal> {
    if !is_out(facts) {
        return None;
    }
    let is_there = facts.world.present(&facts.rollout.target_key()).is_some();
    match facts.phase() {
        // A target that was deleted ends the analysis.
        Phase::Progressing | Phase::WaitingPromotion => is_there.then(|| take_back(facts)),
        Phase::Promoting | Phase::Failed | Phase::Waiting => Some(retreat(facts)),
        Phase::Unset
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Finalising
        | Phase::Succeeded
        | Phase::Terminating
        | Phase::Terminated => None,
    }
}

/// Whether requests go to a canary that has no ready pod, while the primary could take them. What could not be read is
/// neither (I11).
fn is_out(facts: &Facts) -> bool {
    let Tick { rollout, world, .. } = **facts;
    let revisions =
        [Side::Primary, Side::Canary].into_iter().filter_map(|side| workload::revision(rollout, world, side));
    let is_known =
        [rollout.target_key(), rollout.primary_key()].into_iter().chain(revisions).all(|key| world.look(&key).is_ok());
    let split = intended_split(facts);
    is_known && placement(Wanted { from: split, to: split }, facts.pods) != Placement::Go(split)
}

/// The promotion, or what puts the primary back after it, goes on; only the traffic does not wait for it.
fn retreat(facts: &Facts) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::Problem(reason(facts)));
    builder.intend(routes::home(facts));
    if facts.phase() != Phase::Promoting {
        restoration::begin(builder.run());
    }
    builder.status.canary_weight = 0;
    builder.finish(Wake::At(facts.now))
}

/// Why the canary cannot keep its traffic.
fn reason(facts: &Facts) -> String {
    let rollout = facts.rollout;
    match facts.world.present(&rollout.target_key()) {
        None => missing_target(facts),
        Some(_) => {
            format!("{}.{} has no ready pod, the primary takes the traffic", rollout.target.name, rollout.namespace)
        }
    }
}

/// The primary takes the traffic back at once from a canary that has lost its last ready pod (I3). It is a failed check;
/// if more are allowed, the run goes on from its first weight when the pods are back.
fn take_back(facts: &Facts) -> Proposal {
    let reason = match facts.canary_readiness() {
        Readiness::Ready => reason(facts),
        Readiness::Waiting { reason, .. } => reason,
        Readiness::Failed(reason) => return rollback::deadline(facts, reason),
    };
    let mut builder = PlanBuilder::new(facts);
    if failed_checks(facts) + 1 < facts.rollout.threshold {
        builder.intend(routes::home(facts));
        builder.status.canary_weight = 0;
        builder.status.iterations = 0;
        builder.run().traffic = Traffic::Weighted;
    }
    fail(facts, builder, Notice::Problem(reason))
}
