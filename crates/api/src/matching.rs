//! Request matches as Istio spells them. It must not know which router understands which of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::schema;

/// A text to be matched in one way; the schema lets at most one field be set (contract: api §1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct StringMatch {
    /// The whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// How the text begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How the text ends; only headers of `analysis.match` take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// A regular expression in the router's own syntax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// One alternative of a match: all that is set must hold (contract: api §1.2 `service.match`, §1.3 `analysis.match`).
///
/// In `analysis.match` all but `name` survive the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Name of the match, for access logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_match")]
    pub uri: Option<StringMatch>,
    /// Scheme of the URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_match")]
    pub scheme: Option<StringMatch>,
    /// HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_match")]
    pub method: Option<StringMatch>,
    /// HTTP authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_match")]
    pub authority: Option<StringMatch>,
    /// Header name to match.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::or_default")]
    #[schemars(schema_with = "schema::string_matches")]
    pub headers: BTreeMap<String, StringMatch>,
    /// Query parameter name to match.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::or_default")]
    #[schemars(schema_with = "schema::string_matches")]
    pub query_params: BTreeMap<String, StringMatch>,
    /// Header name to a match that must not hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::or_default")]
    #[schemars(schema_with = "schema::string_matches")]
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Port that is addressed.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::integer")]
    pub port: Option<i64>,
    /// Labels of the calling workload.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::or_default")]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways for which this holds.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::or_default")]
    pub gateways: Vec<String>,
    /// Whether the case of the path is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_uri_case: Option<bool>,
    /// Namespace of the calling workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_namespace: Option<String>,
}
