//! I6: a primary that is not ready never blocks the fix: with `skipAnalysis` a new revision starts whatever the primary
//! does, and so does one for a primary that nothing can be put back to. Else the primary is put back first. People are
//! asked in either case; while they are, and when the run begins, the traffic stays where it is.

use burgee_api::{Phase, WebhookType};
use burgee_core::digest::digest;
use burgee_core::notice::Notice;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::question::Ask;
use burgee_core::restoration;
use burgee_core::scaler;
use burgee_core::snapshot;
use burgee_core::workload;
use burgee_core::world::{Observed, World};
use jiff::Timestamp;

use super::wait::Wait;
use super::{Checker, Moment, Verdict, What, act, revision};
use crate::instant::{Instant, Part};

/// Since when a fix has been wanted and not begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Fix {
    wait: Wait,
    /// When its gate was asked last.
    asked: Option<Timestamp>,
}

impl Checker for Fix {
    fn look(&mut self, moment: &Moment) -> Verdict {
        self.wait.heed(moment);
        let (plan, world, round) = match moment.what {
            What::Decided { plan, world, round } => (plan, world, round),
            What::Step(Step::Status(_)) => return keeps_the_traffic(moment),
            What::Asked(_, Ask::Hook { webhook, .. }) if webhook.kind == WebhookType::ConfirmRollout => {
                if moment.after.status.phase == Phase::Waiting {
                    self.wait.end();
                }
                self.asked = Some(moment.after.now);
                return Ok(());
            }
            What::Step(_) | What::Asked(..) | What::Outside => return Ok(()),
        };
        let now = moment.after.now;
        if let Some(asked) = self.asked.take() {
            // What the gate takes for its answer is not the primary's doing, whatever is decided meanwhile.
            self.wait.postpone(now.duration_since(asked));
            self.asked = Some(now).filter(|_| !round.has_answer_of(WebhookType::ConfirmRollout));
        }
        // Whoever sees an old version of the canary can begin nothing: a late watch only delays (I14).
        if !moment.saw_the_canary() || !is_blocked(moment.after, plan, world) {
            self.wait.end();
            self.asked = None;
            return Ok(());
        }
        let waited = self.wait.goes_on(now);
        if waited > moment.after.rollout.interval {
            return Err(format!("the fix has waited {waited:#} for a primary that is not ready"));
        }
        Ok(())
    }
}

/// A run that begins while the target has the traffic of a failed promotion leaves it there.
fn keeps_the_traffic(moment: &Moment) -> Verdict {
    let (before, after) = (&moment.before.status, &moment.after.status);
    if restoration::is_due(before) && after.phase == Phase::Progressing && after.canary_weight < before.canary_weight {
        return Err(format!("the run began with {} % on the target, which had all", after.canary_weight));
    }
    Ok(())
}

/// Whether a revision could be shipped without a look at the primary, and is not.
fn is_blocked(instant: &Instant, plan: &Plan, world: &World) -> bool {
    let rollout = &instant.rollout;
    let Some(status) = &world.canary.status else { return false };
    let kept = world.seen(&snapshot::key(rollout, &status.last_promoted_spec));
    let can_heal = restoration::is_due(status) && kept != Observed::Absent;
    // While the brake is on nothing is shipped, and what can be put back is put back.
    let is_skipping = rollout.skip_analysis && !(can_heal && instant.settings.pause_new_runs);
    let waits_for_nothing = is_skipping || (restoration::is_due(status) && !can_heal);
    // A run needs the autoscaler that the spec names; that there is none is told.
    let lacks_scaler = scaler::key(rollout).is_some_and(|key| world.seen(&key) == Observed::Absent)
        && act::tells(plan, |notice| matches!(notice, Notice::Problem(_)));
    let is_held = rollout.suspended || instant.is_deleted();
    let is_free = waits_for_nothing && !is_held && !lacks_scaler && !revision::has_gaps(world);
    // Nobody is blamed for a revision that he could not see yet (I14).
    let seen = revision::target(instant, world).map(|target| digest(&workload::template(rollout.target_kind, &target)));
    let is_new = seen.as_deref() == Some(&*instant.revision)
        && *instant.revision != *status.last_applied_spec
        && *instant.revision != *status.last_promoted_spec
        && revision::has_moved(instant, world);
    let begins = plan.status().is_some_and(|after| after.phase != status.phase);
    let is_paused = act::tells(plan, |notice| matches!(notice, Notice::NewRunsPaused));
    let has_ended = status.phase.is_terminal() || restoration::is_due(status);
    is_free && has_ended && is_new && !instant.is_ready(Part::Primary) && !begins && !is_paused
}
