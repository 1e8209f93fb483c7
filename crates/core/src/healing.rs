//! Whether a primary that a promotion has changed still has to be put back (S3). It never says how, nor when.

use burgee_api::{CanaryStatus, Phase, Run};

/// Among the hooks of a run: its promotion has changed the primary and has ended, and the primary is not put back yet.
const CHANGED: &str = "primary/changed";

/// Whether the primary has to be put back to what was promoted last, or a fix be promoted to it: also while a person is
/// asked about that fix. What a peer left says so by its weight alone.
pub fn is_due(status: &CanaryStatus) -> bool {
    let is_marked = status.run.as_ref().is_some_and(|run| run.hooks_passed.iter().any(|passed| passed == CHANGED));
    matches!(status.phase, Phase::Failed | Phase::Waiting) && (status.canary_weight > 0 || is_marked)
}

/// Remembers that the primary has to be put back, wherever the traffic is meanwhile.
pub fn begin(run: &mut Run) {
    end(run);
    run.hooks_passed.push(CHANGED.to_owned());
}

/// Forgets the hooks of a run, but not that the primary has to be put back.
pub fn forget_hooks(run: &mut Run) {
    run.hooks_passed.retain(|passed| passed == CHANGED);
}

/// The primary is put back.
pub fn end(run: &mut Run) {
    run.hooks_passed.retain(|passed| passed != CHANGED);
}
