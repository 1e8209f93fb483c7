//! An unkind outside, chosen by a seed: which faults there are, and how often. The same seed is the same play.

use std::collections::BTreeSet;

use burgee_api::Phase;
use jiff::SignedDuration;

use crate::coverage::Coverage;
use crate::stage::Stage;
use crate::trouble;
use crate::users;

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $fault:ident = $name:literal,)*) => {
        /// Something that goes wrong, or that somebody does at a bad moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])* $fault,)*
        }

        impl Fault {
            /// Every fault, in the order of the table.
            pub const ALL: [Self; [$(Self::$fault),*].len()] = [$(Self::$fault),*];

            /// Its name in tables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }
        }
    };
}

faults! {
    /// A step is refused before it takes effect.
    Refused = "refused write",
    /// A step takes effect, and its answer is lost.
    LostAnswer = "lost answer",
    /// The operator dies between two steps.
    Crash = "crash",
    /// The operator stands still in the middle of a plan, and another one may take the lease.
    Standstill = "lost lease",
    /// A write takes long, and is answered.
    SlowWrite = "slow write",
    /// A watch is behind: others' writes are seen late.
    StaleStore = "stale store",
    /// Changes wake nobody for a while.
    LateWatch = "late watch",
    /// A kind cannot be read.
    Blindness = "unreadable kind",
    /// The clock of the operator's machine jumps.
    ClockJump = "clock jump",
    /// A metric is bad.
    BadMetric = "bad metric",
    /// A metric has no values.
    NoValues = "no values",
    /// No metrics provider answers.
    Outage = "provider outage",
    /// A check fails.
    HookFails = "failing hook",
    /// A hook does not answer for a long time.
    HookHangs = "hanging hook",
    /// A gate is closed.
    GateClosed = "closed gate",
    /// Somebody asks for a rollback.
    RollbackSignal = "rollback signal",
    /// Pods take long to get ready.
    SlowPods = "slow pods",
    /// Pods do not get ready.
    StuckPods = "stuck pods",
    /// A pod of a workload crashes again and again.
    CrashLoop = "crashing pod",
    /// No pod of a workload is ready for a moment.
    Flapping = "flapping pods",
    /// Controllers are behind.
    SlowController = "slow controller",
    /// Autoscalers scale.
    Autoscaling = "autoscaling",
    /// Somebody pushes a new revision.
    NewRevision = "new revision",
    /// Somebody pushes a revision that never gets ready.
    BadRevision = "bad revision",
    /// Somebody goes back to what was promoted.
    Revert = "revert",
    /// A ConfigMap or Secret changes.
    ConfigEdit = "config edit",
    /// Somebody suspends or resumes the canary.
    Suspend = "suspend, resume",
    /// Somebody switches `skipAnalysis`.
    SkipAnalysis = "skip analysis",
    /// Somebody deletes the canary.
    CanaryDeleted = "canary deleted",
    /// Somebody applies the deleted canary again.
    Reapplied = "canary reapplied",
    /// Somebody deletes the primary.
    PrimaryDeleted = "primary deleted",
    /// Somebody deletes another generated object.
    OwnedDeleted = "object deleted",
    /// Somebody changes the routes by hand.
    RouteEdit = "route edited",
    /// The interval changes.
    Interval = "interval edited",
    /// The threshold changes.
    Threshold = "threshold edited",
    /// The steps change.
    Steps = "steps edited",
    /// Ports or timeouts of the service change.
    Service = "service edited",
    /// The analysis goes by another strategy.
    Strategy = "strategy edited",
    /// A metric comes or goes, or its bounds change.
    Metrics = "metrics edited",
    /// The Service gets another name.
    ServiceName = "service renamed",
    /// The target gets another autoscaler, or none.
    AutoscalerRef = "autoscaler swapped",
    /// The target's autoscaler, or its replicas, change.
    TargetScaler = "target scaled",
    /// The primary's autoscaler, or its replicas, change by hand.
    PrimaryScaler = "primary scaled",
    /// Somebody gives an order.
    Order = "order",
    /// Somebody sets or lifts the incident brake.
    Brake = "brake",
}

/// What happens to one step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Nothing.
    None,
    /// It is refused.
    Refused,
    /// Somebody does something right before it.
    Edit,
    /// It takes effect, and nobody hears of it.
    LostAnswer,
    /// The operator dies before it.
    Death,
    /// The operator dies after it.
    DeathAfter,
    /// The operator stands still before it for so long.
    Standstill(SignedDuration),
    /// It takes effect after so long, and is answered.
    SlowWrite(SignedDuration),
    /// It takes effect at once, and is answered after so long.
    SlowAnswer(SignedDuration),
}

impl Mishap {
    /// The same, but nothing if it is slowness: what is no write takes no time.
    pub(crate) const fn unless_slow(self) -> Self {
        match self {
            Self::SlowWrite(_) | Self::SlowAnswer(_) => Self::None,
            Self::None
            | Self::Refused
            | Self::Edit
            | Self::LostAnswer
            | Self::Death
            | Self::DeathAfter
            | Self::Standstill(_) => self,
        }
    }

    /// What a film shows of it.
    pub(crate) const fn text(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Edit => None,
            Self::Refused => Some("a write is refused"),
            Self::LostAnswer => Some("the answer to a write is lost"),
            Self::Death | Self::DeathAfter => Some("the operator dies and is started again"),
            Self::Standstill(_) => Some("the operator stands still"),
            Self::SlowWrite(_) | Self::SlowAnswer(_) => Some("a write takes long"),
        }
    }
}

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
const OF_STEPS: [Fault; 5] = [Fault::Refused, Fault::LostAnswer, Fault::Crash, Fault::Standstill, Fault::SlowWrite];

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

    /// Something happens: whatever this seed has, by its rates.
    pub fn disturb(&mut self, stage: &mut Stage) -> Result<(), String> {
        let Some(fault) = self.choose(|fault| !OF_STEPS.contains(&fault)) else { return Ok(()) };
        self.bring(stage, fault)
    }

    /// Somebody edits something between two steps.
    pub(crate) fn edit(&mut self, stage: &mut Stage) -> Result<(), String> {
        let Some(fault) = self.choose(users::is_users) else { return Ok(()) };
        self.bring(stage, fault)
    }

    fn choose(&mut self, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
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

    fn bring(&mut self, stage: &mut Stage, fault: Fault) -> Result<(), String> {
        let phase = stage.phase();
        let done = if users::is_users(fault) {
            users::act(self, stage, fault)?
        } else {
            trouble::bring(self, stage, fault);
            true
        };
        if done {
            self.coverage.note(fault, phase);
        }
        Ok(())
    }

    /// From now on nothing goes wrong any more.
    pub fn end(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.lasting.clear();
        self.rates.clear();
        self.edits_per_mille = 0;
        trouble::end(stage);
        users::make_peace(stage)
    }
}
