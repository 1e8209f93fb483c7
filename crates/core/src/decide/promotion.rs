//! How a promotion begins, how it is known whether the primary was changed by it, and how it is taken back.

use burgee_api::{Phase, PrimaryState, RunOutcome, Traffic};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::Seen;
use super::proposal::Proposal;
use super::recorded::{has_changed_strategy, intended_split};
use super::restart::{self};
use super::revision::{self, Change};
use super::routes;
use super::stamp::fraction;
use super::workloads::Workloads;
use crate::notice::Notice;
use crate::plan::Count;
use crate::split::{Mirror, Split};
use crate::timetable::Wake;
use crate::workload::{self, Side};
use crate::{ending, restoration, snapshot};

/// The analysis is complete. The phase is written before the primary is touched: whoever finds the primary changed
/// also finds the phase that says so.
pub(super) fn begin(facts: &Facts, workloads: &Workloads, mut builder: PlanBuilder) -> Seen<Proposal> {
    if revision::change(facts, workloads) == Change::Revision {
        return Ok(restart::restart(facts, workloads));
    }
    builder.tell(Notice::Copying);
    builder.enter(Phase::Promoting);
    builder.drop_condition("Held");
    builder.clear_webhooks();
    if intended_split(facts).mirror() == Mirror::On {
        // An order or `skipAnalysis` came in the step with the copies.
        builder.intend(routes::routes(facts, Split::with_canary(intended_split(facts).canary()))?);
        builder.run().traffic = Traffic::Weighted;
    }
    let run = builder.run();
    ending::forget_hold(run);
    run.paused_since = None;
    run.fought_since = None;
    run.step_started_at = Some(fraction(facts.now));
    Ok(builder.finish(Wake::At(facts.now)))
}

/// Whether the primary has the template of this promotion, from us or from a peer whose run was taken over.
pub(super) fn is_copied(facts: &Facts, primary: &serde_json::Value) -> bool {
    let by_peer = facts.run().is_some_and(|run| run.primary == PrimaryState::Copied);
    let revision = facts.run().map_or("", |run| run.revision.as_str());
    by_peer || workload::is_copy(facts.rollout.target_kind, primary, &promotion_id(facts), revision)
}

/// Marks the primary of this promotion: a restarted operator finds out whether the copy was made.
pub(super) fn promotion_id(facts: &Facts) -> String {
    let run = facts.run().cloned().unwrap_or_default();
    snapshot::flagger_id(&facts.rollout.uid, &run.revision, &run.started_at.unwrap_or_default())
}

/// The primary cannot start: the canary, which runs the analysed revision, takes all traffic until the primary has
/// been put back (S3, I2).
pub(super) fn fail(facts: &Facts, reason: String) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.tell(Notice::PromotionFailed(reason));
    revoke(facts, builder, (Split::CANARY, RunOutcome::PromotionFailed))
}

/// Somebody takes back a promotion that has begun. Whoever does trusts the version less than before: it gets no more
/// traffic than it has, if the primary can keep its own.
pub(super) fn abort(facts: &Facts, builder: PlanBuilder, outcome: RunOutcome) -> Proposal {
    let meant = match (facts.ready_pods(Side::Primary) > 0, has_changed_strategy(facts)) {
        (true, false) => intended_split(facts),
        // The routes of another strategy would give it more.
        (true, true) => Split::PRIMARY,
        (false, _) => Split::CANARY,
    };
    revoke(facts, builder, (meant, outcome))
}

/// Where the traffic waits until the primary has been put back. Only a canary that has pods and runs what was analysed
/// takes what is meant for it; no other one gets more than it has (I1, I12).
fn waiting_split(facts: &Facts, meant: Split) -> Split {
    let is_analysed = facts.workloads().is_ok_and(|workloads| revision::change(facts, workloads) != Change::Revision);
    if is_analysed && facts.ready_pods(Side::Canary) > 0 {
        meant
    } else if facts.ready_pods(Side::Primary) > 0 {
        Split::PRIMARY
    } else {
        intended_split(facts)
    }
}

/// Ends a promotion that has begun. Wherever the traffic waits, the primary is put back.
fn revoke(facts: &Facts, mut builder: PlanBuilder, (meant, outcome): (Split, RunOutcome)) -> Proposal {
    let split = waiting_split(facts, meant);
    builder.intend(routes::towards(facts, split));
    builder.enter(Phase::Failed);
    builder.status.canary_weight = i64::from(split.canary());
    builder.reset_counters();
    let run = builder.run();
    ending::end(run, outcome);
    run.drain_until = None;
    restoration::begin(run);
    builder.count(Count::Failed);
    builder.post_rollout();
    builder.finish(Wake::At(facts.now))
}
