//! Requests that say nothing of the run under way: the canary's workload had them before it, for another version or another
//! run. A metric whose window reaches back to them is no verdict on this revision (S25). Until when they came is remembered
//! in `status.run`. It moves no traffic, and asks nobody.
//!
//! A provider is taken to date its samples by when they were counted, and a metric to look back on its `interval`: then the
//! first sample in a clean window has counted all that was before it, however seldom the counters are looked at.

use burgee_api::{CanaryStatus, GoDuration, Metric, Phase, Run};
use jiff::{SignedDuration, Timestamp};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::proposal::Proposal;
use super::recorded::{has_begun, is_fix, is_healing_wanted, peer_split};
use super::stamp::{fraction, time};
use super::tick::Tick;
use crate::notice::Notice;
use crate::split::Split;
use crate::timetable::Wake;
use crate::workload::Readiness;

/// What a metric looks back on: its `interval`, a minute where it says nothing (contract: metrics §2).
pub(super) fn window(metric: &Metric) -> SignedDuration {
    let written = GoDuration::parse(metric.interval.as_deref().filter(|text| !text.is_empty()).unwrap_or("1m"));
    written.map_or(SignedDuration::from_mins(1), |interval| SignedDuration::from_nanos(interval.nanoseconds()))
}

/// When a metric looks back on nothing but this run, if it does not yet. Pods of before that never go, and a time that lies
/// ahead, as only a hand can write it, put no verdict off for longer than two windows after the run began.
pub(super) fn clean_at(tick: &Tick, metric: &Metric) -> Option<Timestamp> {
    let run = tick.run()?;
    let begun = run.started_at.as_deref().and_then(time);
    let until = match time(run.foreign_until.as_deref()?)? {
        until if is_open(run) => begun.map_or(until, |begun| after(begun, metric)).min(tick.now),
        until if until > tick.now => begun.unwrap_or(tick.now).min(tick.now),
        until => until,
    };
    let clean_at = after(until, metric);
    (clean_at > tick.now).then_some(clean_at)
}

fn after(time: Timestamp, metric: &Metric) -> Timestamp {
    time.saturating_add(window(metric)).unwrap_or(Timestamp::MAX)
}

/// Whether pods of before may be there still: nothing was done in this run yet, and when it began they were. All pods run
/// its revision when its first step is written.
fn is_open(run: &Run) -> bool {
    run.strategy.is_none() && run.foreign_until.is_some() && run.foreign_until == run.started_at
}

/// Until when another run than the one that begins now had requests. Its pods may be there still; then it is not over.
pub(super) fn before_a_run(facts: &Facts) -> Option<String> {
    let run = facts.run()?;
    if run.drain_until.is_some() || has_traffic(facts) || is_healing_wanted(facts) {
        return Some(fraction(facts.now));
    }
    // By a clock that was set back since, nothing lies ahead.
    let until = run.foreign_until.as_deref().and_then(time);
    until.map(|until| fraction(until.min(facts.now)))
}

/// Whether the canary has traffic: it was meant to, or somebody has led it there by hand.
fn has_traffic(facts: &Facts) -> bool {
    let is_meant = facts.world.canary.status.as_ref().is_some_and(|status| status.canary_weight > 0);
    is_meant || peer_split(facts).is_some_and(|split| split != Split::PRIMARY)
}

/// The same of a run that begins again.
pub(super) fn before_another_try(facts: &Facts) -> Option<String> {
    let run = facts.run()?;
    let failed_checks = facts.world.canary.status.as_ref().map_or(0, |status| status.failed_checks);
    // Those of hooks too, such as an acceptance test.
    let was_tested = failed_checks > 0 || !run.hooks_passed.is_empty() || is_fix(facts);
    let had_requests = has_traffic(facts) || has_begun(facts) || run.strategy.is_some() || was_tested;
    if had_requests || is_open(run) { Some(fraction(facts.now)) } else { run.foreign_until.clone() }
}

/// Until when the target had requests under another operator: its last write was the end of a run.
pub(super) fn before_the_takeover(facts: &Facts) -> Option<String> {
    let last_write = facts.world.canary.status.as_ref()?.last_transition_time.as_deref().and_then(time)?;
    Some(fraction(last_write.min(facts.now)))
}

/// The first step of a run is written: all pods run its revision.
pub(super) fn close(run: &mut Run, now: Timestamp) {
    if is_open(run) {
        run.foreign_until = Some(fraction(now));
    }
}

/// A status is about to be written. Where a drain is over, so are the requests of its run. The drain of a bootstrap is noted
/// when the canary is initialized, whether or not there was one.
pub(super) fn note_drained(before: &CanaryStatus, after: &mut CanaryStatus, now: Timestamp) {
    let is_bootstrap = matches!(before.phase, Phase::Unset | Phase::Initializing);
    let (Some(known), Some(run)) = (&before.run, &mut after.run) else { return };
    let is_over = known.started_at == run.started_at && known.drain_until.is_some() && run.drain_until.is_none();
    if is_over && !is_bootstrap {
        run.foreign_until = Some(fraction(now));
    }
}

/// Waits with the weight as it is until the first metric is clean, and no longer than an interval: hooks, and metrics that
/// are clean, are looked at meanwhile. It is told once in a run.
pub(super) fn wait(facts: &Facts, mut builder: PlanBuilder, (metric, clean_at): (String, Timestamp)) -> Proposal {
    // While pods are missing, those that are there may still be of the version before.
    if facts.canary_readiness() == Readiness::Ready {
        close(builder.run(), facts.now);
    }
    if !std::mem::replace(&mut builder.run().foreign_told, true) {
        builder.tell(Notice::WindowUnclean(metric));
    }
    let next = facts.after(facts.rollout.interval).min(clean_at);
    builder.quiet_until(next);
    builder.finish(Wake::At(next))
}

/// The metrics that are neither passed nor failed yet, and when each is asked: of a run whose check is due.
pub fn waiting_metrics<'a>(tick: &Tick<'a>) -> Vec<(&'a str, Timestamp)> {
    if !matches!(tick.phase(), Phase::Progressing | Phase::WaitingPromotion) || !has_begun(tick) {
        return Vec::new();
    }
    let metrics = tick.rollout.metrics().iter();
    metrics.filter_map(|metric| Some((metric.name.as_str(), clean_at(tick, metric)?))).collect()
}

#[cfg(test)]
mod tests {
    use burgee_api::RunStrategy;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn drained(phase: Phase, before: Option<i64>, after: Option<i64>) -> Option<String> {
        let status = |drain: Option<i64>| CanaryStatus {
            phase,
            run: Some(Run { drain_until: drain.map(|second| fraction(at(second))), ..Run::default() }),
            ..CanaryStatus::default()
        };
        let mut written = status(after);
        note_drained(&status(before), &mut written, at(50));
        written.run.unwrap().foreign_until
    }

    #[test]
    fn the_requests_of_a_run_are_over_when_its_drain_is() {
        assert_eq!(drained(Phase::Failed, Some(45), None), Some(fraction(at(50))));
        assert_eq!(drained(Phase::Failed, Some(45), Some(45)), None);
        assert_eq!(drained(Phase::Failed, None, None), None);
        assert_eq!(drained(Phase::Initializing, Some(45), None), None);
    }

    #[test]
    fn what_is_over_when_the_first_step_comes_stays_as_it_was() {
        let check = |until: i64, strategy: Option<RunStrategy>, expected: i64| {
            let mut run = Run {
                started_at: Some(fraction(at(100))),
                foreign_until: Some(fraction(at(until))),
                strategy,
                ..Run::default()
            };
            close(&mut run, at(130));
            assert_eq!(run.foreign_until, Some(fraction(at(expected))));
        };
        check(100, None, 130);
        check(90, None, 90);
        check(100, Some(RunStrategy::Canary), 100);
    }

    #[test]
    fn a_metric_looks_back_on_its_interval_and_on_a_minute_without_one() {
        let check = |interval: Option<&str>, seconds: i64| {
            let metric = Metric { interval: interval.map(str::to_owned), ..Metric::default() };
            assert_eq!(window(&metric), SignedDuration::from_secs(seconds));
        };
        check(Some("30s"), 30);
        check(Some("2m"), 120);
        check(Some(""), 60);
        check(None, 60);
    }
}
