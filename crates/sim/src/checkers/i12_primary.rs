//! I12: what runs as primary was analysed: the template of the revision under promotion, or the last promoted one when the
//! primary is put back, which is also what one gets that was deleted during a promotion. Without a kept template it may
//! come from the target, but never silently. Of a Service the spec is the template, of a Knative Service the name of the
//! revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_api::{CanaryStatus, Phase};
use burgee_core::notice::Notice;
use burgee_core::plan::Step;
use burgee_core::tracked;
use burgee_core::workload::{self, Recipe};
use burgee_core::world::ObjectKey;
use serde_json::Value;

use super::{Checker, Moment, Verdict, What};
use crate::instant::{Instant, Part};

/// The targets that there were, by their digests.
#[derive(Clone, Debug, Default)]
pub(super) struct Primary {
    known: BTreeMap<Arc<str>, Arc<Value>>,
    said_by: Option<u64>,
}

impl Checker for Primary {
    fn look(&mut self, moment: &Moment) -> Verdict {
        for instant in [moment.before, moment.after] {
            if let Some(target) = instant.shared(Part::Target)
                && !self.known.contains_key(&instant.revision)
            {
                self.known.insert(Arc::clone(&instant.revision), Arc::clone(target));
            }
        }
        match moment.what {
            What::Step(Step::Tell(telling)) if telling.notice == Notice::PrimaryRecreatedFromTarget => {
                self.said_by = Some(moment.sight.number);
                Ok(())
            }
            What::Step(Step::Create(_) | Step::Replace(_))
                if self.said_by != Some(moment.sight.number) && !moment.is_overtaken =>
            {
                self.judge(moment.before, moment.after)
            }
            What::Step(_) | What::Outside | What::Asked(..) | What::Decided { .. } => Ok(()),
        }
    }
}

impl Primary {
    fn judge(&self, before: &Instant, after: &Instant) -> Verdict {
        let Some(primary) = after.part(Part::Primary) else { return Ok(()) };
        if before.is_same(after, &[Part::Primary]) {
            return Ok(());
        }
        let (old, new) = (before.running(), after.running());
        if old == new || new.is_null() {
            return Ok(());
        }
        let is_put_back = old.is_null() && after.status.phase == Phase::Promoting;
        let status = &before.status;
        let expected = if is_put_back { &status.last_promoted_spec } else { expected(status) };
        let Some(target) = self.known.get(expected) else { return Ok(()) };
        let tracked = tracked_keys(before, target);
        let recipe =
            Recipe { rollout: &after.rollout, settings: &after.settings, tracked: &tracked, flagger_id: "any" };
        let good = workload::template(after.rollout.target_kind, target);
        match workload::runs(&recipe, &good, target, primary) {
            Ok(false) => Err(format!("the primary got something else than {expected} in {}", before.status.phase)),
            Ok(true) | Err(_) => Ok(()),
        }
    }
}

/// The revision that the primary may get in a phase.
fn expected(status: &CanaryStatus) -> &str {
    match status.phase {
        Phase::Unset | Phase::Initializing => status.run.as_ref().map_or("", |run| &run.revision),
        Phase::Promoting | Phase::Finalising => &status.last_applied_spec,
        Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => &status.last_promoted_spec,
    }
}

/// The configs of which the primary uses the copies.
pub(super) fn tracked_keys(instant: &Instant, target: &Value) -> Vec<ObjectKey> {
    let references = tracked::references(&instant.rollout.namespace, &target["spec"]["template"]);
    let keys = references.into_iter().map(|reference| reference.key);
    let recorded = instant.status.tracked_configs.as_ref();
    keys.filter(|key| recorded.is_some_and(|recorded| recorded.contains_key(&tracked::status_key(key)))).collect()
}
