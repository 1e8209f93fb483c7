//! I21: a metric that cannot be resolved, because its template is missing or nothing says how to ask for it, is said at
//! once and never passes.

use burgee_api::Metric;
use burgee_core::decide::template_key;
use burgee_core::metric::builtin::Builtin;
use burgee_core::rollout::Rollout;
use burgee_core::world::{Observed, World};

use super::act::{self, Act};
use super::{Checker, Moment, Verdict, What, revision};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics;

impl Checker for Metrics {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Decided { plan, world, .. } = moment.what else { return Ok(()) };
        let rollout = &moment.after.rollout;
        let Some(status) = &world.canary.status else { return Ok(()) };
        if rollout.skip_analysis
            || revision::is_ordered(status)
            || act::of(rollout, status, plan) != Some(Act::Advance)
            || !act::has_begun(status)
        {
            return Ok(());
        }
        match rollout.metrics().iter().find(|metric| is_lost(rollout, world, metric)) {
            Some(metric) => Err(format!("the step passed although metric {} cannot be resolved", metric.name)),
            None => Ok(()),
        }
    }
}

fn is_lost(rollout: &Rollout, world: &World, metric: &Metric) -> bool {
    match template_key(rollout, metric) {
        Some(key) => world.seen(&key) == Observed::Absent,
        None => Builtin::from_name(&metric.name).is_none() && metric.query.as_deref().unwrap_or_default().is_empty(),
    }
}
