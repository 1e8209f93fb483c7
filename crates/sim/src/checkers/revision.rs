//! What an operator could know of the target's revision, from the world that it saw. It has no opinion on what is new.

use std::collections::BTreeMap;

use burgee_api::CanaryStatus;
use burgee_core::tracked;
use burgee_core::world::{ConfigSeen, ConfigTracking, Observed, World};
use serde_json::Value;
use std::sync::Arc;

use crate::instant::Instant;

/// The target in a world.
pub(super) fn target(instant: &Instant, world: &World) -> Option<Arc<Value>> {
    match world.seen(&instant.rollout.target_key()) {
        Observed::Present(object) => Some(object),
        Observed::Absent | Observed::Unknown(_) => None,
    }
}

/// Whether the target is another object, or another generation of it, than the one that the status recorded. Where
/// nothing is recorded, it may well be.
pub(super) fn has_moved(instant: &Instant, world: &World) -> bool {
    let run = world.canary.status.as_ref().and_then(|status| status.run.as_ref());
    let (Some(target), Some(run)) = (target(instant, world), run) else { return true };
    let Some(generation) = run.target_generation else { return true };
    target["metadata"]["generation"] != generation || target["metadata"]["uid"] != run.target_uid.as_str()
}

/// Whether the tracked configs are others, or have another content, than the status recorded. What could not be read has
/// not moved (I11).
pub(super) fn configs_moved(status: &CanaryStatus, world: &World) -> bool {
    let mut now = BTreeMap::new();
    for (key, seen) in &world.configs {
        match seen {
            ConfigSeen::Present { checksum, tracking: ConfigTracking::Tracked } => {
                now.insert(tracked::status_key(key), checksum.clone());
            }
            ConfigSeen::Unknown(_) => return false,
            ConfigSeen::Present { tracking: ConfigTracking::Excluded, .. } | ConfigSeen::Absent => {}
        }
    }
    status.tracked_configs.as_ref().map_or(!now.is_empty(), |recorded| *recorded != now)
}

/// Whether a person has ordered what is done: the failed revision again, or no further analysis.
pub(super) fn is_ordered(status: &CanaryStatus) -> bool {
    status.run.as_ref().is_some_and(|run| run.ordered.is_some())
}

/// Whether the world has gaps: nobody can be blamed for what he could not read.
pub(super) fn has_gaps(world: &World) -> bool {
    world.objects.iter().any(|(_, observed)| matches!(observed, Observed::Unknown(_)))
        || world.configs.iter().any(|(_, seen)| matches!(seen, ConfigSeen::Unknown(_)))
}
