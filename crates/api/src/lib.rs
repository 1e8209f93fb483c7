//! What users write and meshes read, as plain serde data. It must not decide, default, validate or speak to anything.
//!
//! The views here are for reading: they drop what they do not know, so nothing that is written back to the API
//! server may pass through them.

pub mod address;
pub mod alert_provider;
pub mod analysis;
pub mod canary;
pub mod canary_status;
pub mod crd;
pub mod duration;
pub mod go_format;
pub mod hook;
pub mod lenient;
pub mod matching;
pub mod metric_template;
pub mod phase;
mod reading;
pub mod run;
mod schema;
pub mod service;
mod structural;
pub mod traffic_policy;

pub use address::Address;
pub use alert_provider::{AlertProvider, AlertProviderSpec};
pub use analysis::{
    Alert, Analysis, CrossNamespaceRef, Metric, MetricErrors, SessionAffinity, Severity, ThresholdRange,
};
pub use canary::{AutoscalerRef, Canary, CanarySpec, ObjectRef, ScalerReplicas, TargetRef};
pub use canary_status::{CanaryStatus, Condition};
pub use crd::crds;
pub use duration::GoDuration;
pub use hook::{Webhook, WebhookType};
pub use matching::{HttpMatch, StringMatch};
pub use metric_template::{MetricProvider, MetricTemplate, MetricTemplateSpec, SecretRef};
pub use phase::Phase;
pub use reading::read_object;
pub use run::{
    AlertDetail, AnsweredOrder, CatchingUp, CopiedScaler, Delivery, DeliveryKind, OrderResult, Ordered, PassedHook,
    PrimaryState, Routed, Run, RunOutcome, RunStrategy, Traffic,
};
pub use schema::{ALERT_PROVIDERS, METRIC_PROVIDERS};
pub use service::{
    BackendRef, CorsPolicy, HeaderOperations, Headers, Mirror, MirrorTarget, ObjectMetadata, ParentRef, Retries,
    Rewrite, ServiceSpec, UnmanagedMetadata,
};
pub use traffic_policy::TrafficPolicy;

/// The API group of the three kinds (contract: api).
pub const GROUP: &str = "flagger.app";
/// The stored version; `v1alpha3` is served beside it with the same schema.
pub const VERSION: &str = "v1beta1";
/// Group and version as `apiVersion` spells them.
pub const API_VERSION: &str = "flagger.app/v1beta1";
/// The finalizer that `revertOnDeletion` adds (contract: api).
pub const FINALIZER: &str = "finalizer.flagger.app";

/// Makes a struct with `metadata` known to Kubernetes clients as a namespaced kind of this group.
macro_rules! custom_resource {
    ($kind:ident, $plural:literal) => {
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = crate::API_VERSION;
            const GROUP: &'static str = crate::GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = crate::VERSION;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::NamespaceResourceScope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use custom_resource;
