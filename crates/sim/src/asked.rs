//! What an operator asked and what was answered, in a few characters for a row of a film: `load-test:ok`, `latency=50ms`.
//! It never judges the answer.

use burgee_api::{Webhook, WebhookType};
use burgee_core::metric::builtin::Builtin;
use burgee_core::metric::error::MeasureError;
use burgee_core::question::{Answer, Ask, HookError};

/// The longest text of a hook that a row shows, in characters.
const TEXT_MAX: usize = 12;

/// The words for a question, and for its answer if that came at once.
pub(crate) fn words(ask: &Ask, answer: Option<&Answer>) -> String {
    match ask {
        Ask::Hook { webhook, .. } => {
            format!("{}:{}", webhook.name, answer.map_or_else(not_yet, |answer| of_hook(webhook, answer)))
        }
        Ask::Measure { metric, scale, .. } => {
            let (name, unit) = topic(metric, *scale);
            format!("{name}={}", answer.map_or_else(not_yet, |answer| of_metric(answer, unit)))
        }
        Ask::Online { source } => {
            format!("{}:{}", source.provider_type, answer.map_or_else(not_yet, of_provider))
        }
    }
}

fn not_yet() -> String {
    "…".to_owned()
}

/// A gate is open or closed, a rollback is wanted or not, a check passes or says why not.
fn of_hook(webhook: &Webhook, answer: &Answer) -> String {
    let Answer::Hook(answer) = answer else { return not_yet() };
    let (passed, failed) = match webhook.kind {
        WebhookType::ConfirmRollout | WebhookType::ConfirmTrafficIncrease | WebhookType::ConfirmPromotion => {
            ("open", "closed")
        }
        WebhookType::Rollback => ("yes", "no"),
        WebhookType::Untyped
        | WebhookType::PreRollout
        | WebhookType::Rollout
        | WebhookType::PostRollout
        | WebhookType::Event => ("ok", "failed"),
    };
    match answer {
        Ok(()) => passed.to_owned(),
        Err(HookError::Unanswered(_)) => "silent".to_owned(),
        Err(HookError::Refused(text)) if failed == "failed" && is_short(text) => text.clone(),
        Err(HookError::Refused(_) | HookError::TooLong(_)) => failed.to_owned(),
    }
}

fn is_short(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_MAX && !text.contains(' ')
}

/// A metric as scripts call it, and how its number is shown.
fn topic(metric: &str, scale: f64) -> (&str, Unit) {
    match Builtin::from_name(metric) {
        Some(Builtin::SuccessRate) => ("success-rate", Unit::None),
        Some(Builtin::Duration { .. }) => ("latency", Unit::Seconds(scale)),
        None => (metric, Unit::None),
    }
}

#[derive(Clone, Copy)]
enum Unit {
    None,
    /// What the number is multiplied by to give seconds.
    Seconds(f64),
}

fn of_metric(answer: &Answer, unit: Unit) -> String {
    match (answer, unit) {
        (Answer::Measured(Ok(value)), Unit::None) => value.to_string(),
        (Answer::Measured(Ok(value)), Unit::Seconds(scale)) => format!("{}ms", (value * scale * 1000.0).round()),
        (Answer::Measured(Err(MeasureError::NoValues(_))), _) => "none".to_owned(),
        (Answer::Measured(Err(MeasureError::Unavailable(_))), _) => "silence".to_owned(),
        (Answer::Measured(Err(MeasureError::Wrong(_) | MeasureError::Secret(_))), _) => "wrong".to_owned(),
        (Answer::Hook(_), _) => not_yet(),
    }
}

fn of_provider(answer: &Answer) -> String {
    if matches!(answer, Answer::Measured(Ok(_))) { "up".to_owned() } else { "down".to_owned() }
}

#[cfg(test)]
mod tests {
    use burgee_core::question::ProviderSource;
    use jiff::SignedDuration;

    use super::*;

    fn check(ask: &Ask, answer: Option<&Answer>, expected: &str) {
        assert_eq!(words(ask, answer), expected);
    }

    fn hook(name: &str, kind: WebhookType) -> Ask {
        let webhook = Webhook { name: name.to_owned(), kind, ..Webhook::default() };
        Ask::Hook { webhook, payload: serde_json::Value::Null }
    }

    fn failed(text: &str) -> Answer {
        Answer::Hook(Err(HookError::Refused(text.to_owned())))
    }

    fn measure(metric: &str, scale: f64) -> Ask {
        let (source, window) = (ProviderSource::default(), SignedDuration::from_mins(1));
        Ask::Measure { metric: metric.to_owned(), scale, source, query: String::new(), window }
    }

    #[test]
    fn hooks_answer_in_the_words_of_their_type() {
        check(&hook("start", WebhookType::ConfirmRollout), Some(&Answer::Hook(Ok(()))), "start:open");
        check(&hook("start", WebhookType::ConfirmRollout), Some(&failed("not yet")), "start:closed");
        check(&hook("abort", WebhookType::Rollback), Some(&failed("")), "abort:no");
        check(&hook("acceptance", WebhookType::PreRollout), Some(&failed("403")), "acceptance:403");
        check(
            &hook("acceptance", WebhookType::PreRollout),
            Some(&failed("request failed: timeout")),
            "acceptance:failed",
        );
        check(&hook("acceptance", WebhookType::PreRollout), None, "acceptance:…");
    }

    #[test]
    fn metrics_and_providers_answer_as_scripts_call_it() {
        let silence = Answer::Measured(Err(MeasureError::Unavailable("refused".to_owned())));
        check(&measure("request-success-rate", 1.0), Some(&Answer::Measured(Ok(69.17))), "success-rate=69.17");
        check(&measure("request-duration", 0.001), Some(&Answer::Measured(Ok(50.0))), "latency=50ms");
        check(&measure("quality", 1.0), Some(&silence), "quality=silence");
        let online = Ask::Online {
            source: ProviderSource { provider_type: "prometheus".to_owned(), ..ProviderSource::default() },
        };
        check(&online, Some(&Answer::Measured(Ok(1.0))), "prometheus:up");
        check(&online, Some(&silence), "prometheus:down");
    }
}
