//! Whether a primary that a promotion has changed still has to be put back (S3). It never says how, nor when.

use burgee_api::{CanaryStatus, Phase, PrimaryState, Run};

/// Whether the primary has to be put back to what was promoted last, or a fix be promoted to it: also while a person is
/// asked about that fix. What a peer left says so by its weight alone.
pub fn is_due(status: &CanaryStatus) -> bool {
    let is_changed = status.run.as_ref().is_some_and(|run| run.primary == PrimaryState::Changed);
    matches!(status.phase, Phase::Failed | Phase::Waiting) && (status.canary_weight > 0 || is_changed)
}

/// Remembers that the primary has to be put back, wherever the traffic is meanwhile.
pub fn begin(run: &mut Run) {
    run.primary = PrimaryState::Changed;
}

/// The primary is put back.
pub fn end(run: &mut Run) {
    run.primary = PrimaryState::Promoted;
}
