//! What is remembered of one canary between two ticks. All of it may be lost at any time: nothing in here decides
//! anything that a restart would decide otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use burgee_api::Phase;
use burgee_core::question::{Answers, AskKey};
use burgee_core::world::ObjectKey;
use jiff::{SignedDuration, Timestamp};

use crate::fights::Fights;
use crate::telemetry::Subject;

/// First and longest wait after a conflict.
const CONFLICT: (u64, u64) = (100, 5_000);
/// More failures in a row than this are told.
const STUCK: u32 = 8;
/// Texts that are remembered of one phase; a flood beyond that is told as if it were new.
const TEXTS: usize = 256;

/// What is remembered of one canary.
#[derive(Debug, Default)]
pub struct Memory {
    /// The answers of the round under way.
    pub answers: Answers,
    /// What is being asked right now.
    pub asking: BTreeSet<AskKey>,
    /// What was said.
    pub told: Told,
    /// Repairs of objects that others change.
    pub fights: Fights,
    /// What its last tick looked at.
    pub reads: BTreeSet<ObjectKey>,
    /// Whose series it has on `/metrics`.
    pub subject: Option<Subject>,
    conflicts: u32,
}

impl Memory {
    /// How long to wait after one more conflict in a row: 100 ms, doubling to 5 s.
    pub fn conflicted(&mut self) -> Duration {
        let wait = CONFLICT.0.saturating_mul(1 << self.conflicts.min(10)).min(CONFLICT.1);
        self.conflicts += 1;
        Duration::from_millis(wait)
    }

    /// Whether so many plans in a row failed that somebody should be told.
    pub fn is_stuck(&self) -> bool {
        self.conflicts > STUCK
    }

    /// A plan was carried out: the row of conflicts has ended.
    pub fn carried_out(&mut self) {
        self.conflicts = 0;
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
    event: String,
    count: u32,
    at: Timestamp,
}

/// How often a text may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Never in the same moment.
    Never,
    /// Once per interval.
    Every(SignedDuration),
}

impl Told {
    /// How to say `text` at `now`.
    pub fn manner(&mut self, moment: &Moment, text: &str, repetition: Repetition, now: Timestamp) -> Manner {
        if self.moment != *moment {
            self.moment = moment.clone();
            self.texts.clear();
        }
        match (self.texts.get(text), repetition) {
            (None, _) => Manner::Anew,
            (Some(_), Repetition::Never) => Manner::Silently,
            // A tick that is a little early for its interval still counts as the next one.
            (Some(said), Repetition::Every(interval)) if now.duration_since(said.at) < interval * 9 / 10 => {
                Manner::Silently
            }
            (Some(said), Repetition::Every(_)) => {
                Manner::Again { event: said.event.clone(), count: said.count.saturating_add(1) }
            }
        }
    }

    /// Notes that `text` was said as `event` for the `count`th time.
    pub fn said(&mut self, text: &str, event: &str, count: u32, at: Timestamp) {
        if self.texts.len() >= TEXTS {
            self.texts.clear();
        }
        self.texts.insert(text.to_owned(), Said { event: event.to_owned(), count, at });
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

    #[test]
    fn the_same_text_is_silent_within_an_interval_and_counted_after_it() {
        let (mut told, moment) = (Told::default(), moment("1", Phase::Progressing));
        assert_eq!(told.manner(&moment, "halt", EVERY, at(0)), Manner::Anew);
        told.said("halt", "podinfo.1", 1, at(0));
        assert_eq!(told.manner(&moment, "halt", EVERY, at(5)), Manner::Silently);
        assert_eq!(
            told.manner(&moment, "halt", EVERY, at(10)),
            Manner::Again { event: "podinfo.1".to_owned(), count: 2 }
        );
        assert_eq!(told.manner(&moment, "other", EVERY, at(10)), Manner::Anew);
    }

    #[test]
    fn another_phase_or_run_says_it_anew_and_some_things_are_never_repeated() {
        let mut told = Told::default();
        let first = moment("1", Phase::Waiting);
        told.manner(&first, "waiting", Repetition::Never, at(0));
        told.said("waiting", "podinfo.1", 1, at(0));
        assert_eq!(told.manner(&first, "waiting", Repetition::Never, at(9_999)), Manner::Silently);
        assert_eq!(told.manner(&moment("1", Phase::Progressing), "waiting", Repetition::Never, at(1)), Manner::Anew);
        told.said("waiting", "podinfo.2", 1, at(0));
        assert_eq!(told.manner(&moment("2", Phase::Progressing), "waiting", Repetition::Never, at(1)), Manner::Anew);
    }

    #[test]
    fn conflicts_wait_longer_each_time_until_a_plan_is_carried_out() {
        let mut memory = Memory::default();
        let waits: Vec<u128> = (0..8).map(|_| memory.conflicted().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        memory.carried_out();
        assert_eq!(memory.conflicted().as_millis(), 100);
    }
}
