//! What a row of the table of routers says: names, kinds of objects, abilities, permissions. It is data and does nothing.

use burgee_api::ServiceSpec;

use crate::metric::observer::Observer;

/// A kind of object that a router reads and writes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKind {
    /// Whether one that a user has made is taken over.
    pub holding: Holding,
    /// In which cluster it lives.
    pub cluster: Home,
    /// API group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// The kind as written in manifests.
    pub kind: &'static str,
    /// The plural as written in URLs.
    pub plural: &'static str,
}

/// Whose an object of a router may be (contract: lifecycle §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// One that the user has made is taken over, as the routes of the apex Service are.
    Adopted,
    /// It is made for the canary, and never anybody else's.
    Made,
}

/// In which cluster objects of a router live, where the mesh has one of its own (contract: routers §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// In the cluster of `-kubeconfig-service-mesh`.
    Mesh,
    /// Always beside the workloads.
    Workloads,
}

/// What a router can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Gives each set a share of the requests.
    Weights,
    /// Gives the traffic back in steps of `stepWeightPromotion`.
    PromotionSteps,
    /// Gives the canary copies of requests.
    Mirroring,
    /// Leads requests by what they ask for, as an A/B test needs.
    Matches,
    /// Keeps a visitor on one version by a cookie.
    Affinity,
    /// Leaves hosts and gateways to a route that delegates to it.
    Delegation,
    /// Says when it has taken a route over.
    Acceptance,
}

impl Feature {
    /// Every feature, in the order of the table in the docs.
    pub const ALL: [Self; 7] = [
        Self::Weights,
        Self::PromotionSteps,
        Self::Mirroring,
        Self::Matches,
        Self::Affinity,
        Self::Delegation,
        Self::Acceptance,
    ];

    /// Its name in the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::PromotionSteps => "`stepWeightPromotion`",
            Self::Mirroring => "mirroring",
            Self::Matches => "A/B testing",
            Self::Affinity => "session affinity",
            Self::Delegation => "delegation",
            Self::Acceptance => "waits until it is taken over",
        }
    }
}

/// What becomes of a canary that asks for what its router cannot do (S7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// It is left out, and the user is told.
    LeftOut,
    /// It is refused; a run under way is finished without it.
    Refused,
}

/// What can be released through a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Deployments, DaemonSets and Services.
    Workloads,
    /// Knative Services.
    Knative,
}

/// A provider string that means a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// This one.
    Is(&'static str),
    /// Every one that begins so.
    Begins(&'static str),
}

impl Name {
    /// Whether a provider string is it.
    pub fn is(self, written: &str) -> bool {
        match self {
            Self::Is(name) => name == written,
            Self::Begins(start) => written.starts_with(start),
        }
    }
}

/// Which code reads and writes the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the modules")]
pub enum Lens {
    Istio,
    Kubernetes,
    Knative,
    Smi,
}

/// What a router may do to its objects: a part of the operator's role, in `charts/burgee/roles/<name>.yaml`.
#[derive(Debug)]
pub struct Role {
    /// Name of the part, and of the value under `rbac` that grants it.
    pub name: &'static str,
    /// What it is for, as the file says it.
    pub about: &'static str,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// One rule of a role.
#[derive(Debug)]
pub struct Rule {
    /// API group.
    pub group: &'static str,
    /// Plurals.
    pub resources: &'static [&'static str],
    /// Verbs, each of which the code uses.
    pub verbs: &'static [&'static str],
    /// Why, where that is not plain; empty otherwise.
    pub why: &'static str,
}

/// One router: all that is not the translation of a split into objects and back.
#[derive(Debug)]
pub struct Row {
    /// Its name in `status.run.routed`, in texts for users, and in the docs. It holds no `/`.
    pub name: &'static str,
    /// The provider strings that mean it (contract: routers §0).
    pub names: &'static [Name],
    /// What it splits the traffic by, for the docs.
    pub about: &'static str,
    /// What it can do.
    pub features: &'static [Feature],
    /// What becomes of what it cannot do.
    pub lacking: Lacking,
    /// What it can release.
    pub targets: Targets,
    /// Kinds of the objects that it reads and writes, besides the target's.
    pub kinds: &'static [&'static RouteKind],
    /// Fields of the `spec` of these objects that it writes. Whatever else stands there is others' and stays.
    pub fields: &'static [&'static str],
    /// Whose metrics the builtin queries read.
    pub observer: Observer,
    /// What of `spec.service` it cannot take, for the service that the second argument names as `apex.namespace`.
    pub verify: fn(&ServiceSpec, &str) -> Result<(), String>,
    /// Its permissions; none if it touches nothing of its own.
    pub role: Option<&'static Role>,
    /// The code that reads and writes its routes.
    pub lens: Lens,
}

/// Takes every service.
///
/// # Errors
/// None.
pub const fn takes_all(_: &ServiceSpec, _: &str) -> Result<(), String> {
    Ok(())
}
