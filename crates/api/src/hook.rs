//! The webhooks of an analysis as written. It must not know when they are asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::lenient;
use crate::schema;

/// When a webhook is asked (contract: webhooks §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookType {
    /// No type was given: asked as `rollout` (see [`WebhookType::is_rollout`]), unless its address is a chat's.
    #[default]
    #[serde(rename = "")]
    Untyped,
    /// Before the run scales anything up.
    ConfirmRollout,
    /// Before the first traffic.
    PreRollout,
    /// At each analysis step, before the metrics.
    Rollout,
    /// Before each increase of the weight.
    ConfirmTrafficIncrease,
    /// Before promotion.
    ConfirmPromotion,
    /// After the run, whatever its outcome.
    PostRollout,
    /// At each step, where success means: roll back.
    Rollback,
    /// Told of each event.
    Event,
}

impl WebhookType {
    /// Whether the hook is asked at each analysis step: `rollout`, or no type at all.
    pub fn is_rollout(self) -> bool {
        matches!(self, Self::Untyped | Self::Rollout)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
    fn is_untyped(&self) -> bool {
        matches!(self, Self::Untyped)
    }
}

/// One webhook of an analysis (contract: api §1.3, webhooks §1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Name that events and alerts use.
    #[schemars(length(max = 253))]
    pub name: String,
    /// When it is asked; rollout if empty.
    #[serde(
        rename = "type",
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "WebhookType::is_untyped"
    )]
    pub kind: WebhookType,
    /// Address that the body is sent to.
    #[schemars(length(max = 2048))]
    pub url: Address,
    /// Deadline of one attempt as a Go duration (default 10s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::DURATION))]
    pub timeout: Option<String>,
    /// Attempts after the first (default 0).
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub retries: Option<i64>,
    /// Whether the alerts of a closed gate are left out.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub mute_alert: bool,
    /// Whether the server's certificate is accepted unchecked.
    #[serde(
        rename = "disableTLS",
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "lenient::is_off"
    )]
    pub disable_tls: bool,
    /// Sent along in the body.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub metadata: BTreeMap<String, String>,
}
