//! I13: every wait has an end or a reason. An operator that falls asleep in the middle of something has said why, and a
//! run that nobody holds moves on before all deadlines have passed twice.

use burgee_api::{CanaryStatus, Phase};
use burgee_core::notice::EventType;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::timetable::Wake;
use burgee_core::world::World;
use burgee_core::{restoration, snapshot};
use jiff::SignedDuration;

use super::wait::Wait;
use super::{Checker, Moment, Verdict, What, act, revision, without_marks};
use crate::instant::{Instant, Part};

/// What the API server gives a Deployment that says nothing of it.
const DEADLINE_SECONDS: i64 = 600;

/// What has been said and done since something last moved.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    has_warned: bool,
    rest: Wait,
    /// Whether the brake holds a run that has no traffic yet.
    is_braked: bool,
    /// Which operator acted last, and how often that one had been killed.
    life: (usize, u64),
}

impl Checker for Deadlines {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        self.heed_the_brake(after);
        self.rest.heed(moment);
        let life = (moment.operator, moment.sight.deaths);
        if std::mem::replace(&mut self.life, life) != life {
            // Whoever was killed asks his hooks anew.
            self.rest.renew(after.now);
        }
        match moment.what {
            What::Step(Step::Tell(telling)) => {
                if telling.notice.event_type() == EventType::Warning {
                    self.has_warned = true;
                }
                Ok(())
            }
            What::Step(Step::Status(_)) => {
                if without_marks(&before.status) != without_marks(&after.status) {
                    self.has_warned = false;
                    self.rest.begin(after.now);
                }
                Ok(())
            }
            What::Outside if !before.is_same(after, &[Part::Canary, Part::Target, Part::Primary]) => {
                self.rest.begin(after.now);
                Ok(())
            }
            What::Decided { world, .. } if revision::has_gaps(world) => {
                // Nobody is blamed for the time in which he could not read what he needs (I11).
                self.rest.renew(after.now);
                Ok(())
            }
            What::Decided { plan, world, .. } => {
                heals_with_an_alarm(after, plan, world)?;
                // By an old version of the canary there may be nothing to wait for: a late watch only delays (I14).
                if moment.saw_the_canary() {
                    self.falls_asleep(after, plan)?;
                }
                self.stands_still(after)
            }
            What::Step(_) | What::Outside | What::Asked(..) => Ok(()),
        }
    }
}

impl Deadlines {
    /// Whoever has put the brake on holds what has no traffic yet.
    fn heed_the_brake(&mut self, instant: &Instant) {
        let is_braked = instant.settings.pause_new_runs && !act::has_begun(&instant.status);
        if std::mem::replace(&mut self.is_braked, is_braked) {
            self.rest.renew(instant.now);
        }
    }

    fn falls_asleep(&self, instant: &Instant, plan: &Plan) -> Verdict {
        let status = &instant.status;
        let sleeps = plan.steps.is_empty() && plan.next == Wake::OnChange;
        let is_under_way = !status.phase.is_terminal() && !matches!(status.phase, Phase::Terminating | Phase::Unset);
        let is_free = !instant.rollout.suspended && !instant.is_deleted() && instant.exists();
        if sleeps && is_under_way && is_free && !self.has_warned {
            return Err(format!("{} waits without a time and without a word", status.phase));
        }
        Ok(())
    }

    fn stands_still(&self, instant: &Instant) -> Verdict {
        let phase = instant.status.phase;
        let is_run = matches!(phase, Phase::Progressing | Phase::Promoting | Phase::Finalising);
        let rest = self.rest.so_far(instant.now).filter(|_| is_run && !is_held(&instant.status));
        let Some(waited) = rest else { return Ok(()) };
        if !instant.rollout.suspended && waited > longest_wait(instant) {
            return Err(format!("{phase} has not moved for {waited:#}"));
        }
        Ok(())
    }
}

/// Whoever waits for a primary that is being put back looks again at a time, or shows why the run is held.
fn heals_with_an_alarm(instant: &Instant, plan: &Plan, world: &World) -> Verdict {
    let Some(status) = &world.canary.status else { return Ok(()) };
    let kept = snapshot::key(&instant.rollout, &status.last_promoted_spec);
    let heals = status.phase == Phase::Failed && restoration::is_due(status) && world.present(&kept).is_some();
    let is_free = !instant.rollout.suspended && !instant.is_deleted() && instant.exists();
    let is_idle = plan.status().is_none() && plan.steps.iter().all(|step| step.written().is_none());
    let is_shown = status.conditions.iter().flatten().any(|condition| condition.kind == "Held");
    if heals && is_free && is_idle && !is_shown && plan.next == Wake::OnChange {
        return Err("the primary is put back without a time, and nothing shows that it takes long".to_owned());
    }
    Ok(())
}

/// Whether something holds the run, and that is said: a provider, a gate that is closed, a person, or a primary without
/// pods to roll back to.
fn is_held(status: &CanaryStatus) -> bool {
    status.run.as_ref().is_some_and(|run| {
        let since = [&run.held_since, &run.paused_since, &run.rollback_waits_since];
        since.into_iter().any(Option::is_some) || !run.gates_closed.is_empty()
    })
}

/// Twice the longest of all deadlines, and a few intervals.
fn longest_wait(instant: &Instant) -> SignedDuration {
    let own = |part| instant.object(part)["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(DEADLINE_SECONDS);
    let deadlines = [instant.rollout.progress_deadline_seconds, own(Part::Target), own(Part::Primary)];
    let longest = deadlines.into_iter().max().unwrap_or(DEADLINE_SECONDS);
    SignedDuration::from_secs(longest.saturating_mul(2)).saturating_add(instant.rollout.interval.saturating_mul(4))
}
