//! I2: the only ready set is never scaled down, on any path. What a deletion takes with it is I24.

use burgee_core::workload;

use super::{Checker, Moment, Verdict};
use crate::instant::{Instant, Part};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct OnlyReadySet;

impl Checker for OnlyReadySet {
    fn look(&mut self, moment: &Moment) -> Verdict {
        if moment.step().is_none() {
            return Ok(());
        }
        let (before, after) = (moment.before, moment.after);
        // Nobody is blamed for pods that he could not see yet (I14).
        let canary_pods = before.canary_pods.min(moment.sight.canary_pods);
        if before.target_is_up && !after.target_is_up && canary_pods > 0 && moment.primary_pods() == 0 {
            return Err("the target went to zero while the primary had no ready pod".to_owned());
        }
        if is_up(before) && !is_up(after) && before.primary_pods > 0 && moment.canary_pods() == 0 {
            return Err("the primary went to zero while the target had no ready pod".to_owned());
        }
        Ok(())
    }
}

fn is_up(instant: &Instant) -> bool {
    let kind = instant.rollout.target_kind;
    instant.part(Part::Primary).is_some_and(|primary| !workload::is_scaled_to_zero(kind, primary))
}
