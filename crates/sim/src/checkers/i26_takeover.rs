//! I26: what the peer left at rest is adopted as it stands: no run begins, no pod restarts, no route moves, until a user
//! changes something.

use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::Step;
use burgee_core::workload::{self, Recipe};

use super::{Checker, Moment, Verdict, What};
use crate::instant::{Instant, Part};

/// Whether the play stands where the peer left it.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeover {
    is_left: bool,
}

impl Checker for Takeover {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let (before, after) = (moment.before, moment.after);
        match moment.what {
            What::Outside => {
                let is_edited = before.revision != after.revision
                    || before.split != after.split
                    || !before.is_same(after, &[Part::Apex, Part::Scaler]);
                self.is_left = is_left(after) || (self.is_left && !is_edited);
                Ok(())
            }
            What::Step(step) if self.is_left => stays(step, before, after),
            What::Step(_) | What::Asked(..) | What::Decided { .. } => Ok(()),
        }
    }
}

/// Whether the peer left a canary that rests on what the primary runs.
fn is_left(instant: &Instant) -> bool {
    let status = &instant.status;
    let rests = status.phase.is_terminal() && status.canary_weight == 0 && is_foreign(&status.last_applied_spec);
    let (Some(target), Some(primary)) = (instant.part(Part::Target), instant.part(Part::Primary)) else { return false };
    let kind = instant.rollout.target_kind;
    let recipe = Recipe { rollout: &instant.rollout, settings: &instant.settings, tracked: &[], flagger_id: "any" };
    rests && workload::runs(&recipe, &workload::template(kind, target), target, primary).unwrap_or(false)
}

fn stays(step: &Step, before: &Instant, after: &Instant) -> Verdict {
    let template = |instant: &Instant| instant.object(Part::Primary)["spec"]["template"].clone();
    if before.status.phase != after.status.phase {
        return Err(format!("{} became {}", before.status.phase, after.status.phase));
    }
    if matches!(step, Step::Replace(_)) && template(before) != template(after) {
        return Err("the primary's pods were restarted".to_owned());
    }
    if before.target_is_up != after.target_is_up {
        return Err("the target was scaled".to_owned());
    }
    if before.split.is_some() && before.split != after.split {
        return Err("the routes were moved".to_owned());
    }
    Ok(())
}
