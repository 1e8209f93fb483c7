//! I9: a revision is what is stored of the pod template and nothing else: replicas, autoscalers and whatever else moves a
//! generation never look like one. The templates are compared here themselves, not by their digests.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_api::Phase;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::reconcile::are_alike;
use burgee_core::workload;
use burgee_core::world::World;
use serde_json::Value;

use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::Instant;

/// The target of each recorded digest, as it was when that was recorded first.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests {
    recorded: BTreeMap<String, Arc<Value>>,
}

impl Checker for Digests {
    fn look(&mut self, moment: &Moment) -> Verdict {
        match moment.what {
            What::Step(Step::Status(_)) => {
                self.record(moment);
                Ok(())
            }
            What::Decided { plan, world, .. } => self.judge(moment.after, plan, world),
            What::Step(_) | What::Outside | What::Asked(..) => Ok(()),
        }
    }
}

impl Digests {
    fn record(&mut self, moment: &Moment) {
        let status = &moment.after.status;
        let revision = status.run.as_ref().map_or(&status.last_applied_spec, |run| &run.revision);
        if let Some(target) = &moment.sight.target
            && !revision.is_empty()
            && !self.recorded.contains_key(revision)
        {
            self.recorded.insert(revision.clone(), Arc::clone(target));
        }
    }

    fn judge(&self, instant: &Instant, plan: &Plan, world: &World) -> Verdict {
        let Some(status) = &world.canary.status else { return Ok(()) };
        let next = plan.status().map_or(status.phase, |next| next.phase);
        let begins = status.phase.is_terminal() && matches!(next, Phase::Progressing | Phase::Waiting);
        if !begins
            || revision::is_ordered(status)
            || !revision::has_moved(instant, world)
            || revision::configs_moved(status, world)
        {
            return Ok(());
        }
        let known = self.recorded.get(&status.last_applied_spec);
        let (Some(known), Some(now)) = (known, revision::target(instant, world)) else { return Ok(()) };
        let template = |target| workload::template(instant.rollout.target_kind, target);
        if are_alike(&template(known), &template(&now)) {
            return Err(format!("{} became {next} although the template is the same", status.phase));
        }
        Ok(())
    }
}
