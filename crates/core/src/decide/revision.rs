//! Is this a new revision? Unknown is not changed (I11), and what was promoted is not new (contract: lifecycle §3).

use burgee_api::CanaryStatus;
use serde_json::Value;

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::recorded::wants_retry;
use super::workloads::Workloads;
use crate::digest::is_foreign;
use crate::phase::PhaseRules;
use crate::rollout::TargetKind;
use crate::workload;

/// What a look at the target says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing new.
    None,
    /// Nothing new, but it was recorded by the peer: record it our way (S1).
    Adopt,
    /// A revision that was not analysed.
    Revision,
}

/// What is new about the target since the last analysed revision.
pub(super) fn change(facts: &Facts, workloads: &Workloads) -> Change {
    let status = facts.world.canary.status.clone().unwrap_or_default();
    if is_foreign(&status.last_applied_spec) {
        return foreign_change(facts, workloads, &status);
    }
    if is_retried(workloads, &status)
        || target_changed(facts, workloads, &status)
        || configs_changed(workloads, &status)
    {
        Change::Revision
    } else {
        Change::None
    }
}

/// Somebody ordered to analyse the failed revision again, and the target still runs it.
fn is_retried(workloads: &Workloads, status: &CanaryStatus) -> bool {
    let is_ordered = status.run.as_ref().is_some_and(|run| wants_retry(status.phase, run));
    is_ordered && workloads.revision == status.last_applied_spec
}

/// Between runs, going back to what was promoted is nothing new. During one it is: what is promoted must be what was
/// analysed, so the analysis begins again (the peer goes on with pods that it never looked at).
///
/// A new digest counts only if the object itself moved as well: an API server that defaults a new field on read
/// changes what is stored of every template without anybody having edited one. A Knative revision has a name, which
/// comes later than the edit and never by itself.
fn target_changed(facts: &Facts, workloads: &Workloads, status: &CanaryStatus) -> bool {
    if status.last_applied_spec.is_empty() {
        return true;
    }
    if workloads.revision == status.last_applied_spec
        || (!status.phase.is_run() && is_promoted(facts, workloads, status))
    {
        return false;
    }
    let Some(run) = &status.run else { return true };
    if facts.rollout.target_kind == TargetKind::Knative {
        return true;
    }
    run.target_uid != uid(workloads.target) || run.target_generation != Some(generation(workloads.target))
}

/// Whether the target is what was promoted last. What the peer promoted is known by the primary alone.
fn is_promoted(facts: &Facts, workloads: &Workloads, status: &CanaryStatus) -> bool {
    let promoted = &status.last_promoted_spec;
    workloads.revision == *promoted || (is_foreign(promoted) && runs_as_primary(facts, workloads))
}

/// The peer's rule: another number of tracked configs, or another checksum. Tracking that is off or not fully known
/// never counts.
fn configs_changed(workloads: &Workloads, status: &CanaryStatus) -> bool {
    match (&workloads.checksums, &status.tracked_configs) {
        (None, _) => false,
        (Some(now), None) => !now.is_empty(),
        (Some(now), Some(recorded)) => now != recorded,
    }
}

/// Taking over from the peer: its digests cannot be computed, so the target is compared with the primary.
fn foreign_change(facts: &Facts, workloads: &Workloads, status: &CanaryStatus) -> Change {
    use burgee_api::Phase;
    match status.phase {
        Phase::Initialized | Phase::Succeeded => {
            if configs_changed(workloads, status) || !runs_as_primary(facts, workloads) {
                Change::Revision
            } else {
                Change::Adopt
            }
        }
        Phase::Failed => Change::Adopt,
        Phase::Waiting => Change::Revision,
        Phase::Unset
        | Phase::Initializing
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => Change::None,
    }
}

/// Whether the primary runs the target's template, modulo the rewriting of lifecycle §7.2.
pub(super) fn runs_as_primary(facts: &Facts, workloads: &Workloads) -> bool {
    let Some(primary) = workloads.primary else { return false };
    workload::runs(&workloads.recipe(facts, ""), &workloads.template, workloads.target, primary).unwrap_or(false)
}

/// Uid of an object.
pub(super) fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Generation of an object. A Service has none: its version moves with every write, and at least with no read.
pub(super) fn generation(object: &Value) -> i64 {
    let metadata = &object["metadata"];
    let version = || metadata["resourceVersion"].as_str()?.parse().ok();
    metadata["generation"].as_i64().or_else(version).unwrap_or(0)
}

/// Records which revision the status speaks of. `moved` is by how much the plan itself moves the target's generation.
pub(super) fn record_revision(builder: &mut PlanBuilder, workloads: &Workloads, moved: i64) {
    builder.status.last_applied_spec.clone_from(&workloads.revision);
    if workloads.checksums.is_some() {
        builder.status.tracked_configs.clone_from(&workloads.checksums);
    }
    let run = builder.run();
    run.revision.clone_from(&workloads.revision);
    run.target_uid = uid(workloads.target);
    run.target_generation = Some(generation(workloads.target) + moved);
}
