//! A check that failed: counted, and the end of the run if it was the last one allowed (S21).

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::proposal::Proposal;
use super::rollback;
use super::stamp::fraction;
use crate::notice::Notice;
use crate::timetable::Wake;

/// A failed check: counted, and the end of the run if it was the last one allowed (S21).
pub(super) fn fail(tick: &Facts, mut draft: PlanBuilder, notice: Notice) -> Proposal {
    draft.run().last_failure = Some(notice.event_text(&tick.rollout.names()));
    draft.tell(notice);
    draft.status.failed_checks += 1;
    draft.run().fought_since = None;
    draft.run().step_started_at = Some(fraction(tick.now));
    if u32::try_from(draft.status.failed_checks).unwrap_or(u32::MAX) >= tick.rollout.threshold {
        return rollback::threshold(tick, draft);
    }
    draft.finish(Wake::At(tick.after(tick.rollout.interval)))
}
