//! A plan in the making: steps, the status to be, and what is said, in the order that survives a crash. It collects, and
//! knows no phase.

use burgee_api::{CanaryStatus, Condition, Phase, Run};
use jiff::Timestamp;

use super::deliveries;
use super::facts::Facts;
use super::mistake::{INVALID, Mistake, Obstacle, blame, is_of_webhooks};
use super::proposal::{Body, Collected, Drafted, Proposal, StatusWrite};
use super::stamp::{seconds, time};
use super::tick::Tick;
use crate::digest::hex;
use crate::notice::Notice;
use crate::phase::{PhaseRules, promoted_condition};
use crate::plan::{Count, Plan, Step, Telling};
use crate::timetable::Wake;

/// A plan in the making. Whatever is told goes before the status write; what the status intends, such as a weight, is
/// made so last (I23). A crash in between leaves an intention that the next tick
/// carries out.
pub(super) struct PlanBuilder<'a> {
    pub(super) facts: &'a Facts<'a>,
    /// The status as it shall be.
    pub(super) status: CanaryStatus,
    collected: Collected,
}

impl<'a> PlanBuilder<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        Self { facts, status: facts.opening.clone(), collected: Collected::default() }
    }

    /// Goes on with what was collected.
    pub(super) fn resume(facts: &'a Facts<'a>, drafted: Drafted) -> Self {
        let Drafted { collected, status } = drafted;
        Self { facts, status, collected }
    }

    /// The run's record, made if there is none.
    pub(super) fn run(&mut self) -> &mut Run {
        self.status.run.get_or_insert_default()
    }

    pub(super) fn step(&mut self, step: Step) {
        self.collected.steps.push(step);
    }

    /// Goes on behind a plan, from the status that it writes. What the plan tells without writing one keeps its name: it is
    /// told again, and not twice.
    pub(super) fn behind(facts: &'a Facts<'a>, plan: &Plan) -> Self {
        let mut builder = Self::new(facts);
        if let Some(status) = plan.status() {
            builder.status = status.clone();
            for telling in plan.steps.iter().filter_map(Step::telling) {
                builder.collected.told.next(&telling.notice);
            }
        }
        builder
    }

    pub(super) fn steps(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.collected.steps.extend(steps);
    }

    /// Steps that make so what the status says; they follow its write.
    pub(super) fn intend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.collected.intended.extend(steps);
    }

    /// Says something in the phase that the builder has reached; what is an alert as well is sent after the status.
    pub(super) fn tell(&mut self, notice: Notice) {
        let alert = notice.alert(&self.facts.rollout.names());
        let alert = alert.map(|alert| Step::Deliver(deliveries::alert(alert, self.status.phase, self.facts.now)));
        self.collected.afterwards.extend(alert);
        let place = self.collected.told.next(&notice);
        self.collected.steps.push(Step::Tell(telling(self.facts, notice, place, self.status.phase)));
    }

    /// Says something that is no part of the story: what was told and not yet written keeps its name.
    pub(super) fn tell_aside(&mut self, notice: Notice) {
        let place = self.collected.told.clone().next(&notice);
        self.collected.steps.push(Step::Tell(telling(self.facts, notice, place, self.status.phase)));
    }

    /// Whether the builder says this already.
    pub(super) fn has_told(&self, text: &str) -> bool {
        let mut told = self.collected.steps.iter().filter_map(Step::telling);
        told.any(|telling| matches!(&telling.notice, Notice::Problem(said) if said == text))
    }

    /// A notice in the words of its event.
    pub(super) fn text(&self, notice: &Notice) -> String {
        notice.text(&self.facts.rollout.names())
    }

    /// Failed checks and iterations begin again.
    pub(super) fn reset_counters(&mut self) {
        self.status.failed_checks = 0;
        self.status.iterations = 0;
    }

    pub(super) fn count(&mut self, count: Count) {
        self.collected.afterwards.push(Step::Count(count));
    }

    pub(super) fn post_rollout(&mut self) {
        self.collected.afterwards.push(Step::Deliver(deliveries::post_rollout(self.status.phase, self.facts.now)));
    }

    /// Nothing is asked again before this time.
    pub(super) fn quiet_until(&mut self, time: Timestamp) {
        self.collected.quiet_until = Some(time);
    }

    /// Moves to a phase, with its condition (contract: api §1.7).
    pub(super) fn enter(&mut self, phase: Phase) {
        debug_assert!(self.status.phase.may_become(phase), "{} may not become {phase}", self.status.phase);
        self.status.phase = phase;
        let (status, message) = promoted_condition(phase, &self.facts.rollout.target.kind);
        self.set_condition("Promoted", status, phase.as_str(), &message);
    }

    /// Sets a condition; `Promoted` stays first, and times move only when something changed.
    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = seconds(self.facts.now);
        let says_so = |condition: &Condition| {
            condition.status == status && condition.reason == reason && condition.message.as_deref() == Some(message)
        };
        let before = self.facts.world.canary.status.as_ref().and_then(|status| status.conditions.as_ref());
        let known = before.into_iter().flatten().find(|condition| condition.kind == kind).cloned();
        let conditions = self.status.conditions.get_or_insert_default();
        if conditions.iter().any(|condition| condition.kind == kind && says_so(condition)) {
            return;
        }
        conditions.retain(|condition| condition.kind != kind);
        let place = if kind == "Promoted" { 0 } else { conditions.len() };
        let since = known.clone().filter(|known| known.status == status).and_then(|known| known.last_transition_time);
        let condition = known.filter(says_so).unwrap_or_else(|| Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: Some(message.to_owned()),
            last_update_time: Some(now.clone()),
            last_transition_time: since.or(Some(now)),
        });
        conditions.insert(place, condition);
    }

    /// Whether a condition is there.
    pub(super) fn shows(&self, kind: &str) -> bool {
        self.status.conditions.iter().flatten().any(|condition| condition.kind == kind)
    }

    pub(super) fn drop_condition(&mut self, kind: &str) {
        if let Some(conditions) = &mut self.status.conditions {
            conditions.retain(|condition| condition.kind != kind);
        }
    }

    /// What was collected, and when to look again.
    pub(super) fn finish(self, next: Wake) -> Proposal {
        let body = Body::Drafted(Box::new(self.into_drafted()));
        Proposal { body, next, drift: None, repairs: Vec::new() }
    }

    /// What was collected.
    pub(super) fn into_drafted(self) -> Drafted {
        Drafted { collected: self.collected, status: self.status }
    }

    /// The next question is asked an interval from now.
    pub(super) fn wait_an_interval(mut self) -> Proposal {
        let next = self.facts.after(self.facts.rollout.interval);
        self.quiet_until(next);
        self.finish(Wake::At(next))
    }

    /// The canary is let go by this step: no status is written, which would go with it.
    pub(super) fn release(mut self, step: Option<Step>) -> Proposal {
        self.collected.writes = StatusWrite::Never;
        self.intend(step);
        self.finish(Wake::OnChange)
    }
}

/// Mistakes, as the condition shows them.
impl PlanBuilder<'_> {
    /// Shows a mistake.
    pub(super) fn blame(&mut self, mistake: Mistake, text: &str) {
        if self.is_refused() {
            return;
        }
        self.set_condition(INVALID, "True", mistake.reason(), text);
    }

    /// Nothing is held against a webhook any more: it answers, or its run is over and was not ended by it.
    pub(super) fn clear_webhooks(&mut self) {
        if self.blamed().is_some_and(is_of_webhooks) {
            self.drop_condition(INVALID);
        }
    }

    /// Whether the canary cannot be meant at all: that stands first.
    pub(super) fn is_refused(&self) -> bool {
        self.facts.rollout.refused.is_some()
    }

    /// The condition that shows a mistake.
    pub(super) fn blamed(&self) -> Option<&Condition> {
        self.status.conditions.as_deref()?.iter().find(|condition| condition.kind == INVALID)
    }

    /// Tells of a mistake that was not shown before.
    pub(super) fn tell_new_blame(&mut self) {
        let before = self.facts.world.canary.status.as_ref().and_then(|status| blame(status.conditions.as_deref()));
        let text = blame(self.status.conditions.as_deref()).cloned();
        if let Some(text) = text.filter(|text| Some(text) != before) {
            self.tell(Notice::Problem(text));
        }
    }
}

/// What is proposed where something cannot be seen or made: it is said once per interval, and a mistake is shown until it is
/// mended. The status is written when a mistake comes and when it goes, not in between (I18).
pub(super) fn stopped(facts: &Facts, obstacle: Obstacle) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    match obstacle {
        Obstacle::Halt(problem) => builder.tell(Notice::Problem(problem)),
        Obstacle::Mistaken(mistake, problem) => {
            builder.blame(mistake, &problem);
            builder.tell_aside(Notice::Problem(problem));
        }
    }
    builder.finish(Wake::At(facts.after(facts.rollout.interval)))
}

/// Says one thing and waits for a change. Routes that are wrong while nothing is done are nobody's fault.
pub(super) fn say(facts: &Facts, notice: Notice) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.tell(notice);
    let is_suspended = facts.rollout.suspended;
    if is_suspended && facts.run().is_some_and(|run| run.fought_since.is_some()) {
        builder.run().fought_since = None;
    }
    builder.finish(Wake::OnChange)
}

/// The telling of a notice: what it is about and the deterministic name of its event.
pub(super) fn telling(tick: &Tick, notice: Notice, place: u8, phase: Phase) -> Telling {
    let text = notice.text(&tick.rollout.names());
    let told = told_so_far(tick) & 0xffff;
    let event_suffix = format!("{:08x}{told:04x}{place:02x}{}", base_second(tick), hex(&text_hash(&text)));
    Telling { notice, event_suffix, phase }
}

/// How much has been told when a tick begins.
pub(super) fn told_so_far(tick: &Tick) -> i64 {
    tick.run().map_or(0, |run| run.told)
}

/// Second at which the run began, or the canary was made: the part of event names that sorts.
fn base_second(tick: &Tick) -> u32 {
    let started = tick.run().and_then(|run| run.started_at.as_deref()).and_then(time);
    let created = tick.world.canary.metadata.creation_timestamp.as_ref().map(|created| created.0);
    let second = started.map(Timestamp::as_second).or(created.map(Timestamp::as_second)).unwrap_or(0);
    u32::try_from(second).unwrap_or(0)
}

fn text_hash(text: &str) -> [u8; 2] {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(text.as_bytes());
    [hash[0], hash[1]]
}
