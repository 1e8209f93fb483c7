//! No requests go on to a canary without ready pods while the primary has some, in any phase that splits traffic (I3).
//! It never gives the canary more than it has.

use burgee_api::{Phase, Traffic};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::failed_check::fail;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::recorded::{failed_checks, intended_split};
use super::scene::missing_target;
use super::tick::Tick;
use super::{rollback, routes};
use crate::healing;
use crate::notice::Notice;
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Side};

/// The plan that takes the traffic from a canary that has lost its last ready pod, if there is one.
pub(super) fn seek(tick: &Facts) -> Option<Proposal> {
    if !is_out(tick) {
        return None;
    }
    let is_there = tick.world.present(&tick.rollout.target_key()).is_some();
    match tick.phase() {
        // A target that was deleted ends the analysis.
        Phase::Progressing | Phase::WaitingPromotion => is_there.then(|| take_back(tick)),
        Phase::Promoting | Phase::Failed | Phase::Waiting => Some(retreat(tick)),
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
fn is_out(tick: &Facts) -> bool {
    let Tick { rollout, world, .. } = **tick;
    let revisions =
        [Side::Primary, Side::Canary].into_iter().filter_map(|side| workload::revision(rollout, world, side));
    let is_known =
        [rollout.target_key(), rollout.primary_key()].into_iter().chain(revisions).all(|key| world.look(&key).is_ok());
    let split = intended_split(tick);
    is_known && placement(Wanted { from: split, to: split }, tick.pods) != Placement::Go(split)
}

/// The promotion, or what puts the primary back after it, goes on; only the traffic does not wait for it.
fn retreat(tick: &Facts) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::Problem(reason(tick)));
    draft.intend(routes::home(tick));
    if tick.phase() != Phase::Promoting {
        healing::begin(draft.run());
    }
    draft.status.canary_weight = 0;
    draft.finish(Wake::At(tick.now))
}

/// Why the canary cannot keep its traffic.
fn reason(tick: &Facts) -> String {
    let rollout = tick.rollout;
    match tick.world.present(&rollout.target_key()) {
        None => missing_target(tick),
        Some(_) => {
            format!("{}.{} has no ready pod, the primary takes the traffic", rollout.target.name, rollout.namespace)
        }
    }
}

/// The primary takes the traffic back at once from a canary that has lost its last ready pod (I3). It is a failed check;
/// if more are allowed, the run goes on from its first weight when the pods are back.
fn take_back(tick: &Facts) -> Proposal {
    let reason = match tick.canary_readiness() {
        Readiness::Ready => reason(tick),
        Readiness::Waiting { reason, .. } => reason,
        Readiness::Failed(reason) => return rollback::deadline(tick, reason),
    };
    let mut draft = PlanBuilder::new(tick);
    if failed_checks(tick) + 1 < tick.rollout.threshold {
        draft.intend(routes::home(tick));
        draft.status.canary_weight = 0;
        draft.status.iterations = 0;
        draft.run().traffic = Traffic::Weighted;
    }
    fail(tick, draft, Notice::Problem(reason))
}
