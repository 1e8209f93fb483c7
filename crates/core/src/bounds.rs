//! What may be written for a canary: kinds and names that follow from its own spec, in its own namespace, and of these only
//! what is absent or its own (I27). Nothing that is read back widens them. It decides nothing and writes nothing.

use burgee_api::Canary;
use serde_json::Value;

use crate::object::{is_owned_by, items};
use crate::plan::{ConfigCopy, Step};
use crate::rollout::{Rollout, TargetKind};
use crate::router::{self, row::Holding};
use crate::scaler;
use crate::services::Role;
use crate::snapshot;
use crate::stale_references;
use crate::tracked;
use crate::world::{Kind, ObjectKey};

/// A write that is not the canary's to make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not written for canary {canary}: {reason}")]
pub struct Trespass {
    /// The object that was to be written.
    pub key: ObjectKey,
    /// `<name>.<namespace>` of the canary.
    pub canary: String,
    /// Why not.
    pub reason: &'static str,
}

const NOT_DERIVED: &str = "its kind and name do not follow from the spec";
const NOT_CONTROLLED: &str = "it is not controlled by the canary";

/// What may be written for one canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    canary: ObjectKey,
    uid: String,
    /// The owner reference to the canary.
    owner: Value,
    /// What the canary makes.
    made: Vec<ObjectKey>,
    /// What it makes if it is absent, and otherwise adopts (contract: lifecycle §13).
    adopted: Vec<ObjectKey>,
    /// What is the user's and stays so: of it single fields are patched.
    patched: Vec<ObjectKey>,
    /// What an edit of the spec has left behind. Only these names stand in the status: whatever it says, nothing is touched
    /// there that is not the canary's.
    left: Vec<ObjectKey>,
    /// Whether the primary uses copies of ConfigMaps and Secrets.
    copies_configs: bool,
}

impl Bounds {
    /// The bounds of a canary whose spec means nothing: it alone.
    pub fn of_nobody(canary: &ObjectKey) -> Self {
        Self {
            canary: canary.clone(),
            uid: String::new(),
            owner: Value::Null,
            made: Vec::new(),
            adopted: Vec::new(),
            patched: vec![canary.clone()],
            left: Vec::new(),
            copies_configs: false,
        }
    }

    /// The bounds of a canary.
    pub fn of(rollout: &Rollout, canary: &Canary) -> Self {
        let key = rollout.key(Kind::Canary, &rollout.name);
        let mut adopted = adopted(rollout);
        let old = stale_references::routed(rollout, canary);
        let mut left: Vec<ObjectKey> = old.iter().flat_map(|old| router::of(old).reads(old)).collect();
        left.extend(stale_references::scalers(rollout, canary));
        if rollout.target_kind == TargetKind::Knative {
            adopted.push(rollout.target_key());
        }
        adopted.extend(ownerless_primary(rollout, canary));
        Self {
            patched: [key.clone(), rollout.target_key()].into_iter().chain(scaler::key(rollout)).collect(),
            canary: key,
            uid: rollout.uid.clone(),
            owner: rollout.owner_reference(),
            made: made(rollout),
            adopted,
            left,
            copies_configs: rollout.target_kind.has_pods(),
        }
    }

    /// Uid of the canary.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Name of the canary.
    pub fn name(&self) -> &str {
        &self.canary.name
    }

    /// The owner reference to the canary.
    pub const fn owner(&self) -> &Value {
        &self.owner
    }

    /// What the canary makes.
    pub fn made(&self) -> &[ObjectKey] {
        &self.made
    }

    /// What it makes if it is absent, and otherwise adopts.
    pub fn adopted(&self) -> &[ObjectKey] {
        &self.adopted
    }

    /// The object with the canary as its controller.
    pub fn owned(&self, mut object: Value) -> Value {
        object["metadata"]["ownerReferences"] = tracked::owners(&self.owner, Some(&object));
        object
    }

    /// Whether an object may be created: one that follows from the spec, and belongs to the canary from its first moment.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_create(&self, key: &ObjectKey, object: &Value) -> Result<(), Trespass> {
        let is_derived = self.made.contains(key) || self.adopted.contains(key) || self.is_named(key);
        self.judge(key, &[(is_derived, NOT_DERIVED), (is_owned_by(object, &self.uid), NOT_CONTROLLED)])
    }

    /// Whether an object may be replaced: one that follows from the spec or was left behind, and is the canary's. It carries
    /// the version that it replaces, so its owners are those of the object that is there.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_replace(&self, key: &ObjectKey, object: &Value) -> Result<(), Trespass> {
        let is_derived = self.made.contains(key) || self.adopted.contains(key) || self.is_named(key);
        let is_free = (self.adopted.contains(key) || self.left.contains(key)) && controller(object).is_none();
        let is_ours = is_owned_by(object, &self.uid) || is_free;
        self.judge(key, &[(is_derived || self.left.contains(key), NOT_DERIVED), (is_ours, NOT_CONTROLLED)])
    }

    /// Whether an object that is there may be deleted: one that the canary makes, or made, and nobody else.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_delete(&self, key: &ObjectKey, seen: &Value) -> Result<(), Trespass> {
        self.may_drop(key)?;
        self.judge(key, &[(is_owned_by(seen, &self.uid), NOT_CONTROLLED)])
    }

    /// Whether an object may be deleted if it is the canary's.
    fn may_drop(&self, key: &ObjectKey) -> Result<(), Trespass> {
        let is_left_scaler = self.left.contains(key) && key.kind.route().is_none();
        self.judge(key, &[(is_left_scaler || self.is_named(key), NOT_DERIVED)])
    }

    /// Whether an object may be patched: the user's own that the canary names, and the canary.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_patch(&self, key: &ObjectKey) -> Result<(), Trespass> {
        self.judge(key, &[(self.patched.contains(key), NOT_DERIVED)])
    }

    /// Whether a config may be copied for the primary.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_copy(&self, copy: &ConfigCopy) -> Result<(), Trespass> {
        let is_own =
            copy.name == tracked::copy_name(&copy.source.name) && copy.source.namespace == self.canary.namespace;
        self.judge(
            &copy.key(),
            &[
                (is_own && self.is_named(&copy.key()), NOT_DERIVED),
                (copy.owner["uid"] == self.uid.as_str(), NOT_CONTROLLED),
            ],
        )
    }

    /// Whether a step of a plan stays within the bounds. What only whoever takes the step gets to see is looked at then.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_take(&self, step: &Step) -> Result<(), Trespass> {
        let with_key = |object: &Value| ObjectKey::of(object).ok_or_else(|| self.trespass(&self.canary, NOT_DERIVED));
        match step {
            Step::Create(object) | Step::Keep(object) => self.may_create(&with_key(object)?, object),
            Step::Replace(object) => self.may_replace(&with_key(object)?, object),
            Step::Drop(key) => self.may_drop(key),
            Step::Patch { key, operations: _ } => self.may_patch(key),
            Step::CopyConfig(copy) => self.may_copy(copy),
            Step::KeepConfigs { key, copies } => {
                self.judge(key, &[(self.made.contains(key), NOT_DERIVED)])?;
                copies.iter().try_for_each(|copy| self.may_copy(copy))
            }
            Step::RestoreConfigs(key) => self.judge(key, &[(self.made.contains(key), NOT_DERIVED)]),
            Step::Tell(_) | Step::Status(_) | Step::Deliver(_) | Step::Count(_) => Ok(()),
        }
    }

    /// Whether a name follows from the spec and from what the target's template mentions or promotes: the copies of
    /// configs, the kept templates and the kept configs.
    fn is_named(&self, key: &ObjectKey) -> bool {
        if key.namespace != self.canary.namespace {
            return false;
        }
        match key.kind {
            Kind::ConfigMap => self.copies_configs && tracked::is_copy_name(&key.name),
            Kind::Secret => self.copies_configs && (tracked::is_copy_name(&key.name) || self.made.contains(key)),
            Kind::ControllerRevision => snapshot::is_key_of(&self.canary.name, &key.name),
            Kind::Canary
            | Kind::MetricTemplate
            | Kind::AlertProvider
            | Kind::Deployment
            | Kind::DaemonSet
            | Kind::Service
            | Kind::HorizontalPodAutoscaler
            | Kind::ScaledObject
            | Kind::KnativeService
            | Kind::KnativeRevision
            | Kind::Route(_) => false,
        }
    }

    fn judge(&self, key: &ObjectKey, conditions: &[(bool, &'static str)]) -> Result<(), Trespass> {
        let broken = conditions.iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, reason)| Err(self.trespass(key, reason)))
    }

    fn trespass(&self, key: &ObjectKey, reason: &'static str) -> Trespass {
        let canary = format!("{}.{}", self.canary.name, self.canary.namespace);
        Trespass { key: key.clone(), canary, reason }
    }
}

/// What the canary makes: its name follows from the spec, and it belongs to nobody else. The copies of configs and the kept
/// templates, whose names follow from the target's template, are not among them.
fn made(rollout: &Rollout) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    if rollout.target_kind != TargetKind::Knative {
        keys.push(rollout.primary_key());
    }
    if rollout.target_kind.has_services() {
        keys.extend([Role::Primary, Role::Canary].map(|role| role.key(rollout)));
    }
    keys.extend(scaler::primary_key(rollout));
    let routes = router::of(rollout).reads(rollout);
    keys.extend(routes.into_iter().filter(|key| is_held(key, Holding::Made)));
    if rollout.target_kind.has_pods() {
        keys.push(snapshot::configs_key(rollout));
    }
    keys.sort();
    keys.dedup();
    keys
}

/// What the canary makes, or takes over from the user if it is there (contract: lifecycle §13). A target is neither.
fn adopted(rollout: &Rollout) -> Vec<ObjectKey> {
    let has_apex = rollout.target_kind.has_pods();
    let apex = has_apex.then(|| Role::Apex.key(rollout));
    let routes = router::of(rollout).reads(rollout);
    apex.into_iter().chain(routes.into_iter().filter(|key| is_held(key, Holding::Adopted))).collect()
}

fn is_held(key: &ObjectKey, holding: Holding) -> bool {
    key.kind.route().is_some_and(|route| route.holding == holding)
}

/// The primary that the peer has left without an owner: that of a Service, once it was promoted (contract: lifecycle §7.7).
fn ownerless_primary(rollout: &Rollout, canary: &Canary) -> Option<ObjectKey> {
    let was_promoted = canary.status.as_ref().is_some_and(|status| !status.last_promoted_spec.is_empty());
    (rollout.target_kind == TargetKind::Service && was_promoted).then(|| rollout.primary_key())
}

/// The controller of an object, if it has one.
pub fn controller(object: &Value) -> Option<&Value> {
    items(&object["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true)
}

#[cfg(test)]
mod tests;
