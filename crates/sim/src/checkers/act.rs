//! What a plan makes of a check: goes on, counts a failure, or holds. It only reads plans.

use burgee_api::{CanaryStatus, Phase, Traffic};
use burgee_core::notice::Notice;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::rollout::Rollout;

/// What a plan makes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The check passed: the next weight or iteration, or the promotion.
    Advance,
    /// The check failed: it is counted, or ends the run.
    Fail,
    /// There is no verdict.
    Hold,
}

/// What a plan makes of a check; none if it is about something else.
pub(super) fn of(rollout: &Rollout, before: &CanaryStatus, plan: &Plan) -> Option<Act> {
    let after = plan.status()?;
    if !before.phase.is_run() || tells(plan, |notice| matches!(notice, Notice::RestartingAnalysis)) {
        return None;
    }
    let held = |status: &CanaryStatus| status.run.as_ref().and_then(|run| run.held_since.clone());
    // A threshold that was lowered ends a run without a check.
    let was_over = before.failed_checks >= i64::from(rollout.threshold);
    let is_over = tells(plan, |notice| matches!(notice, Notice::ThresholdReached(_)));
    if after.failed_checks > before.failed_checks || (is_over && !was_over) {
        Some(Act::Fail)
    } else if is_advance(before, after) {
        Some(Act::Advance)
    } else if held(before).is_none() && held(after).is_some() {
        Some(Act::Hold)
    } else {
        None
    }
}

fn is_advance(before: &CanaryStatus, after: &CanaryStatus) -> bool {
    let is_checking = |phase| matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let goes_on = is_checking(after.phase)
        && (after.canary_weight > before.canary_weight || after.iterations > before.iterations);
    is_checking(before.phase) && (goes_on || after.phase == Phase::Promoting)
}

/// Whether a plan tells of something.
pub(super) fn tells(plan: &Plan, wanted: impl Fn(&Notice) -> bool) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Tell(telling) if wanted(&telling.notice)))
}

/// Whether the canary has had anything to do in this run: before that, no metric is asked.
pub(super) fn has_begun(status: &CanaryStatus) -> bool {
    let is_mirrored = status.run.as_ref().is_some_and(|run| run.traffic == Traffic::Mirrored);
    status.canary_weight > 0 || status.iterations > 0 || is_mirrored
}
