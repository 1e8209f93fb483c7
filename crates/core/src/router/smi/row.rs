//! The rows of the Service Mesh Interface: one for each version of its TrafficSplit, and for each mesh that is told apart.
//! They are data and do nothing.

use crate::metric::observer::Observer;
use crate::router::row::{Feature, Holding, Home, Lacking, Lens, Name, Role, RouteKind, Row, Rule, Targets, takes_all};

const GROUP: &str = "split.smi-spec.io";

const fn traffic_split(version: &'static str) -> RouteKind {
    RouteKind {
        holding: Holding::Adopted,
        cluster: Home::Mesh,
        group: GROUP,
        version,
        kind: "TrafficSplit",
        plural: "trafficsplits",
    }
}

/// The first version, whose weights are quantities and not numbers.
pub(super) const V1ALPHA1: RouteKind = traffic_split("v1alpha1");
pub(super) const V1ALPHA2: RouteKind = traffic_split("v1alpha2");
pub(super) const V1ALPHA3: RouteKind = traffic_split("v1alpha3");
/// The last version, which no provider string names.
pub(super) const V1ALPHA4: RouteKind = traffic_split("v1alpha4");

const ROLE: Role = Role {
    name: "smi",
    about: "TrafficSplits of the Service Mesh Interface",
    rules: &[Rule {
        group: GROUP,
        resources: &["trafficsplits"],
        verbs: &["get", "list", "watch", "create", "update"],
        why: "",
    }],
};

const fn row(
    name: &'static str,
    names: &'static [Name],
    kinds: &'static [&'static RouteKind],
    observer: Observer,
) -> Row {
    Row {
        name,
        names,
        about: "TrafficSplit",
        features: &[Feature::Weights, Feature::PromotionSteps],
        lacking: Lacking::Refused,
        targets: Targets::Workloads,
        kinds,
        fields: &["service", "backends"],
        observer,
        verify: takes_all,
        role: Some(&ROLE),
        lens: Lens::Smi,
    }
}

/// The rows of the table: names for Istio come before those that begin alike. `smi:istio` is Istio's first version, as the
/// guides mean it; Flagger 1.44 takes it for Istio itself.
pub(in crate::router) const ROWS: &[Row] = &[
    row("smi:istio", &[Name::Is("smi:istio"), Name::Is("smi:v1alpha1:istio")], &[&V1ALPHA1], Observer::Istio),
    row("smi:v1alpha2:istio", &[Name::Is("smi:v1alpha2:istio")], &[&V1ALPHA2], Observer::Istio),
    row("smi:v1alpha3:istio", &[Name::Is("smi:v1alpha3:istio")], &[&V1ALPHA3], Observer::Istio),
    row("smi:v1alpha1", &[Name::Begins("smi:v1alpha1")], &[&V1ALPHA1], Observer::Istio),
    row("smi:v1alpha2", &[Name::Begins("smi:v1alpha2")], &[&V1ALPHA2], Observer::Istio),
    row("smi:v1alpha3", &[Name::Begins("smi:v1alpha3")], &[&V1ALPHA3], Observer::Istio),
    row("linkerd", &[Name::Is("linkerd"), Name::Is("smi:linkerd")], &[&V1ALPHA1], Observer::Linkerd),
    row("osm", &[Name::Is("osm")], &[&V1ALPHA2], Observer::Osm),
];

/// Whether the mesh behind the TrafficSplits is Istio, which has to be told the gateways.
pub(super) fn is_for_istio(row: &Row) -> bool {
    row.name.ends_with(":istio")
}
