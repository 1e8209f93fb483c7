//! The row of Istio. It is data and does nothing.

use burgee_api::ServiceSpec;

use crate::metric::observer::Observer;
use crate::router::row::{Feature, Holding, Home, Lacking, Lens, Name, Role, RouteKind, Row, Rule, Targets};

const GROUP: &str = "networking.istio.io";

/// The routes.
pub(super) const VIRTUAL_SERVICE: RouteKind = RouteKind {
    holding: Holding::Adopted,
    cluster: Home::Mesh,
    group: GROUP,
    version: "v1beta1",
    kind: "VirtualService",
    plural: "virtualservices",
};

/// The traffic policy of each Service.
pub(super) const DESTINATION_RULE: RouteKind = RouteKind {
    holding: Holding::Made,
    cluster: Home::Mesh,
    group: GROUP,
    version: "v1beta1",
    kind: "DestinationRule",
    plural: "destinationrules",
};

const ROLE: Role = Role {
    name: "istio",
    about: "Istio's routes",
    rules: &[Rule {
        group: GROUP,
        resources: &["virtualservices", "destinationrules"],
        verbs: &["get", "list", "watch", "create", "update"],
        why: "",
    }],
};

/// The rows of the table.
pub(in crate::router) const ROWS: &[Row] = &[Row {
    name: "istio",
    names: &[Name::Is("istio")],
    about: "VirtualService, two DestinationRules",
    features: &[
        Feature::Weights,
        Feature::PromotionSteps,
        Feature::Mirroring,
        Feature::Matches,
        Feature::Affinity,
        Feature::Delegation,
    ],
    lacking: Lacking::Refused,
    targets: Targets::Workloads,
    kinds: &[&VIRTUAL_SERVICE, &DESTINATION_RULE],
    fields: &["hosts", "gateways", "http", "tcp"],
    observer: Observer::Istio,
    verify,
    role: Some(&ROLE),
    lens: Lens::Istio,
}];

/// Whoever is delegated to has neither hosts nor gateways (contract: routers §2).
pub(super) fn verify(service: &ServiceSpec, apex: &str) -> Result<(), String> {
    if service.delegation && !(service.hosts.is_empty() && service.gateways.is_empty()) {
        return Err(format!("VirtualService {apex} cannot have hosts and gateways when delegation enabled"));
    }
    Ok(())
}
