//! What of a spec is taken and may not be what was meant: told in an event, shown in the condition `Doubtful` while it
//! stands. It stops nothing.

use burgee_api::CanaryStatus;

use super::Draft;
use crate::notice::{Notice, cut};

/// The type of the condition.
const DOUBTFUL: &str = "Doubtful";

impl Draft<'_> {
    /// Shows what is doubtful, and takes away what was mended. Of a spec that cannot be meant nothing else is said.
    pub(super) fn doubt(&mut self) {
        let rollout = self.tick.rollout;
        if rollout.refused.is_some() {
            return;
        }
        if rollout.doubts.is_empty() {
            self.drop_condition(DOUBTFUL);
        } else {
            self.set_condition(DOUBTFUL, "True", "DoubtfulSpec", cut(&rollout.doubts.join("; ")));
        }
    }

    /// Tells of doubts that were not shown before, in the write that shows them.
    pub(super) fn tell_doubts(&mut self, before: &CanaryStatus) {
        let text = shown(&self.status).cloned();
        if let Some(text) = text.filter(|text| shown(before) != Some(text)) {
            self.tell_aside(Notice::Doubtful(text));
        }
    }
}

fn shown(status: &CanaryStatus) -> Option<&String> {
    status.conditions.iter().flatten().find(|condition| condition.kind == DOUBTFUL)?.message.as_ref()
}
