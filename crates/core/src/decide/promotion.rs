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
use super::scene::Scene;
use super::stamp::fraction;
use crate::notice::Notice;
use crate::plan::Count;
use crate::split::{Mirror, Split};
use crate::timetable::Wake;
use crate::workload::{self, Side};
use crate::{ending, healing, kept};

/// The analysis is complete. The phase is written before the primary is touched: whoever finds the primary changed
/// also finds the phase that says so.
pub(super) fn begin(tick: &Facts, scene: &Scene, mut draft: PlanBuilder) -> Seen<Proposal> {
    if revision::change(tick, scene) == Change::Revision {
        return Ok(restart::restart(tick, scene));
    }
    draft.tell(Notice::Copying);
    draft.enter(Phase::Promoting);
    draft.drop_condition("Held");
    draft.clear_webhooks();
    if intended_split(tick).mirror() == Mirror::On {
        // An order or `skipAnalysis` came in the step with the copies.
        draft.intend(routes::routes(tick, Split::with_canary(intended_split(tick).canary()))?);
        draft.run().traffic = Traffic::Weighted;
    }
    let run = draft.run();
    ending::forget_hold(run);
    run.paused_since = None;
    run.fought_since = None;
    run.step_started_at = Some(fraction(tick.now));
    Ok(draft.finish(Wake::At(tick.now)))
}

/// Whether the primary has the template of this promotion, from us or from a peer whose run was taken over.
pub(super) fn is_copied(tick: &Facts, primary: &serde_json::Value) -> bool {
    let by_peer = tick.run().is_some_and(|run| run.primary == PrimaryState::Copied);
    let revision = tick.run().map_or("", |run| run.revision.as_str());
    by_peer || workload::is_copy(tick.rollout.target_kind, primary, &promotion_id(tick), revision)
}

/// Marks the primary of this promotion: a restarted operator finds out whether the copy was made.
pub(super) fn promotion_id(tick: &Facts) -> String {
    let run = tick.run().cloned().unwrap_or_default();
    kept::flagger_id(&tick.rollout.uid, &run.revision, &run.started_at.unwrap_or_default())
}

/// The primary cannot start: the canary, which runs the analysed revision, takes all traffic until the primary has
/// been put back (S3, I2).
pub(super) fn fail(tick: &Facts, reason: String) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.tell(Notice::PromotionFailed(reason));
    revoke(tick, draft, (Split::CANARY, RunOutcome::PromotionFailed))
}

/// Somebody takes back a promotion that has begun. Whoever does trusts the version less than before: it gets no more
/// traffic than it has, if the primary can keep its own.
pub(super) fn abort(tick: &Facts, draft: PlanBuilder, outcome: RunOutcome) -> Proposal {
    let meant = match (tick.ready_pods(Side::Primary) > 0, has_changed_strategy(tick)) {
        (true, false) => intended_split(tick),
        // The routes of another strategy would give it more.
        (true, true) => Split::PRIMARY,
        (false, _) => Split::CANARY,
    };
    revoke(tick, draft, (meant, outcome))
}

/// Where the traffic waits until the primary has been put back. Only a canary that has pods and runs what was analysed
/// takes what is meant for it; no other one gets more than it has (I1, I12).
fn waiting_split(tick: &Facts, meant: Split) -> Split {
    let is_analysed = tick.scene().is_ok_and(|scene| revision::change(tick, scene) != Change::Revision);
    if is_analysed && tick.ready_pods(Side::Canary) > 0 {
        meant
    } else if tick.ready_pods(Side::Primary) > 0 {
        Split::PRIMARY
    } else {
        intended_split(tick)
    }
}

/// Ends a promotion that has begun. Wherever the traffic waits, the primary is put back.
fn revoke(tick: &Facts, mut draft: PlanBuilder, (meant, outcome): (Split, RunOutcome)) -> Proposal {
    let split = waiting_split(tick, meant);
    draft.intend(routes::towards(tick, split));
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
