//! What every decision needs to have seen: the target, the primary, and the configs that they mention.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::mistake::{Mistake, Obstacle, Seen};
use super::tick::Tick;
use crate::digest::digest;
use crate::plan::Step;
use crate::rollout::{Rollout, TargetKind};
use crate::snapshot;
use crate::tracked::{self, Reference};
use crate::workload::{self, Recipe, Selector, Side};
use crate::world::{ConfigSeen, ConfigTracking, ObjectKey};

/// The workloads and configs that a decision is about.
pub(super) struct Workloads<'a> {
    pub(super) target: &'a Value,
    pub(super) primary: Option<&'a Value>,
    /// What selects the target's pods, if it has any.
    pub(super) selector: Option<Selector>,
    /// What makes the revision, as stored: mostly the target's pod template.
    pub(super) template: Cow<'a, Value>,
    /// Its digest.
    pub(super) revision: String,
    /// ConfigMaps and Secrets that are copied for the primary.
    pub(super) tracked: Vec<ObjectKey>,
    /// Their checksums as `status.trackedConfigs` keeps them; none when tracking is off, or one could not be read
    /// (unknown is not changed, S15).
    pub(super) checksums: Option<BTreeMap<String, String>>,
}

impl<'a> Workloads<'a> {
    /// Looks at the world, or says what cannot be seen; nothing if there is no target.
    pub(super) fn find(tick: &Tick<'a>, references: &[Reference]) -> Seen<Option<Self>> {
        match tick.world.look(&tick.rollout.target_key()) {
            Ok(target) => target.map(|target| Self::of(tick, target, references)).transpose(),
            Err(reason) => Err(Obstacle::Halt(get_error(tick, &reason))),
        }
    }

    fn of(tick: &Tick<'a>, target: &'a Value, references: &[Reference]) -> Seen<Self> {
        let rollout = tick.rollout;
        let primary = workload::find_primary(rollout, tick.world).map_err(Obstacle::Halt)?;
        let sides = [Side::Primary, Side::Canary].into_iter();
        for revision in sides.filter_map(|side| workload::revision(rollout, tick.world, side)) {
            tick.world.look(&revision).map_err(Obstacle::Halt)?;
        }
        let has_pods = rollout.target_kind.has_pods();
        let selector = has_pods.then(|| workload::selector(rollout, tick.settings, target, primary)).transpose();
        let is_deleted = tick.world.canary.metadata.deletion_timestamp.is_some();
        let selector = match selector {
            // What cannot be put back holds up no deletion (I25).
            Err(_) if is_deleted => None,
            selector => selector.map_err(|reason| Obstacle::Mistaken(Mistake::SelectorUnusable, reason))?,
        };
        let (tracked, checksums) = configs(tick, references);
        let template = workload::template(rollout.target_kind, target);
        if template.is_null() && rollout.target_kind == TargetKind::Knative && !is_deleted {
            let Rollout { target, namespace, .. } = rollout;
            return Err(Obstacle::Halt(format!("Knative Service {}.{namespace} has no revision yet", target.name)));
        }
        Ok(Self { target, primary, selector, revision: digest(&template), template, tracked, checksums })
    }
}

impl Workloads<'_> {
    /// What a primary with this id is made with.
    pub(super) fn recipe<'r>(&'r self, tick: &Tick<'r>, flagger_id: &'r str) -> Recipe<'r> {
        Recipe { rollout: tick.rollout, settings: tick.settings, tracked: &self.tracked, flagger_id }
    }

    /// The configs that a kept template was promoted with; those of the target if it does not say.
    pub(super) fn tracked_by(&self, kept: &Value) -> Vec<ObjectKey> {
        snapshot::tracked(kept).unwrap_or_else(|| self.tracked.clone())
    }

    /// What keeps the target's template.
    pub(super) fn keep(&self, tick: &Tick, revision: &str) -> Step {
        Step::Keep(snapshot::object(tick.rollout, revision, &self.template, &self.tracked))
    }
}

fn kind_word(tick: &Tick) -> &'static str {
    match tick.rollout.target_kind {
        TargetKind::Deployment => "deployment",
        TargetKind::DaemonSet => "daemonset",
        TargetKind::Service => "service",
        TargetKind::Knative => "Knative Service",
    }
}

/// What is said of a target that is not there.
pub(super) fn missing_target(tick: &Tick) -> String {
    let (group, _, _, plural) = tick.rollout.target_kind.kind().names();
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    get_error(tick, &format!("{resource} \"{}\" not found", tick.rollout.target.name))
}

fn get_error(tick: &Tick, reason: &str) -> String {
    let rollout = tick.rollout;
    format!("{} {}.{} get query error: {reason}", kind_word(tick), rollout.target.name, rollout.namespace)
}

type Configs = (Vec<ObjectKey>, Option<BTreeMap<String, String>>);

/// The tracked configs with their checksums (contract: lifecycle §7.6).
fn configs(tick: &Tick, references: &[Reference]) -> Configs {
    if !tick.settings.config_tracking {
        return (Vec::new(), None);
    }
    let mut tracked = Vec::new();
    let mut checksums = BTreeMap::new();
    let mut all_known = true;
    for reference in references {
        match tick.world.config(&reference.key) {
            ConfigSeen::Present { checksum, tracking: ConfigTracking::Tracked } => {
                checksums.insert(tracked::status_key(&reference.key), checksum);
                tracked.push(reference.key.clone());
            }
            // It stops the beginning of a run (reconcile::standing), and nothing that has to be ended.
            ConfigSeen::Absent if !reference.optional => all_known = false,
            ConfigSeen::Present { tracking: ConfigTracking::Excluded, .. } | ConfigSeen::Absent => {}
            ConfigSeen::Unknown(_) => all_known = false,
        }
    }
    (tracked, all_known.then_some(checksums))
}

/// What is said of the first config without which the target's pods do not start.
pub(super) fn missing_config(tick: &Tick, references: &[Reference]) -> Option<String> {
    let mut needed = references.iter().filter(|reference| !reference.optional);
    let missing = needed.find(|reference| matches!(tick.world.config(&reference.key), ConfigSeen::Absent))?;
    Some(config_error(&missing.key))
}

fn config_error(key: &ObjectKey) -> String {
    let word = key.kind.name().to_lowercase();
    format!("{word} {}.{} get query error: {word}s \"{}\" not found", key.name, key.namespace, key.name)
}
