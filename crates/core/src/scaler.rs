//! The autoscaler of the primary, made from the target's. It never touches the target's own.

use serde_json::Value;

use crate::rollout::Rollout;
use crate::world::{Kind, ObjectKey};

mod hpa;

/// How much of a primary's autoscaler is written (contract: lifecycle §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It is made if there is none; of one that is there only the floor is moved.
    CreateOnly,
    /// It is made to follow the target's.
    Full,
}

/// Key of the target's autoscaler; none without one, or when its kind is unknown (contract: lifecycle §8).
pub fn key(rollout: &Rollout) -> Option<ObjectKey> {
    let scaler = rollout.scaler.as_ref()?;
    Some(rollout.key(kind(rollout)?, &scaler.name))
}

/// Key of the primary's autoscaler.
pub fn primary_key(rollout: &Rollout) -> Option<ObjectKey> {
    let scaler = rollout.scaler.as_ref()?;
    Some(rollout.key(kind(rollout)?, &format!("{}-primary", scaler.name)))
}

fn kind(rollout: &Rollout) -> Option<Kind> {
    match rollout.scaler.as_ref()?.kind.as_str() {
        "HorizontalPodAutoscaler" => Some(Kind::HorizontalPodAutoscaler),
        _ => None,
    }
}

/// The primary's autoscaler as it should be (contract: lifecycle §8). With a floor it never asks for fewer pods than
/// that, within its maximum (rules: Capacity); without one it is back to what was copied.
pub fn primary_scaler(
    rollout: &Rollout,
    source: &Value,
    seen: Option<&Value>,
    floor: Option<i64>,
    sync: Sync,
) -> Option<Value> {
    Some(hpa::primary_scaler(rollout, &primary_key(rollout)?, source, seen, sync))
        .map(|scaler| hpa::held(scaler, floor))
}

#[cfg(test)]
mod tests;
