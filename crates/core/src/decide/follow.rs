//! Edits of the target's autoscaler, or of what the canary says of the primary's: between runs they reach the primary's at
//! once, during a run with its promotion (S53). What somebody sets on the primary's own stays until then.

use super::autoscaler::{self};
use super::builder::PlanBuilder;
use super::capacity;
use super::facts::Facts;
use super::proposal::Proposal;
use super::recorded::is_between_runs;
use crate::scaler::{self, Sync};
use crate::timetable::Wake;

/// How much of the primary's autoscaler is looked after now.
pub(super) fn sync(tick: &Facts) -> Sync {
    let noted = tick.run().and_then(|run| run.scaler_digest.as_ref());
    let is_edited = noted.is_some() && followed(tick).is_some_and(|followed| noted != Some(&followed));
    if is_edited && is_between_runs(tick.phase()) { Sync::Full } else { Sync::CreateOnly }
}

/// The plan that notes what the primary's autoscaler follows, once it follows an edit. What is noted first goes with any
/// other status write: a cluster whose CRD drops the note is not written to again and again.
pub(super) fn note(tick: &Facts) -> Option<Proposal> {
    let noted = tick.run().filter(|_| is_between_runs(tick.phase()))?.scaler_digest.as_ref()?;
    let followed = followed(tick).filter(|followed| followed != noted)?;
    let steps = autoscaler::primary_scaler(tick, Sync::Full, capacity::floor(tick)).ok()?;
    if !steps.is_empty() {
        return None;
    }
    let mut draft = PlanBuilder::new(tick);
    draft.run().scaler_digest = Some(followed);
    Some(draft.finish(Wake::At(tick.now)))
}

/// What the primary's autoscaler has to follow, if that is known and can be followed.
pub(super) fn followed(tick: &Facts) -> Option<String> {
    let selector = autoscaler::target_selector(tick);
    let source = autoscaler::scaler_source(tick, selector.as_ref())?;
    scaler::obstacle(tick.rollout, &source).is_none().then(|| scaler::followed(tick.rollout, &source))?
}
