//! I6: a primary that is not ready never blocks the fix: with `skipAnalysis` a new revision starts whatever the primary
//! does. Without it the primary is put back first, and the gates of people may hold it up.

use burgee_api::WebhookType;
use burgee_core::notice::Notice;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::Plan;
use burgee_core::question::Ask;
use burgee_core::workload::{self, Patience, Readiness};
use burgee_core::world::World;
use jiff::Timestamp;

use super::{Checker, Moment, Verdict, What, act, revision};
use crate::instant::{Instant, Part};

/// Since when a fix has been wanted and not begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Fix {
    since: Option<Timestamp>,
    /// When its gate was asked last.
    asked: Option<Timestamp>,
}

impl Checker for Fix {
    fn look(&mut self, moment: &Moment) -> Verdict {
        if let What::Asked(_, Ask::Hook { webhook, .. }) = moment.what
            && webhook.kind == WebhookType::ConfirmRollout
        {
            self.asked = Some(moment.after.now);
        }
        let What::Decided { plan, world, .. } = moment.what else { return Ok(()) };
        let now = moment.after.now;
        if let Some(asked) = self.asked.take() {
            // What the gate takes for its answer is not the primary's doing.
            self.since = self.since.and_then(|since| since.checked_add(now.duration_since(asked)).ok());
        }
        if !is_blocked(moment.after, plan, world) {
            self.since = None;
            return Ok(());
        }
        let waited = now.duration_since(*self.since.get_or_insert(now));
        if waited > moment.after.rollout.interval {
            return Err(format!("the fix has waited {waited:#} for a primary that is not ready"));
        }
        Ok(())
    }
}

/// Whether a revision could be shipped without a look at the primary, and is not.
fn is_blocked(instant: &Instant, plan: &Plan, world: &World) -> bool {
    let rollout = &instant.rollout;
    let Some(status) = &world.canary.status else { return false };
    let is_free = rollout.skip_analysis && !rollout.suspended && !instant.is_deleted() && !revision::has_gaps(world);
    let is_new = *instant.revision != *status.last_applied_spec
        && *instant.revision != *status.last_promoted_spec
        && revision::has_moved(instant, world);
    let begins = plan.status().is_some_and(|after| after.phase != status.phase);
    let is_paused = act::tells(plan, |notice| matches!(notice, Notice::NewRunsPaused));
    is_free && status.phase.is_terminal() && is_new && !is_ready(instant) && !begins && !is_paused
}

fn is_ready(instant: &Instant) -> bool {
    let rollout = &instant.rollout;
    let patience = Patience {
        ready_percent: rollout.primary_ready_percent,
        deadline_seconds: rollout.progress_deadline_seconds,
        since: None,
        now: instant.now,
    };
    // A missing primary is put back first, from what was promoted last (I12).
    let Some(primary) = instant.part(Part::Primary) else { return true };
    workload::readiness(rollout.target_kind, primary, &patience) == Readiness::Ready
}
