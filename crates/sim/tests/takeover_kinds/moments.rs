//! The moments at which Flagger can be stopped, by the course of a run, and what is told of a whole run (contract:
//! lifecycle §6.5 and §9). It knows no object.

use burgee_api::Phase;

/// How a kind of canary is tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Weights,
    AbTesting,
    BlueGreen,
    Mirrored,
    Kubernetes,
}

/// Which version a set runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Old,
    New,
}

/// How far the set-up of a canary was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// There are two Services and nothing behind them.
    Services,
    /// All but the routes.
    Primary,
    /// All.
    Whole,
}

/// Where the requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Primary,
    /// And copies of them to the canary.
    Copied,
    /// So many percent to the canary.
    Canary(u8),
}

impl Traffic {
    pub(crate) const fn weight(self) -> u8 {
        match self {
            Self::Primary | Self::Copied => 0,
            Self::Canary(weight) => weight,
        }
    }
}

/// The moment at which Flagger was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) phase: Phase,
    pub(crate) built: Built,
    pub(crate) target: Version,
    /// Whether the target has pods.
    pub(crate) is_up: bool,
    pub(crate) primary: Version,
    pub(crate) traffic: Traffic,
    /// `status.canaryWeight`, `status.iterations` and `status.failedChecks`.
    pub(crate) counters: (i64, i64, i64),
    /// The beginning of what is told next, if anything is.
    pub(crate) next: &'static str,
}

/// Nothing is under way.
pub(crate) const REST: Moment = Moment {
    phase: Phase::Succeeded,
    built: Built::Whole,
    target: Version::Old,
    is_up: false,
    primary: Version::Old,
    traffic: Traffic::Primary,
    counters: (0, 0, 0),
    next: "",
};

/// The ends of runs.
pub(crate) const RESTS: [Moment; 3] =
    [Moment { phase: Phase::Initialized, ..REST }, REST, Moment { phase: Phase::Failed, target: Version::New, ..REST }];

/// In the middle of being set up.
pub(crate) const BEGINNINGS: [Moment; 2] = [
    Moment {
        phase: Phase::Initializing,
        built: Built::Services,
        is_up: true,
        next: "all the metrics providers",
        ..REST
    },
    Moment { phase: Phase::Initializing, built: Built::Primary, next: "Initialization done!", ..REST },
];

/// A new version waits for approval.
pub(crate) const WAITING: Moment =
    Moment { phase: Phase::Waiting, target: Version::New, next: "Confirm-rollout check", ..REST };

/// The promotion failed: the primary cannot start, and all traffic is on the target.
pub(crate) const FAILED_PROMOTION: Moment = Moment {
    phase: Phase::Failed,
    target: Version::New,
    is_up: true,
    primary: Version::New,
    traffic: Traffic::Canary(100),
    counters: (100, 0, 0),
    ..REST
};

/// The finalizer has begun its work, with the target still at zero or up again already.
pub(crate) const ENDS: [Moment; 2] = [
    Moment { phase: Phase::Terminating, next: "Terminated", ..REST },
    Moment { phase: Phase::Terminating, is_up: true, next: "Terminated", ..REST },
];

const RUN: Moment = Moment { phase: Phase::Progressing, target: Version::New, is_up: true, ..REST };

impl Course {
    /// The moments of a run before its promotion.
    pub(crate) fn analyses(self) -> [Moment; 3] {
        let begun = Moment { next: "Starting canary analysis", ..RUN };
        let (traffic, counters, next) = match self {
            Self::Weights => (Traffic::Canary(20), (20, 0, 1), "Advance podinfo.test canary weight 40"),
            Self::AbTesting => (Traffic::Canary(100), (0, 2, 1), "Advance podinfo.test canary iteration 3/3"),
            Self::BlueGreen | Self::Kubernetes => {
                (Traffic::Primary, (0, 2, 1), "Advance podinfo.test canary iteration 3/3")
            }
            Self::Mirrored => (Traffic::Copied, (0, 2, 1), "Advance podinfo.test canary iteration 3/3"),
        };
        let middle = Moment { traffic, counters, next, ..RUN };
        // Flagger's status is not true while it waits (S8).
        let (traffic, counters) = match self {
            Self::Weights => (Traffic::Canary(40), (0, -1, 1)),
            Self::AbTesting | Self::BlueGreen | Self::Mirrored | Self::Kubernetes => (traffic, (0, 2, 1)),
        };
        let next = "Confirm-promotion check";
        [begun, middle, Moment { phase: Phase::WaitingPromotion, traffic, counters, next, ..RUN }]
    }

    /// The moments of its promotion.
    pub(crate) fn promotions(self) -> [Moment; 2] {
        let (traffic, counters) = match self {
            Self::Weights => (Traffic::Canary(40), (40, 0, 0)),
            Self::AbTesting => (Traffic::Canary(100), (0, 3, 0)),
            Self::BlueGreen | Self::Mirrored => (Traffic::Canary(100), (0, 4, 0)),
            Self::Kubernetes => (Traffic::Primary, (0, 4, 0)),
        };
        let next = if self == Self::Kubernetes { "Promotion completed!" } else { "Routing all traffic to primary" };
        let copied = Moment { phase: Phase::Promoting, primary: Version::New, traffic, counters, next, ..RUN };
        let finalising = Moment {
            phase: Phase::Finalising,
            traffic: Traffic::Primary,
            counters: (0, 0, 0),
            next: "Promotion completed!",
            ..copied
        };
        [copied, finalising]
    }

    /// All that is told of a run, from the gate before it to its end.
    pub(crate) fn story(self) -> Vec<&'static str> {
        let steps: &[&str] = match self {
            Self::Weights => &["Advance podinfo.test canary weight 20", "Advance podinfo.test canary weight 40"],
            Self::AbTesting | Self::BlueGreen | Self::Mirrored | Self::Kubernetes => &[
                "Advance podinfo.test canary iteration 1/3",
                "Advance podinfo.test canary iteration 2/3",
                "Advance podinfo.test canary iteration 3/3",
            ],
        };
        let routed: &[&str] = match self {
            Self::BlueGreen => &["Routing all traffic to canary"],
            Self::Mirrored => &["Stop traffic mirroring and route all traffic to canary"],
            Self::Weights | Self::AbTesting | Self::Kubernetes => &[],
        };
        let back: &[&str] = if self == Self::Kubernetes { &[] } else { &["Routing all traffic to primary"] };
        let begun: &[&str] = &[
            "Confirm-rollout check start passed",
            "New revision detected! Scaling up podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Pre-rollout check acceptance passed",
        ];
        let copied: &[&str] = &["Copying podinfo.test template spec to podinfo-primary.test"];
        let ended: &[&str] = &["Promotion completed! Scaling down podinfo.test"];
        [begun, steps, &["Confirm-promotion check promote passed"], routed, copied, back, ended].concat()
    }
}
