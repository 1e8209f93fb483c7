//! What kind of workload is rolled out.

use crate::kind::Kind;

/// What kind of workload is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `v1` Service: routing alone is rolled out, to pods that others look after.
    Service,
    /// `serving.knative.dev/v1` Service, whose revisions are the primary and the canary.
    Knative,
}

impl TargetKind {
    /// The kind of object that it is.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Deployment => Kind::Deployment,
            Self::DaemonSet => Kind::DaemonSet,
            Self::Service => Kind::Service,
            Self::Knative => Kind::KnativeService,
        }
    }

    /// Whether the primary has pods of its own: they are selected by a label, scaled, and use copies of tracked configs.
    pub const fn has_pods(self) -> bool {
        match self {
            Self::Deployment | Self::DaemonSet => true,
            Self::Service | Self::Knative => false,
        }
    }

    /// Whether the canary needs Services of its own. Knative makes those that it needs.
    pub const fn has_services(self) -> bool {
        match self {
            Self::Deployment | Self::DaemonSet | Self::Service => true,
            Self::Knative => false,
        }
    }
}
