//! The Canary as written. It must not decide what it means: that is the rollout's parse.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::analysis::Analysis;
use crate::canary_status::CanaryStatus;
use crate::lenient;
use crate::schema;
use crate::service::ServiceSpec;

/// How a workload is released (contract: api §1).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Canary {
    /// Name, namespace, version and the like.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user wants.
    pub spec: CanarySpec,
    /// How far it is; absent before the first write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CanaryStatus>,
    /// Why not all of it could be read, if that is so: the rest of it is here, and nothing may be made of it. No field of an
    /// object of the cluster, and never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

crate::custom_resource!(Canary, "canaries");

impl Canary {
    /// The analysis: `spec.analysis`, or `spec.canaryAnalysis` as `v1alpha3` called it.
    pub fn analysis(&self) -> Option<&Analysis> {
        self.spec.analysis.as_ref().or(self.spec.canary_analysis.as_ref())
    }
}

/// What the user wants of a release (contract: api §1.1).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("oneOf" = [{ "required": ["analysis"] }, { "required": ["canaryAnalysis"] }]))]
pub struct CanarySpec {
    /// Mesh or ingress that routes (default: the controller's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = schema::PROVIDERS))]
    pub provider: Option<String>,
    /// Prometheus of builtin and inline queries (default: the controller's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub metrics_server: Option<Address>,
    /// Workload that is released.
    pub target_ref: TargetRef,
    /// Autoscaler of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler_ref: Option<AutoscalerRef>,
    /// Ingress of the nginx and skipper providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "ingress_ref")]
    pub ingress_ref: Option<ObjectRef>,
    /// Route of the apisix provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "route_ref")]
    pub route_ref: Option<ObjectRef>,
    /// Upstream of the gloo provider whose settings are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "upstream_ref")]
    pub upstream_ref: Option<ObjectRef>,
    /// Service and routing; absent for Knative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// How the canary is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Old name of analysis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_analysis: Option<Analysis>,
    /// Seconds in which a workload must make progress (default 600).
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("minimum" = 1))]
    pub progress_deadline_seconds: Option<i64>,
    /// Whether a new revision is promoted without analysis.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub skip_analysis: bool,
    /// Whether deletion gives the target its traffic and replicas back.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub revert_on_deletion: bool,
    /// Whether the canary is left alone entirely.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "lenient::is_off")]
    pub suspend: bool,
}

/// The workload that is released, in the canary's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API version of the workload.
    pub api_version: String,
    /// Kind of the workload.
    #[schemars(extend("enum" = ["DaemonSet", "Deployment", "Service"]))]
    pub kind: String,
    /// Name of the workload.
    pub name: String,
}

/// The autoscaler of the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerRef {
    /// API version of the autoscaler.
    pub api_version: String,
    /// Kind of the autoscaler.
    #[schemars(extend("enum" = ["HorizontalPodAutoscaler", "ScaledObject"]))]
    pub kind: String,
    /// Name of the autoscaler.
    pub name: String,
    /// KEDA: trigger name to the query of the primary's `ScaledObject`.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub primary_scaler_queries: BTreeMap<String, String>,
    /// Limits of the primary's autoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_scaler_replicas: Option<ScalerReplicas>,
}

/// Limits of the primary's autoscaler that differ from the target's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalerReplicas {
    /// Fewest replicas.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i64>,
    /// Most replicas.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i64>,
}

/// A reference to an Ingress.
fn ingress_ref(generator: &mut SchemaGenerator) -> Schema {
    schema::local_ref::<ObjectRef>(generator, "Ingress")
}

/// A reference to an `ApisixRoute`.
fn route_ref(generator: &mut SchemaGenerator) -> Schema {
    schema::local_ref::<ObjectRef>(generator, "ApisixRoute")
}

/// A reference to an Upstream of any namespace.
fn upstream_ref(generator: &mut SchemaGenerator) -> Schema {
    schema::object_ref::<ObjectRef>(generator, "Upstream")
}

/// An object that a provider needs: an Ingress, a route or an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// API version of the object.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; only upstreams have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
