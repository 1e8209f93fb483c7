//! Rocket.Chat: Slack's format in other colours (contract: webhooks §4). It must not differ otherwise.

use serde_json::Value;

use super::{Alert, Destination, slack};

pub(super) fn payload(destination: &Destination, alert: &Alert) -> Value {
    slack::attachment(destination, alert, if alert.is_error() { "#FF0000" } else { "#0076D7" })
}
