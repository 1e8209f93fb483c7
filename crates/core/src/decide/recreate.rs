//! A primary that is gone comes back from what was kept of the revision that was promoted last.

use burgee_api::Phase;
use serde_json::Value;

use super::builder::PlanBuilder;
use super::capacity;
use super::copies::known_copies;
use super::facts::Facts;
use super::look::{look, settle_seen};
use super::mistake::{Obstacle, Seen};
use super::proposal::Proposal;
use super::tick::Tick;
use super::workloads::Workloads;
use crate::notice::Notice;
use crate::plan::Step;
use crate::snapshot;
use crate::workload::{self, Recipe};

/// Recreates a primary that was promoted once and is gone: from the kept template, not from the target (I12). While
/// finalising, the revision that was just analysed is the promoted one.
pub(super) fn recreate_primary(facts: &Facts, workloads: &Workloads) -> Seen<Proposal> {
    let status = facts.world.canary.status.clone().unwrap_or_default();
    let revision =
        if facts.phase() == Phase::Finalising { &status.last_applied_spec } else { &status.last_promoted_spec };
    // Of a primary that was there before the canary nobody may know the revision.
    let kept = if revision.is_empty() { None } else { kept_template(facts, revision)? };
    let mut builder = PlanBuilder::new(facts);
    let id = snapshot::flagger_id(&facts.rollout.uid, revision, "recreated");
    let recipe = workloads.recipe(facts, &id);
    let primary = if let Some(kept) = kept {
        let tracked = workloads.tracked_by(kept);
        workload::restored(&Recipe { tracked: &tracked, ..recipe }, &snapshot::template(kept), workloads.target, None)
    } else {
        builder.tell_of_false(revision);
        builder.tell(Notice::PrimaryRecreatedFromTarget);
        builder.steps(known_copies(facts, workloads)?.into_iter().map(Step::CopyConfig));
        workload::primary(&recipe, workloads.target)
    };
    let primary = primary.map_err(Obstacle::Halt)?;
    // The target may have no pods, and its autoscaler knows nothing of the primary's.
    let primary = workload::with_replicas(facts.rollout.target_kind, primary, capacity::remembered_pods(facts));
    builder.steps(settle_seen(facts, primary));
    Ok(builder.finish(facts.primary_written()))
}

/// The template of a revision as it was kept; none if there is none, or if what is there is not what was kept (I27).
pub(super) fn kept_template<'a>(tick: &Tick<'a>, revision: &str) -> Seen<Option<&'a Value>> {
    let kept = look(tick, &snapshot::key(tick.rollout, revision))?;
    Ok(kept.filter(|kept| snapshot::is_true(tick.rollout, revision, kept)))
}

impl PlanBuilder<'_> {
    /// Says that a kept template is not used because it is not what was kept.
    pub(super) fn tell_of_false(&mut self, revision: &str) {
        let Tick { rollout, world, .. } = **self.facts;
        let key = snapshot::key(rollout, revision);
        if !revision.is_empty() && world.present(&key).is_some_and(|kept| !snapshot::is_true(rollout, revision, kept)) {
            self.tell(Notice::Problem(format!("{key} is not what was kept of the promoted revision and is not used")));
        }
    }
}
