//! What a decision is given: what is seen, what is wanted, and the time. It decides nothing.

use burgee_api::{Phase, Run};
use jiff::Timestamp;

use crate::rollout::{Rollout, TargetKind};
use crate::settings::Settings;
use crate::timetable::Wake;
use crate::world::World;

/// All that a decision depends on. Time and chance are arguments.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// What is seen.
    pub world: &'a World,
    /// What is wanted.
    pub rollout: &'a Rollout,
    /// What the operator was started with.
    pub settings: &'a Settings,
    /// The time of the canary; see [`crate::times::CanaryClock`].
    pub now: Timestamp,
    /// What the wall's clock shows: only what others wrote by theirs is compared with it.
    pub clock: Timestamp,
}

impl<'a> Tick<'a> {
    /// What the status remembers of the run, if there is one.
    pub(super) fn run(&self) -> Option<&'a Run> {
        self.world.canary.status.as_ref()?.run.as_ref()
    }

    /// The phase that the status is in.
    pub(super) fn phase(&self) -> Phase {
        self.world.canary.status.as_ref().map_or(Phase::Unset, |status| status.phase)
    }

    /// A time after now, in nanosecond arithmetic that cannot overflow.
    pub(super) fn after(&self, duration: jiff::SignedDuration) -> Timestamp {
        self.now.saturating_add(duration).unwrap_or(Timestamp::MAX)
    }

    /// When to look again after the primary was written. Of pods their controller tells; nobody tells of a Service, and
    /// our own write wakes nobody.
    pub(super) fn primary_written(&self) -> Wake {
        match self.rollout.target_kind {
            TargetKind::Deployment | TargetKind::DaemonSet => Wake::OnChange,
            TargetKind::Service | TargetKind::Knative => Wake::At(self.now),
        }
    }

    /// When the drain that begins now ends (S12).
    pub(super) fn drained_at(&self) -> Timestamp {
        let delay = i64::try_from(self.settings.drain_delay_milliseconds).unwrap_or(i64::MAX);
        self.after(jiff::SignedDuration::from_millis(delay))
    }
}
