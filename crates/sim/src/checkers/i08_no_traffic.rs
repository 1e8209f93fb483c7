//! I8: a step in which the provider had no values, or in which no metric was asked, never passes: the canary may not have
//! seen any traffic at all.

use burgee_core::digest::is_foreign;

use super::act::{self, Act};
use super::round::Outcome;
use super::{Checker, Moment, Verdict, What, revision};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct NoTraffic;

impl Checker for NoTraffic {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Decided { plan, world, round } = moment.what else { return Ok(()) };
        let rollout = &moment.after.rollout;
        let Some(status) = &world.canary.status else { return Ok(()) };
        // A run that is taken over from a peer gets its true numbers, and no step.
        if is_foreign(&status.last_applied_spec) {
            return Ok(());
        }
        if rollout.skip_analysis
            || revision::is_ordered(status)
            || act::of(rollout, status, plan) != Some(Act::Advance)
            || !act::has_begun(status)
        {
            return Ok(());
        }
        let outcomes = round.outcomes(rollout);
        if outcomes.contains(&Outcome::NoData) {
            return Err("the step passed although a metric had no values".to_owned());
        }
        if outcomes.is_empty() && !rollout.metrics().is_empty() {
            return Err("the step passed although no metric was asked".to_owned());
        }
        Ok(())
    }
}
