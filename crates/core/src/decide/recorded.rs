//! What the status says of a run, as questions that have an answer. It looks at no workload and decides nothing.

use burgee_api::{CanaryStatus, Ordered, Phase, PrimaryState, Run, Traffic};
use jiff::Timestamp;

use super::stamp::time;
use super::tick::Tick;
use crate::digest::is_foreign;
use crate::phase::PhaseRules;
use crate::restoration;
use crate::router;
use crate::split::{Mirror, Split};

/// The split that holds according to the status. Only what was written there is intended; anything else is drift.
pub(super) fn intended_split(tick: &Tick) -> Split {
    let Some(status) = &tick.world.canary.status else { return Split::PRIMARY };
    if is_takeover_due(status)
        && let Some(split) = peer_split(tick)
    {
        return split;
    }
    let split = Split::with_canary(u8::try_from(status.canary_weight.clamp(0, 100)).unwrap_or(0));
    let is_mirrored = status.run.as_ref().is_some_and(|run| run.traffic == Traffic::Mirrored);
    if status.phase.is_run() && is_mirrored { split.mirrored() } else { split }
}

/// Whether a run of the peer is under way that has not been taken over yet.
pub(super) fn is_takeover_due(status: &CanaryStatus) -> bool {
    let is_known = status.run.as_ref().is_some_and(|run| run.started_at.is_some());
    status.phase.is_run() && is_foreign(&status.last_applied_spec) && !is_known
}

/// The split that the peer's routes show. Its status is not always true while a run is under way (S8).
pub(super) fn peer_split(tick: &Tick) -> Option<Split> {
    let router = router::of(tick.rollout);
    if router.reads(tick.rollout).is_empty() {
        return None;
    }
    router.read(tick.rollout, tick.world).ok().flatten()
}

/// Where the traffic of a run is when it is split so.
pub(super) fn traffic(split: Split) -> Traffic {
    match split.mirror() {
        Mirror::On => Traffic::Mirrored,
        Mirror::Off => Traffic::Weighted,
    }
}

/// Whether the canary has been given anything to do in this run.
pub(super) fn has_begun(tick: &Tick) -> bool {
    let iterations = tick.world.canary.status.as_ref().map_or(0, |status| status.iterations);
    iterations > 0 || intended_split(tick) != Split::PRIMARY
}

/// Whether the run was begun by another strategy than the canary has now.
pub(super) fn has_changed_strategy(tick: &Tick) -> bool {
    let known = tick.run().and_then(|run| run.strategy);
    known.is_some_and(|known| known != tick.rollout.strategy.kind())
}

/// Whether the routes stay as they are, whatever the strategy is now: without the match of an A/B test they would lead
/// everybody to the canary, and with one not all to the canary who are there because the primary cannot start.
pub(super) fn keeps_routes(tick: &Tick) -> bool {
    has_changed_strategy(tick) && intended_split(tick).canary() > 0
}

/// Checks that have failed since the last weight.
pub(super) fn failed_checks(tick: &Tick) -> u32 {
    tick.world.canary.status.as_ref().map_or(0, |status| u32::try_from(status.failed_checks).unwrap_or(0))
}

/// When the next check is due: exactly one interval after the weight was written or the last check failed.
pub(super) fn due(tick: &Tick) -> Option<Timestamp> {
    let started = time(tick.run()?.step_started_at.as_deref()?)?;
    Some(started.saturating_add(tick.rollout.interval).unwrap_or(Timestamp::MAX))
}

/// Whether the run ships a fix for a primary that cannot start and cannot be put back. Nobody waits for that primary before
/// the fix is promoted to it (I6).
pub(super) fn is_fix(tick: &Tick) -> bool {
    tick.run().is_some_and(|run| run.primary == PrimaryState::Broken)
}

/// Whether a promotion has changed the primary and failed.
pub(super) fn is_healing_wanted(tick: &Tick) -> bool {
    tick.world.canary.status.as_ref().is_some_and(restoration::is_due)
}

/// Whether the run is to be promoted without further analysis, by its spec or by order.
pub(super) fn skips_analysis(tick: &Tick) -> bool {
    tick.rollout.skip_analysis || tick.run().and_then(|run| run.ordered) == Some(Ordered::Promote)
}

/// Whether the revision that failed is to be analysed again.
pub(super) fn wants_retry(phase: Phase, run: &Run) -> bool {
    matches!(phase, Phase::Failed | Phase::Waiting) && run.ordered == Some(Ordered::Retry)
}

/// Whether the analysis is paused.
pub(super) fn is_paused(tick: &Tick) -> bool {
    tick.run().is_some_and(|run| run.paused_since.is_some())
}

/// Whether something is under way that has to come to its end whatever others do.
pub(super) fn is_busy(tick: &Tick) -> bool {
    let Some(status) = &tick.world.canary.status else { return false };
    let drains = status.phase.is_terminal() && tick.run().is_some_and(|run| run.drain_until.is_some());
    status.phase.is_run() || restoration::is_due(status) || drains
}

/// Whether no run is under way, nor the bootstrap.
pub(super) fn is_between_runs(phase: Phase) -> bool {
    matches!(phase, Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed)
}
