//! I23: each transition has exactly one event, told before the status write that makes it unrepeatable, and at most one
//! alert, sent after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_api::{CanaryStatus, Delivery, Phase};
use burgee_core::notice::Notice;
use burgee_core::plan::{Step, Telling};

use super::{Checker, Moment, Verdict, What};
use crate::instant::{Instant, Part};

/// What was told: under which name in which run, and by the decisions under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Tellings {
    names: BTreeMap<String, String>,
    /// The last decision before somebody changed what is wanted.
    outdated: u64,
    /// Of each operator: one may stand still in the middle of its plan.
    decisions: BTreeMap<usize, Decision>,
    /// What has ever stood in the status as due: one that reads it late delivers it once more.
    noted: BTreeSet<Delivery>,
}

/// What has been done of a decision.
#[derive(Clone, Debug, Default)]
struct Decision {
    number: u64,
    told: BTreeSet<String>,
    has_written: bool,
    delivered: BTreeSet<Delivery>,
}

impl Checker for Tellings {
    fn look(&mut self, moment: &Moment) -> Verdict {
        if is_edited(moment) {
            // What was told, and is told yet, of a step that then was another one is no telling of that one.
            self.names.clear();
            self.outdated = moment.sight.number;
        }
        let Some(step) = moment.step() else { return Ok(()) };
        let run = moment.before.status.run.as_ref();
        self.noted.extend(run.into_iter().flat_map(|run| run.due.iter().cloned()));
        let decision = self.decisions.entry(moment.operator).or_default();
        if decision.number != moment.sight.number {
            *decision = Decision { number: moment.sight.number, ..Decision::default() };
        }
        match step {
            Step::Tell(telling) => {
                decision.told.insert(telling.event_suffix.clone());
                // Nor is what was told by an old view of the canary: a late watch only delays (I14).
                let is_outdated = decision.number <= self.outdated || !moment.saw_the_canary();
                if is_outdated { Ok(()) } else { self.tell(moment.before, telling) }
            }
            Step::Status(_) => {
                decision.has_written = true;
                let (before, after) = (&moment.before.status, &moment.after.status);
                if before.phase != after.phase && is_told(before.phase, after.phase) && decision.told.is_empty() {
                    return Err(format!("{} became {} without a word", before.phase, after.phase));
                }
                // What others told, and did not come to write, is told anew if it is decided again.
                self.names.retain(|_, name| decision.told.contains(name));
                self.write(before, after);
                Ok(())
            }
            // What the status says is due had its write.
            Step::Deliver(delivery) if !decision.has_written && !self.noted.contains(delivery) => {
                Err(format!("{:?} {} came before its status", delivery.kind, delivery.text))
            }
            Step::Deliver(delivery) if !decision.delivered.insert(delivery.clone()) => {
                Err(format!("{:?} {} came twice", delivery.kind, delivery.text))
            }
            Step::Deliver(_)
            | Step::Create(_)
            | Step::Replace(_)
            | Step::Patch { .. }
            | Step::Drop(_)
            | Step::Keep(_)
            | Step::CopyConfig(_)
            | Step::KeepConfigs { .. }
            | Step::RestoreConfigs(_)
            | Step::Count(_) => Ok(()),
        }
    }
}

impl Tellings {
    /// An event of the same name is one event: its retry is a conflict.
    fn tell(&mut self, before: &Instant, telling: &Telling) -> Verdict {
        if !is_transition(&telling.notice) {
            return Ok(());
        }
        let text = telling.notice.text(&before.rollout.names());
        let revision = before.status.run.as_ref().map_or("", |run| &run.revision);
        let occasion = format!("{} {} {revision} {text}", before.run_start(), before.status.phase);
        let name = self.names.entry(occasion).or_insert_with(|| telling.event_suffix.clone());
        if *name == telling.event_suffix {
            return Ok(());
        }
        Err(format!("{text} was told as {name} and as {}", telling.event_suffix))
    }

    /// What has happened is told anew when it happens again: a run that waits at its gate again can be turned away again,
    /// and traffic that was taken back goes the same steps once more.
    fn write(&mut self, before: &CanaryStatus, after: &CanaryStatus) {
        let is_checking = matches!(after.phase, Phase::Progressing | Phase::WaitingPromotion);
        let is_back = after.canary_weight < before.canary_weight || after.iterations < before.iterations;
        if before.phase != after.phase || (is_checking && is_back) {
            self.names.clear();
        }
    }
}

/// Whether somebody changed what is wanted, by an edit or by an order.
fn is_edited(moment: &Moment) -> bool {
    let (before, after) = (moment.before, moment.after);
    let wanted = |instant: &Instant| instant.object(Part::Canary)["metadata"]["annotations"].clone();
    let is_same = Arc::ptr_eq(&before.rollout, &after.rollout) && before.revision == after.revision;
    matches!(moment.what, What::Outside) && !(is_same && wanted(before) == wanted(after))
}

/// Whether a transition has an event of its own. The traffic may return in silence where there is none to route, and a
/// revision that is taken back at the gate was never a run.
fn is_told(from: Phase, to: Phase) -> bool {
    match to {
        Phase::Unset | Phase::Initializing | Phase::Finalising | Phase::Terminated => false,
        Phase::Succeeded | Phase::Failed => from != Phase::Waiting,
        Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Terminating => true,
    }
}

/// Whether a notice says that something happened, not how things still are.
fn is_transition(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::InitializationDone
            | Notice::NewRevision
            | Notice::CanaryAdvanced(_)
            | Notice::CanaryAdvancedAgain(..)
            | Notice::IterationAdvanced(..)
            | Notice::PrimaryAdvanced(_)
            | Notice::Copying
            | Notice::RoutingToPrimary
            | Notice::RoutingToCanary
            | Notice::MirroringStopped
            | Notice::PromotionCompleted
            | Notice::AnalysisSkipped
            | Notice::ManualRollback
            | Notice::ThresholdReached(_)
            | Notice::CanaryFailed
            | Notice::PromotionFailed(_)
            | Notice::RestoringPrimary
            | Notice::Terminating
    )
}
