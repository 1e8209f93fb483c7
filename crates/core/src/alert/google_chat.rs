//! Google Chat's cards (contract: webhooks §4). It must not use channel or username: the address holds both.

use serde_json::{Value, json};

use super::Alert;

pub(super) fn payload(alert: &Alert) -> Value {
    let fields = alert.fields.iter().map(|(name, value)| section(&format!("{name}<br>{}", strong(value))));
    let sections: Vec<Value> = std::iter::once(section(&strong(&alert.message))).chain(fields).collect();
    json!({
        "cards": [{
            "header": {
                "title": "Flagger",
                "subtitle": alert.subject(),
                "imageUrl": "https://flagger.app/favicon.png",
            },
            "sections": sections,
        }],
    })
}

fn section(text: &str) -> Value {
    json!({ "widgets": [{ "textParagraph": { "text": text } }] })
}

fn strong(text: &str) -> String {
    format!("<font color=#848484><strong>{text}</strong></font>")
}
