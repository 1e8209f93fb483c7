//! Who is due when. A tick in flight is never started twice; a wake during one runs right after it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// When a canary wants to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Only when something changes.
    OnChange,
    /// When something changes, and at this time in any case.
    At(Timestamp),
}

impl Wake {
    /// The earlier of two wakes.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
            (Self::At(time), Self::OnChange) | (Self::OnChange, Self::At(time)) => Self::At(time),
            (Self::OnChange, Self::OnChange) => Self::OnChange,
        }
    }
}

/// Who is due when.
#[derive(Debug)]
pub struct Timetable<K: Ord + Clone> {
    due: BTreeMap<K, Timestamp>,
    running: BTreeSet<K>,
    /// Those of `due` that are not in flight, in order: who is next is asked after every change of any object.
    queue: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord + Clone> Default for Timetable<K> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), running: BTreeSet::new(), queue: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timetable<K> {
    /// Asks for a tick no later than `at`. A key in flight keeps the wish until its tick has ended.
    pub fn wake(&mut self, key: &K, at: Timestamp) {
        let before = self.due.get(key).copied();
        if before.is_some_and(|before| before <= at) {
            return;
        }
        self.forget(key);
        self.due.insert(key.clone(), at);
        if !self.running.contains(key) {
            self.queue.insert((at, key.clone()));
        }
    }

    /// Takes up to `most` keys whose time has come; they are in flight until [`Self::finish`].
    pub fn start(&mut self, now: Timestamp, most: usize) -> Vec<K> {
        let ready = self.queue.iter().take(most).take_while(|(due, _)| *due <= now);
        let keys: Vec<K> = ready.map(|(_, key)| key.clone()).collect();
        for key in &keys {
            self.forget(key);
            self.running.insert(key.clone());
        }
        keys
    }

    /// Ends a tick and notes when the next one is due. A wake that came meanwhile keeps its own, earlier time.
    pub fn finish(&mut self, key: &K, next: Wake) {
        self.running.remove(key);
        if let Some(due) = self.due.get(key) {
            self.queue.insert((*due, key.clone()));
        }
        if let Wake::At(at) = next {
            self.wake(key, at);
        }
    }

    /// Forgets a key that no longer exists.
    pub fn forget(&mut self, key: &K) {
        if let Some(due) = self.due.remove(key) {
            self.queue.remove(&(due, key.clone()));
        }
    }

    /// How many entries it has, of keys that are due and of keys in flight.
    pub fn known(&self) -> usize {
        let Self { due, running, queue } = self;
        due.len() + running.len() + queue.len()
    }

    /// When the next tick that is not in flight is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.queue.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_wake_during_a_tick_runs_right_after_it() {
        let mut table = Timetable::default();
        table.wake(&"a", at(1));
        assert_eq!(table.start(at(1), 9), ["a"]);
        table.wake(&"a", at(1));
        assert!(table.start(at(5), 9).is_empty());
        table.finish(&"a", Wake::At(at(60)));
        assert_eq!(table.start(at(5), 9), ["a"]);
    }

    #[test]
    fn the_earliest_wish_wins_and_the_cap_holds() {
        let mut table = Timetable::default();
        table.wake(&"a", at(9));
        table.wake(&"a", at(3));
        table.wake(&"b", at(2));
        assert_eq!(table.next_due(), Some(at(2)));
        assert_eq!(table.start(at(4), 1), ["b"]);
        assert_eq!(table.next_due(), Some(at(3)));
    }

    #[test]
    fn a_key_in_flight_is_not_the_next_and_a_forgotten_one_never_comes() {
        let mut table = Timetable::default();
        table.wake(&"a", at(1));
        table.start(at(1), 9);
        table.wake(&"a", at(2));
        table.wake(&"a", at(4));
        table.wake(&"b", at(3));
        assert_eq!(table.next_due(), Some(at(3)));
        table.finish(&"a", Wake::At(at(7)));
        assert_eq!(table.next_due(), Some(at(2)));
        table.forget(&"a");
        assert_eq!(table.start(at(9), 9), ["b"]);
    }

    #[test]
    fn a_tick_without_a_wish_sleeps_until_something_changes() {
        let mut table = Timetable::default();
        table.wake(&"a", at(1));
        table.start(at(1), 9);
        table.finish(&"a", Wake::OnChange);
        assert_eq!(table.next_due(), None);
    }
}
