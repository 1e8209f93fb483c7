//! What is wrong with what a canary names: told in an event, shown in the condition `Invalid` while it lasts, and never a
//! phase of its own (S14; rules: Status and conditions).

use burgee_api::Condition;

use super::analyse::missing_template;
use super::{Draft, Stop, Tick};
use crate::notice::Notice;
use crate::timetable::Wake;

/// The type of the condition.
pub(super) const INVALID: &str = "Invalid";

/// What is wrong; the name is the condition's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The workload that the canary names is not there.
    TargetMissing,
    /// Its selector has no label that could tell primary and canary apart.
    SelectorUnusable,
    /// The autoscaler that the canary names is not there.
    ScalerMissing,
    /// A ConfigMap or Secret without which the target's pods do not start is not there.
    ConfigMissing,
    /// A MetricTemplate that a metric names is not there.
    TemplateMissing,
}

impl Mistake {
    const fn reason(self) -> &'static str {
        match self {
            Self::TargetMissing => "TargetMissing",
            Self::SelectorUnusable => "SelectorUnusable",
            Self::ScalerMissing => "ScalerMissing",
            Self::ConfigMissing => "ConfigMissing",
            Self::TemplateMissing => "TemplateMissing",
        }
    }
}

/// Ends a tick that a mistake leaves nothing to do: it is said once per interval and shown until it is mended. The status
/// is written when the mistake comes and when it goes, not in between (I18).
pub(super) fn mistaken(tick: &Tick, mistake: Mistake, problem: String) -> Stop {
    let mut draft = Draft::new(tick);
    draft.blame(mistake, &problem);
    draft.tell_aside(Notice::Problem(problem));
    let next = tick.after(tick.rollout.interval);
    Stop::Wait(draft.finish(Wake::At(next)))
}

impl Draft<'_> {
    /// Shows a mistake.
    pub(super) fn blame(&mut self, mistake: Mistake, text: &str) {
        self.set_condition(INVALID, "True", mistake.reason(), text);
    }

    /// Shows a mistake that stops nothing, and takes away one that was mended.
    pub(super) fn blame_standing(&mut self, tick: &Tick) {
        self.drop_condition(INVALID);
        if let Some(text) = missing_template(tick) {
            self.blame(Mistake::TemplateMissing, &text);
        }
    }

    /// Tells of a mistake that was not shown before.
    pub(super) fn tell_new_blame(&mut self, tick: &Tick) {
        let before = tick.world.canary.status.as_ref().and_then(|status| blame(status.conditions.as_deref()));
        let text = blame(self.status.conditions.as_deref()).cloned();
        if let Some(text) = text.filter(|text| Some(text) != before) {
            self.tell(Notice::Problem(text));
        }
    }
}

fn blame(conditions: Option<&[Condition]>) -> Option<&String> {
    conditions?.iter().find(|condition| condition.kind == INVALID)?.message.as_ref()
}
