//! I18: what has not changed is not written. That a resting canary costs no read either is counted on the lab.

use burgee_core::world::ObjectKey;

use super::{Checker, Moment, Verdict, without_marks};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes;

impl Checker for Writes {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let Some(step) = moment.step() else { return Ok(()) };
        let (before, after) = (moment.before, moment.after);
        if step.status().is_some() && without_marks(&before.status) == without_marks(&after.status) {
            return Err(format!("the status of {} was written though nothing in it changed", after.status.phase));
        }
        let part = step.replacement().and_then(ObjectKey::of).and_then(|key| after.part_of(&key));
        match part.filter(|part| before.is_same(after, &[*part])) {
            Some(part) => Err(format!("{part:?} was replaced by itself")),
            None => Ok(()),
        }
    }
}
