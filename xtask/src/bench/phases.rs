//! Which phases the canaries go through and when each was seen, by a watch. It polls nothing.
use super::api::Connection;
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const CANARIES: &str = "/apis/flagger.app/v1beta1/namespaces/bench/canaries";
/// How long a watch that ended is left alone before it is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// What each canary went through, by its name.
#[derive(Clone, Default)]
pub(super) struct Phases(Arc<Mutex<BTreeMap<String, Vec<Seen>>>>);

/// A phase in which a canary was seen, and since when.
struct Seen {
    phase: String,
    since: Instant,
}

impl Phases {
    /// Begins to watch; it goes on as long as the process.
    pub(super) fn follow() -> Self {
        let phases = Self::default();
        let follower = phases.clone();
        std::thread::spawn(move || {
            loop {
                let _ = follower.watch();
                std::thread::sleep(PAUSE);
            }
        });
        phases
    }

    /// When each canary was first seen in a phase after a moment.
    pub(super) fn reached(&self, phase: &str, after: Instant) -> BTreeMap<String, Instant> {
        let seen = self.lock();
        let first = |history: &[Seen]| {
            history.iter().find(|seen| seen.phase == phase && seen.since >= after).map(|seen| seen.since)
        };
        seen.iter().filter_map(|(name, history)| Some((name.clone(), first(history)?))).collect()
    }

    /// How many canaries are in each phase now.
    pub(super) fn now(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for history in self.lock().values() {
            let phase = history.last().map_or("no phase", |seen| seen.phase.as_str());
            *counts.entry(phase.to_owned()).or_default() += 1;
        }
        counts
    }

    fn watch(&self) -> Result<()> {
        Connection::open()?.watch(CANARIES, |change| self.take(&change["object"], Instant::now()))
    }

    fn take(&self, canary: &Value, now: Instant) {
        let Some(name) = canary["metadata"]["name"].as_str() else { return };
        let mut seen = self.lock();
        let history = seen.entry(name.to_owned()).or_default();
        let Some(phase) = canary["status"]["phase"].as_str() else { return };
        if history.last().is_none_or(|last| last.phase != phase) {
            history.push(Seen { phase: phase.to_owned(), since: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Seen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_phase_is_reached_when_it_is_first_seen_after_the_moment() {
        let (phases, start) = (Phases::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let story = [("Succeeded", 0), ("Progressing", 10), ("Progressing", 20), ("Succeeded", 30)];
        for (phase, time) in story {
            phases.take(&json!({"metadata": {"name": "app"}, "status": {"phase": phase}}), at(time));
        }
        phases.take(&json!({"metadata": {"name": "new"}}), at(40));
        let reached = |phase, after| phases.reached(phase, at(after)).remove("app");
        assert_eq!(reached("Succeeded", 0), Some(at(0)));
        assert_eq!(reached("Succeeded", 5), Some(at(30)));
        assert_eq!(reached("Progressing", 0), Some(at(10)));
        assert_eq!(reached("Failed", 0), None);
        assert_eq!(phases.now(), BTreeMap::from([("Succeeded".to_owned(), 1), ("no phase".to_owned(), 1)]));
    }
}
