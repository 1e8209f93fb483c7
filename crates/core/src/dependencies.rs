//! What has to be looked at before anything can be decided. It looks at nothing itself.

use burgee_api::{Canary, Phase};
use serde_json::Value;

use crate::decide::template_key;
use crate::order;
use crate::restoration;
use crate::rollout::Rollout;
use crate::router;
use crate::scaler;
use crate::services::Role;
use crate::settings::Settings;
use crate::snapshot;
use crate::stale_references;
use crate::tracked::{self, Reference};
use crate::workload::{Side, find_primary, revision};
use crate::world::{ObjectKey, World};

/// The objects that every tick of a canary reads, apart from the canary itself.
pub fn objects(rollout: &Rollout) -> Vec<ObjectKey> {
    let mut keys = vec![rollout.target_key(), rollout.primary_key()];
    if rollout.target_kind.has_services() {
        keys.extend([Role::Canary, Role::Primary, Role::Apex].map(|role| role.key(rollout)));
    }
    keys.extend(scaler::key(rollout));
    keys.extend(scaler::primary_key(rollout));
    keys.extend(router::of(rollout).reads(rollout));
    keys.extend(rollout.metrics().iter().filter_map(|metric| template_key(rollout, metric)));
    keys.sort();
    keys.dedup();
    keys
}

/// What a tick reads besides, once the others are known: the revisions that a Knative Service names, what an edit of the
/// spec has left behind, and the kept template, when a primary has to be put back. The latter is not watched, so it must be
/// read only then.
pub fn more(rollout: &Rollout, canary: &Canary, world: &World) -> Vec<ObjectKey> {
    let sides = [Side::Primary, Side::Canary];
    let mut keys: Vec<ObjectKey> = sides.into_iter().filter_map(|side| revision(rollout, world, side)).collect();
    keys.extend(kept_templates(rollout, canary, world));
    keys.extend(stale_references::reads(rollout, canary).into_iter().filter(|key| !objects(rollout).contains(key)));
    keys.dedup();
    keys
}

fn kept_templates(rollout: &Rollout, canary: &Canary, world: &World) -> Vec<ObjectKey> {
    let Some(status) = &canary.status else { return Vec::new() };
    let gone = find_primary(rollout, world) == Ok(None) && !status.last_promoted_spec.is_empty();
    let broken = restoration::is_due(status);
    let is_promoted = matches!(status.phase, Phase::Promoting | Phase::Finalising);
    let is_ordered_back = is_promoted && order::pending(canary).is_some();
    if !gone && !broken && !is_ordered_back {
        return Vec::new();
    }
    let mut keys = vec![snapshot::key(rollout, &status.last_promoted_spec)];
    if status.phase == Phase::Finalising {
        keys.push(snapshot::key(rollout, &status.last_applied_spec));
    }
    keys
}

/// The ConfigMaps and Secrets that the target's pod template mentions.
pub fn configs(rollout: &Rollout, settings: &Settings, target: Option<&Value>) -> Vec<Reference> {
    match target {
        Some(target) if settings.config_tracking && rollout.target_kind.has_pods() => {
            tracked::references(&rollout.namespace, &target["spec"]["template"])
        }
        Some(_) | None => Vec::new(),
    }
}
