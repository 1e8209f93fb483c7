//! Signs of life: when each watch was last heard, when the scheduler last went on, and how often a task had to be started
//! again. It only notes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::telemetry::Telemetry;

/// A watch that has not been heard for so much longer than it may be quiet is stale.
const STALE: Duration = Duration::from_mins(1);
/// A scheduler that has not gone on for so long has stopped.
const STOPPED: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug)]
struct Heard {
    kind: &'static str,
    at: Instant,
    /// So long nothing is asked, so that nothing can be heard.
    rest: Duration,
}

/// The signs of life of one process.
#[derive(Debug, Default)]
pub struct Vitals {
    watches: Mutex<BTreeMap<String, Heard>>,
    restarts: Mutex<BTreeMap<String, u32>>,
    scheduler: Mutex<Option<Instant>>,
}

impl Vitals {
    /// A watch was heard: an answer, an event or a bookmark. The name tells it from others of its kind.
    pub fn heard(&self, watch: &str, kind: &'static str) {
        let heard = Heard { kind, at: Instant::now(), rest: Duration::ZERO };
        lock(&self.watches).insert(watch.to_owned(), heard);
    }

    /// The same of a moment that is past.
    #[cfg(test)]
    pub(crate) fn heard_at(&self, watch: &str, kind: &'static str, at: Instant) {
        lock(&self.watches).insert(watch.to_owned(), Heard { kind, at, rest: Duration::ZERO });
    }

    /// The scheduler went on at a moment that is past.
    #[cfg(test)]
    pub(crate) fn went_on_at(&self, at: Instant) {
        *lock(&self.scheduler) = Some(at);
    }

    /// A watch that begins, and has not been heard yet.
    pub(crate) fn begin(&self, watch: &str, kind: &'static str) {
        let heard = Heard { kind, at: Instant::now(), rest: Duration::ZERO };
        lock(&self.watches).entry(watch.to_owned()).or_insert(heard);
    }

    /// A watch has got an answer for which it asks again only after a pause.
    pub(crate) fn rests(&self, watch: &str, pause: Duration) {
        if let Some(heard) = lock(&self.watches).get_mut(watch) {
            (heard.at, heard.rest) = (Instant::now(), pause);
        }
    }

    /// A watch that is no longer needed.
    pub(crate) fn end(&self, watch: &str) {
        lock(&self.watches).remove(watch);
    }

    /// The scheduler goes on.
    pub fn goes_on(&self) {
        *lock(&self.scheduler) = Some(Instant::now());
    }

    /// Why the scheduler does not live, if it does not. One that has not begun yet waits for the API server, which a restart
    /// would not help.
    pub fn standstill(&self, now: Instant) -> Option<String> {
        let since = (*lock(&self.scheduler))?;
        let silent = now.saturating_duration_since(since);
        (silent > STOPPED).then(|| format!("the scheduler has not gone on for {} s", silent.as_secs()))
    }

    /// The watches that are stale, each with the seconds since it was heard.
    pub fn stale(&self, now: Instant) -> Vec<(String, u64)> {
        let watches = lock(&self.watches);
        let age = |heard: &Heard| now.saturating_duration_since(heard.at);
        let stale = watches.iter().filter(|(_, heard)| age(heard) > heard.rest + STALE);
        stale.map(|(watch, heard)| (watch.clone(), age(heard).as_secs())).collect()
    }

    /// A task ended, and is started again.
    pub(crate) fn restarted(&self, task: &str) {
        *lock(&self.restarts).entry(task.to_owned()).or_default() += 1;
    }

    /// Shows all of it as numbers: of several watches of a kind the one that was heard longest ago.
    pub fn show(&self, telemetry: &Telemetry) {
        let now = Instant::now();
        let mut ages: BTreeMap<String, f64> = BTreeMap::new();
        for heard in lock(&self.watches).values() {
            let age = ages.entry(heard.kind.to_owned()).or_default();
            *age = age.max(now.saturating_duration_since(heard.at).as_secs_f64());
        }
        telemetry.show_all("burgee_watch_last_heard_seconds", "kind", &ages);
        let restarts = lock(&self.restarts).iter().map(|(task, count)| (task.clone(), (*count).into())).collect();
        telemetry.show_all("burgee_task_restarts_total", "task", &restarts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_stale_a_minute_after_it_should_have_been_heard() {
        let (vitals, start) = (Vitals::default(), Instant::now());
        vitals.heard("canaries", "Canary");
        vitals.heard("gateways", "Gateway");
        vitals.rests("gateways", Duration::from_mins(5));
        let stale = |seconds| {
            let stale = vitals.stale(start + Duration::from_secs(seconds));
            stale.into_iter().map(|(watch, _)| watch).collect::<Vec<_>>()
        };
        assert_eq!(stale(59), [""; 0]);
        assert_eq!(stale(62), ["canaries"]);
        assert_eq!(stale(362), ["canaries", "gateways"]);
        vitals.end("canaries");
        assert_eq!(stale(62), [""; 0]);
    }

    #[test]
    fn a_scheduler_that_stands_still_for_a_minute_does_not_live_and_one_that_has_not_begun_does() {
        let (vitals, start) = (Vitals::default(), Instant::now());
        assert_eq!(vitals.standstill(start + Duration::from_hours(1)), None);
        vitals.goes_on();
        assert_eq!(vitals.standstill(start + Duration::from_secs(59)), None);
        assert!(vitals.standstill(start + Duration::from_secs(70)).is_some());
    }

    #[test]
    fn what_is_shown_of_a_watch_goes_with_it_and_restarts_add_up() {
        let (vitals, telemetry) = (Vitals::default(), Telemetry::default());
        vitals.heard("canaries", "Canary");
        vitals.restarted("lease");
        vitals.restarted("lease");
        vitals.show(&telemetry);
        let text = telemetry.render();
        assert!(text.contains("burgee_watch_last_heard_seconds{kind=\"Canary\"} "), "{text}");
        assert!(text.contains("burgee_task_restarts_total{task=\"lease\"} 2"), "{text}");
        vitals.end("canaries");
        vitals.show(&telemetry);
        assert!(!telemetry.render().contains("burgee_watch_last_heard_seconds{"));
    }
}
