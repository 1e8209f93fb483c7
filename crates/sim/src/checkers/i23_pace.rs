//! I23: two raises of a weight, or two iterations, are never closer than the interval, whatever restarts in between. The
//! time is the real one, not the one that the status tells.

use burgee_api::{CanaryStatus, Phase};
use burgee_core::digest::is_foreign;
use burgee_core::plan::Step;
use jiff::Timestamp;

use super::{Checker, Moment, Verdict, What};

/// When the last raise was, and in which run.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    last: Option<(Timestamp, String)>,
}

impl Checker for Pace {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Step(Step::Status(_)) = moment.what else { return Ok(()) };
        let after = moment.after;
        if !is_raise(&moment.before.status, &after.status) {
            return Ok(());
        }
        let last = self.last.replace((after.now, after.run_start().to_owned()));
        let Some((at, _)) = last.filter(|(_, run)| run == after.run_start()) else { return Ok(()) };
        let waited = after.now.duration_since(at);
        if waited < after.rollout.interval {
            let CanaryStatus { canary_weight, iterations, .. } = *after.status;
            return Err(format!("weight {canary_weight}, iteration {iterations} came after {waited:#}"));
        }
        Ok(())
    }
}

fn is_raise(before: &CanaryStatus, after: &CanaryStatus) -> bool {
    let is_checking = matches!(after.phase, Phase::Progressing | Phase::WaitingPromotion);
    // What is taken over from a peer is only written down as it is.
    let is_adopted = is_foreign(&before.last_applied_spec);
    is_checking && !is_adopted && (after.canary_weight > before.canary_weight || after.iterations > before.iterations)
}
