//! Istio's traffic policy as written. It must not be changed on its way into a `DestinationRule`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// How a `DestinationRule` treats traffic (contract: api §1.2.1).
///
/// `connectionPool.tcp`, `portLevelSettings` and `consistentHash.httpQueryParameterName` are lost in the peer (pruned by
/// its schema, or unknown to its types); here they are kept and reach the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Limits of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// How an endpoint is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// When an endpoint is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Settings of single ports.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub port_level_settings: Vec<PortSettings>,
}

/// Settings of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PortSettings {
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortSelector>,
    /// Limits of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// How an endpoint is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// When an endpoint is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
}

/// A port by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PortSelector {
    /// Port number.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub number: Option<i64>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPool {
    /// Limits of TCP connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPool>,
    /// Limits of HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPool>,
}

/// Limits of TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// Most connections to an endpoint.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub max_connections: Option<i64>,
    /// Deadline of a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,
    /// Keepalive probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_keepalive: Option<TcpKeepalive>,
}

/// Keepalive probes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepalive {
    /// Probes without answer before a connection is dead.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub probes: Option<i64>,
    /// Idle time before the first probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Time between probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

/// Limits of HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Whether HTTP/1.1 connections are upgraded.
    #[serde(rename = "h2UpgradePolicy", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]))]
    pub h2_upgrade_policy: Option<String>,
    /// Most requests that wait for a connection.
    #[serde(
        rename = "http1MaxPendingRequests",
        deserialize_with = "lenient::integer",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "i32")]
    pub http1_max_pending_requests: Option<i64>,
    /// Most requests to an endpoint.
    #[serde(
        rename = "http2MaxRequests",
        deserialize_with = "lenient::integer",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "i32")]
    pub http2_max_requests: Option<i64>,
    /// Most requests of one connection.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub max_requests_per_connection: Option<i64>,
    /// Most retries at a time.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub max_retries: Option<i64>,
    /// Idle time after which a connection is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("oneOf" = [{ "required": ["simple"] }, { "required": ["consistentHash"] }]))]
pub struct LoadBalancer {
    /// One of the standard algorithms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["ROUND_ROBIN", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "LEAST_REQUEST"]))]
    pub simple: Option<String>,
    /// By a hash of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
    /// Preference of localities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality_lb_setting: Option<LocalitySetting>,
    /// Time in which a new endpoint gets its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_duration_secs: Option<String>,
}

/// What of a request is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("oneOf" = [{ "required": ["httpHeaderName"] }, { "required": ["httpCookie"] }, { "required": ["useSourceIp"] }, { "required": ["httpQueryParameterName"] }]))]
pub struct ConsistentHash {
    /// A header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_header_name: Option<String>,
    /// A cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_cookie: Option<HttpCookie>,
    /// The address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_source_ip: Option<bool>,
    /// A query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_query_parameter_name: Option<String>,
    /// Least number of virtual nodes.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub minimum_ring_size: Option<i64>,
}

/// A cookie that is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCookie {
    /// Name of the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Life of the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

/// Preference of localities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalitySetting {
    /// Whether it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Shares of localities.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub distribute: Vec<LocalityDistribution>,
    /// Next localities when one fails.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<LocalityFailover>,
}

/// Where traffic of one locality goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityDistribution {
    /// Locality of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Locality to its percentage.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub to: BTreeMap<String, i64>,
}

/// The locality after one that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityFailover {
    /// Locality that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Locality that takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// When an endpoint is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Errors in a row; deprecated by Istio.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub consecutive_errors: Option<i64>,
    /// Whether local errors count apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_external_local_origin_errors: Option<bool>,
    /// Local errors in a row.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub consecutive_local_origin_failures: Option<i64>,
    /// 502, 503 or 504 in a row.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub consecutive_gateway_errors: Option<i64>,
    /// 5xx in a row.
    #[serde(
        rename = "consecutive5xxErrors",
        deserialize_with = "lenient::integer",
        skip_serializing_if = "Option::is_none"
    )]
    pub consecutive_5xx_errors: Option<i64>,
    /// Time between evaluations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Least time of an ejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ejection_time: Option<String>,
    /// Most endpoints left out, in percent.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub max_ejection_percent: Option<i64>,
    /// Least healthy endpoints for ejection, in percent.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub min_health_percent: Option<i64>,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// How the connection is secured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]))]
    pub mode: Option<String>,
    /// Path of the client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// Path of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// Path of the authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
    /// Names that the server may have.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
    /// Name asked of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}
