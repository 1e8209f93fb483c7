//! I25: what is missing never hangs a deletion: a canary without a target is gone within a few intervals.

use jiff::Timestamp;

use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::Part;

/// Since when there has been nothing to put back.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletion {
    since: Option<Timestamp>,
}

impl Checker for Deletion {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let after = moment.after;
        let has_gaps = matches!(moment.what, What::Decided { world, .. } if revision::has_gaps(world));
        if !after.exists() || !after.is_deleted() || after.part(Part::Target).is_some() || has_gaps {
            self.since = None;
            return Ok(());
        }
        let waited = after.now.duration_since(*self.since.get_or_insert(after.now));
        if waited > after.rollout.interval.saturating_mul(2) {
            return Err(format!("the deletion of a canary without a target hangs for {waited:#}"));
        }
        Ok(())
    }
}
