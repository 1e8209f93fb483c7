//! I28: nothing that cannot be read, made or understood stands before taking the traffic off a dead version, or before the
//! answer to an order. That hooks, events and slow writes do not either is I22, and tested where they are sent (operator).

use burgee_api::{CanaryStatus, Phase};
use burgee_core::order;
use burgee_core::phase::PhaseRules;

use super::wait::Wait;
use super::{Checker, Moment, Verdict, What};
use crate::instant::Instant;

/// Since when somebody has waited for something that is safe to do at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Safety {
    /// For the answer to an order, and to which.
    order: (Wait, String),
    /// For the traffic of a canary without pods to leave it.
    dead: Wait,
}

impl Checker for Safety {
    fn look(&mut self, moment: &Moment) -> Verdict {
        self.order.0.heed(moment);
        self.dead.heed(moment);
        let What::Decided { world, .. } = moment.what else { return Ok(()) };
        let instant = moment.after;
        if !moment.saw_the_canary() || instant.is_deleted() {
            self.order.0.end();
            self.dead.end();
            return Ok(());
        }
        let pending = order::pending(&world.canary).map(|order| match order {
            Ok(order) => order.id,
            Err(unreadable) => unreadable.id,
        });
        // Before the record is made that remembers answers, none is given.
        let pending = pending.filter(|_| !instant.status.phase.is_bootstrap() || instant.status.run.is_some());
        // One to take a run back whose primary has no pod waits for that, and it is told (I22).
        let pending = pending.filter(|_| instant.primary_pods > 0 || moment.sight.canary_pods == 0);
        if pending.as_ref() != Some(&self.order.1) {
            self.order = (Wait::default(), pending.clone().unwrap_or_default());
        }
        if let Some(id) = pending {
            let waited = self.order.0.goes_on(instant.now);
            if waited > instant.rollout.interval {
                return Err(format!("the order {id} has not been answered for {waited:#}"));
            }
        }
        if !is_dead(moment, instant) {
            self.dead.end();
            return Ok(());
        }
        let waited = self.dead.goes_on(instant.now);
        if waited > instant.rollout.interval {
            return Err(format!("a canary without pods has kept its traffic for {waited:#}"));
        }
        Ok(())
    }
}

/// Whether the canary has traffic and no pod, the primary could take it, and the operator knows both.
fn is_dead(moment: &Moment, instant: &Instant) -> bool {
    let CanaryStatus { phase, canary_weight, .. } = &*instant.status;
    let is_split = matches!(phase, Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting);
    let is_free = !instant.rollout.suspended && moment.sight.is_primary_known && moment.sight.target.is_some();
    is_split && is_free && *canary_weight > 0 && moment.canary_pods() == 0 && moment.sight.primary_pods > 0
}
