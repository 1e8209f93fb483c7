//! What goes with a run when it ends, or with a part of it. It never says whether it ends.

use burgee_api::{Run, RunOutcome, Traffic};

/// The run is over, and nothing of it goes on.
pub fn end(run: &mut Run, outcome: RunOutcome) {
    run.outcome = Some(outcome);
    run.traffic = Traffic::Weighted;
    run.step_started_at = None;
    forget_hold(run);
    forget_orders(run);
}

/// A run that has ended, or is being promoted, is neither paused nor waits for anything that was ordered.
pub fn forget_orders(run: &mut Run) {
    run.ordered = None;
    run.paused_since = None;
}

/// No provider is waited for any more.
pub fn forget_hold(run: &mut Run) {
    (run.held_since, run.held_reason, run.catching_up) = (None, None, None);
}
