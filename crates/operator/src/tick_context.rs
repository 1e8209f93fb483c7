//! What everything that is done for one tick of a canary needs: whom it is about, how often its words are repeated, how the
//! plan gets on, what may be written.

use std::sync::Arc;

use burgee_api::{Canary, Phase};
use burgee_core::bounds::Bounds;
use burgee_core::notice::Names;
use burgee_core::times::PlanTiming;
use burgee_core::world::ObjectKey;
use jiff::SignedDuration;

use crate::clock;
use crate::memory::Repetition;

/// Whom a telling is about.
#[derive(Clone, Debug)]
pub struct TickContext {
    /// Key of the canary.
    pub key: ObjectKey,
    /// The canary as last seen or written.
    pub canary: Arc<Canary>,
    /// The names that notices use.
    pub names: Names,
    /// Pace of the canary.
    pub interval: SignedDuration,
    /// How often the same text is repeated.
    pub repetition: Repetition,
    /// How the plan gets on.
    pub timing: PlanTiming,
    /// What may be written for the canary: as long as nobody knows what its spec means, it alone.
    pub bounds: Bounds,
}

impl TickContext {
    /// The context of a canary, whether or not its spec can be parsed.
    pub fn new(key: &ObjectKey, canary: &Canary, interval: SignedDuration) -> Self {
        let target = &canary.spec.target_ref;
        let names = Names {
            canary: key.name.clone(),
            namespace: key.namespace.clone(),
            target: target.name.clone(),
            target_kind: target.kind.clone(),
        };
        let repetition = Repetition::Every(interval);
        let timing = PlanTiming::begun(canary.status.as_ref(), clock::steady());
        let (bounds, canary) = (Bounds::of_nobody(key), Arc::new(canary.clone()));
        Self { key: key.clone(), canary, names, interval, repetition, timing, bounds }
    }

    /// Now it is decided how it goes on.
    pub fn is_decided(&mut self) {
        self.timing = PlanTiming::begun(self.canary.status.as_ref(), clock::steady());
    }

    /// From now on what is told comes with a status: until that is written, telling it again is a retry (I23).
    pub const fn moves(&mut self) {
        self.repetition = Repetition::Moving(self.interval);
    }

    /// `<name>.<namespace>`, as logs and chats name a canary.
    pub fn title(&self) -> String {
        format!("{}.{}", self.key.name, self.key.namespace)
    }

    /// The phase of the canary as last seen or written.
    pub fn phase(&self) -> Phase {
        self.canary.status.as_ref().map_or(Phase::Unset, |status| status.phase)
    }

    pub(crate) fn run(&self) -> String {
        let run = self.canary.status.as_ref().and_then(|status| status.run.as_ref());
        run.map(|run| format!("{} {}", run.started_at.as_deref().unwrap_or_default(), run.revision)).unwrap_or_default()
    }
}
