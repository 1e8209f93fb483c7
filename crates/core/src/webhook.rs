//! Webhooks: what is sent to them. It never sends anything, and never decides when (contract: webhooks §1–3).

pub mod call;
pub mod chat;

use std::collections::BTreeMap;

use burgee_api::WebhookType;
use serde_json::{Map, Value, json};

/// What every payload says of a canary (contract: webhooks §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Name of the canary.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its phase, as the contract's table of hook types has it.
    pub phase: &'a str,
    /// The [`checksum`] of its status.
    pub checksum: &'a str,
}

/// What an event webhook is told besides (contract: webhooks §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPayload<'a> {
    /// Text of the event.
    pub message: &'a str,
    /// `Normal` or `Warning`.
    pub event_type: &'a str,
    /// When it happened, in milliseconds since 1970.
    pub timestamp_milliseconds: i64,
}

impl Payload<'_> {
    /// The body of a hook with the metadata that its author wrote.
    pub fn body(&self, metadata: &BTreeMap<String, String>) -> Value {
        let Self { name, namespace, phase, checksum } = self;
        let mut body = json!({ "name": name, "namespace": namespace, "phase": phase, "checksum": checksum });
        if !metadata.is_empty() {
            body["metadata"] = json!(metadata);
        }
        body
    }

    /// The body of an event hook. The author's metadata goes along, but cannot replace what is said of the event.
    pub fn event_body(&self, event: &EventPayload<'_>, metadata: &BTreeMap<String, String>) -> Value {
        let EventPayload { message, event_type, timestamp_milliseconds } = event;
        let mut all: Map<String, Value> = metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        all.insert("eventMessage".to_owned(), json!(message));
        all.insert("eventType".to_owned(), json!(event_type));
        all.insert("timestamp".to_owned(), json!(timestamp_milliseconds.to_string()));
        let mut body = self.body(&BTreeMap::new());
        body["metadata"] = Value::Object(all);
        body
    }
}

/// The checksum in every payload: a hash of what the status says is tracked and applied (contract: webhooks §1).
pub fn checksum(tracked_configs: Option<&BTreeMap<String, String>>, last_applied_spec: &str) -> String {
    let tracked = tracked_configs.map_or_else(
        || "<nil>".to_owned(),
        |configs| {
            let entries: Vec<String> = configs.iter().map(|(name, sum)| format!("{name}:{sum}")).collect();
            format!("map[{}]", entries.join(" "))
        },
    );
    let dump = format!(
        "(struct {{ TrackedConfigs *map[string]string; LastAppliedSpec string }}){{TrackedConfigs:(*map[string]string)\
         {tracked} LastAppliedSpec:(string){last_applied_spec}}}"
    );
    safe_digits(fnv1a_32(dump.as_bytes()))
}

fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A number in letters that spell no word (contract: lifecycle §3).
fn safe_digits(number: u32) -> String {
    const LETTERS: [char; 10] = ['4', '5', '6', '7', '8', '9', 'b', 'c', 'd', 'f'];
    number.to_string().bytes().filter_map(|digit| LETTERS.get(usize::from(digit.wrapping_sub(b'0')))).collect()
}

/// The type of a hook as it is written; one without a type is asked as `rollout`.
pub const fn kind_name(kind: WebhookType) -> &'static str {
    match kind {
        WebhookType::Untyped | WebhookType::Rollout => "rollout",
        WebhookType::ConfirmRollout => "confirm-rollout",
        WebhookType::PreRollout => "pre-rollout",
        WebhookType::ConfirmTrafficIncrease => "confirm-traffic-increase",
        WebhookType::ConfirmPromotion => "confirm-promotion",
        WebhookType::PostRollout => "post-rollout",
        WebhookType::Rollback => "rollback",
        WebhookType::Event => "event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    const PAYLOAD: Payload<'_> =
        Payload { name: "podinfo", namespace: "test", phase: "Progressing", checksum: "85d557f47b" };

    #[test]
    fn checksums_are_the_contracts() {
        fn check(configs: Option<&[(&str, &str)]>, spec: &str, expected: &str) {
            assert_eq!(checksum(configs.map(metadata).as_ref(), spec), expected);
        }
        check(Some(&[("configmap/a", "484637c76acaa7c6")]), "5f56684589", "64b95b85c8");
        check(None, "5f56684589", "5c4d6696cf");
        check(Some(&[]), "", "68bf6f479b");
    }

    #[test]
    fn bodies_are_the_contracts() {
        fn check(entries: &[(&str, &str)], expected: &str) {
            let expected: Value = serde_json::from_str(expected).expect("the golden is JSON");
            assert_eq!(PAYLOAD.body(&metadata(entries)), expected);
        }
        check(
            &[("k", "v")],
            r#"{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"85d557f47b","metadata":{"k":"v"}}"#,
        );
        check(&[], r#"{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"85d557f47b"}"#);
    }

    #[test]
    fn what_an_event_says_cannot_be_replaced() {
        let event = EventPayload { message: "hello", event_type: "Normal", timestamp_milliseconds: 1_700_000_000_123 };
        let body = PAYLOAD.event_body(&event, &metadata(&[("eventMessage", "forged"), ("environment", "production")]));
        assert_eq!(
            body["metadata"],
            json!({
                "eventMessage": "hello", "eventType": "Normal", "timestamp": "1700000000123",
                "environment": "production",
            })
        );
        assert_eq!(body["phase"], "Progressing");
    }
}
