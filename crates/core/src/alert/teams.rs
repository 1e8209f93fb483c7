//! Microsoft Teams: message cards for its connectors (contract: webhooks §4), adaptive cards for the workflows that have
//! replaced them (docs/differences.md). It must not use channel or username: the address holds both.

use serde_json::{Value, json};
use url::Url;

use super::markup;
use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};

pub(super) static ROW: Row = Row {
    name: "msteams",
    address: "MS Teams webhook URL",
    poster: None,
    token: Token::Ignored,
    url: |url| url,
    form: |url| {
        if takes_adaptive_cards(url) {
            // An adaptive card knows no entities.
            Form { escape: markup::without_mentions, payload: adaptive_card }
        } else {
            Form { escape: markup::without_links, payload }
        }
    },
    hook: Hook {
        words: &["teams", "msteams"],
        is_own: |url| host(url).ends_with(".webhook.office.com"),
        may_be_own: |url| is_of_workflows(host(url)),
    },
    examples: &[
        ("teams", "https://acme.webhook.office.com/webhookb2/x"),
        ("teams-workflow", "https://prod-1.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke"),
    ],
};

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// Whether the address is a workflow's, which answers a message card with success and shows nothing of it.
pub(super) fn takes_adaptive_cards(url: &Url) -> bool {
    is_of_workflows(host(url).trim_end_matches('.')) || url.path().contains("/workflows/")
}

/// Whether workflows live at a host: those of Logic Apps and of Power Automate.
fn is_of_workflows(host: &str) -> bool {
    let is_in = |domain: &str| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
    is_in("logic.azure.com") || is_in("powerplatform.com")
}

fn payload(_: Poster<'_>, alert: &Alert) -> Value {
    let facts: Vec<Value> = alert.fields.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": if alert.is_error() { "FF0000" } else { "0076D7" },
        "summary": alert.subject(),
        "sections": [{ "activityTitle": alert.message, "activitySubtitle": alert.subject(), "facts": facts }],
    })
}

/// The same as an adaptive card, in the envelope of a message.
fn adaptive_card(_: Poster<'_>, alert: &Alert) -> Value {
    let color = if alert.is_error() { "Attention" } else { "Accent" };
    let mut body = vec![
        json!({ "type": "TextBlock", "text": alert.message, "weight": "Bolder", "color": color, "wrap": true }),
        json!({ "type": "TextBlock", "text": alert.subject(), "isSubtle": true, "spacing": "None", "wrap": true }),
    ];
    if !alert.fields.is_empty() {
        let facts = alert.fields.iter().map(|(name, value)| json!({ "title": name, "value": value }));
        body.push(json!({ "type": "FactSet", "facts": facts.collect::<Vec<_>>() }));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": format!("{}: {}", alert.subject(), alert.message),
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}
