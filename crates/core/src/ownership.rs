//! Whose an object is that bears a name which a canary needs (S28). It looks at nothing but owners and marks, and decides
//! nothing.

use serde_json::Value;

use crate::bounds::{Bounds, controller};
use crate::object::{TOOLKIT_OFF, is_owned_by, items};
use crate::reconcile::are_alike;
use crate::rollout::Rollout;
use crate::router;
use crate::services::Role;
use crate::settings::Settings;
use crate::workload::{self, FLAGGER_ID, Selector};
use crate::world::{Kind, ObjectKey, World};

/// The annotation by which a person hands an object over to the canary that it names.
pub const ADOPT: &str = "burgee.flagger.app/adopt";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The canary's: it is the controller.
    Ours,
    /// It is being deleted, or belongs to a canary of this name that is gone, and goes with it.
    Leaving,
    /// It has no controller.
    Nobody,
    /// Its controller is another object, named as `Deployment web`.
    Another(String),
}

/// Whose an object is.
pub fn holder(object: &Value, bounds: &Bounds) -> Holder {
    if is_owned_by(object, bounds.uid()) {
        return Holder::Ours;
    }
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Holder::Leaving;
    }
    match controller(object) {
        None => Holder::Nobody,
        Some(owner) if is_canary(owner) && owner["name"] == bounds.name() => Holder::Leaving,
        Some(owner) => Holder::Another(format!("{} {}", text(&owner["kind"]), text(&owner["name"]))),
    }
}

/// Whether the copy of a config may be written: it is the canary's, or shared with another canary (contract: lifecycle
/// §7.6), or nobody's and either handed over or the same already, as after a deletion that orphaned it.
pub fn is_copy_free(seen: &Value, desired: &Value, bounds: &Bounds) -> bool {
    let is_same = || ["data", "binaryData", "type"].iter().all(|field| are_alike(&seen[*field], &desired[*field]));
    match holder(seen, bounds) {
        Holder::Ours => true,
        Holder::Leaving => false,
        Holder::Nobody => is_shared(seen, bounds) || is_handed_over(seen, bounds.name()) || is_same(),
        Holder::Another(_) => is_shared(seen, bounds),
    }
}

/// Whether a person has handed an object over to the canary of this name.
pub fn is_handed_over(object: &Value, canary: &str) -> bool {
    object["metadata"]["annotations"][ADOPT] == canary
}

/// What stands in the way of the canary, for the user.
pub fn taken(key: &ObjectKey, holder: &Holder, canary: &str) -> String {
    match holder {
        Holder::Ours => format!("{key} is not what the canary has made"),
        Holder::Leaving => format!("waiting for {key} to go, it is being deleted"),
        Holder::Nobody => format!(
            "{key} is not the canary's and nobody's, remove it or hand it over with the annotation {ADOPT}: {canary}"
        ),
        Holder::Another(owner) => format!("{key} is not the canary's, it belongs to {owner}"),
    }
}

/// Whether an owner is a canary, whatever version it is written in.
fn is_canary(owner: &Value) -> bool {
    owner["kind"] == Kind::Canary.name() && text(&owner["apiVersion"]).starts_with("flagger.app/")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What becomes of an object that bears a name which the canary needs, and that is not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was the canary's before, or was handed over: it becomes its own.
    Adopt,
    /// It is on its way out, and waited for. The text is for the user.
    Wait(String),
    /// It is somebody else's and stays as it is. The text is for the user.
    Taken(String),
}

/// The objects that bear a name which the canary needs, and that are not its own. What the contract adopts from the user is
/// his until then; it counts here only if another object controls it. What could not be read is not judged (I11), and of
/// configs only whoever writes them knows whose they are.
pub fn claims(rollout: &Rollout, settings: &Settings, world: &World) -> Vec<(ObjectKey, Claim)> {
    let bounds = Bounds::of(rollout, &world.canary);
    let target = world.present(&rollout.target_key());
    let selector = target.and_then(|target| workload::selector(rollout, settings, target, None).ok());
    let marks = Marks { rollout, world, bounds: &bounds, selector };
    let made = bounds.made().iter().cloned();
    let claimed = made.filter_map(|key| marks.claim(&key).map(|claim| (key, claim)));
    let adopted =
        bounds.adopted().iter().filter_map(|key| marks.claim_of_adopted(key).map(|claim| (key.clone(), claim)));
    claimed.chain(adopted).collect()
}

/// What tells that an object without a controller was the canary's before, as after a deletion that orphaned it, or in a
/// backup that was restored.
struct Marks<'a> {
    rollout: &'a Rollout,
    world: &'a World,
    bounds: &'a Bounds,
    /// None if nobody knows by what the target selects its pods.
    selector: Option<Selector>,
}

impl Marks<'_> {
    fn claim(&self, key: &ObjectKey) -> Option<Claim> {
        let object = self.world.present(key)?;
        let text = |holder: &Holder| taken(key, holder, self.bounds.name());
        match holder(object, self.bounds) {
            Holder::Ours => None,
            // Of one that the contract leaves without an owner nobody can tell.
            Holder::Nobody if self.bounds.adopted().contains(key) => None,
            Holder::Nobody if is_handed_over(object, self.bounds.name()) || self.are_on(key, object) => {
                Some(Claim::Adopt)
            }
            holder @ Holder::Leaving => Some(Claim::Wait(text(&holder))),
            holder @ (Holder::Nobody | Holder::Another(_)) => Some(Claim::Taken(text(&holder))),
        }
    }

    fn claim_of_adopted(&self, key: &ObjectKey) -> Option<Claim> {
        let object = self.world.present(key)?;
        match holder(object, self.bounds) {
            Holder::Ours | Holder::Nobody => None,
            holder @ Holder::Leaving => Some(Claim::Wait(taken(key, &holder, self.bounds.name()))),
            holder @ Holder::Another(_) => Some(Claim::Taken(taken(key, &holder, self.bounds.name()))),
        }
    }

    /// Whether the object bears the marks.
    fn are_on(&self, key: &ObjectKey, object: &Value) -> bool {
        let rollout = self.rollout;
        match key.kind {
            Kind::Deployment | Kind::DaemonSet => {
                let selects = |selector: &Selector| {
                    object["spec"]["selector"]["matchLabels"][&selector.label] == selector.primary_value()
                };
                let has_id = object["spec"]["template"]["metadata"]["annotations"][FLAGGER_ID].is_string();
                has_id && self.selector.as_ref().is_none_or(selects)
            }
            Kind::Service if *key == rollout.primary_key() => object["metadata"]["annotations"][FLAGGER_ID].is_string(),
            Kind::Service => is_switched_off(object) && self.leads(key, object),
            Kind::HorizontalPodAutoscaler | Kind::ScaledObject => {
                object["spec"]["scaleTargetRef"]["name"] == rollout.primary_name()
                    && self.is_or_was_ours(&rollout.primary_key())
            }
            Kind::Route(_) => {
                let beside = router::of(rollout).made_beside(rollout, key, object);
                beside.is_some_and(|beside| self.is_or_was_ours(&beside))
            }
            Kind::Canary
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::MetricTemplate
            | Kind::AlertProvider
            | Kind::ControllerRevision
            | Kind::KnativeService
            | Kind::KnativeRevision => false,
        }
    }

    /// Whether a Service selects the pods that the canary's Service of this name has to.
    fn leads(&self, key: &ObjectKey, service: &Value) -> bool {
        let Some(selector) = &self.selector else { return true };
        let is_primary = *key == Role::Primary.key(self.rollout);
        let value = if is_primary { selector.primary_value() } else { selector.value.clone() };
        service["spec"]["selector"][&selector.label] == value
    }

    /// Whether an object is the canary's, or bears its marks.
    fn is_or_was_ours(&self, key: &ObjectKey) -> bool {
        let Some(object) = self.world.present(key) else { return false };
        match holder(object, self.bounds) {
            Holder::Ours => true,
            Holder::Nobody => self.are_on(key, object),
            Holder::Leaving | Holder::Another(_) => false,
        }
    }
}

/// Whether it is a copy of a config that another canary uses as well (contract: lifecycle §7.6).
fn is_shared(object: &Value, bounds: &Bounds) -> bool {
    let is_owner = items(&object["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == bounds.uid());
    is_owner || controller(object).is_some_and(is_canary)
}

/// Whether the object bears the annotations that keep GitOps toolkits away.
fn is_switched_off(object: &Value) -> bool {
    TOOLKIT_OFF.iter().all(|(name, value)| object["metadata"]["annotations"][*name] == *value)
}

#[cfg(test)]
mod tests;
