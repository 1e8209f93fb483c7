//! What to do: fully specified steps in order. The first one that fails stops the plan; the next tick sees a new world.

use burgee_api::{CanaryStatus, Delivery, Phase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::ObjectKey;
use crate::notice::Notice;
use crate::round::Round;
use crate::timetable::Wake;

/// A notice on its way, with the deterministic name of its event: telling it twice is a conflict (I23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// What is said.
    pub notice: Notice,
    /// Hex digits after the canary's name; of a run its start, how much had been told, the place in the plan, and the text.
    pub event_suffix: String,
    /// The phase that event webhooks see.
    pub phase: Phase,
}

/// A copy of a tracked ConfigMap or Secret for the primary. The content never passes through a decision: whoever acts
/// reads it, checks it against the checksum, and writes the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigCopy {
    /// The object that is copied.
    pub source: ObjectKey,
    /// Its checksum as analysed; another content stops the plan (S22).
    pub checksum: String,
    /// Name of the copy.
    pub name: String,
    /// The owner reference to the canary.
    pub owner: Value,
    /// Labels of the source that go along: those with these prefixes.
    pub include_label_prefixes: Vec<String>,
}

impl ConfigCopy {
    /// Key of the copy.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.source.kind, &self.source.namespace, &self.name)
    }
}

/// Counters that a plan moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Count {
    /// A promotion after a complete analysis.
    Completed,
    /// A promotion without analysis.
    Skipped,
    /// A rollback or a failed promotion.
    Failed,
    /// A run that another revision ended after so many seconds.
    Superseded(u64),
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Create this object; that it exists already is a conflict.
    Create(Value),
    /// Replace the whole object; it carries the `resourceVersion` it was decided on.
    Replace(Value),
    /// Drop what was kept; that it is gone is success.
    Drop(ObjectKey),
    /// A JSON patch with `test` operations, for objects that are not ours.
    Patch {
        /// Which object.
        key: ObjectKey,
        /// RFC 6902 operations.
        operations: Value,
    },
    /// Keep a promoted template; that it is kept already is success, because its name is its digest.
    Keep(Value),
    /// Copy a ConfigMap or Secret for the primary.
    CopyConfig(ConfigCopy),
    /// Keep what these copies are about to replace, together in this Secret; that it is there already is success, because
    /// what was promoted last is in it.
    KeepConfigs {
        /// The Secret.
        key: ObjectKey,
        /// The copies to come.
        copies: Vec<ConfigCopy>,
    },
    /// Put back what is kept in this Secret; that there is none is success.
    RestoreConfigs(ObjectKey),
    /// Say something: log, event, event webhook.
    Tell(Telling),
    /// Write the canary's status, if its `resourceVersion` is still the World's.
    Status(Box<CanaryStatus>),
    /// Hand over what others get, without waiting for them. Never before the status write that makes it unrepeatable.
    Deliver(Delivery),
    /// Move a counter.
    Count(Count),
}

impl Step {
    /// The object that the step writes whole, if it does.
    pub fn written(&self) -> Option<ObjectKey> {
        match self {
            Self::Create(object) | Self::Replace(object) => ObjectKey::of(object),
            Self::Drop(_)
            | Self::Patch { .. }
            | Self::Keep(_)
            | Self::CopyConfig(_)
            | Self::KeepConfigs { .. }
            | Self::RestoreConfigs(_)
            | Self::Tell(_)
            | Self::Status(_)
            | Self::Deliver(_)
            | Self::Count(_) => None,
        }
    }

    /// The object that takes the place of the stored one, if the step is a replacement.
    pub const fn replacement(&self) -> Option<&Value> {
        if let Self::Replace(object) = self { Some(object) } else { None }
    }

    /// Whether the step is a request to the API server.
    pub const fn is_write(&self) -> bool {
        match self {
            Self::Create(_)
            | Self::Replace(_)
            | Self::Drop(_)
            | Self::Patch { .. }
            | Self::Keep(_)
            | Self::CopyConfig(_)
            | Self::KeepConfigs { .. }
            | Self::RestoreConfigs(_)
            | Self::Tell(_)
            | Self::Status(_) => true,
            Self::Deliver(_) | Self::Count(_) => false,
        }
    }

    /// What is told, if the step tells something.
    pub const fn telling(&self) -> Option<&Telling> {
        if let Self::Tell(telling) = self { Some(telling) } else { None }
    }

    /// The status that is written, if the step writes it.
    pub fn status(&self) -> Option<&CanaryStatus> {
        if let Self::Status(status) = self { Some(status) } else { None }
    }
}

/// The objects that some steps replace.
pub fn replaced(steps: &[Step]) -> Vec<ObjectKey> {
    steps.iter().filter_map(Step::replacement).filter_map(ObjectKey::of).collect()
}

/// What to do now and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Effects in order.
    pub steps: Vec<Step>,
    /// When to look again if nothing happens before.
    pub next: Wake,
    /// Nothing is asked again before this time; see [`crate::question::Answers::end_round`].
    pub quiet_until: Option<Timestamp>,
    /// Whether the answers that were given have led to this plan.
    pub round: Round,
    /// The objects that the plan only puts back as they are meant to be: who keeps changing them is not answered without
    /// end. Empty for a plan that moves the rollout.
    pub repairs: Vec<ObjectKey>,
}

impl Plan {
    /// Nothing to do until something changes.
    pub const fn idle() -> Self {
        Self { steps: Vec::new(), next: Wake::OnChange, quiet_until: None, round: Round::Over, repairs: Vec::new() }
    }

    /// The status that the plan writes, if it writes one.
    pub fn status(&self) -> Option<&CanaryStatus> {
        self.steps.iter().find_map(Step::status)
    }
}
