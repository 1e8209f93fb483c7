//! The kinds of Kubernetes objects that a rollout reads or writes. It knows no object of them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::router::row::{Home, RouteKind};
use crate::router::table;

/// A kind of Kubernetes object that a rollout reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `flagger.app/v1beta1` Canary.
    Canary,
    /// `flagger.app/v1beta1` MetricTemplate.
    MetricTemplate,
    /// `flagger.app/v1beta1` AlertProvider.
    AlertProvider,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` ControllerRevision: the last promoted template.
    ControllerRevision,
    /// `v1` Service.
    Service,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `keda.sh/v1alpha1` ScaledObject.
    ScaledObject,
    /// `serving.knative.dev/v1` Service.
    KnativeService,
    /// `serving.knative.dev/v1` Revision.
    KnativeRevision,
    /// What a router makes: a row of the table of routers names it.
    Route(&'static RouteKind),
}

impl Kind {
    /// The kinds that every canary may have, whoever routes.
    const FIXED: [Self; 13] = [
        Self::Canary,
        Self::MetricTemplate,
        Self::AlertProvider,
        Self::Deployment,
        Self::DaemonSet,
        Self::ControllerRevision,
        Self::Service,
        Self::ConfigMap,
        Self::Secret,
        Self::HorizontalPodAutoscaler,
        Self::ScaledObject,
        Self::KnativeService,
        Self::KnativeRevision,
    ];

    /// Every kind; those of the routers come last.
    pub fn all() -> Vec<Self> {
        let mut kinds = Self::FIXED.to_vec();
        for kind in table::kinds().map(Self::Route) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// API group (empty for core), version, kind and plural.
    pub const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Canary => ("flagger.app", "v1beta1", "Canary", "canaries"),
            Self::MetricTemplate => ("flagger.app", "v1beta1", "MetricTemplate", "metrictemplates"),
            Self::AlertProvider => ("flagger.app", "v1beta1", "AlertProvider", "alertproviders"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::ControllerRevision => ("apps", "v1", "ControllerRevision", "controllerrevisions"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::ScaledObject => ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
            Self::KnativeService => ("serving.knative.dev", "v1", "Service", "services"),
            Self::KnativeRevision => ("serving.knative.dev", "v1", "Revision", "revisions"),
            Self::Route(route) => (route.group, route.version, route.kind, route.plural),
        }
    }

    /// What it is of a router; none if it is no kind of a router.
    pub const fn route(self) -> Option<&'static RouteKind> {
        match self {
            Self::Route(route) => Some(route),
            Self::Canary
            | Self::MetricTemplate
            | Self::AlertProvider
            | Self::Deployment
            | Self::DaemonSet
            | Self::ControllerRevision
            | Self::Service
            | Self::ConfigMap
            | Self::Secret
            | Self::HorizontalPodAutoscaler
            | Self::ScaledObject
            | Self::KnativeService
            | Self::KnativeRevision => None,
        }
    }

    /// Whether objects of the kind configure the mesh, which may live in a cluster of its own.
    pub const fn is_of_the_mesh(self) -> bool {
        matches!(self, Self::Route(RouteKind { cluster: Home::Mesh, .. }))
    }

    /// Whether the content is another's, of which nothing but the metadata and a checksum is kept.
    pub const fn is_confidential(self) -> bool {
        matches!(self, Self::ConfigMap | Self::Secret)
    }

    /// Whether the kind is watched. Kept templates are needed about once a year, and read then.
    pub const fn is_watched(self) -> bool {
        !matches!(self, Self::ControllerRevision)
    }

    /// `group/version`, or the version alone for core kinds.
    pub fn api_version(self) -> String {
        let (group, version, _, _) = self.names();
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
    }

    fn written(self) -> String {
        format!("{}/{}", self.api_version(), self.name())
    }

    /// The kind's name as written in manifests.
    pub const fn name(self) -> &'static str {
        self.names().2
    }

    /// The kind that a manifest names: the one of its version, or else, whatever version it is written in, the first of its
    /// group.
    pub fn of(object: &Value) -> Option<Self> {
        let written = object["apiVersion"].as_str()?;
        let (group, version) = written.split_once('/').unwrap_or(("", written));
        let kind = object["kind"].as_str()?;
        let is_it = |known: &Self| known.names().0 == group && known.names().2 == kind;
        let fixed = Self::FIXED.into_iter().find(is_it);
        let routes = || table::kinds().map(Self::Route).filter(is_it);
        fixed.or_else(|| routes().find(|known| known.names().1 == version)).or_else(|| routes().next())
    }
}

/// As `group/version/Kind`.
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.written())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let known = Self::all().into_iter().find(|kind| kind.written() == written);
        known.ok_or_else(|| D::Error::custom(format!("{written} is no kind of object")))
    }
}
