//! Slack's message format, which Discord and Rocket.Chat share (contract: webhooks §4). It must not choose when to post.

use serde_json::{Value, json};

use super::markup;
use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};

pub(super) static ROW: Row = Row {
    name: "slack",
    address: "Slack hook URL",
    poster: Some("Slack"),
    token: Token::Bearer,
    url: |url| url,
    form: |_| Form { escape: markup::entities, payload },
    hook: Hook { words: &["slack"], is_own: |url| url.host_str() == Some("hooks.slack.com"), may_be_own: |_| false },
    examples: &[("slack", "https://hooks.slack.com/services/T0/B0/X")],
};

pub(super) fn payload(poster: Poster<'_>, alert: &Alert) -> Value {
    attachment(poster, alert, if alert.is_error() { "danger" } else { "good" })
}

/// The message with a colour of the caller's.
pub(super) fn attachment(poster: Poster<'_>, alert: &Alert, color: &str) -> Value {
    let fields: Vec<Value> =
        alert.fields.iter().map(|(title, value)| json!({ "title": title, "value": value, "short": false })).collect();
    json!({
        "channel": poster.channel,
        "username": poster.username,
        "icon_url": "",
        "icon_emoji": ":rocket:",
        "attachments": [{
            "color": color,
            "author_name": alert.subject(),
            "text": alert.message,
            "mrkdwn_in": ["text"],
            "fields": fields,
        }],
    })
}
