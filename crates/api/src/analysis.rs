//! How a canary is judged, as written. It must not apply defaults or derive a strategy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hook::Webhook;
use crate::lenient;
use crate::matching::HttpMatch;
use crate::schema;

/// The analysis of a canary (contract: api §1.3). Weights and thresholds are as written, without defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("oneOf" = [{ "required": ["interval", "threshold", "iterations"] }, { "required": ["interval", "threshold", "stepWeight"] }, { "required": ["interval", "threshold", "stepWeights"] }]))]
pub struct Analysis {
    /// Time between checks as a Go duration (default 60s, at least 10s).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::DURATION))]
    pub interval: Option<String>,
    /// Failed checks of a run before it is rolled back.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("multipleOf" = 1))]
    pub threshold: Option<i64>,
    /// Checks of a blue/green or A/B run.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("multipleOf" = 1))]
    pub iterations: Option<i64>,
    /// Canary weight in percent at which the increase ends (default 100).
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "multipleOf" = 1))]
    pub max_weight: Option<i64>,
    /// Percent added to the canary weight at each step.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "multipleOf" = 1))]
    pub step_weight: Option<i64>,
    /// Canary weights in percent, step by step.
    #[serde(deserialize_with = "lenient::integers", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::weights")]
    pub step_weights: Vec<i64>,
    /// Percent added to the primary weight at each step of the promotion (default: one jump).
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "multipleOf" = 1))]
    pub step_weight_promotion: Option<i64>,
    /// Whether traffic is copied to the canary before it is shifted.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub mirror: bool,
    /// Percent of the traffic that is copied, with a fraction if need be (default: all).
    #[serde(serialize_with = "lenient::write_number", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "maximum" = 100))]
    pub mirror_weight: Option<f64>,
    /// Percent of the primary's updated replicas that must be available (default 100).
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "maximum" = 100, "multipleOf" = 1))]
    pub primary_ready_threshold: Option<i64>,
    /// Percent of the canary's updated replicas that must be available (default 100).
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 0, "maximum" = 100, "multipleOf" = 1))]
    pub canary_ready_threshold: Option<i64>,
    /// Requests that an A/B run sends to the canary.
    #[serde(rename = "match", deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::analysis_match")]
    pub matches: Vec<HttpMatch>,
    /// Metrics of each check.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub metrics: Vec<Metric>,
    /// Alert providers to tell.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub alerts: Vec<Alert>,
    /// Webhooks to ask or tell.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub webhooks: Vec<Webhook>,
    /// Cookies that keep a user on one version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
    /// What an error of a metrics provider means (default hold).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_errors: Option<MetricErrors>,
}

/// What an error of a metrics provider means; an addition to the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricErrors {
    /// Wait at the current weight until the provider answers again.
    #[default]
    Hold,
    /// Count a failed check.
    Fail,
}

/// One metric of a check (contract: api §1.3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name of a builtin metric, or of one's own.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Window of the query as a Go duration (default 1m for builtin and inline queries).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::DURATION))]
    pub interval: Option<String>,
    /// Deprecated form of `thresholdRange`.
    #[serde(default, serialize_with = "lenient::write_number", skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Values that pass, ends included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,
    /// Deprecated inline PromQL query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub query: Option<String>,
    /// `MetricTemplate` with the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<CrossNamespaceRef>,
    /// Variables of the template.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub template_variables: BTreeMap<String, String>,
}

/// Values of a metric that pass, ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ThresholdRange {
    /// Least value that passes.
    #[serde(serialize_with = "lenient::write_number", skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value that passes.
    #[serde(serialize_with = "lenient::write_number", skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A name, and a namespace that is the canary's when absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CrossNamespaceRef {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object (default: the canary's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An alert provider and what it is told (contract: api §1.3, webhooks §4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Name of the alert.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Least severity that is told.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Severity::is_unset")]
    pub severity: Severity,
    /// The `AlertProvider`.
    pub provider_ref: CrossNamespaceRef,
}

/// How grave an alert is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// None was given.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Something went as planned.
    Info,
    /// Somebody is waited for, or something is odd.
    Warn,
    /// A run failed.
    Error,
}

impl Severity {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
    pub(crate) fn is_unset(&self) -> bool {
        matches!(self, Self::Unset)
    }
}

/// Cookies that keep a user on one version (contract: api §1.3, lifecycle §12).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// Name of the canary's cookie.
    pub cookie_name: String,
    /// Name of the primary's cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_cookie_name: Option<String>,
    /// Domain attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Path attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `HttpOnly` attribute.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub http_only: bool,
    /// Partitioned attribute.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub partitioned: bool,
    /// Secure attribute.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub secure: bool,
    /// Life of the cookie in seconds (default 86400).
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("x-default" = 86400))]
    pub max_age: Option<i64>,
    /// `SameSite` attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Strict", "Lax", "None"]))]
    pub same_site: Option<String>,
}
