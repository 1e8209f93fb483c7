//! Microsoft Teams' message cards (contract: webhooks §4). It must not use channel or username: the address holds both.

use serde_json::{Value, json};

use super::Alert;

pub(super) fn payload(alert: &Alert) -> Value {
    let facts: Vec<Value> = alert.fields.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": if alert.is_error() { "FF0000" } else { "0076D7" },
        "summary": alert.subject(),
        "sections": [{ "activityTitle": alert.message, "activitySubtitle": alert.subject(), "facts": facts }],
    })
}
