//! The `AlertProvider` as written. It must not send.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::metric_template::SecretRef;
use crate::schema;

/// A chat or a program to be told (contract: api §3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct AlertProvider {
    /// Name, namespace, version and the like.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Whom to tell, and how to reach it.
    pub spec: AlertProviderSpec,
}

crate::custom_resource!(AlertProvider, "alertproviders");

/// Whom to tell, and how to reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("anyOf" = [{ "required": ["type", "address"] }, { "required": ["type", "secretRef"] }]))]
pub struct AlertProviderSpec {
    /// Kind of chat; `webhook` and `alertmanager` are additions to the contract.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = schema::ALERT_PROVIDERS))]
    pub kind: Option<String>,
    /// Channel of the chat (default general).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub channel: Option<String>,
    /// Name to post under (default flagger).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,
    /// URL that takes messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub address: Option<Address>,
    /// URL of an HTTP proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub proxy: Option<Address>,
    /// Secret with `address`, which wins over the one here, and perhaps `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}
