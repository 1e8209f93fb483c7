//! The target's autoscaler, and the primary's that is made from it.

use serde_json::Value;

use super::look::look;
use super::mistake::{Mistake, Obstacle, Seen};
use super::tick::Tick;
use crate::plan::Step;
use crate::reconcile::settle;
use crate::scaler::{self, Source, Sync};
use crate::workload::{self, Selector};
use crate::world::{ObjectKey, Observed};

/// The target's autoscaler, if the canary names one.
pub(super) fn source<'a>(tick: &Tick<'a>) -> Seen<Option<&'a Value>> {
    let Some(key) = scaler::key(tick.rollout) else { return Ok(None) };
    let Some(source) = look(tick, &key)? else {
        return Err(Obstacle::Mistaken(Mistake::ScalerMissing, missing(&key)));
    };
    match unusable_scaler(tick) {
        Some(reason) => Err(Obstacle::Mistaken(Mistake::ScalerUnusable, reason)),
        None => Ok(Some(source)),
    }
}

/// What selects the target's pods, for whoever can do without it.
pub(super) fn target_selector(tick: &Tick) -> Option<Selector> {
    let target = tick.world.present(&tick.rollout.target_key()).filter(|_| tick.rollout.target_kind.has_pods())?;
    workload::selector(tick.rollout, tick.settings, target, None).ok()
}

/// The target's autoscaler as it is seen.
pub(super) fn scaler_source<'a>(tick: &Tick<'a>, selector: Option<&'a Selector>) -> Option<Source<'a>> {
    let object = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    Some(Source { object, selector })
}

/// Why the primary's autoscaler cannot be made from the one that the canary names.
pub(super) fn unusable_scaler(tick: &Tick) -> Option<String> {
    let selector = target_selector(tick);
    scaler::obstacle(tick.rollout, &scaler_source(tick, selector.as_ref())?)
}

/// What is said of an autoscaler that the canary names and that is not there.
pub(super) fn missing_scaler(tick: &Tick) -> Option<String> {
    let key = scaler::key(tick.rollout)?;
    (tick.world.seen(&key) == Observed::Absent).then(|| missing(&key))
}

/// Steps towards the primary's scaler: created if missing, and brought up to date where the contract says so. Without the
/// one that it is made from, or with one that it cannot be made from, only the floor is moved.
pub(super) fn primary_scaler(tick: &Tick, sync: Sync, floor: Option<i64>) -> Seen<Vec<Step>> {
    let (Some(source_key), Some(primary_key)) = (scaler::key(tick.rollout), scaler::primary_key(tick.rollout)) else {
        return Ok(Vec::new());
    };
    let (source, seen) = (look(tick, &source_key)?, look(tick, &primary_key)?);
    let selector = target_selector(tick);
    let source = source.map(|object| Source { object, selector: selector.as_ref() });
    let desired = match (source.filter(|source| scaler::obstacle(tick.rollout, source).is_none()), seen) {
        (None, None) => None,
        (None, Some(_)) => {
            let nothing = Source { object: &Value::Null, selector: None };
            scaler::primary_scaler(tick.rollout, &nothing, seen, floor, Sync::CreateOnly)
        }
        (Some(source), _) => scaler::primary_scaler(tick.rollout, &source, seen, floor, sync),
    };
    Ok(desired.and_then(|desired| settle(desired, seen)).into_iter().collect())
}

/// Keeps the target's own autoscaler from scaling it up while it is meant to have no pods (KEDA).
pub(super) fn pause_target(tick: &Tick) -> Option<Step> {
    let source = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    scaler::pause(tick.rollout, source)
}

/// Lets the target's own autoscaler scale again (KEDA).
pub(super) fn resume_target(tick: &Tick) -> Option<Step> {
    let source = scaler::key(tick.rollout).and_then(|key| tick.world.present(&key))?;
    scaler::resume(tick.rollout, source)
}

/// The contract's text for an autoscaler that is not there (lifecycle §8).
fn missing(key: &ObjectKey) -> String {
    let (group, _, kind, plural) = key.kind.names();
    format!("{kind} {}.{} get query error: {plural}.{group} \"{}\" not found", key.name, key.namespace, key.name)
}
