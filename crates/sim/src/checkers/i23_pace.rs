//! I23: two raises of a weight, or two iterations, are never closer than the interval, whatever restarts in between. The
//! time is the real one, not the one that the status tells. Only an operator that did not write the raise before, and so
//! has nothing but the status and its clock to go by, is not blamed for what these say.

use burgee_api::{CanaryStatus, Phase};
use burgee_core::digest::is_foreign;
use burgee_core::plan::Step;
use jiff::{SignedDuration, Timestamp};

use super::{Checker, Moment, Verdict, What};

/// The last raise.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    last: Option<Raise>,
}

#[derive(Clone, Debug)]
struct Raise {
    at: Timestamp,
    run: String,
    /// Who wrote it: which operator, and how often that one had been killed.
    writer: (usize, u64),
}

impl Checker for Pace {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Step(Step::Status(_)) = moment.what else { return Ok(()) };
        let after = moment.after;
        if !is_raise(&moment.before.status, &after.status) {
            return Ok(());
        }
        let writer = (moment.operator, moment.sight.deaths);
        // By a clock that was set back two runs may have begun at the same time.
        let run = format!("{} of {}", after.run_start(), after.status.last_applied_spec);
        let raise = Raise { at: after.now, run: run.clone(), writer };
        let Some(last) = self.last.replace(raise).filter(|last| last.run == run) else { return Ok(()) };
        let (waited, interval) = (after.now.duration_since(last.at), after.rollout.interval);
        let is_misled = last.writer != writer && by_status(moment).is_some_and(|waited| waited >= interval);
        if waited < interval && !is_misled {
            let CanaryStatus { canary_weight, iterations, .. } = *after.status;
            return Err(format!("weight {canary_weight}, iteration {iterations} came after {waited:#}"));
        }
        Ok(())
    }
}

/// For how long the step had lasted, as far as the status and the operator's clock say.
fn by_status(moment: &Moment) -> Option<SignedDuration> {
    let started = moment.before.status.run.as_ref()?.step_started_at.as_deref()?;
    Some(moment.sight.now.duration_since(started.parse().ok()?))
}

fn is_raise(before: &CanaryStatus, after: &CanaryStatus) -> bool {
    let is_checking = matches!(after.phase, Phase::Progressing | Phase::WaitingPromotion);
    // What is taken over from a peer is only written down as it is.
    let is_adopted = is_foreign(&before.last_applied_spec);
    is_checking && !is_adopted && (after.canary_weight > before.canary_weight || after.iterations > before.iterations)
}
