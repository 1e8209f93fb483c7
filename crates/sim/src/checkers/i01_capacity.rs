//! I1: a weight is raised only on a set that is ready; traffic returns to the primary by promotion only when it has the
//! pods that it began with, and its autoscaler or its own replicas keep them during the run; a primary that was deleted
//! gets them again. A rollback never waits for any of this, and neither does a canary that has lost its pods. Nor is a
//! weight raised on a revision that nobody analysed.

use burgee_api::{Phase, RunOutcome};
use burgee_core::digest::{digest, is_foreign};
use burgee_core::phase::PhaseRules;
use burgee_core::plan::Step;
use burgee_core::rollout::Rollout;
use burgee_core::workload;
use burgee_core::world::World;
use burgee_core::{restoration, scaler};
use serde_json::Value;

use super::wait::Wait;
use super::{ByOperator, Checker, Moment, Verdict, What, revision};
use crate::instant::{Instant, Part};

/// What is remembered of a play.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity {
    /// Whether somebody else has changed the primary's autoscaler since the decision that is being carried out: then the
    /// plan is not to be blamed for its limits, and the next one sees them.
    is_edited: ByOperator,
    /// Since when the primary has been meant to have fewer pods than the run began with.
    small: Wait,
    /// The decision by which the traffic was last meant to return. Another one that puts the routes where the status says
    /// they are finds as many pods as there are by then.
    returned: u64,
    /// The decision by which the canary was last meant to get more. Another one that puts the routes where the status says
    /// they are finds as many pods as there are by then.
    raised: u64,
}

impl Checker for Capacity {
    fn look(&mut self, moment: &Moment) -> Verdict {
        self.small.heed(moment);
        if !is_small(moment.after, moment.after.part(Part::Primary)) {
            self.small.end();
        }
        match moment.what {
            What::Outside if !moment.before.is_same(moment.after, &[Part::PrimaryScaler]) => self.is_edited.note(),
            What::Step(_) if !moment.before.is_same(moment.after, &[Part::PrimaryScaler]) => {
                self.is_edited.note_by(moment.operator);
            }
            What::Decided { world, .. } => {
                if has_seen(moment.after, world) {
                    self.is_edited.forget(moment.operator);
                }
                return self.is_kept(moment, world);
            }
            What::Outside | What::Asked(..) | What::Step(_) => {}
        }
        let Some(step) = moment.step() else { return Ok(()) };
        self.raise(moment)?;
        // What was begun before the lease was lost only arrives late; the holder sees it, and mends it.
        if self.is_edited.of(moment.operator) || moment.is_overtaken {
            return Ok(());
        }
        self.promotion(step, moment)?;
        comes_back_whole(step, moment)?;
        if !moment.saw_the_canary() {
            return Ok(());
        }
        floor(step, moment.before, moment.after)
    }
}

impl Capacity {
    /// Without an autoscaler the primary's own replicas are kept.
    fn is_kept(&mut self, moment: &Moment, world: &World) -> Verdict {
        let instant = moment.after;
        let Instant { rollout, status, .. } = instant;
        let holds = status.phase.is_run() || restoration::is_due(status);
        let is_held = rollout.suspended || instant.is_deleted();
        let is_free = !is_held && !revision::has_gaps(world) && moment.saw_the_canary();
        let needed = needed_pods(instant);
        let is_left =
            is_small(instant, world.present(&rollout.primary_key())) && is_small(instant, instant.part(Part::Primary));
        if !holds || !is_free || rollout.scaler.is_some() || !is_left {
            self.small.end();
            return Ok(());
        }
        let waited = self.small.goes_on(instant.now);
        if waited > rollout.interval {
            return Err(format!("the primary has been meant to have fewer than {needed} pods for {waited:#}"));
        }
        Ok(())
    }

    /// Whoever only follows the status may lead to a canary without pods what the primary cannot take either.
    fn raise(&mut self, moment: &Moment) -> Verdict {
        let (weight, meant) = (moment.after.traffic.canary, moment.after.status.canary_weight);
        if meant > moment.before.status.canary_weight {
            self.raised = moment.sight.number;
            if !saw_analysed(moment) {
                return Err(format!("the canary is to get {meant} % with a revision that nobody analysed"));
            }
        }
        let is_excused = self.raised != moment.sight.number && moment.takes_from_nobody();
        if weight > moment.before.traffic.canary && moment.canary_pods() == 0 && !is_excused {
            return Err(format!("the canary got {weight} % without a ready pod"));
        }
        Ok(())
    }

    /// Services alone split nothing: there the traffic never left the primary, and its own rolling update moves it.
    fn promotion(&mut self, step: &Step, moment: &Moment) -> Verdict {
        if matches!(step, Step::Status(_)) && moment.after.status.canary_weight < moment.before.status.canary_weight {
            self.returned = moment.sight.number;
        }
        if !moment.after.is_routed() || moment.is_put_back {
            return Ok(());
        }
        let (Some(old), Some(new)) = (moment.before.split, moment.after.split) else { return Ok(()) };
        let needed = needed_pods(moment.after);
        let is_taken_back = returns_by_promotion(moment.before) && !is_refuge(moment.before);
        let is_decided = moment.sight.number == self.returned || moment.primary_pods() == 0;
        if new.primary() > old.primary() && is_taken_back && is_decided && moment.primary_pods() < needed {
            let pods = moment.primary_pods();
            return Err(format!("the primary got {} % with {pods} of {needed} pods", new.primary()));
        }
        Ok(())
    }
}

/// A primary that is made anew gets the pods that it had.
fn comes_back_whole(step: &Step, moment: &Moment) -> Verdict {
    let (before, after) = (moment.before, moment.after);
    let is_new = matches!(step, Step::Create(_)) && before.part(Part::Primary).is_none();
    // Before the primary has an autoscaler of its own, the target's says how many pods it may have.
    let most = before.part(Part::PrimaryScaler).or(before.part(Part::Scaler)).and_then(most_pods);
    let needed = needed_pods(before).min(most.unwrap_or(i64::MAX));
    match wanted(&after.rollout, after.part(Part::Primary)).filter(|wanted| is_new && *wanted < needed) {
        Some(wanted) => Err(format!("the primary came back with {wanted} of {needed} pods")),
        None => Ok(()),
    }
}

/// Whether a primary is meant to have fewer pods than the run began with.
fn is_small(instant: &Instant, primary: Option<&Value>) -> bool {
    wanted(&instant.rollout, primary).is_some_and(|wanted| wanted < needed_pods(instant))
}

/// The pods that a Deployment is meant to have.
fn wanted(rollout: &Rollout, primary: Option<&Value>) -> Option<i64> {
    workload::wanted_pods(rollout.target_kind, primary?)
}

/// Whether the primary's autoscaler was seen as it is.
fn has_seen(instant: &Instant, world: &World) -> bool {
    let seen = scaler::primary_key(&instant.rollout).and_then(|key| world.present(&key));
    seen == instant.part(Part::PrimaryScaler)
}

/// Whether the target, as the operator saw it, runs the revision that the status speaks of. What a peer recorded cannot
/// be compared.
fn saw_analysed(moment: &Moment) -> bool {
    let Instant { rollout, status, .. } = moment.before;
    let template = |target| workload::template(rollout.target_kind, target);
    let seen = moment.sight.target.as_deref().map(|target| digest(&template(target)));
    is_foreign(&status.last_applied_spec) || seen.is_none_or(|seen| seen == status.last_applied_spec)
}

/// Whether traffic that returns now does so by a promotion, or by the healing after a failed one.
fn returns_by_promotion(instant: &Instant) -> bool {
    let status = &instant.status;
    let outcome = status.run.as_ref().and_then(|run| run.outcome);
    matches!(status.phase, Phase::Promoting | Phase::Finalising)
        || (status.phase == Phase::Failed && outcome == Some(RunOutcome::PromotionFailed))
}

/// Whether the primary takes the traffic before it has been promoted or put back, because the canary cannot keep it.
fn is_refuge(instant: &Instant) -> bool {
    let status = &instant.status;
    status.canary_weight == 0 && (status.phase == Phase::Promoting || restoration::is_due(status))
}

/// The pods that the primary began with, as far as its autoscaler and the nodes allow (S13).
fn needed_pods(instant: &Instant) -> i64 {
    let recorded = instant.status.run.as_ref().and_then(|run| run.primary_ready_at_start).unwrap_or(0);
    let most = instant.part(Part::PrimaryScaler).and_then(most_pods);
    let nodes = instant.object(Part::Primary)["status"]["desiredNumberScheduled"].as_i64();
    recorded.min(most.unwrap_or(i64::MAX)).min(nodes.map_or(i64::MAX, |nodes| nodes.max(1)))
}

/// The most pods that an autoscaler allows.
fn most_pods(scaler: &Value) -> Option<i64> {
    let spec = &scaler["spec"];
    spec["maxReplicas"].as_i64().or_else(|| spec["maxReplicaCount"].as_i64())
}

fn floor(step: &Step, before: &Instant, after: &Instant) -> Verdict {
    let begins = !before.status.phase.is_run() && after.status.phase == Phase::Progressing;
    let holds = matches!(before.status.phase, Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting);
    let (Some(old), Some(new)) = (minimum(before), minimum(after)) else { return Ok(()) };
    let needed = needed_pods(after);
    let is_lowered = holds && matches!(step, Step::Replace(_)) && new < old;
    if (begins || is_lowered) && new < needed {
        return Err(format!("the primary's autoscaler may go down to {new}, the run began with {needed}"));
    }
    Ok(())
}

/// The least pods that the primary's autoscaler allows; none without one.
fn minimum(instant: &Instant) -> Option<i64> {
    let spec = &instant.part(Part::PrimaryScaler)?["spec"];
    spec["minReplicas"].as_i64().or_else(|| spec["minReplicaCount"].as_i64()).or(Some(0))
}
