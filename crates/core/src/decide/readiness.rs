//! Whether the pods of the two sides are ready, in the contract's words, and for how long that is waited for. It decides
//! nothing.

use burgee_api::Phase;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::stamp::time;
use super::tick::Tick;
use crate::workload::{self, Patience, Readiness, Side};
use crate::world::ObjectKey;

fn revision(tick: &Tick, side: Side) -> Option<ObjectKey> {
    workload::revision(tick.rollout, tick.world, side)
}

/// The object that tells how the pods of one side are; nothing if it is not there.
fn reporter<'a>(tick: &Tick<'a>, side: Side) -> &'a Value {
    workload::reporter(tick.rollout, tick.world, side).unwrap_or(&Value::Null)
}

/// How the primary is by what its workload reports, in the contract's words.
pub(super) fn reported_primary(tick: &Tick) -> Readiness {
    let rollout = tick.rollout;
    let primary = reporter(tick, Side::Primary);
    let readiness = workload::readiness(rollout.target_kind, primary, &patience(tick, rollout.primary_ready_percent));
    let prefix = revision(tick, Side::Primary).map_or_else(|| workload::primary_prefix(rollout), |key| named(&key));
    prefixed(readiness, &prefix)
}

/// A wait in a run has an end also where the workload says of none: a Deployment counts as available without all of its
/// pods, and one that was complete once is never late again (S47, I13).
pub(super) fn limited(tick: &Tick, readiness: Readiness) -> Readiness {
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
pub(super) fn waits_for_pods(phase: Phase) -> bool {
    matches!(phase, Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
}

/// The same of the canary.
pub(super) fn reported_canary(tick: &Tick) -> Readiness {
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
