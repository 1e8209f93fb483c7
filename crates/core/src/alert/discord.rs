//! Discord, through its Slack compatible address (contract: webhooks §4). It must not have a format of its own.

use serde_json::Value;
use url::Url;

use super::{Alert, Destination, slack};

pub(super) fn payload(destination: &Destination, alert: &Alert) -> Value {
    slack::payload(destination, alert)
}

/// The address with `/slack` at its end.
pub(super) fn slack_compatible(mut url: Url) -> Url {
    if !url.path().ends_with("/slack") {
        let path = format!("{}/slack", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}
