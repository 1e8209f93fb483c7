//! I18: what has not changed is not written. That a resting canary costs no read either is counted on the lab.

use burgee_core::plan::Step;
use burgee_core::world::ObjectKey;

use super::{Checker, Moment, Verdict, without_marks};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes;

impl Checker for Writes {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let Some(step) = moment.step() else { return Ok(()) };
        let (before, after) = (moment.before, moment.after);
        match step {
            Step::Status(_) if without_marks(&before.status) == without_marks(&after.status) => {
                Err(format!("the status of {} was written though nothing in it changed", after.status.phase))
            }
            Step::Replace(object) => {
                let part = ObjectKey::of(object).and_then(|key| after.part_of(&key));
                match part.filter(|part| before.is_same(after, &[*part])) {
                    Some(part) => Err(format!("{part:?} was replaced by itself")),
                    None => Ok(()),
                }
            }
            Step::Create(_)
            | Step::Patch { .. }
            | Step::Drop(_)
            | Step::Keep(_)
            | Step::CopyConfig(_)
            | Step::KeepConfigs { .. }
            | Step::RestoreConfigs(_)
            | Step::Tell(_)
            | Step::Status(_)
            | Step::Alert(_)
            | Step::Count(_)
            | Step::PostRollout(_) => Ok(()),
        }
    }
}
