//! Slack's message format, which Discord and Rocket.Chat share (contract: webhooks §4). It must not choose when to post.

use http::header::HeaderValue;
use serde_json::{Value, json};

use super::{Alert, AlertError, Destination};

pub(super) fn payload(destination: &Destination, alert: &Alert) -> Value {
    attachment(destination, alert, if alert.is_error() { "danger" } else { "good" })
}

/// The message with a colour of the caller's.
pub(super) fn attachment(destination: &Destination, alert: &Alert, color: &str) -> Value {
    let fields: Vec<Value> =
        alert.fields.iter().map(|(title, value)| json!({ "title": title, "value": value, "short": false })).collect();
    json!({
        "channel": destination.channel,
        "username": destination.username,
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

pub(super) fn authorization(token: &str) -> Result<HeaderValue, AlertError> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| AlertError("token cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
