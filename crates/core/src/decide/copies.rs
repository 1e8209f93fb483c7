//! Copies of the target's ConfigMaps and Secrets for the primary.

use super::mistake::{Obstacle, Seen};
use super::tick::Tick;
use super::workloads::Workloads;
use crate::plan::ConfigCopy;
use crate::tracked;
use crate::world::ObjectKey;

/// Copies of all tracked configs, with the checksums that hold now. While one of them cannot be read, nothing is copied:
/// the primary would miss it (S15).
pub(super) fn known_copies(tick: &Tick, workloads: &Workloads) -> Seen<Vec<ConfigCopy>> {
    if workloads.checksums.is_none() && tick.settings.config_tracking {
        return Err(Obstacle::Halt("waiting for the ConfigMaps and Secrets of the target to be read".to_owned()));
    }
    Ok(copies(tick, workloads))
}

fn copies(tick: &Tick, workloads: &Workloads) -> Vec<ConfigCopy> {
    let checksum = |key: &ObjectKey| {
        workloads.checksums.as_ref().and_then(|all| all.get(&tracked::status_key(key)).cloned()).unwrap_or_default()
    };
    let copy = |key: &ObjectKey| ConfigCopy {
        source: key.clone(),
        checksum: checksum(key),
        name: tracked::copy_name(&key.name),
        owner: tick.rollout.owner_reference(),
        include_label_prefixes: tick.settings.include_label_prefixes.clone(),
    };
    workloads.tracked.iter().map(copy).collect()
}
