//! I3: where traffic goes, pods are ready, bootstrap included. Traffic is what the routes say, or the apex Service before
//! there are any; pods are those that the Service in the way selects. Nobody but the operator is blamed here for what the
//! operator did not do: pods that crash are no step.

use super::{Checker, Moment, Verdict};
use crate::instant::{Instant, Part};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints;

impl Checker for Endpoints {
    fn look(&mut self, moment: &Moment) -> Verdict {
        if moment.step().is_none() {
            return Ok(());
        }
        let (before, after) = (moment.before, moment.after);
        let primary_is_late = before.primary_pods == 0 && moment.sight.primary_pods > 0;
        if !primary_is_late && primary_is_served(before) && !primary_is_served(after) {
            return Err(format!("{} % go to a primary without ready endpoints", after.traffic.primary));
        }
        let canary_is_late = before.canary_pods == 0 && moment.sight.canary_pods > 0;
        if !canary_is_late && canary_is_served(before) && !canary_is_served(after) {
            return Err(format!("{} % go to a canary without ready endpoints", after.traffic.canary));
        }
        Ok(())
    }
}

fn primary_is_served(instant: &Instant) -> bool {
    instant.traffic.primary == 0 || instant.has_endpoints(service(instant, Part::PrimaryService), Part::Primary)
}

fn canary_is_served(instant: &Instant) -> bool {
    instant.traffic.canary == 0 || instant.has_endpoints(service(instant, Part::CanaryService), Part::Target)
}

/// The Service through which a set gets its traffic.
fn service(instant: &Instant, own: Part) -> Part {
    if instant.is_routed() { own } else { Part::Apex }
}
