//! What every decision needs to have seen: the target, the primary, and the configs that they mention.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burgee_api::{CanaryStatus, Phase};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ask::halt;
use super::draft::{fraction, time};
use super::mistake::{Mistake, mistaken};
use super::settle::look;
use super::{Decision, Draft, Tick, heal};
use crate::digest::digest;
use crate::kept;
use crate::notice::Notice;
use crate::plan::Step;
use crate::reads;
use crate::rollout::{Rollout, TargetKind};
use crate::services::Role;
use crate::strangers::Stranger;
use crate::tracked;
use crate::workload::{self, Patience, Readiness, Recipe, Selector, Side};
use crate::world::{ConfigSeen, ConfigTracking, ObjectKey};

/// What every decision needs to have seen.
pub(super) struct Scene<'a> {
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

impl<'a> Scene<'a> {
    /// Looks at the world, or says what cannot be seen.
    pub(super) fn look(tick: &Tick<'a>) -> Decision<Self> {
        Self::find(tick)?.ok_or_else(|| mistaken(tick, Mistake::TargetMissing, missing_target(tick)))
    }

    /// The same for whoever can do without a target that is gone.
    pub(super) fn find(tick: &Tick<'a>) -> Decision<Option<Self>> {
        match tick.world.look(&tick.rollout.target_key()) {
            Ok(target) => target.map(|target| Self::of(tick, target)).transpose(),
            Err(reason) => Err(halt(tick, get_error(tick, &reason))),
        }
    }

    fn of(tick: &Tick<'a>, target: &'a Value) -> Decision<Self> {
        let rollout = tick.rollout;
        let primary = workload::find_primary(rollout, tick.world).map_err(|reason| halt(tick, reason))?;
        for revision in [Side::Primary, Side::Canary].into_iter().filter_map(|side| revision(tick, side)) {
            tick.world.look(&revision).map_err(|reason| halt(tick, reason))?;
        }
        let has_pods = rollout.target_kind.has_pods();
        let selector = has_pods.then(|| workload::selector(rollout, tick.settings, target, primary)).transpose();
        let is_deleted = tick.world.canary.metadata.deletion_timestamp.is_some();
        let selector = match selector {
            // What cannot be put back holds up no deletion (I25).
            Err(_) if is_deleted => None,
            selector => selector.map_err(|reason| mistaken(tick, Mistake::SelectorUnusable, reason))?,
        };
        let (tracked, checksums) = configs(tick, target);
        let template = workload::template(rollout.target_kind, target);
        if template.is_null() && rollout.target_kind == TargetKind::Knative && !is_deleted {
            let Rollout { target, namespace, .. } = rollout;
            return Err(halt(tick, format!("Knative Service {}.{namespace} has no revision yet", target.name)));
        }
        Ok(Self { target, primary, selector, revision: digest(&template), template, tracked, checksums })
    }
}

impl Scene<'_> {
    /// What a primary with this id is made with.
    pub(super) fn recipe<'r>(&'r self, tick: &Tick<'r>, flagger_id: &'r str) -> Recipe<'r> {
        Recipe { rollout: tick.rollout, settings: tick.settings, tracked: &self.tracked, flagger_id }
    }

    /// The configs that a kept template was promoted with; those of the target if it does not say.
    pub(super) fn tracked_by(&self, kept: &Value) -> Vec<ObjectKey> {
        kept::tracked(kept).unwrap_or_else(|| self.tracked.clone())
    }

    /// What keeps the target's template.
    pub(super) fn keep(&self, tick: &Tick, revision: &str) -> Step {
        Step::Keep(kept::object(tick.rollout, revision, &self.template, &self.tracked))
    }
}

/// The template of a revision as it was kept; none if there is none, or if what is there is not what was kept (I27).
pub(super) fn kept_template<'a>(tick: &Tick<'a>, revision: &str) -> Decision<Option<&'a Value>> {
    let kept = look(tick, &kept::key(tick.rollout, revision))?;
    Ok(kept.filter(|kept| kept::is_true(tick.rollout, revision, kept)))
}

impl Draft<'_> {
    /// Says that a kept template is not used because it is not what was kept.
    pub(super) fn tell_of_false(&mut self, revision: &str) {
        let Tick { rollout, world, .. } = self.tick;
        let key = kept::key(rollout, revision);
        if !revision.is_empty() && world.present(&key).is_some_and(|kept| !kept::is_true(rollout, revision, kept)) {
            self.tell(Notice::Problem(format!("{key} is not what was kept of the promoted revision and is not used")));
        }
    }
}

fn revision(tick: &Tick, side: Side) -> Option<ObjectKey> {
    workload::revision(tick.rollout, tick.world, side)
}

/// The object that tells how the pods of one side are; nothing if it is not there.
fn reporter<'a>(tick: &Tick<'a>, side: Side) -> &'a Value {
    workload::reporter(tick.rollout, tick.world, side).unwrap_or(&Value::Null)
}

/// Whether the primary is ready, in the contract's words.
pub(super) fn primary_readiness(tick: &Tick) -> Readiness {
    limited(tick, reported_primary(tick))
}

fn reported_primary(tick: &Tick) -> Readiness {
    let rollout = tick.rollout;
    let primary = reporter(tick, Side::Primary);
    let readiness = workload::readiness(rollout.target_kind, primary, &patience(tick, rollout.primary_ready_percent));
    let prefix = revision(tick, Side::Primary).map_or_else(|| workload::primary_prefix(rollout), |key| named(&key));
    prefixed(readiness, &prefix)
}

/// Whether the canary is ready, in the contract's words.
pub(super) fn canary_readiness(tick: &Tick) -> Readiness {
    limited(tick, reported_canary(tick))
}

/// A wait in a run has an end also where the workload says of none: a Deployment counts as available without all of its
/// pods, and one that was complete once is never late again (S47, I13).
fn limited(tick: &Tick, readiness: Readiness) -> Readiness {
    let Readiness::Waiting { reason, deadline } = readiness else { return readiness };
    if !waits_for_pods(tick.phase()) {
        return Readiness::Waiting { reason, deadline };
    }
    let allowed = SignedDuration::from_secs(tick.rollout.progress_deadline_seconds);
    let after = |since: Timestamp, allowed| since.saturating_add(allowed).unwrap_or(Timestamp::MAX);
    let Some(since) = tick.run().and_then(|run| time(run.unready_since.as_deref()?)) else {
        let again = after(tick.now, allowed.min(tick.rollout.interval));
        return Readiness::Waiting { reason, deadline: deadline.or(Some(again)) };
    };
    // A time that lies ahead is by a clock that ours is behind of: it counts from now.
    let until = after(since.min(tick.now), allowed);
    if until <= tick.now {
        return Readiness::Failed(reason);
    }
    Readiness::Waiting { reason, deadline: Some(deadline.map_or(until, |known| known.min(until))) }
}

/// Phases in which a set that is not ready keeps a run from getting on.
fn waits_for_pods(phase: Phase) -> bool {
    matches!(phase, Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
}

/// Notes since when a set has not been ready that says of no end itself, and forgets it when all are. Where no traffic
/// depends on it, and while a promotion has just begun, a controller that is only a moment behind is not worth a write.
pub(super) fn note_unready(tick: &Tick, status: &mut CanaryStatus) {
    let Some(run) = &mut status.run else { return };
    let is_endless = |readiness: &Readiness| matches!(readiness, Readiness::Waiting { deadline: None, .. });
    let is_promoted = status.phase == Phase::Promoting;
    let canary = (!is_promoted).then(|| reported_canary(tick));
    let primary = (!heal::is_fix(tick)).then(|| reported_primary(tick));
    let sides = || canary.iter().chain(&primary);
    let is_unready = waits_for_pods(status.phase) && sides().any(|readiness| *readiness != Readiness::Ready);
    let is_carried = is_promoted || status.canary_weight == 0;
    let last = tick.world.canary.status.as_ref().and_then(|status| time(status.last_transition_time.as_deref()?));
    let is_fresh = last.is_some_and(|last| tick.now.duration_since(last) < tick.rollout.interval);
    if !is_unready {
        run.unready_since = None;
    } else if run.unready_since.is_none() && sides().any(is_endless) && !(is_carried && is_fresh) {
        run.unready_since = Some(fraction(tick.now));
    }
}

fn reported_canary(tick: &Tick) -> Readiness {
    let rollout = tick.rollout;
    let canary = reporter(tick, Side::Canary);
    let mut readiness = workload::readiness(rollout.target_kind, canary, &patience(tick, rollout.canary_ready_percent));
    if readiness == Readiness::Ready && ready_pods(tick, Side::Canary) == 0 {
        // By the contract's rule no pods are all ready; no weight is ever raised on none (I1).
        readiness = without_pods(&patience(tick, rollout.canary_ready_percent));
    }
    let prefix = revision(tick, Side::Canary);
    let prefix = prefix.map_or_else(|| workload::canary_prefix(rollout, &readiness), |key| named(&key));
    prefixed(readiness, &prefix)
}

/// A workload without pods is never late by its own conditions, so the wait for them ends with the canary's deadline, as
/// a DaemonSet's does (I13).
fn without_pods(patience: &Patience) -> Readiness {
    let reason = "waiting for rollout to finish: it has no pods".to_owned();
    let allowed = SignedDuration::from_secs(patience.deadline_seconds);
    let deadline = patience.since.and_then(|since| since.checked_add(allowed).ok());
    match deadline {
        Some(deadline) if deadline <= patience.now => Readiness::Failed(reason),
        Some(_) | None => Readiness::Waiting { reason, deadline },
    }
}

/// The contract's words for a Knative revision (lifecycle §7.5).
fn named(revision: &ObjectKey) -> String {
    format!("Knative Revision {}.{} ", revision.name, revision.namespace)
}

fn patience(tick: &Tick, ready_percent: i64) -> Patience {
    let since =
        tick.world.canary.status.as_ref().and_then(|status| status.last_transition_time.as_deref()).and_then(time);
    Patience { ready_percent, deadline_seconds: tick.rollout.progress_deadline_seconds, since, now: tick.now }
}

fn prefixed(readiness: Readiness, prefix: &str) -> Readiness {
    match readiness {
        Readiness::Ready => Readiness::Ready,
        Readiness::Waiting { reason, deadline } => Readiness::Waiting { reason: format!("{prefix}{reason}"), deadline },
        Readiness::Failed(reason) => Readiness::Failed(format!("{prefix}{reason}")),
    }
}

/// Pods of one side that are ready now.
pub(super) fn ready_pods(tick: &Tick, side: Side) -> i64 {
    workload::ready_on(tick.rollout, tick.world, side)
}

/// What is said once in a run of Services that lead to others besides the canary's own pods (S49, S50).
pub(super) fn odd_services(tick: &Tick) -> Vec<Notice> {
    let apex = tick.world.present(&Role::Apex.key(tick.rollout)).filter(|_| tick.rollout.target_kind.has_pods());
    let outside = apex.filter(|apex| apex["spec"]["type"] == "ExternalName").map(|apex| {
        let name = apex["spec"]["externalName"].as_str().unwrap_or_default();
        let Rollout { apex, namespace, .. } = tick.rollout;
        format!("Service {apex}.{namespace} is of type ExternalName and leads to {name}, not to the primary")
    });
    let strangers = tick.world.strangers.iter().map(Stranger::text);
    outside.into_iter().chain(strangers).map(Notice::Problem).collect()
}

fn kind_word(tick: &Tick) -> &'static str {
    match tick.rollout.target_kind {
        TargetKind::Deployment => "deployment",
        TargetKind::DaemonSet => "daemonset",
        TargetKind::Service => "service",
        TargetKind::Knative => "Knative Service",
    }
}

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
fn configs(tick: &Tick, target: &Value) -> Configs {
    if !tick.settings.config_tracking {
        return (Vec::new(), None);
    }
    let mut tracked = Vec::new();
    let mut checksums = BTreeMap::new();
    let mut all_known = true;
    for reference in reads::configs(tick.rollout, tick.settings, Some(target)) {
        match tick.world.config(&reference.key) {
            ConfigSeen::Present { checksum, tracking: ConfigTracking::Tracked } => {
                checksums.insert(tracked::status_key(&reference.key), checksum);
                tracked.push(reference.key);
            }
            // It stops the beginning of a run (settle::standing), and nothing that has to be ended.
            ConfigSeen::Absent if !reference.optional => all_known = false,
            ConfigSeen::Present { tracking: ConfigTracking::Excluded, .. } | ConfigSeen::Absent => {}
            ConfigSeen::Unknown(_) => all_known = false,
        }
    }
    (tracked, all_known.then_some(checksums))
}

/// What is said of the first config without which the target's pods do not start.
pub(super) fn missing_config(tick: &Tick) -> Option<String> {
    let target = tick.world.present(&tick.rollout.target_key())?;
    let references = reads::configs(tick.rollout, tick.settings, Some(target));
    let mut needed = references.into_iter().filter(|reference| !reference.optional);
    let missing = needed.find(|reference| matches!(tick.world.config(&reference.key), ConfigSeen::Absent))?;
    Some(config_error(&missing.key))
}

fn config_error(key: &ObjectKey) -> String {
    let word = key.kind.name().to_lowercase();
    format!("{word} {}.{} get query error: {word}s \"{}\" not found", key.name, key.namespace, key.name)
}
