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
pub(super) fn sync(facts: &Facts) -> Sync {
    let noted = facts.run().and_then(|run| run.scaler_digest.as_ref());
    let is_edited = noted.is_some() && followed(facts).is_some_and(|followed| noted != Some(&followed));
    if is_edited && is_between_runs(facts.phase()) { Sync::Full } else { Sync::CreateOnly }
}

/// The plan that notes what the primary's autoscaler follows, once it follows an edit. What is noted first goes with any
/// other status write: a cluster whose CRD drops the note is not written to again and again.
pub(super) fn note(facts: &Facts) -> Option<Proposal> {
    let noted = facts.run().filter(|_| is_between_runs(facts.phase()))?.scaler_digest.as_ref()?;
    let followed = followed(facts).filter(|followed| followed != noted)?;
    let steps = autoscaler::primary_scaler(facts, Sync::Full, capacity::floor(facts)).ok()?;
    if !steps.is_empty() {
        return None;
    }
    let mut builder = PlanBuilder::new(facts);
    builder.run().scaler_digest = Some(followed);
    Some(builder.finish(Wake::At(facts.now)))
}

/// What the primary's autoscaler has to follow, if that is known and can be followed.
pub(super) fn followed(facts: &Facts) -> Option<String> {
    let selector = autoscaler::target_selector(facts);
    let source = autoscaler::scaler_source(facts, selector.as_ref())?;
    scaler::obstacle(facts.rollout, &source).is_none().then(|| scaler::followed(facts.rollout, &source))?
}
