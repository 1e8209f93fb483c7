//! I19: a provider that does not answer neither promotes nor rolls back. What fails beside it still fails (I20).

use burgee_api::MetricErrors;
use burgee_core::decide::template_key;
use burgee_core::notice::Notice;
use burgee_core::rollout::Rollout;
use burgee_core::world::{Observed, World};

use super::act::{self, Act};
use super::round::Outcome;
use super::{Checker, Moment, Verdict, What, revision};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence;

/// Whether a metric names a template that is not there: that fails by itself, and nobody is asked (I21).
fn names_no_template(rollout: &Rollout, world: &World) -> bool {
    let mut keys = rollout.metrics().iter().filter_map(|metric| template_key(rollout, metric));
    keys.any(|key| world.seen(&key) == Observed::Absent)
}

impl Checker for Silence {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Decided { plan, world, round } = moment.what else { return Ok(()) };
        let rollout = &moment.after.rollout;
        let Some(status) = &world.canary.status else { return Ok(()) };
        // Without pods there is no check, but a failure all the same (I3). By an old version of the canary other metrics may
        // have been asked, and nothing can be written: a late watch only delays (I14).
        if moment.sight.canary_pods == 0 || !moment.saw_the_canary() {
            return Ok(());
        }
        let is_verdict =
            rollout.analysis.as_ref().is_some_and(|analysis| analysis.metric_errors == Some(MetricErrors::Fail));
        let outcomes = round.outcomes(rollout);
        if rollout.skip_analysis || revision::is_ordered(status) || is_verdict || !outcomes.contains(&Outcome::Silent) {
            return Ok(());
        }
        let only_silence = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Silent | Outcome::Passed));
        // A step whose routes somebody else keeps changing fails for that, whatever its metrics say (I13).
        let is_fought = act::tells(plan, |notice| matches!(notice, Notice::RoutesFought));
        match act::of(rollout, status, plan) {
            Some(Act::Advance) => Err("the step passed although a provider did not answer".to_owned()),
            Some(Act::Fail)
                if only_silence && !is_fought && !round.has_failed_hook() && !names_no_template(rollout, world) =>
            {
                Err("the silence of a provider was counted as a failed check".to_owned())
            }
            Some(Act::Fail | Act::Hold) | None => Ok(()),
        }
    }
}
