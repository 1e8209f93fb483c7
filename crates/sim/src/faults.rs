//! Faults to come, chosen by a seed: which ones there are, and how often. The same seed is the same play.

use std::collections::BTreeSet;

use burgee_api::Phase;
use jiff::SignedDuration;

use crate::coverage::Coverage;
use crate::fault::{Fault, Mishap};

/// Faults to come.
#[derive(Clone, Debug)]
pub struct Faults {
    pub(crate) chance: fastrand::Rng,
    /// What was met so far.
    pub coverage: Coverage,
    /// What lasts: it is met in every phase that it lasts into.
    pub(crate) lasting: BTreeSet<Fault>,
    rates: Vec<(Fault, u32)>,
    edits_per_mille: u32,
}

/// Faults that seeds bring. The others wait until what they found is mended.
pub const TRIED: &[Fault] = &[
    Fault::Refused,
    Fault::LostAnswer,
    Fault::Crash,
    Fault::Standstill,
    Fault::SlowWrite,
    Fault::StaleStore,
    Fault::LateWatch,
    Fault::Blindness,
    Fault::ClockJump,
    Fault::BadMetric,
    Fault::NoValues,
    Fault::Outage,
    Fault::HookFails,
    Fault::HookHangs,
    Fault::GateClosed,
    Fault::RollbackSignal,
    Fault::SlowPods,
    Fault::StuckPods,
    Fault::CrashLoop,
    Fault::Flapping,
    Fault::SlowController,
    Fault::Autoscaling,
    Fault::NewRevision,
    Fault::BadRevision,
    Fault::Revert,
    Fault::ConfigEdit,
    Fault::Suspend,
    Fault::SkipAnalysis,
    Fault::CanaryDeleted,
    Fault::Reapplied,
    Fault::PrimaryDeleted,
    Fault::OwnedDeleted,
    Fault::RouteEdit,
    Fault::Interval,
    Fault::Threshold,
    Fault::Steps,
    Fault::Service,
    Fault::Strategy,
    Fault::Metrics,
    Fault::ServiceName,
    Fault::AutoscalerRef,
    Fault::TargetScaler,
    Fault::PrimaryScaler,
    Fault::Order,
    Fault::Brake,
];

/// Faults of single steps, with how often they come per mille steps.
pub(crate) const OF_STEPS: [Fault; 5] =
    [Fault::Refused, Fault::LostAnswer, Fault::Crash, Fault::Standstill, Fault::SlowWrite];

impl Faults {
    /// The faults of a seed.
    pub fn new(seed: u64) -> Self {
        Self::of(seed, TRIED)
    }

    /// The faults of a seed with one that other plays do not have.
    pub fn with(seed: u64, fault: Fault) -> Self {
        Self::of(seed, &[TRIED, &[fault]].concat())
    }

    fn of(seed: u64, tried: &[Fault]) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let rates = Fault::ALL.map(|fault| {
            let rates: [u32; 4] = if OF_STEPS.contains(&fault) { [0, 0, 20, 100] } else { [0, 1, 1, 4] };
            let rate = chance.choice(rates).unwrap_or(0);
            (fault, if tried.contains(&fault) { rate } else { 0 })
        });
        let edits_per_mille = chance.choice([0, 0, 50, 200]).unwrap_or(0);
        Self { chance, coverage: Coverage::default(), lasting: BTreeSet::new(), rates: rates.to_vec(), edits_per_mille }
    }

    /// Faults of single writes only, which change no story: some are refused, and the operator dies between two of them.
    pub fn of_steps(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let rates = [Fault::Refused, Fault::Crash].map(|fault| (fault, chance.choice([20, 100]).unwrap_or(20)));
        let (coverage, lasting) = (Coverage::default(), BTreeSet::new());
        Self { chance, coverage, lasting, rates: rates.to_vec(), edits_per_mille: 0 }
    }

    fn rate(&self, wanted: Fault) -> u32 {
        self.rates.iter().find(|(fault, _)| *fault == wanted).map_or(0, |(_, rate)| *rate)
    }

    fn strikes(&mut self, fault: Fault, phase: Phase) -> bool {
        let rate = self.rate(fault);
        let strikes = rate > 0 && self.chance.u32(..1000) < rate;
        if strikes {
            self.coverage.note(fault, phase);
        }
        strikes
    }

    /// What happens to the next step.
    pub(crate) fn next_step(&mut self, phase: Phase) -> Mishap {
        for fault in self.lasting.clone() {
            self.coverage.note(fault, phase);
        }
        if self.strikes(Fault::Refused, phase) {
            return Mishap::Refused;
        }
        if self.strikes(Fault::LostAnswer, phase) {
            return Mishap::LostAnswer;
        }
        if self.strikes(Fault::Crash, phase) {
            return if self.chance.bool() { Mishap::Death } else { Mishap::DeathAfter };
        }
        if self.strikes(Fault::Standstill, phase) {
            return Mishap::Standstill(SignedDuration::from_secs(self.chance.i64(3..120)));
        }
        if self.strikes(Fault::SlowWrite, phase) {
            // Longer ones are given up, and then they are lost answers.
            let pause = SignedDuration::from_secs(self.chance.i64(1..30));
            return if self.chance.bool() { Mishap::SlowWrite(pause) } else { Mishap::SlowAnswer(pause) };
        }
        if self.chance.u32(..1000) < self.edits_per_mille { Mishap::Edit } else { Mishap::None }
    }

    /// How late a change wakes an operator.
    pub(crate) fn latency(&mut self, phase: Phase) -> SignedDuration {
        if self.rate(Fault::LateWatch) == 0 || self.chance.u32(..4) > 0 {
            return SignedDuration::ZERO;
        }
        self.coverage.note(Fault::LateWatch, phase);
        SignedDuration::from_millis(self.chance.i64(200..20_000))
    }

    /// How far the clock of another machine is ahead.
    pub(crate) fn skew(&mut self) -> SignedDuration {
        let seconds = if self.rate(Fault::ClockJump) > 0 { self.chance.i64(-120..120) } else { 0 };
        SignedDuration::from_secs(seconds)
    }

    /// Seconds until something happens next.
    pub fn next_pause_seconds(&mut self) -> i64 {
        let most = self.chance.choice([3, 15, 60]).unwrap_or(15);
        self.chance.i64(1..=most)
    }

    /// One of the faults that fit, by their rates.
    pub(crate) fn choose(&mut self, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
        let fitting: Vec<(Fault, u32)> = self.rates.iter().filter(|(fault, _)| fits(*fault)).copied().collect();
        let mut place = self.chance.u32(..fitting.iter().map(|(_, rate)| rate).sum::<u32>().max(1));
        fitting.into_iter().find_map(|(fault, rate)| {
            if place < rate {
                return Some(fault);
            }
            place -= rate;
            None
        })
    }

    /// From now on none comes any more.
    pub(crate) fn stop(&mut self) {
        self.lasting.clear();
        self.rates.clear();
        self.edits_per_mille = 0;
    }
}
