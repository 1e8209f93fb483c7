//! A check that failed: counted, and the end of the run if it was the last one allowed (S21).

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::proposal::Proposal;
use super::rollback;
use super::stamp::fraction;
use crate::notice::Notice;
use crate::timetable::Wake;

/// A failed check: counted, and the end of the run if it was the last one allowed (S21).
pub(super) fn fail(facts: &Facts, mut builder: PlanBuilder, notice: Notice) -> Proposal {
    builder.run().last_failure = Some(notice.event_text(&facts.rollout.names()));
    builder.tell(notice);
    builder.status.failed_checks += 1;
    builder.run().fought_since = None;
    builder.run().step_started_at = Some(fraction(facts.now));
    if u32::try_from(builder.status.failed_checks).unwrap_or(u32::MAX) >= facts.rollout.threshold {
        return rollback::threshold(facts, builder);
    }
    builder.finish(Wake::At(facts.after(facts.rollout.interval)))
}
