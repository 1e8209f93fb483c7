//! The `MetricTemplate` as written. It must not render or ask.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::lenient;
use crate::schema;

/// A query and whom to ask (contract: api §2).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct MetricTemplate {
    /// Name, namespace, version and the like.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The query and whom to ask.
    pub spec: MetricTemplateSpec,
}

crate::custom_resource!(MetricTemplate, "metrictemplates");

/// A query and whom to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct MetricTemplateSpec {
    /// Whom to ask.
    pub provider: MetricProvider,
    /// Go text/template of the query.
    #[schemars(length(max = 65536))]
    pub query: String,
}

/// A metrics provider and how to reach it (contract: metrics §6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricProvider {
    /// Kind of provider.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = schema::METRIC_PROVIDERS))]
    pub kind: String,
    /// Base URL (default: the provider's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub address: Option<Address>,
    /// More request headers; only prometheus takes them.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// Secret with the credentials, in the template's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Region of cloudwatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the server's certificate is accepted unchecked.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub insecure_skip_verify: bool,
}

/// A Secret in the namespace of the object that names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    pub name: String,
}
