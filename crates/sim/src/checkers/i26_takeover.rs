//! I26: what the peer left at rest is adopted as it stands: no run begins, no pod restarts, no route moves, no Service and
//! no Knative revision takes the primary's place, until a user changes something.

use burgee_api::{CanaryStatus, Phase};
use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::Step;
use burgee_core::tracked::status_key;
use burgee_core::workload::{self, Recipe};
use burgee_core::world::{ConfigSeen, ConfigTracking, ObjectKey, World};
use serde_json::Value;

use super::i12_primary::tracked_keys;
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
                self.is_left = is_left(after) || (self.is_left && !is_edited(before, after));
                Ok(())
            }
            What::Decided { world, .. } => {
                self.is_left = self.is_left && !have_moved(world, &after.status);
                Ok(())
            }
            What::Step(step) if self.is_left => stays(step, before, after),
            What::Step(_) | What::Asked(..) => Ok(()),
        }
    }
}

fn is_edited(before: &Instant, after: &Instant) -> bool {
    before.revision != after.revision
        || before.split != after.split
        || !before.is_same(after, &[Part::Apex, Part::Scaler])
        || before.running() != after.running()
}

/// Whether a config holds something else than the peer had noted: that is another version.
fn have_moved(world: &World, status: &CanaryStatus) -> bool {
    let noted = |key: &ObjectKey| status.tracked_configs.as_ref()?.get(&status_key(key));
    world.configs.iter().any(|(key, seen)| match seen {
        ConfigSeen::Present { checksum, tracking: ConfigTracking::Tracked } => noted(key) != Some(checksum),
        ConfigSeen::Present { tracking: ConfigTracking::Excluded, .. } => noted(key).is_some(),
        ConfigSeen::Absent | ConfigSeen::Unknown(_) => false,
    })
}

/// Whether the peer left a canary that rests: on what the primary runs, or on a version that has failed, whatever that is.
fn is_left(instant: &Instant) -> bool {
    let status = &instant.status;
    let rests = status.phase.is_terminal() && status.canary_weight == 0 && is_foreign(&status.last_applied_spec);
    let (Some(target), Some(primary)) = (instant.part(Part::Target), instant.part(Part::Primary)) else { return false };
    rests && !instant.running().is_null() && (status.phase == Phase::Failed || runs(instant, target, primary))
}

fn runs(instant: &Instant, target: &Value, primary: &Value) -> bool {
    let kind = instant.rollout.target_kind;
    let tracked = tracked_keys(instant, target);
    let recipe =
        Recipe { rollout: &instant.rollout, settings: &instant.settings, tracked: &tracked, flagger_id: "any" };
    workload::runs(&recipe, &workload::template(kind, target), target, primary).unwrap_or(false)
}

fn stays(step: &Step, before: &Instant, after: &Instant) -> Verdict {
    if before.status.phase != after.status.phase {
        return Err(format!("{} became {}", before.status.phase, after.status.phase));
    }
    if matches!(step, Step::Replace(_)) && before.running() != after.running() {
        return Err("the primary was made to run something else, or restarted".to_owned());
    }
    if before.target_is_up != after.target_is_up {
        return Err("the target was scaled".to_owned());
    }
    if before.split.is_some() && before.split != after.split {
        return Err("the routes were moved".to_owned());
    }
    Ok(())
}
