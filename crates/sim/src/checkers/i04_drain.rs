//! I4: a set whose traffic went to nothing keeps its pods and its Service for the drain delay, because proxies learn of a
//! new route later than the API server does. An operator that did not write when the drain ends has nothing but the status
//! and its clock to go by, and is not blamed for what these say.

use burgee_core::plan::Step;
use jiff::Timestamp;

use super::{Checker, Moment, Verdict, What};
use crate::instant::{Instant, Part};

/// Since when each set has had no traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct Drain {
    primary: Quiet,
    canary: Quiet,
    /// Who wrote when the drain ends: which operator, and how often that one had been killed.
    timer: Option<(usize, u64)>,
}

impl Checker for Drain {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        self.primary.heed(moment, (before.traffic.primary, after.traffic.primary));
        self.canary.heed(moment, (to_canary(before), to_canary(after)));
        let end = |instant: &Instant| instant.status.run.as_ref().and_then(|run| run.drain_until.clone());
        let writer = (moment.operator, moment.sight.deaths);
        let is_misled = self.timer.is_some_and(|timer| timer != writer)
            && end(before).and_then(|end| end.parse().ok()).is_some_and(|end: Timestamp| end <= moment.sight.now);
        if matches!(moment.what, What::Step(Step::Status(_))) && end(before) != end(after) {
            self.timer = Some(writer);
        }
        if moment.step().is_none() {
            return Ok(());
        }
        if before.is_mirrored() && after.is_mirrored() && before.target_is_up && !after.target_is_up {
            return Err("the canary went while requests were copied to it".to_owned());
        }
        if is_misled {
            return Ok(());
        }
        if before.canary_pods > 0 && went(moment, Part::CanaryService, Part::Target) {
            self.canary.is_over(moment).map_err(|waited| format!("the canary went {waited} after its traffic"))?;
        }
        if before.primary_pods > 0 && went(moment, Part::PrimaryService, Part::Primary) {
            self.primary.is_over(moment).map_err(|waited| format!("the primary went {waited} after its traffic"))?;
        }
        Ok(())
    }
}

/// What goes to the canary; copies of requests are traffic as well.
fn to_canary(instant: &Instant) -> i64 {
    if instant.is_mirrored() { 100 } else { instant.traffic.canary }
}

/// Since when a set has had no traffic; none while it has some, or if it never had any.
#[derive(Clone, Copy, Debug, Default)]
struct Quiet {
    since: Option<Timestamp>,
    /// The same as far as an operator could see it: what came and went before a watch showed it begins no drain anew (I14).
    known: Option<Timestamp>,
    /// Whether somebody else has led traffic to it, and no operator has seen that.
    is_unseen: bool,
}

impl Quiet {
    fn heed(&mut self, moment: &Moment, (old, new): (i64, i64)) {
        match moment.what {
            What::Outside if old == 0 && new > 0 => self.is_unseen = true,
            What::Decided { .. } | What::Asked(..) if moment.saw_the_route() && new > 0 => self.is_unseen = false,
            What::Step(_) if (old > 0) != (new > 0) => self.is_unseen = false,
            What::Outside | What::Decided { .. } | What::Step(_) | What::Asked(..) => {}
        }
        match (old > 0, new > 0) {
            (_, true) => self.since = None,
            (true, false) => self.since = Some(moment.after.now),
            (false, false) => {}
        }
        if !self.is_unseen {
            self.known = self.since;
        }
    }

    /// Whether the drain delay has passed. The error is how long ago the last traffic was. What was begun before the lease
    /// was lost only arrives late: another one may have begun the drain anew since.
    fn is_over(&self, moment: &Moment) -> Result<(), String> {
        let Some(since) = self.known else { return Ok(()) };
        let waited = moment.after.now.duration_since(since);
        let is_overtaken = moment.is_overtaken && since > moment.sight.at;
        if waited < moment.after.drain_delay() && !is_overtaken { Err(format!("{waited:#}")) } else { Ok(()) }
    }
}

/// Whether a step took a set away from requests on old routes.
fn went(moment: &Moment, service: Part, workload: Part) -> bool {
    serves(moment.before, service, workload) && !serves(moment.after, service, workload)
}

/// The Service need not be there before the first route.
fn serves(instant: &Instant, service: Part, workload: Part) -> bool {
    instant.part(service).is_none() || instant.has_endpoints(service, workload)
}
