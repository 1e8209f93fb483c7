//! What is wrong with what a canary names: told in an event, shown in the condition `Invalid` while it lasts, and never a
//! phase of its own (S14).

use burgee_api::{CanaryStatus, Condition};

use super::analyse::missing_template;
use super::ask::Asker;
use super::scene::missing_config;
use super::settle::{missing_scaler, unusable_scaler};
use super::{Draft, Stop, Tick, names};
use crate::notice::{Notice, cut};
use crate::phase::PhaseRules;
use crate::plain::plain;
use crate::question::HookError;
use crate::timetable::Wake;
use crate::webhook::kind_name;

/// The type of the condition.
pub(super) const INVALID: &str = "Invalid";

/// What is wrong; the name is the condition's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The workload that the canary names is not there.
    TargetMissing,
    /// A name that the canary needs is somebody else's.
    NameTaken,
    /// Its selector has no label that could tell primary and canary apart.
    SelectorUnusable,
    /// The autoscaler that the canary names is not there.
    ScalerMissing,
    /// The primary's autoscaler cannot be made from the one that the canary names.
    ScalerUnusable,
    /// A ConfigMap or Secret without which the target's pods do not start is not there.
    ConfigMissing,
    /// A MetricTemplate that a metric names is not there.
    TemplateMissing,
    /// A webhook gives no answer.
    WebhookNotAnswering,
    /// A webhook refuses with more than is read of an answer.
    WebhookAnswerTooLong,
}

impl Mistake {
    const fn reason(self) -> &'static str {
        match self {
            Self::TargetMissing => "TargetMissing",
            Self::NameTaken => "NameTaken",
            Self::SelectorUnusable => "SelectorUnusable",
            Self::ScalerMissing => "ScalerMissing",
            Self::ScalerUnusable => "ScalerUnusable",
            Self::ConfigMissing => "ConfigMissing",
            Self::TemplateMissing => "TemplateMissing",
            Self::WebhookNotAnswering => "WebhookNotAnswering",
            Self::WebhookAnswerTooLong => "WebhookAnswerTooLong",
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
        if self.is_refused() {
            return;
        }
        self.set_condition(INVALID, "True", mistake.reason(), text);
    }

    /// Shows a mistake that stops nothing, and takes away one that was mended. Whether a webhook answers by now is not
    /// known before it is asked again.
    pub(super) fn blame_standing(&mut self, tick: &Tick) {
        if self.is_refused() {
            return;
        }
        let known = [
            (Mistake::NameTaken, names::taken(tick)),
            (Mistake::ConfigMissing, missing_config(tick)),
            (Mistake::ScalerMissing, missing_scaler(tick)),
            (Mistake::ScalerUnusable, unusable_scaler(tick)),
            (Mistake::TemplateMissing, missing_template(tick)),
        ];
        if let Some((mistake, text)) = known.into_iter().find_map(|(mistake, text)| Some((mistake, text?))) {
            self.blame(mistake, &text);
        } else if !self.blamed().is_some_and(is_of_webhooks) {
            self.drop_condition(INVALID);
        }
    }

    /// Shows the first webhook of a moment that could not be asked as it should; takes the blame from one that answers.
    /// The words stay those of the first time, so that a gate without an answer costs one write, however often it is
    /// asked (I18).
    pub(super) fn blame_webhooks(&mut self, asker: &Asker) {
        let silent = asker.failed_hooks().find_map(|(hook, error)| Some((mistake(error)?, hook, error)));
        let Some((mistake, hook, error)) = silent else { return self.clear_webhooks() };
        let subject = format!("{} webhook {}: ", kind_name(hook.kind), hook.name);
        let is_known = |blamed: &Condition| {
            let message = blamed.message.as_deref().unwrap_or_default();
            blamed.reason == mistake.reason() && message.starts_with(&subject)
        };
        let is_outranked = self.blamed().is_some_and(|blamed| !is_of_webhooks(blamed));
        if !is_outranked && !self.blamed().is_some_and(is_known) {
            self.blame(mistake, cut(&plain(&format!("{subject}{error}"))));
        }
    }

    /// Nothing is held against a webhook any more: it answers, or its run is over and was not ended by it.
    pub(super) fn clear_webhooks(&mut self) {
        if self.blamed().is_some_and(is_of_webhooks) {
            self.drop_condition(INVALID);
        }
    }

    /// Whether the canary cannot be meant at all: that stands first.
    fn is_refused(&self) -> bool {
        self.tick.rollout.refused.is_some()
    }

    fn blamed(&self) -> Option<&Condition> {
        self.status.conditions.as_deref()?.iter().find(|condition| condition.kind == INVALID)
    }

    /// Tells of what a run goes on without, in the status write that shows it: a restart repeats neither.
    pub(super) fn tell_what_is_missing(&mut self, before: &CanaryStatus) {
        let missing = [Mistake::NameTaken, Mistake::ScalerMissing, Mistake::ScalerUnusable, Mistake::ConfigMissing];
        let is_missing = |blamed: &&Condition| missing.iter().any(|mistake| blamed.reason == mistake.reason());
        let Some(text) = self.blamed().filter(is_missing).and_then(|blamed| blamed.message.clone()) else { return };
        // The bootstrap does not go on without it, and says so itself.
        let is_known = before.phase.is_bootstrap() || blame(before.conditions.as_deref()) == Some(&text);
        if !is_known && !self.has_told(&text) {
            self.tell_aside(Notice::Problem(text));
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

pub(super) fn blame(conditions: Option<&[Condition]>) -> Option<&String> {
    conditions?.iter().find(|condition| condition.kind == INVALID)?.message.as_ref()
}

/// What is wrong with a webhook, unless it has simply said no.
const fn mistake(error: &HookError) -> Option<Mistake> {
    match error {
        HookError::Refused(_) => None,
        HookError::Unanswered(_) => Some(Mistake::WebhookNotAnswering),
        HookError::TooLong(_) => Some(Mistake::WebhookAnswerTooLong),
    }
}

fn is_of_webhooks(blamed: &Condition) -> bool {
    let of_webhooks = [Mistake::WebhookNotAnswering, Mistake::WebhookAnswerTooLong];
    of_webhooks.iter().any(|mistake| blamed.reason == mistake.reason())
}
