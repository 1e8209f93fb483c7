//! I10: a revision counts as seen only in the write that starts its analysis, or that turns it away at the gate; and none
//! is ever lost: an operator that rests has seen the target that is there.

use std::sync::Arc;

use burgee_api::Phase;
use burgee_core::digest::{digest, is_foreign};
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::timetable::Wake;
use burgee_core::world::World;
use burgee_core::{restoration, workload};

use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::{Instant, Part};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Revisions;

impl Checker for Revisions {
    fn look(&mut self, moment: &Moment) -> Verdict {
        match moment.what {
            What::Step(Step::Status(_)) => seen_when_analysed(moment),
            What::Decided { plan, world, .. } => none_is_lost(moment.after, plan, world),
            What::Step(_) | What::Outside | What::Asked(..) => Ok(()),
        }
    }
}

fn seen_when_analysed(moment: &Moment) -> Verdict {
    let (before, after) = (&moment.before.status, &moment.after.status);
    let begins = matches!(after.phase, Phase::Progressing | Phase::Initialized);
    let is_turned_away = before.phase == Phase::Waiting && after.phase == Phase::Failed;
    let is_adopted = is_foreign(&before.last_applied_spec);
    if before.last_applied_spec == after.last_applied_spec || begins || is_turned_away || is_adopted {
        return Ok(());
    }
    Err(format!("{} was recorded as seen in {}", after.last_applied_spec, after.phase))
}

fn none_is_lost(instant: &Instant, plan: &Plan, world: &World) -> Verdict {
    let Some(status) = &world.canary.status else { return Ok(()) };
    let rests = status.phase.is_terminal() && plan.steps.is_empty() && plan.next == Wake::OnChange;
    let is_free = !instant.rollout.suspended && !instant.is_deleted() && world.rival.is_none();
    if !rests || !is_free || restoration::is_due(status) || !revision::has_moved(instant, world) {
        return Ok(());
    }
    let Some(target) = revision::target(instant, world) else { return Ok(()) };
    let is_stored = instant.shared(Part::Target).is_some_and(|stored| Arc::ptr_eq(stored, &target));
    let revision = if is_stored {
        instant.revision.to_string()
    } else {
        digest(&workload::template(instant.rollout.target_kind, &target))
    };
    // What a peer promoted is known by the primary alone.
    let is_known = revision == status.last_promoted_spec || is_foreign(&status.last_promoted_spec);
    if revision != status.last_applied_spec && !is_known {
        return Err(format!("{revision} is never going to be analysed, the canary rests in {}", status.phase));
    }
    Ok(())
}
