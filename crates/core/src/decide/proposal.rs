//! What a phase wants done, before it has what every plan gets (`passes`), and why a decision ends before its last line.

use burgee_api::CanaryStatus;
use jiff::Timestamp;

use super::mistake::Obstacle;
use crate::notice::Notice;
use crate::plan::{Plan, Step};
use crate::question::Question;
use crate::timetable::Wake;
use crate::world::ObjectKey;

/// What a phase wants done, and when to look again.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) body: Body,
    pub(super) next: Wake,
    /// What drifted, and is repaired beside it.
    pub(super) drift: Option<Vec<Step>>,
    /// The objects that it only puts back as they are meant to be.
    pub(super) repairs: Vec<ObjectKey>,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing is added to this plan.
    Whole(Box<Plan>),
    /// What a builder has collected.
    Drafted(Box<Drafted>),
}

/// What a builder has collected, and the status as it shall be.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) collected: Collected,
    pub(super) status: CanaryStatus,
}

/// Steps by their place in the order that survives a crash.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Before the status is written.
    pub(super) steps: Vec<Step>,
    /// What the status intends; it is made so last.
    pub(super) intended: Vec<Step>,
    /// Right after the status is written.
    pub(super) afterwards: Vec<Step>,
    pub(super) told: Told,
    pub(super) quiet_until: Option<Timestamp>,
    pub(super) writes: StatusWrite,
}

/// Whether the status is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StatusWrite {
    /// If anything in it changed.
    #[default]
    IfChanged,
    /// It goes with the canary.
    Never,
}

impl From<Plan> for Proposal {
    fn from(plan: Plan) -> Self {
        let next = plan.next;
        Self { body: Body::Whole(Box::new(plan)), next, drift: None, repairs: Vec::new() }
    }
}

impl Proposal {
    /// The same, looked at again no later than this.
    pub(super) fn sooner(mut self, next: Wake) -> Self {
        self.next = self.next.sooner(next);
        self
    }

    /// The same, with what drifted.
    pub(super) fn beside(mut self, drift: Vec<Step>) -> Self {
        self.drift = Some(drift);
        self
    }
}

/// Why a decision ends before its last line.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something has to be asked first.
    Ask(Question),
    /// Nothing more can be done for now.
    Wait(Box<Proposal>),
    /// Something cannot be seen or made.
    Blocked(Obstacle),
}

pub(super) type Decision<T> = Result<T, Stop>;

impl From<Obstacle> for Stop {
    fn from(obstacle: Obstacle) -> Self {
        Self::Blocked(obstacle)
    }
}

impl From<Proposal> for Stop {
    fn from(proposal: Proposal) -> Self {
        Self::Wait(Box::new(proposal))
    }
}

/// What a plan has told so far. A retry of a turn of the run keeps its name also when something else is wrong by then, and
/// is told before it (I23): both have places of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    turns: u8,
    others: u8,
}

impl Told {
    /// Where turns begin: after what led to them.
    const TURNS: u8 = 0x80;

    /// The place of the next notice in its plan.
    pub(super) fn next(&mut self, notice: &Notice) -> u8 {
        let (told, first) = if notice.is_turn() { (&mut self.turns, Self::TURNS) } else { (&mut self.others, 0) };
        let place = first + *told;
        *told = told.saturating_add(1).min(Self::TURNS - 1);
        place
    }

    pub(super) fn all(&self) -> i64 {
        i64::from(self.turns) + i64::from(self.others)
    }
}
