//! What time it is for a canary, and from when on a time counts that was written late. Clocks are arguments: this file
//! reads none, and decides nothing about a rollout.
//!
//! The times in the status are those of the wall's clock, which others set. So an operator looks at it only between runs;
//! during a run it counts by itself, on from there. After a restart, or when another operator takes over, there is nothing
//! but the status and the wall's clock: then whatever the status says to have happened has happened by now.

use burgee_api::{CanaryStatus, Phase, Run};
use jiff::{SignedDuration, Timestamp};

use crate::phase::PhaseRules;
use crate::question::Answers;
use crate::restoration;

/// Whoever stands still for longer than this in the middle of a plan decides anew before its next write.
pub const LONGEST_STANDSTILL: SignedDuration = SignedDuration::from_secs(5);

/// How often whoever waits for an answer gives a sign of life.
pub const BEAT: SignedDuration = SignedDuration::from_secs(1);

/// The year 8000. A time after it is nobody's clock: at the end of time every wait is over at once, and a canary would be
/// looked at without any pause.
const LATEST: Timestamp = Timestamp::constant(190_288_396_800, 0);

/// So many times that were written late are remembered.
const REMEMBERED: usize = 4;

/// The time of one canary, as its operator counts it.
#[derive(Clone, Debug, Default)]
pub struct CanaryClock {
    /// How far it is ahead of the steady clock.
    ahead: Option<SignedDuration>,
}

impl CanaryClock {
    /// What time it is. `clock` is what the wall's clock shows, `steady` a clock of the process that nobody sets. What the
    /// status says to have happened lies never ahead (I23). Where that sets the canary's clock, what was answered moves
    /// along.
    pub fn now(
        &mut self,
        clock: Timestamp,
        steady: Timestamp,
        status: Option<&CanaryStatus>,
        answers: &mut Answers,
    ) -> Timestamp {
        let timed = status.filter(|status| is_timed(status));
        let by_wall = clock.duration_since(steady);
        let counted = later(steady, self.ahead.filter(|_| timed.is_some()).unwrap_or(by_wall));
        let now = timed.and_then(latest).map_or(counted, |latest| latest.max(counted));
        let ahead = now.duration_since(steady);
        if let Some(by) = self.ahead.replace(ahead).map(|before| ahead.saturating_sub(before)) {
            answers.move_along(by);
        }
        now
    }

    /// The time of the canary when the steady clock shows `steady`.
    pub fn at(&self, steady: Timestamp) -> Timestamp {
        later(steady, self.ahead.unwrap_or_default())
    }

    /// What the steady clock shows at a time of the canary.
    pub fn steady(&self, at: Timestamp) -> Timestamp {
        later(at, -self.ahead.unwrap_or_default())
    }
}

/// Whether something in the status has been begun that ends at some time: a run, a healing, a drain.
fn is_timed(status: &CanaryStatus) -> bool {
    let is_at_rest = status.phase.is_terminal() || status.phase == Phase::Unset;
    !is_at_rest || restoration::is_due(status) || status.run.as_ref().is_some_and(|run| run.drain_until.is_some())
}

/// The latest time at which something happened, as the status says.
fn latest(status: &CanaryStatus) -> Option<Timestamp> {
    let of_run = status
        .run
        .iter()
        .flat_map(|run| [&run.started_at, &run.step_started_at, &run.fought_since, &run.held_since, &run.paused_since]);
    let times = of_run.chain([&status.last_transition_time]).flatten();
    times.filter_map(|text| text.parse().ok()).filter(|time| *time < LATEST).max()
}

/// Times in statuses that were written later than they say.
#[derive(Clone, Debug, Default)]
pub struct WriteDelays {
    known: Vec<(String, SignedDuration)>,
}

impl WriteDelays {
    /// Whether there is anything to correct.
    pub fn are_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Takes a status as it would be if its times had been those at which they were written.
    pub fn correct(&self, status: &mut CanaryStatus) {
        let Some(run) = &mut status.run else { return };
        for field in fields(run) {
            if let Some((_, by)) = self.known.iter().rev().find(|(text, _)| Some(text) == field.as_ref()) {
                postpone(field, *by);
            }
        }
    }

    /// Notes what a plan has written, when that is over.
    pub fn note(&mut self, timing: &PlanTiming, now: Timestamp) {
        let Some((sent, texts)) = &timing.sent else { return };
        let by = now.duration_since(*sent);
        if by.is_positive() {
            self.known.extend(texts.iter().flatten().map(|text| (text.clone(), by)));
        }
        let surplus = self.known.len().saturating_sub(REMEMBERED);
        self.known.drain(..surplus);
    }
}

/// The signs of life of whoever carries out a plan, by the steady clock. Who waits for an answer lives; only a process that
/// was stopped gives no sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    last: Timestamp,
}

impl Pulse {
    /// The first sign is that of the decision.
    pub const fn begun(now: Timestamp) -> Self {
        Self { last: now }
    }

    /// Whether there has been none for so long that nothing more may be written.
    pub fn stood_still(&self, now: Timestamp) -> bool {
        now.duration_since(self.last) > LONGEST_STANDSTILL
    }

    /// Somebody lives, unless the standstill was too long already: then the plan is over, whatever comes.
    pub fn beat(&mut self, now: Timestamp) {
        if !self.stood_still(now) {
            self.last = now;
        }
    }
}

/// What a plan has to do with time, by the steady clock.
#[derive(Clone, Debug, Default)]
pub struct PlanTiming {
    before: [Option<String>; 2],
    decided: Timestamp,
    sent: Option<(Timestamp, [Option<String>; 2])>,
}

impl PlanTiming {
    /// Of a plan that was decided at `now` on this status.
    pub fn begun(status: Option<&CanaryStatus>, now: Timestamp) -> Self {
        Self { before: status.map(times).unwrap_or_default(), decided: now, sent: None }
    }

    /// The pulse of whoever has decided it and now carries it out.
    pub const fn pulse(&self) -> Pulse {
        Pulse::begun(self.decided)
    }

    /// A status is about to be written: what it says to begin now begins now, and not when it was decided (I23).
    pub fn send(&mut self, status: &mut CanaryStatus, now: Timestamp) {
        let by = now.duration_since(self.decided);
        let mut news = [None, None];
        for (place, field) in status.run.iter_mut().flat_map(fields).enumerate() {
            if *field != self.before[place] {
                postpone(field, by);
                news[place].clone_from(field);
            }
        }
        self.sent = Some((now, news));
    }
}

/// The times in a run's record from which something is counted.
fn fields(run: &mut Run) -> [&mut Option<String>; 2] {
    [&mut run.step_started_at, &mut run.drain_until]
}

fn times(status: &CanaryStatus) -> [Option<String>; 2] {
    status.run.as_ref().map_or([None, None], |run| [run.step_started_at.clone(), run.drain_until.clone()])
}

fn postpone(field: &mut Option<String>, by: SignedDuration) {
    let time = field.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(time) = time.filter(|_| by.is_positive()) {
        *field = Some(format!("{:.6}", later(time, by)));
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn text(second: i64) -> String {
        format!("{:.6}", at(second))
    }

    fn look(
        canary_clock: &mut CanaryClock,
        clock: Timestamp,
        steady: Timestamp,
        status: Option<&CanaryStatus>,
    ) -> Timestamp {
        canary_clock.now(clock, steady, status, &mut Answers::default())
    }

    /// A run whose step began at this second, and whose drain ends at that one.
    fn status(step: i64, drain: Option<i64>) -> CanaryStatus {
        let run = Run { step_started_at: Some(text(step)), drain_until: drain.map(text), ..Run::default() };
        CanaryStatus { phase: Phase::Progressing, run: Some(run), ..CanaryStatus::default() }
    }

    #[test]
    fn between_runs_the_clock_is_believed_and_during_one_only_its_beginning() {
        let (mut canary_clock, run) = (CanaryClock::default(), status(1_000, None));
        assert_eq!(look(&mut canary_clock, at(1_000), at(50), None), at(1_000));
        assert_eq!(look(&mut canary_clock, at(7_777), at(55), Some(&run)), at(1_005));
        assert_eq!(look(&mut canary_clock, at(3), at(60), Some(&run)), at(1_010));
        assert_eq!((canary_clock.at(at(61)), canary_clock.steady(at(1_011))), (at(1_011), at(61)));
        let ended = CanaryStatus { phase: Phase::Succeeded, ..status(1_000, None) };
        assert_eq!(look(&mut canary_clock, at(3), at(62), Some(&ended)), at(3));
    }

    #[test]
    fn what_the_status_says_to_have_happened_has_happened_by_now() {
        let mut canary_clock = CanaryClock::default();
        assert_eq!(look(&mut canary_clock, at(3), at(50), Some(&status(1_000, Some(1_010)))), at(1_000));
        assert_eq!(look(&mut canary_clock, at(3), at(52), Some(&status(1_000, Some(1_010)))), at(1_002));
        assert_eq!(look(&mut canary_clock, at(3), at(52), Some(&status(1_500, None))), at(1_500));
    }

    #[test]
    fn nobody_gets_to_the_end_of_time_where_every_wait_is_over() {
        let (mut canary_clock, planted) = (CanaryClock::default(), status(Timestamp::MAX.as_second(), None));
        assert_eq!(look(&mut canary_clock, at(1_000), at(50), Some(&planted)), at(1_000));
        assert_eq!(look(&mut canary_clock, at(1_005), at(55), Some(&planted)), at(1_005));
    }

    #[test]
    fn a_drain_after_a_run_is_counted_as_in_it() {
        let (mut canary_clock, ended) = (CanaryClock::default(), status(1_000, Some(1_010)));
        let ended = CanaryStatus { phase: Phase::Failed, ..ended };
        look(&mut canary_clock, at(1_000), at(50), Some(&ended));
        assert_eq!(look(&mut canary_clock, at(9_999), at(53), Some(&ended)), at(1_003));
    }

    #[test]
    fn a_healing_after_a_run_is_counted_as_in_it() {
        let (mut canary_clock, mut failed) = (CanaryClock::default(), status(1_000, None));
        failed.phase = Phase::Failed;
        restoration::begin(failed.run.get_or_insert_default());
        look(&mut canary_clock, at(1_000), at(50), Some(&failed));
        assert_eq!(look(&mut canary_clock, at(9), at(53), Some(&failed)), at(1_003));
    }

    #[test]
    fn what_begins_with_a_status_begins_when_it_is_written() {
        let mut timing = PlanTiming::begun(Some(&status(990, Some(995))), at(0));
        let mut written = status(1_000, Some(995));
        timing.send(&mut written, at(4));
        assert_eq!(written, status(1_004, Some(995)), "what was begun before stays as it is");
        let mut drained = status(990, Some(1_010));
        PlanTiming::begun(Some(&status(990, None)), at(0)).send(&mut drained, at(2));
        assert_eq!(drained, status(990, Some(1_012)));
    }

    #[test]
    fn a_write_that_was_long_on_its_way_counts_from_its_end() {
        let (mut timing, mut delays) = (PlanTiming::begun(None, at(0)), WriteDelays::default());
        let mut written = status(1_000, None);
        timing.send(&mut written, at(0));
        delays.note(&timing, at(7));
        delays.correct(&mut written);
        assert_eq!(written, status(1_007, None));
        delays.correct(&mut written);
        assert_eq!(written, status(1_007, None), "it is corrected once");
    }

    #[test]
    fn a_plan_that_stood_still_in_between_is_over_and_one_that_gets_on_slowly_is_not() {
        let mut pulse = PlanTiming::begun(None, at(0)).pulse();
        assert!(!pulse.stood_still(at(5)));
        pulse.beat(at(5));
        assert!(!pulse.stood_still(at(10)) && pulse.stood_still(at(11)));
        pulse.beat(at(11));
        assert!(pulse.stood_still(at(11)), "no late sign revives it");
    }
}
