//! I20: the verdict follows from the answers and not from their order: failed beats no data beats silent beats passed.
//! That a step without data or with a silent provider does not pass is I8 and I19.

use burgee_core::notice::Notice;

use super::act::{self, Act};
use super::round::Outcome;
use super::{Checker, Moment, Verdict, What, revision};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts;

impl Checker for Verdicts {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Decided { plan, world, round } = moment.what else { return Ok(()) };
        let rollout = &moment.after.rollout;
        let Some(status) = &world.canary.status else { return Ok(()) };
        // Without pods there is no check, but a failure all the same (I3). By an old version of the canary other metrics may
        // have been asked, and nothing can be written: a late watch only delays (I14).
        if moment.sight.canary_pods == 0 || !moment.saw_the_canary() {
            return Ok(());
        }
        let (Some(verdict), Some(act)) = (round.verdict(rollout), act::of(rollout, status, plan)) else {
            return Ok(());
        };
        // Metrics that cannot even be asked for fail too, but nobody answers for them.
        let all_were_asked = round.outcomes(rollout).len() >= rollout.metrics().len();
        // A step whose routes somebody else keeps changing fails for that, whatever its metrics say (I13).
        let is_fought = act::tells(plan, |notice| matches!(notice, Notice::RoutesFought));
        let is_held = status.run.as_ref().is_some_and(|run| run.held_since.is_some());
        let is_right = match (verdict, act) {
            (Outcome::Failed, act) => act == Act::Fail || rollout.skip_analysis || revision::is_ordered(status),
            (Outcome::NoData, Act::Hold) => is_held,
            (Outcome::Passed, Act::Fail) => round.has_failed_hook() || !all_were_asked || is_fought,
            (Outcome::Passed, Act::Hold) => false,
            (Outcome::NoData | Outcome::Silent, _) | (Outcome::Passed, Act::Advance) => true,
        };
        if is_right { Ok(()) } else { Err(format!("the answers say {verdict:?}, the plan says {act:?}")) }
    }
}
