//! What a canary told, and whether it is what it should have told. Pure.
use anyhow::{Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Instant;

/// What is told until a canary can be tried out.
pub(crate) const INITIALIZED: [&str; 2] =
    ["all the metrics providers are available!", "Initialization done! podinfo.test"];
/// What is told when a new version is found, until its strategy begins.
pub(crate) const BEGUN: [&str; 2] =
    ["New revision detected! Scaling up podinfo.test", "Starting canary analysis for podinfo.test"];
/// What is told at the end of a promotion in which the traffic comes back at once.
pub(crate) const PROMOTED: [&str; 3] = [
    "Copying podinfo.test template spec to podinfo-primary.test",
    "Routing all traffic to primary",
    "Promotion completed! Scaling down podinfo.test",
];
/// What is told when a canary with `revertOnDeletion` is deleted.
pub(crate) const TERMINATED: [&str; 2] = ["Terminating canary podinfo.test", "Terminated canary podinfo.test"];

/// All that is told of a good version from the first apply on, with what its strategy tells.
pub(crate) fn promotion<'a>(strategy: &[&'a str]) -> Vec<&'a str> {
    [&INITIALIZED[..], &BEGUN, strategy, &PROMOTED].concat()
}

/// One event as it arrived at the event webhook.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its message; the test's namespace reads `test`.
    pub text: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// The phase that came with it.
    pub phase: String,
    /// When it arrived.
    pub at: Instant,
}

impl Told {
    /// Reads the payload of an event webhook (contract: webhooks §3).
    pub(crate) fn read(body: &Value, namespace: &str, at: Instant) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            text: neutral(&text(&body["metadata"]["eventMessage"]), namespace),
            kind: text(&body["metadata"]["eventType"]),
            phase: text(&body["phase"]),
            at,
        }
    }
}

/// The text with the namespace `test`, as the contract's examples have it.
pub(crate) fn neutral(text: &str, namespace: &str) -> String {
    text.replace(&format!(".{namespace}"), ".test")
}

/// Whether an event says only that something is awaited; those come 0 to n times.
pub(crate) fn is_waiting(text: &str) -> bool {
    if text.starts_with("canary not ready during finalizing: ") {
        return true;
    }
    let awaits =
        ["not ready: waiting for rollout to finish", "not ready with retryable true: waiting for rollout to finish"];
    let is_rollout = awaits.iter().any(|words| text.contains(words)) && !text.starts_with("Rolling back ");
    is_rollout || text.contains("primary replicas before routing")
}

/// Compares what was told, without the waiting, with what is expected. A `*` stands for any text.
///
/// # Errors
/// With both, side by side.
pub(crate) fn expect(told: &[Told], expected: &[&str]) -> Result<()> {
    let told: Vec<&str> = told.iter().map(|told| told.text.as_str()).filter(|text| !is_waiting(text)).collect();
    let same = told.len() == expected.len() && told.iter().zip(expected).all(|(text, pattern)| matches(text, pattern));
    if same {
        return Ok(());
    }
    let mut table = String::new();
    for line in 0..told.len().max(expected.len()) {
        let (text, pattern) = (told.get(line).copied().unwrap_or("-"), expected.get(line).copied().unwrap_or("-"));
        let mark = if matches(text, pattern) { ' ' } else { '!' };
        let _ = write!(table, "\n    {mark} told     {text}");
        if mark == '!' {
            let _ = write!(table, "\n      expected {pattern}");
        }
    }
    bail!("the events are not the expected ones:{table}")
}

/// Whether a text is the pattern's, in which `*` stands for any text.
pub(crate) fn matches(text: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(tail) = text.strip_prefix(head) else { return false };
    let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
    ends.into_iter().any(|at| matches(&tail[at..], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], expected: &[&str]) -> bool {
        let told = |text: &&str| Told {
            text: (*text).to_owned(),
            kind: String::new(),
            phase: String::new(),
            at: Instant::now(),
        };
        expect(&texts.iter().map(told).collect::<Vec<_>>(), expected).is_ok()
    }

    #[test]
    fn waiting_is_left_out_and_the_rest_is_compared_in_order() {
        assert!(check(&["a", "x not ready: waiting for rollout to finish: 0 of 2", "b"], &["a", "b"]));
        assert!(!check(&["a", "b"], &["b", "a"]));
        assert!(!check(&["a", "b"], &["a"]));
        assert!(!check(&[], &["a"]));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("success rate 69.17% < 99%", "success rate *% < 99%"));
        assert!(matches("abc", "*"));
        assert!(!matches("success rate 99.5%", "success rate *% < 99%"));
        assert!(!matches("abc", "ab"));
    }

    #[test]
    fn the_namespace_reads_as_in_the_contract() {
        let body = serde_json::json!({"phase": "Progressing", "metadata": {
            "eventMessage": "Advance podinfo.weights canary weight 10", "eventType": "Normal"}});
        let told = Told::read(&body, "weights", Instant::now());
        assert_eq!(told.text, "Advance podinfo.test canary weight 10");
        assert_eq!((told.kind.as_str(), told.phase.as_str()), ("Normal", "Progressing"));
    }
}
