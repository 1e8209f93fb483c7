//! The row of plain Kubernetes. It is data and does nothing.

use crate::metric::observer::Observer;
use crate::router::row::{Lacking, Lens, Name, Row, Targets, takes_all};

/// The rows of the table.
pub(in crate::router) const ROWS: &[Row] = &[Row {
    name: "kubernetes",
    names: &[Name::Is("kubernetes")],
    about: "nothing: the primary's rolling update moves the traffic",
    features: &[],
    lacking: Lacking::LeftOut,
    targets: Targets::Workloads,
    kinds: &[],
    fields: &[],
    observer: Observer::Http,
    verify: takes_all,
    role: None,
    lens: Lens::Kubernetes,
}];
