//! I3: where traffic goes, pods are ready, bootstrap included. Traffic is what the routes say, or the apex Service before
//! there are any; pods are those that the Service in the way selects. Pods that crash are no step of the operator's; but
//! as long as it splits the traffic, it takes it within an interval from a canary that has lost its pods.

use burgee_api::Phase;
use burgee_core::phase::PhaseRules;
use burgee_core::router::Shares;
use burgee_core::split::Split;
use burgee_core::world::World;

use super::wait::Wait;
use super::{ByOperator, Checker, Moment, Verdict, What, revision};
use crate::instant::{Instant, Part};

/// What is remembered of a play.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    /// Since when requests have gone to a canary without pods, although the primary could take them.
    out: Wait,
    /// Whether somebody else has changed a Service or the routes since the decision that is being carried out: what the
    /// plan was made for is gone, and the next one sees it.
    is_edited: ByOperator,
}

/// What leads requests to pods.
const WAYS: [Part; 4] = [Part::Apex, Part::PrimaryService, Part::CanaryService, Part::Route];

impl Checker for Endpoints {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        self.out.heed(moment);
        if !is_out(after) {
            self.out.end();
        }
        match moment.what {
            What::Decided { world, .. } => {
                if sees_the_way(after, world) {
                    self.is_edited.forget(moment.operator);
                }
                return self.continuously(after, world);
            }
            What::Outside if !before.is_same(after, &WAYS) => self.is_edited.note(),
            What::Outside | What::Asked(..) | What::Step(_) => {}
        }
        // What was begun before the lease was lost only arrives late; the holder sees it, and mends it.
        if moment.step().is_none() || self.is_edited.of(moment.operator) || moment.is_overtaken {
            return Ok(());
        }
        // Nobody is blamed for pods and Services that were gone before a watch showed it (I14).
        let [saw_primary, saw_canary] = moment.sight.has_services;
        let is_gone = |service, was_seen| was_seen && before.part(service).is_none();
        let primary_is_late =
            moment.sight.primary_pods > 0 && (before.primary_pods == 0 || is_gone(Part::PrimaryService, saw_primary));
        // Whoever cannot read the primary leaves the routes as the status says, and puts them back as it says.
        let is_restored =
            !moment.sight.is_primary_known && after.split == Some(Split::PRIMARY) && after.status.canary_weight == 0;
        // Where nobody is served, as after somebody has deleted it all, the parts are put back one by one; only what is
        // made for the first time is made in the order in which nobody waits.
        let is_loss = served(after) < served(before) || before.status.phase.is_bootstrap();
        if !is_restored && !primary_is_late && primary_is_served(before) && !primary_is_served(after) && is_loss {
            return Err(format!("{} % go to a primary without ready endpoints", after.traffic.primary));
        }
        let canary_is_late =
            moment.sight.canary_pods > 0 && (before.canary_pods == 0 || is_gone(Part::CanaryService, saw_canary));
        // A deletion waits for nobody where nobody is served (I25): that the primary gets a pod while the target's traffic is
        // given back shows too late.
        let is_let_go = before.status.phase == Phase::Terminating && moment.sight.primary_pods == 0;
        if !canary_is_late && !is_let_go && canary_is_served(before) && !canary_is_served(after) && is_loss {
            return Err(format!("{} % go to a canary without ready endpoints", after.traffic.canary));
        }
        Ok(())
    }
}

impl Endpoints {
    fn continuously(&mut self, instant: &Instant, world: &World) -> Verdict {
        let splits = matches!(
            instant.status.phase,
            Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Failed
        );
        // Whoever sees an old version of the canary can write nothing about it: a late watch only delays (I14).
        let sees_it = instant.version() == world.canary.metadata.resource_version.as_deref();
        let is_free = !instant.rollout.suspended && !instant.is_deleted() && !revision::has_gaps(world) && sees_it;
        if !splits || !is_free || !sees_the_way(instant, world) || !is_out(instant) || instant.primary_pods == 0 {
            self.out.end();
            return Ok(());
        }
        let waited = self.out.goes_on(instant.now);
        if waited > instant.rollout.interval {
            let weight = instant.traffic.canary;
            return Err(format!("{weight} % have gone to a canary without pods for {waited:#}"));
        }
        Ok(())
    }
}

/// Whether requests go to a canary without pods.
fn is_out(instant: &Instant) -> bool {
    instant.canary_pods == 0 && !canary_is_served(instant)
}

/// Whether the way is seen as it is: by an old view of it nobody can tell where the traffic goes (I14).
fn sees_the_way(instant: &Instant, world: &World) -> bool {
    WAYS.iter().all(|part| instant.is_seen(world, *part))
}

/// How much of the traffic finds ready pods, in percent.
fn served(instant: &Instant) -> i64 {
    let Shares { primary, canary } = instant.traffic;
    [(primary, primary_is_served(instant)), (canary, canary_is_served(instant))]
        .into_iter()
        .filter_map(|(share, is_served)| is_served.then_some(share))
        .sum()
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
