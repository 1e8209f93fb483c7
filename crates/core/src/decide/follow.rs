//! Edits of the target's autoscaler, or of what the canary says of the primary's: between runs they reach the primary's at
//! once, during a run with its promotion (S53). What somebody sets on the primary's own stays until then.

use burgee_api::Phase;

use super::{Draft, Tick, capacity, settle};
use crate::plan::Plan;
use crate::scaler::{self, Sync};
use crate::timetable::Wake;

/// How much of the primary's autoscaler is looked after now.
pub(super) fn sync(tick: &Tick) -> Sync {
    let noted = tick.run().and_then(|run| run.scaler_digest.as_ref());
    let is_edited = noted.is_some() && followed(tick).is_some_and(|followed| noted != Some(&followed));
    if is_edited && is_between_runs(tick) { Sync::Full } else { Sync::CreateOnly }
}

/// The plan that notes what the primary's autoscaler follows, once it follows an edit. What is noted first goes with any
/// other status write: a cluster whose CRD drops the note is not written to again and again.
pub(super) fn note(tick: &Tick) -> Option<Plan> {
    let noted = tick.run().filter(|_| is_between_runs(tick))?.scaler_digest.as_ref()?;
    let followed = followed(tick).filter(|followed| followed != noted)?;
    let steps = settle::primary_scaler(tick, Sync::Full, capacity::floor(tick)).ok()?;
    if !steps.is_empty() {
        return None;
    }
    let mut draft = Draft::new(tick);
    draft.run().scaler_digest = Some(followed);
    Some(draft.finish(Wake::At(tick.now)))
}

/// What the primary's autoscaler has to follow, if that is known and can be followed.
pub(super) fn followed(tick: &Tick) -> Option<String> {
    let selector = settle::target_selector(tick);
    let source = settle::scaler_source(tick, selector.as_ref())?;
    scaler::obstacle(tick.rollout, &source).is_none().then(|| scaler::followed(tick.rollout, &source))?
}

fn is_between_runs(tick: &Tick) -> bool {
    matches!(tick.phase(), Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed)
}
