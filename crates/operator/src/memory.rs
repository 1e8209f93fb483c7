//! What is remembered of one canary between two ticks. All of it may be lost at any time: nothing in here decides
//! anything that a restart would decide otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use burgee_api::{CanaryStatus, Phase};
use burgee_core::question::Answers;
use burgee_core::times::{CanaryClock, WriteDelays};
use burgee_core::world::{Deliveries, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::contention::Contention;
use crate::event_outage::EventOutage;
use crate::telemetry::Subject;

/// First and longest wait after a plan that was not carried out, in milliseconds.
const RETRY: (u64, u64) = (100, 5_000);
/// More failures in a row than this are told, if they are none that the next look mends by itself.
const STUCK: u32 = 8;
/// A failure so long after the last one belongs to another trouble: a plan is tried again much sooner.
const GAP: SignedDuration = SignedDuration::from_secs(90);
/// Failures of any kind that last for so long are told.
const STUCK_FOR: SignedDuration = SignedDuration::from_secs(110);
/// Texts that are remembered of one phase; a flood beyond that is told as if it were new.
const TEXTS: usize = 256;

/// What is remembered of one canary.
#[derive(Debug, Default)]
pub struct Memory {
    /// The answers of the round under way, and what is being asked right now.
    pub answers: Answers,
    /// What time it is for the canary.
    pub canary_clock: CanaryClock,
    /// What was written later than it says.
    pub delays: WriteDelays,
    /// What was said.
    pub told: Told,
    /// What became of the deliveries that are due.
    pub deliveries: Deliveries,
    /// How long the API server has taken no event.
    pub event_outage: EventOutage,
    /// Repairs of objects that others change.
    pub contention: Contention,
    /// What its last plan could not write because it is not as it was seen: the next tick reads it anew.
    pub outdated: BTreeSet<ObjectKey>,
    /// Uids of what was kept for it, as far as this process kept it.
    pub kept: BTreeMap<ObjectKey, String>,
    /// Ends what is being asked for it.
    pub questions: CancellationToken,
    /// Whose series it has on `/metrics`.
    pub subject: Option<Subject>,
    /// Which canary of this name it is.
    pub uid: Option<String>,
    failures: Failures,
}

/// The plans in a row that were not carried out to their end.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// When the first one and the last one were.
    span: Option<(Timestamp, Timestamp)>,
}

impl Memory {
    /// Ends every question that is out: nobody waits for its answer any more. What is asked from now on is another one.
    pub fn end_questions(&mut self) {
        std::mem::take(&mut self.questions).cancel();
        self.answers.withdraw_all();
    }

    /// What time it is for the canary, when the wall's clock shows `clock`.
    pub fn look_at_the_clock(&mut self, clock: Timestamp, status: Option<&CanaryStatus>) -> Timestamp {
        self.canary_clock.now(clock, clock::steady(), status, &mut self.answers)
    }

    /// How long to wait after one more failure in a row, at `now`: 100 ms, doubling to 5 s.
    pub fn failed(&mut self, now: Timestamp) -> Duration {
        let is_new = self.failures.span.is_none_or(|(_, last)| now.duration_since(last) > GAP);
        if is_new {
            self.failures = Failures { count: 0, span: Some((now, now)) };
        }
        let Failures { count, span } = &mut self.failures;
        let wait = RETRY.0.saturating_mul(1 << (*count).min(10)).min(RETRY.1);
        *count += 1;
        *span = span.map(|(first, _)| (first, now));
        Duration::from_millis(wait)
    }

    /// Whether so many plans in a row failed that somebody should be told.
    pub const fn is_stuck(&self) -> bool {
        self.failures.count > STUCK
    }

    /// Whether no plan has been carried out for so long that somebody is told, whatever kept them from it.
    pub fn is_stuck_for_long(&self, now: Timestamp) -> bool {
        self.failures.span.is_some_and(|(first, _)| now.duration_since(first) >= STUCK_FOR)
    }

    /// A plan was carried out: the row of failures has ended.
    pub fn carried_out(&mut self) {
        self.failures = Failures::default();
    }
}

/// The moment of a canary in which the same text is the same event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Start of the run.
    pub run: String,
    /// Phase in which it is said.
    pub phase: Phase,
}

/// How to say something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It has not been said in this moment.
    Anew,
    /// It was said less than an interval ago, or may be said only once.
    Silently,
    /// It was said as this event, which happens for the `count`th time.
    Again {
        /// Name of the event.
        event: String,
        /// How often it was said, this time included.
        count: u32,
    },
}

/// What was said in the current moment.
#[derive(Debug, Default)]
pub struct Told {
    moment: Moment,
    texts: BTreeMap<String, Said>,
}

#[derive(Debug)]
struct Said {
    /// The name with which it was said last; `event` is where it was said first.
    name: String,
    event: String,
    count: u32,
    at: Timestamp,
}

/// How often a text may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Never in the same moment.
    Never,
    /// Once per interval, but never as the same event: a status that comes with it was not written, so it is a retry.
    Moving(SignedDuration),
    /// Once per interval.
    Every(SignedDuration),
}

/// Something to say.
#[derive(Clone, Copy, Debug)]
pub struct Saying<'a> {
    /// The words.
    pub text: &'a str,
    /// The deterministic name of its event: the same as long as the status that follows it is not written.
    pub name: &'a str,
}

impl Told {
    /// How to say something at `now`.
    pub fn manner(&mut self, moment: &Moment, saying: Saying<'_>, repetition: Repetition, now: Timestamp) -> Manner {
        if self.moment != *moment {
            self.moment = moment.clone();
            self.texts.clear();
        }
        let Some(said) = self.texts.get(saying.text) else { return Manner::Anew };
        let is_silent = match repetition {
            Repetition::Never => true,
            // A tick that is a little early for its interval still counts as the next one.
            Repetition::Every(interval) => now.duration_since(said.at) < interval * 9 / 10,
            Repetition::Moving(interval) => said.name == saying.name || now.duration_since(said.at) < interval * 9 / 10,
        };
        if is_silent {
            return Manner::Silently;
        }
        Manner::Again { event: said.event.clone(), count: said.count.saturating_add(1) }
    }

    /// Notes that something was said as `event` for the `count`th time.
    pub fn said(&mut self, saying: Saying<'_>, event: &str, count: u32, at: Timestamp) {
        if self.texts.len() >= TEXTS {
            self.texts.clear();
        }
        let said = Said { name: saying.name.to_owned(), event: event.to_owned(), count, at };
        self.texts.insert(saying.text.to_owned(), said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Repetition = Repetition::Every(SignedDuration::from_secs(10));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn moment(run: &str, phase: Phase) -> Moment {
        Moment { run: run.to_owned(), phase }
    }

    fn saying<'a>(text: &'a str, name: &'a str) -> Saying<'a> {
        Saying { text, name }
    }

    #[test]
    fn a_status_that_could_not_be_written_repeats_nothing_however_long_it_took() {
        let (mut told, moment) = (Told::default(), moment("1", Phase::Progressing));
        let moving = Repetition::Moving(SignedDuration::from_secs(10));
        let first = saying("halt", "podinfo.1");
        told.manner(&moment, first, moving, at(0));
        told.said(first, "podinfo.1", 1, at(0));
        assert_eq!(told.manner(&moment, first, moving, at(19)), Manner::Silently);
        let second = saying("halt", "podinfo.2");
        let again = Manner::Again { event: "podinfo.1".to_owned(), count: 2 };
        assert_eq!(told.manner(&moment, second, moving, at(20)), again);
        told.said(second, "podinfo.1", 2, at(20));
        assert_eq!(told.manner(&moment, second, moving, at(99)), Manner::Silently);
    }

    #[test]
    fn the_same_text_is_silent_within_an_interval_and_counted_after_it() {
        let (mut told, moment) = (Told::default(), moment("1", Phase::Progressing));
        assert_eq!(told.manner(&moment, saying("halt", "podinfo.1"), EVERY, at(0)), Manner::Anew);
        told.said(saying("halt", "podinfo.1"), "podinfo.1", 1, at(0));
        assert_eq!(told.manner(&moment, saying("halt", "podinfo.1"), EVERY, at(5)), Manner::Silently);
        assert_eq!(
            told.manner(&moment, saying("halt", "podinfo.1"), EVERY, at(10)),
            Manner::Again { event: "podinfo.1".to_owned(), count: 2 }
        );
        assert_eq!(told.manner(&moment, saying("other", "podinfo.1"), EVERY, at(10)), Manner::Anew);
    }

    #[test]
    fn another_phase_or_run_says_it_anew_and_some_things_are_never_repeated() {
        let mut told = Told::default();
        let first = moment("1", Phase::Waiting);
        told.manner(&first, saying("waiting", "podinfo.1"), Repetition::Never, at(0));
        told.said(saying("waiting", "podinfo.1"), "podinfo.1", 1, at(0));
        assert_eq!(told.manner(&first, saying("waiting", "podinfo.1"), Repetition::Never, at(9_999)), Manner::Silently);
        assert_eq!(
            told.manner(&moment("1", Phase::Progressing), saying("waiting", "podinfo.1"), Repetition::Never, at(1)),
            Manner::Anew
        );
        told.said(saying("waiting", "podinfo.1"), "podinfo.2", 1, at(0));
        assert_eq!(
            told.manner(&moment("2", Phase::Progressing), saying("waiting", "podinfo.1"), Repetition::Never, at(1)),
            Manner::Anew
        );
    }

    #[test]
    fn failures_wait_longer_each_time_until_a_plan_is_carried_out() {
        let mut memory = Memory::default();
        let waits: Vec<u128> = (0..8).map(|_| memory.failed(at(0)).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        memory.carried_out();
        assert_eq!(memory.failed(at(0)).as_millis(), 100);
    }

    #[test]
    fn failures_that_go_on_for_two_minutes_are_long_and_a_plan_that_is_carried_out_ends_them() {
        let mut memory = Memory::default();
        let mut is_long = |second| {
            memory.failed(at(second));
            memory.is_stuck_for_long(at(second))
        };
        assert_eq!([0, 60, 109].map(&mut is_long), [false; 3]);
        assert!(is_long(110), "the next look, five seconds later, would still be within two minutes");
        memory.carried_out();
        memory.failed(at(200));
        assert!(!memory.is_stuck_for_long(at(200)));
        memory.failed(at(400));
        assert!(!memory.is_stuck_for_long(at(400)), "this is another trouble");
    }
}
