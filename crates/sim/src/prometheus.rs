//! The metrics server of a play. It counts the requests that reach the canary's workload, apart for each version of it,
//! looks at the counters every few seconds, and answers the builtin queries from what it has seen in their window, as
//! `rate` does. So what a version before did is in the answer for as long as the window reaches back to it, and a server
//! that was started again knows nothing yet. It knows no canary, and judges nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use burgee_core::metric::builtin::Builtin;
use jiff::{SignedDuration, Timestamp};

/// Seconds from one look at the counters to the next.
pub const SCRAPE_SECONDS: i64 = 5;
/// What is older than this is forgotten: longer than any window that is asked for.
const KEPT: SignedDuration = SignedDuration::from_mins(15);
/// The quantile of a duration.
const QUANTILE: f64 = 0.99;

/// How the answers of a version are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Percent of them that are no errors.
    pub success_rate: f64,
    /// Milliseconds that each takes.
    pub latency: f64,
}

/// Whether the counters are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scrapes {
    /// Every few seconds.
    #[default]
    On,
    /// Not at all: a gap.
    Off,
}

/// What reaches the canary's workload.
#[derive(Clone, Debug)]
pub struct Load {
    /// The version that the workload is meant to run: what is said of the answers is said of this one.
    pub version: Arc<str>,
    /// How many requests reach each version, per second.
    pub rates: Vec<(Arc<str>, f64)>,
}

impl Default for Load {
    fn default() -> Self {
        Self { version: Arc::from(""), rates: Vec::new() }
    }
}

/// What one version has answered so far.
#[derive(Clone, Debug, Default)]
struct Counter {
    requests: f64,
    failed: f64,
    /// Requests by the milliseconds that they took.
    durations: BTreeMap<u64, f64>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    counter: Counter,
    seen: VecDeque<(Timestamp, Counter)>,
}

/// What the server knows.
#[derive(Clone, Debug, Default)]
pub struct Prometheus {
    series: BTreeMap<Arc<str>, Series>,
    load: Load,
    passed: Option<Timestamp>,
    /// Whether the counters are looked at from now on.
    pub scrapes: Scrapes,
}

impl Prometheus {
    /// Time has passed until `now`, with the load of before and answers of this quality; from now on there is another load.
    /// The first one has been there for long.
    pub fn pass(&mut self, now: Timestamp, quality: Quality, load: Load) {
        if let Some(since) = self.passed.replace(now) {
            self.grow(since, now, quality);
            self.load = load;
        } else {
            self.load = load;
            self.grow(Timestamp::MIN, now, quality);
        }
    }

    fn grow(&mut self, since: Timestamp, now: Timestamp, quality: Quality) {
        if since == now || self.series.is_empty() && self.load.rates.is_empty() {
            return;
        }
        self.count(since.max(earlier(now, KEPT)), now, quality);
        for series in self.series.values_mut() {
            while series.seen.front().is_some_and(|(at, _)| *at < earlier(now, KEPT)) {
                series.seen.pop_front();
            }
        }
        let rates = &self.load.rates;
        self.series.retain(|name, series| !series.seen.is_empty() || rates.iter().any(|(version, _)| version == name));
    }

    /// Counts what comes between two times, and looks at it whenever that is due. What has no pods is not looked at.
    fn count(&mut self, since: Timestamp, now: Timestamp, quality: Quality) {
        let mut at = since;
        while at < now && !self.load.rates.is_empty() {
            let next = next_scrape(at).min(now);
            let seconds = next.duration_since(at).as_secs_f64();
            for (version, rate) in &self.load.rates {
                let series = self.series.entry(Arc::clone(version)).or_default();
                series.counter.add(rate * seconds, quality);
                if is_scrape(next) && self.scrapes == Scrapes::On {
                    series.seen.push_back((next, series.counter.clone()));
                }
            }
            at = next;
        }
    }

    /// The server is started again without what it knew.
    pub fn restart(&mut self) {
        self.series.values_mut().for_each(|series| series.seen.clear());
    }

    /// What a builtin query over the `window` before `now` gives: percent or milliseconds; none without values. The
    /// quality is that of the version that the workload is meant to run: it holds for all that this one has answered.
    pub fn ask(&self, builtin: Builtin, window: Window, quality: Quality) -> Option<f64> {
        let mut all = Counter::default();
        for (name, series) in &self.series {
            let grown = series.grown(window);
            if *name == self.load.version {
                all.add(grown.requests, quality);
            } else {
                all.join(&grown);
            }
        }
        if all.requests <= 0.0 {
            return None;
        }
        Some(match builtin {
            // Without the noise of so many additions.
            Builtin::SuccessRate => ((100.0 - all.failed * 100.0 / all.requests) * 1e6).round() / 1e6,
            Builtin::Duration { .. } => all.quantile(),
        })
    }

    /// How many of the requests in a window reached other versions than the one that the workload is meant to run.
    pub fn foreign(&self, window: Window) -> f64 {
        let others = self.series.iter().filter(|(name, _)| **name != self.load.version);
        others.map(|(_, series)| series.grown(window).requests).sum()
    }
}

/// The time that a query looks back on.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its end.
    pub now: Timestamp,
    /// Its length.
    pub length: SignedDuration,
}

impl Series {
    /// What was counted between the first and the last look in a window; nothing with fewer than two.
    fn grown(&self, window: Window) -> Counter {
        let start = earlier(window.now, window.length);
        let mut seen = self.seen.iter().filter(|(at, _)| *at > start && *at <= window.now).map(|(_, counter)| counter);
        let Some(first) = seen.next() else { return Counter::default() };
        seen.next_back().map_or_else(Counter::default, |last| last.since(first))
    }
}

impl Counter {
    fn add(&mut self, requests: f64, quality: Quality) {
        if requests > 0.0 {
            self.requests += requests;
            self.failed += requests * (100.0 - quality.success_rate) / 100.0;
            *self.durations.entry(whole(quality.latency)).or_default() += requests;
        }
    }

    fn join(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        for (duration, requests) in &other.durations {
            *self.durations.entry(*duration).or_default() += requests;
        }
    }

    fn since(&self, before: &Self) -> Self {
        let known = |duration| before.durations.get(duration).copied().unwrap_or_default();
        let durations = self.durations.iter().map(|(duration, requests)| (*duration, requests - known(duration)));
        Self {
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            durations: durations.collect(),
        }
    }

    /// Milliseconds that all but a hundredth of the requests took at most.
    fn quantile(&self) -> f64 {
        let mut left = self.requests * QUANTILE;
        let reaches = self.durations.iter().find(|(_, requests)| {
            left -= **requests;
            left <= self.requests * 1e-9
        });
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a request are few")]
        reaches.map_or(0.0, |(duration, _)| *duration as f64)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is wanted")]
const fn whole(milliseconds: f64) -> u64 {
    milliseconds as u64
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

fn is_scrape(at: Timestamp) -> bool {
    at.as_second().rem_euclid(SCRAPE_SECONDS) == 0 && at.subsec_nanosecond() == 0
}

fn next_scrape(after: Timestamp) -> Timestamp {
    let second = (after.as_second().div_euclid(SCRAPE_SECONDS) + 1) * SCRAPE_SECONDS;
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Quality = Quality { success_rate: 100.0, latency: 50.0 };
    const BAD: Quality = Quality { success_rate: 69.0, latency: 690.0 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn window(second: i64, length: i64) -> Window {
        Window { now: at(second), length: SignedDuration::from_secs(length) }
    }

    fn ask(prometheus: &Prometheus, second: i64, length: i64) -> Option<f64> {
        prometheus.ask(Builtin::SuccessRate, window(second, length), GOOD)
    }

    /// A bad version has traffic for half a minute, then a good one.
    fn one_after_another() -> Prometheus {
        let mut prometheus = Prometheus::default();
        for (second, quality, version) in [(0, BAD, "old"), (30, BAD, "new"), (100, GOOD, "new")] {
            prometheus.pass(at(second), quality, load(version));
        }
        prometheus
    }

    fn load(version: &str) -> Load {
        Load { version: Arc::from(version), rates: vec![(Arc::from(version), 10.0)] }
    }

    #[test]
    fn a_window_holds_the_version_before_until_it_has_passed_it() {
        let prometheus = one_after_another();
        assert_eq!(ask(&prometheus, 45, 30), Some(84.5), "10 s of each, from its first look on");
        assert_eq!(ask(&prometheus, 60, 30), Some(100.0));
        let duration = Builtin::from_name("request-duration").unwrap();
        assert_eq!(prometheus.ask(duration, window(45, 30), GOOD), Some(690.0));
        assert_eq!(prometheus.ask(duration, window(60, 30), GOOD), Some(50.0));
        assert!(prometheus.foreign(window(45, 30)) > 0.0 && prometheus.foreign(window(60, 30)) <= 0.0);
    }

    #[test]
    fn without_two_looks_in_the_window_there_are_no_values() {
        let mut prometheus = one_after_another();
        assert_eq!(ask(&prometheus, 100, 5), None);
        assert_eq!(ask(&prometheus, 100, 10), Some(100.0));
        prometheus.restart();
        assert_eq!(ask(&prometheus, 100, 60), None);
        prometheus.pass(at(109), GOOD, load("new"));
        assert_eq!(ask(&prometheus, 109, 60), None, "one look");
        prometheus.pass(at(110), GOOD, load("new"));
        assert_eq!(ask(&prometheus, 110, 60), Some(100.0));
        prometheus.scrapes = Scrapes::Off;
        prometheus.pass(at(200), GOOD, load("new"));
        assert_eq!(ask(&prometheus, 200, 60), None, "a gap");
    }
}
