//! What may go wrong, and what somebody may do at a bad moment. It chooses nothing.

use jiff::SignedDuration;

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
