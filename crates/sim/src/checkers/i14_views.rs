//! I14: nothing is written on an older view than our own last write. Each write carries what it was decided on: a
//! replacement the version, a patch its tests, the status the version that the decision saw. That stores never go back
//! behind a write is tested where they are (operator: stores).

use burgee_core::object::items;
use burgee_core::plan::Step;

use super::{Checker, Moment, Verdict};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Views;

impl Checker for Views {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let Some(step) = moment.step() else { return Ok(()) };
        match step {
            Step::Replace(object) if !object["metadata"]["resourceVersion"].is_string() => {
                Err(format!("{} was replaced whatever its version", object["metadata"]["name"]))
            }
            Step::Patch { key, operations } if !items(operations).any(|operation| operation["op"] == "test") => {
                Err(format!("{key} was patched without a test"))
            }
            Step::Status(_) => {
                let version = moment.before.version();
                if version == moment.sight.version.as_deref() {
                    return Ok(());
                }
                Err("the status was written over another one than the decision saw".to_owned())
            }
            Step::Create(_)
            | Step::Replace(_)
            | Step::Patch { .. }
            | Step::Drop(_)
            | Step::Keep(_)
            | Step::CopyConfig(_)
            | Step::KeepConfigs { .. }
            | Step::RestoreConfigs(_)
            | Step::Tell(_)
            | Step::Deliver(_)
            | Step::Count(_) => Ok(()),
        }
    }
}
