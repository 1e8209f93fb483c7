//! What is wrong with what a canary names: told in an event, shown in the condition `Invalid` while it lasts, and never a
//! phase of its own (S14). Here are its names; it decides nothing.

use burgee_api::Condition;

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
    /// The reason of the condition.
    pub(super) const fn reason(self) -> &'static str {
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

/// Why something cannot be looked at or made. It is no verdict: it is said, and looked at again after an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Something cannot be read or made, for this reason.
    Halt(String),
    /// The canary names what is not there or cannot be used: that is also shown until it is mended.
    Mistaken(Mistake, String),
}

/// What can be seen and made, or why not.
pub(super) type Seen<T> = Result<T, Obstacle>;

/// What is shown in the condition.
pub(super) fn blame(conditions: Option<&[Condition]>) -> Option<&String> {
    conditions?.iter().find(|condition| condition.kind == INVALID)?.message.as_ref()
}

/// Whether what is shown is about webhooks. Whether one answers by now is not known before it is asked again.
pub(super) fn is_of_webhooks(blamed: &Condition) -> bool {
    let of_webhooks = [Mistake::WebhookNotAnswering, Mistake::WebhookAnswerTooLong];
    of_webhooks.iter().any(|mistake| blamed.reason == mistake.reason())
}
