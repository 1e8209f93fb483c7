//! The autoscaler of the primary, made from the target's. Of the target's own it only moves KEDA's pause.

use serde_json::{Value, json};

use crate::digest::digest;
use crate::object::{based_on, filtered, put};
use crate::plan::Step;
use crate::rollout::Rollout;
use crate::workload::Selector;
use crate::world::{Kind, ObjectKey};

mod hpa;
mod keda;
mod query;

/// On the primary's autoscaler while its minimum is raised: the minimum that it goes back to.
const COPIED_MINIMUM: &str = "flagger.app/copied-min-replicas";

/// How much of a primary's autoscaler is written (contract: lifecycle §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It is made if there is none; of one that is there only the floor is moved.
    CreateOnly,
    /// It is made to follow the target's.
    Full,
}

/// The target's autoscaler.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The object.
    pub object: &'a Value,
    /// What selects the target's pods, if that is known.
    pub selector: Option<&'a Selector>,
}

/// What scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScalerKind {
    HorizontalPodAutoscaler,
    ScaledObject,
}

impl ScalerKind {
    /// The kind that the canary names; none if it is unknown (contract: lifecycle §8).
    fn of(rollout: &Rollout) -> Option<Self> {
        match rollout.scaler.as_ref()?.kind.as_str() {
            "HorizontalPodAutoscaler" => Some(Self::HorizontalPodAutoscaler),
            "ScaledObject" => Some(Self::ScaledObject),
            _ => None,
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::HorizontalPodAutoscaler => Kind::HorizontalPodAutoscaler,
            Self::ScaledObject => Kind::ScaledObject,
        }
    }

    const fn bounds(self) -> Bounds {
        match self {
            Self::HorizontalPodAutoscaler => hpa::BOUNDS,
            Self::ScaledObject => keda::BOUNDS,
        }
    }
}

/// Where an autoscaler's limits stand in its spec, and what they are when they do not.
#[derive(Clone, Copy)]
struct Bounds {
    minimum: &'static str,
    maximum: &'static str,
    least: i64,
    most: i64,
}

impl Bounds {
    fn of(self, scaler: &Value) -> (i64, i64) {
        let spec = &scaler["spec"];
        (spec[self.minimum].as_i64().unwrap_or(self.least), spec[self.maximum].as_i64().unwrap_or(self.most))
    }
}

/// Key of the target's autoscaler; none without one, or when its kind is unknown (contract: lifecycle §8).
pub fn key(rollout: &Rollout) -> Option<ObjectKey> {
    let scaler = rollout.scaler.as_ref()?;
    Some(rollout.key(ScalerKind::of(rollout)?.kind(), &scaler.name))
}

/// Key of the primary's autoscaler.
pub fn primary_key(rollout: &Rollout) -> Option<ObjectKey> {
    let scaler = rollout.scaler.as_ref()?;
    Some(rollout.key(ScalerKind::of(rollout)?.kind(), &format!("{}-primary", scaler.name)))
}

/// The least and the most pods that an autoscaler allows, the target's or the primary's.
pub fn limits(rollout: &Rollout, scaler: &Value) -> Option<(i64, i64)> {
    Some(ScalerKind::of(rollout)?.bounds().of(scaler))
}

/// The primary's autoscaler as it should be (contract: lifecycle §8). With a floor it never asks for fewer pods than
/// that, within its maximum (S13); without one it is back to what was copied.
pub fn primary_scaler(
    rollout: &Rollout,
    source: &Source<'_>,
    seen: Option<&Value>,
    floor: Option<i64>,
    sync: Sync,
) -> Option<Value> {
    let kind = ScalerKind::of(rollout)?;
    let mut scaler = based_on(&primary_key(rollout)?, seen);
    release(&mut scaler, kind.bounds());
    if seen.is_none() {
        scaler["metadata"]["ownerReferences"] = json!([rollout.owner_reference()]);
    }
    if seen.is_none() || sync == Sync::Full {
        match kind {
            ScalerKind::HorizontalPodAutoscaler => hpa::follow(rollout, &mut scaler, source),
            ScalerKind::ScaledObject => keda::follow(rollout, &mut scaler, source),
        }
        limit(rollout, &mut scaler, kind.bounds());
    }
    hold(&mut scaler, kind.bounds(), floor);
    Some(scaler)
}

/// Names all that the primary's autoscaler has from the target's and from the canary: another one means that somebody has
/// edited them (S53).
pub fn followed(rollout: &Rollout, source: &Source<'_>) -> Option<String> {
    primary_scaler(rollout, source, None, None, Sync::Full).map(|scaler| digest(&scaler))
}

/// Why the primary's autoscaler cannot be made from the target's, in words for the user; nothing if it can (S54).
pub fn obstacle(rollout: &Rollout, source: &Source<'_>) -> Option<String> {
    match ScalerKind::of(rollout)? {
        ScalerKind::HorizontalPodAutoscaler => None,
        ScalerKind::ScaledObject => keda::obstacle(rollout, source),
    }
}

/// The canary's own limits for the primary.
fn limit(rollout: &Rollout, scaler: &mut Value, bounds: Bounds) {
    let limits = rollout.scaler.as_ref().and_then(|scaler| scaler.primary_scaler_replicas).unwrap_or_default();
    for (field, limit) in [(bounds.minimum, limits.min_replicas), (bounds.maximum, limits.max_replicas)] {
        if let Some(limit) = limit {
            scaler["spec"][field] = json!(limit);
        }
    }
}

/// Takes back a floor: the minimum is again what was copied.
fn release(scaler: &mut Value, bounds: Bounds) {
    let note = scaler["metadata"]["annotations"][COPIED_MINIMUM].as_str().and_then(|text| text.parse::<i64>().ok());
    if let Some(minimum) = note {
        scaler["spec"][bounds.minimum] = json!(minimum);
    }
    let annotations = filtered(&scaler["metadata"]["annotations"], |key| key != COPIED_MINIMUM);
    put(&mut scaler["metadata"], "annotations", annotations);
}

/// Raises the minimum to a floor, within the maximum, and notes what it was (S13). The note is what survives a crash.
fn hold(scaler: &mut Value, bounds: Bounds, floor: Option<i64>) {
    let (minimum, maximum) = bounds.of(scaler);
    let raised = floor.unwrap_or(0).min(maximum);
    if raised > minimum {
        scaler["spec"][bounds.minimum] = json!(raised);
        scaler["metadata"]["annotations"][COPIED_MINIMUM] = json!(minimum.to_string());
    }
}

/// Keeps the target's ScaledObject at zero pods; nothing for another autoscaler, or one that is paused already
/// (contract: lifecycle §8). An HPA is inactive at zero by itself.
pub fn pause(rollout: &Rollout, source: &Value) -> Option<Step> {
    let key = key(rollout).filter(|key| key.kind == Kind::ScaledObject)?;
    let annotations = &source["metadata"]["annotations"];
    if annotations[keda::PAUSED] == "0" {
        return None;
    }
    let add = if annotations.is_object() {
        json!({"op": "add", "path": pause_path(), "value": "0"})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {(keda::PAUSED): "0"}})
    };
    Some(guarded(key, source, &add))
}

/// Lets the target's ScaledObject scale again; nothing if it is not paused.
pub fn resume(rollout: &Rollout, source: &Value) -> Option<Step> {
    let key = key(rollout).filter(|key| key.kind == Kind::ScaledObject)?;
    source["metadata"]["annotations"].get(keda::PAUSED)?;
    Some(guarded(key, source, &json!({"op": "remove", "path": pause_path()})))
}

fn pause_path() -> String {
    format!("/metadata/annotations/{}", keda::PAUSED.replace('/', "~1"))
}

/// A patch of the target's autoscaler, which is not ours. Annotations move no generation, so the version is tested.
fn guarded(key: ObjectKey, source: &Value, operation: &Value) -> Step {
    let metadata = &source["metadata"];
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        operation,
    ]);
    Step::Patch { key, operations }
}

#[cfg(test)]
mod tests;
