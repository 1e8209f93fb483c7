//! A plan in the making: steps, the status to be, and what is said, in the order that survives a crash.

use burgee_api::{CanaryStatus, Condition, Phase, Run};
use jiff::Timestamp;

use super::scene::note_unready;
use super::{Tick, deliveries, follow, foreign, rollback};
use crate::affinity;
use crate::digest::hex;
use crate::left;
use crate::notice::Notice;
use crate::phase::{PhaseRules, promoted_condition};
use crate::plan::{Count, Plan, Step, Telling};
use crate::timetable::Wake;
use crate::world::ObjectKey;

/// A plan in the making. Whatever is told goes before the status write; what the status intends, such as a weight, is
/// made so last (I23). A crash in between leaves an intention that the next tick
/// carries out.
pub(super) struct Draft<'a> {
    pub(super) tick: &'a Tick<'a>,
    steps: Vec<Step>,
    intended: Vec<Step>,
    afterwards: Vec<Step>,
    told: Told,
    quiet_until: Option<Timestamp>,
    /// The status as it shall be.
    pub(super) status: CanaryStatus,
}

impl<'a> Draft<'a> {
    pub(super) fn new(tick: &'a Tick<'a>) -> Self {
        let status = tick.world.canary.status.clone().unwrap_or_default();
        let mut draft = Self {
            tick,
            steps: Vec::new(),
            intended: Vec::new(),
            afterwards: Vec::new(),
            told: Told::default(),
            quiet_until: None,
            status,
        };
        draft.blame_standing(tick);
        draft.doubt();
        if let Some(run) = &mut draft.status.run {
            rollback::forget_wait(tick, run);
        }
        draft
    }

    /// The run's record, made if there is none.
    pub(super) fn run(&mut self) -> &mut Run {
        self.status.run.get_or_insert_default()
    }

    pub(super) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Goes on behind a plan, from the status that it writes. What the plan tells without writing one keeps its name: it is
    /// told again, and not twice.
    pub(super) fn behind(tick: &'a Tick<'a>, plan: &Plan) -> Self {
        let mut draft = Self::new(tick);
        if let Some(status) = plan.status() {
            draft.status = status.clone();
            for telling in plan.steps.iter().filter_map(Step::telling) {
                draft.told.next(&telling.notice);
            }
        }
        draft
    }

    pub(super) fn steps(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps);
    }

    /// Steps that make so what the status says; they follow its write.
    pub(super) fn intend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.intended.extend(steps);
    }

    /// Says something in the phase that the draft has reached; what is an alert as well is sent after the status.
    pub(super) fn tell(&mut self, notice: Notice) {
        let alert = notice.alert(&self.tick.rollout.names());
        let alert = alert.map(|alert| Step::Deliver(deliveries::alert(alert, self.status.phase, self.tick.now)));
        self.afterwards.extend(alert);
        let place = self.told.next(&notice);
        self.steps.push(Step::Tell(telling(self.tick, notice, place, self.status.phase)));
    }

    /// Says something that is no part of the story: what was told and not yet written keeps its name.
    pub(super) fn tell_aside(&mut self, notice: Notice) {
        let place = self.told.clone().next(&notice);
        self.steps.push(Step::Tell(telling(self.tick, notice, place, self.status.phase)));
    }

    /// Whether the draft says this already.
    pub(super) fn has_told(&self, text: &str) -> bool {
        let mut told = self.steps.iter().filter_map(Step::telling);
        told.any(|telling| matches!(&telling.notice, Notice::Problem(said) if said == text))
    }

    /// A notice in the words of its event.
    pub(super) fn text(&self, notice: &Notice) -> String {
        notice.text(&self.tick.rollout.names())
    }

    /// Failed checks and iterations begin again.
    pub(super) fn reset_counters(&mut self) {
        self.status.failed_checks = 0;
        self.status.iterations = 0;
    }

    pub(super) fn count(&mut self, count: Count) {
        self.afterwards.push(Step::Count(count));
    }

    pub(super) fn post_rollout(&mut self) {
        self.afterwards.push(Step::Deliver(deliveries::post_rollout(self.status.phase, self.tick.now)));
    }

    /// Nothing is asked again before this time.
    pub(super) fn quiet_until(&mut self, time: Timestamp) {
        self.quiet_until = Some(time);
    }

    /// Moves to a phase, with its condition (contract: api §1.7).
    pub(super) fn enter(&mut self, phase: Phase) {
        debug_assert!(self.status.phase.may_become(phase), "{} may not become {phase}", self.status.phase);
        self.status.phase = phase;
        let (status, message) = promoted_condition(phase, &self.tick.rollout.target.kind);
        self.set_condition("Promoted", status, phase.as_str(), &message);
    }

    /// Sets a condition; `Promoted` stays first, and times move only when something changed.
    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = seconds(self.tick.now);
        let says_so = |condition: &Condition| {
            condition.status == status && condition.reason == reason && condition.message.as_deref() == Some(message)
        };
        let before = self.tick.world.canary.status.as_ref().and_then(|status| status.conditions.as_ref());
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

    /// The cookies of session affinity follow from the weight (contract: lifecycle §12).
    fn keep_cookies(&mut self) {
        let Some(affinity) = affinity::affinity(self.tick.rollout) else { return };
        debug_assert!(!affinity.cookie_name.is_empty(), "an affinity without a cookie name is none");
        if self.status.canary_weight == 0 {
            let ended = std::mem::take(&mut self.status.session_affinity_cookie);
            if !ended.is_empty() {
                self.status.previous_session_affinity_cookie = ended;
            }
            return;
        }
        let text = |cookie: Option<affinity::Cookie>| cookie.map(|cookie| cookie.text()).unwrap_or_default();
        self.status.session_affinity_cookie = text(affinity::canary_cookie(self.tick.rollout, &self.status));
        self.status.primary_session_affinity_cookie = text(affinity::primary_cookie(self.tick.rollout, &self.status));
    }

    /// A condition without a message, as others may have left one, gets the best that is known: health checks want one.
    fn explain_conditions(&mut self) {
        let (_, promoted) = promoted_condition(self.status.phase, &self.tick.rollout.target.kind);
        for condition in self.status.conditions.iter_mut().flatten() {
            if condition.message.as_deref().is_none_or(str::is_empty) {
                let is_promoted = condition.kind == "Promoted";
                condition.message = Some(if is_promoted { promoted.clone() } else { condition.reason.clone() });
            }
        }
    }

    /// Ends the plan: the status is written if anything in it changed, then alerts, counters and hooks follow.
    pub(super) fn finish(mut self, next: Wake) -> Plan {
        let before = self.tick.world.canary.status.clone().unwrap_or_default();
        self.keep_cookies();
        note_unready(self.tick, &mut self.status);
        if self.status != before {
            self.tell_what_is_missing(&before);
            self.tell_doubts(&before);
            foreign::note_drained(&before, &mut self.status, self.tick.now);
            let same_run = run_start(self.status.run.as_ref()) == run_start(before.run.as_ref());
            let told = if same_run { told_so_far(self.tick).saturating_add(self.told.all()) } else { 0 };
            let (tick, rollout) = (self.tick, self.tick.rollout);
            let run = self.run();
            run.told = told;
            left::note(run, rollout);
            if run.scaler_digest.is_none() {
                run.scaler_digest = follow::followed(tick);
            }
            self.explain_conditions();
            self.status.last_transition_time = Some(seconds(self.tick.now));
            self.steps.push(Step::Status(Box::new(std::mem::take(&mut self.status))));
        }
        // Alerts, counters and hooks are only handed over: a route that cannot be written must not swallow them.
        self.steps.append(&mut self.afterwards);
        self.steps.append(&mut self.intended);
        debug_assert!(is_once(&self.steps), "a plan takes no step twice");
        Plan { steps: self.steps, next, quiet_until: self.quiet_until, ..Plan::idle() }
    }
}

/// Whether no object is written twice; the second write would be of a version that is gone.
fn is_once(steps: &[Step]) -> bool {
    let mut written: Vec<ObjectKey> = steps.iter().filter_map(Step::written).collect();
    let all = written.len();
    written.sort();
    written.dedup();
    written.len() == all
}

/// What a plan has told so far. A retry of a turn of the run keeps its name also when something else is wrong by then, and
/// is told before it (I23): both have places of their own.
#[derive(Clone, Debug, Default)]
struct Told {
    turns: u8,
    others: u8,
}

impl Told {
    /// Where turns begin: after what led to them.
    const TURNS: u8 = 0x80;

    /// The place of the next notice in its plan.
    fn next(&mut self, notice: &Notice) -> u8 {
        let (told, first) = if notice.is_turn() { (&mut self.turns, Self::TURNS) } else { (&mut self.others, 0) };
        let place = first + *told;
        *told = told.saturating_add(1).min(Self::TURNS - 1);
        place
    }

    fn all(&self) -> i64 {
        i64::from(self.turns) + i64::from(self.others)
    }
}

/// The telling of a notice: what it is about and the deterministic name of its event.
pub(super) fn telling(tick: &Tick, notice: Notice, place: u8, phase: Phase) -> Telling {
    let text = notice.text(&tick.rollout.names());
    let told = told_so_far(tick) & 0xffff;
    let event_suffix = format!("{:08x}{told:04x}{place:02x}{}", base_second(tick), hex(&text_hash(&text)));
    Telling { notice, event_suffix, phase }
}

/// How much has been told when a tick begins.
fn told_so_far(tick: &Tick) -> i64 {
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

fn run_start(run: Option<&Run>) -> Option<&str> {
    run.and_then(|run| run.started_at.as_deref())
}

/// A time with its fraction, as `status.run` keeps it.
pub(super) fn fraction(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// A time in whole seconds, as Kubernetes writes it.
fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// A time as it stands in the status; none if it is not one.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
