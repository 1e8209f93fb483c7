//! The row of Knative. It is data and does nothing.

use crate::metric::observer::Observer;
use crate::router::row::{Feature, Lacking, Lens, Name, Role, Row, Rule, Targets, takes_all};

const GROUP: &str = "serving.knative.dev";

const ROLE: Role = Role {
    name: "knative",
    about: "Knative Services as targets",
    rules: &[
        Rule {
            group: GROUP,
            resources: &["services"],
            verbs: &["get", "list", "watch", "update"],
            why: "The traffic list and the name of the primary revision stand in the Service itself.",
        },
        Rule { group: GROUP, resources: &["revisions"], verbs: &["get", "list", "watch"], why: "" },
    ],
};

/// The rows of the table.
pub(in crate::router) const ROWS: &[Row] = &[Row {
    name: "knative",
    names: &[Name::Is("knative")],
    about: "the traffic list of the Knative Service",
    // No steps back: both entries lead to the promoted revision by then, and the one for the latest may move on to another.
    features: &[Feature::Weights, Feature::Acceptance],
    lacking: Lacking::Refused,
    targets: Targets::Knative,
    kinds: &[],
    fields: &[],
    observer: Observer::Knative,
    verify: takes_all,
    role: Some(&ROLE),
    lens: Lens::Knative,
}];
