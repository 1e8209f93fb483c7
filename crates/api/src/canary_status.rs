//! How far a canary is, as stored. It decides nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::phase::Phase;
use crate::run::Run;

/// The status of a canary (contract: api §1.6). Texts are empty when absent, as the peer stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Phase of the canary.
    #[serde(deserialize_with = "lenient::or_default")]
    pub phase: Phase,
    /// Failed checks of this run.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub failed_checks: i64,
    /// Weight of the canary in percent.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub canary_weight: i64,
    /// Passed checks of an A/B or blue/green run.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub iterations: i64,
    /// Tracked ConfigMap or Secret to its checksum; absent when tracking is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    /// Digest of the revision that was last acted on.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_applied_spec: String,
    /// What the peer's releases after 1.45 note of the target; kept as it is.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_tracked_revision: String,
    /// Digest of the revision that runs as primary.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_promoted_spec: String,
    /// When the status last changed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Canary cookie of this run.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub session_affinity_cookie: String,
    /// Canary cookie of the last run.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub previous_session_affinity_cookie: String,
    /// Primary cookie.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub primary_session_affinity_cookie: String,
    /// Conditions; Promoted is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// The run under way or last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// One condition of a canary (contract: api §1.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Promoted, Held or Invalid.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word; of Promoted the phase.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was last written (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: Option<String>,
    /// When its status last changed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
}
