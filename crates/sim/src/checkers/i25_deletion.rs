//! I25: what is missing never hangs a deletion: a canary without a target, or without a ready pod on either side, is gone
//! within a few intervals and the drain.

use super::wait::Wait;
use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::Part;

/// Since when there has been nothing to put back, or nobody who could lose anything by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletion {
    wait: Wait,
    /// Which operator acted last, and how often that one had been killed.
    life: (usize, u64),
}

impl Checker for Deletion {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let after = moment.after;
        self.wait.heed(moment);
        let has_gaps = matches!(moment.what, What::Decided { world, .. } if revision::has_gaps(world));
        if !after.exists() || !after.is_deleted() || protects(moment) || has_gaps {
            self.wait.end();
            return Ok(());
        }
        let life = (moment.operator, moment.sight.deaths);
        if std::mem::replace(&mut self.life, life) != life {
            // Whoever has just begun knows when the drain ends by the status alone, and waits for it once more if his clock
            // was set back.
            self.wait.renew(after.now);
        }
        if matches!(moment.what, What::Decided { .. }) && moment.saw_the_canary() {
            // A late watch only delays (I14).
            self.wait.goes_on(after.now);
        }
        let Some(waited) = self.wait.so_far(after.now) else { return Ok(()) };
        if waited > after.rollout.interval.saturating_mul(2).saturating_add(after.drain_delay()) {
            return Err(format!("the deletion of a canary that serves nobody hangs for {waited:#}"));
        }
        Ok(())
    }
}

/// Whether the deletion has a reason to wait: a set that has pods, or had some as far as the operator knew, for a late watch
/// only delays (I14). What is wrong with the canary is none.
fn protects(moment: &Moment) -> bool {
    let has_pods = moment.primary_pods() > 0 || moment.after.primary_pods > 0 || moment.after.canary_pods > 0;
    moment.after.part(Part::Target).is_some() && has_pods
}
