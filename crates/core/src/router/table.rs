//! The table of routers: which provider string means which row. It routes nothing.

use std::fmt;

use super::row::{Feature, Name, RouteKind, Row};
use crate::metric::observer::Observer;
use crate::router::istio::row::ROWS as ISTIO;
use crate::router::knative::row::ROWS as KNATIVE;
use crate::router::kubernetes::row::ROWS as KUBERNETES;
use crate::router::smi::row::ROWS as SMI;

/// The rows of every router, in the order in which their names are looked for. The first is that of every provider that
/// nobody knows, as in the contract (routers §0).
const TABLE: [&[Row]; 4] = [ISTIO, KUBERNETES, KNATIVE, SMI];

/// A provider of the contract that has no row yet.
struct Absent {
    /// What stands before the first colon of its strings.
    family: &'static str,
    /// The strings that mean its observer.
    strings: Name,
    /// Whose metrics the builtin queries read.
    observer: Observer,
}

const fn absent(family: &'static str, strings: Name, observer: Observer) -> Absent {
    Absent { family, strings, observer }
}

/// The providers that are refused, and the observers that they have in the contract (routers §0).
const ABSENT: [Absent; 10] = [
    absent("smi", Name::Begins("smi"), Observer::Istio),
    absent("nginx", Name::Is("nginx"), Observer::Nginx),
    absent("skipper", Name::Is("skipper"), Observer::Skipper),
    absent("traefik", Name::Is("traefik"), Observer::Traefik),
    absent("contour", Name::Is("contour"), Observer::Contour),
    absent("gloo", Name::Begins("gloo"), Observer::Gloo),
    absent("kuma", Name::Is("kuma"), Observer::Kuma),
    absent("apisix", Name::Is("apisix"), Observer::Apisix),
    absent("appmesh", Name::Begins("appmesh"), Observer::AppMesh),
    absent("gatewayapi", Name::Begins("gatewayapi"), Observer::Http),
];

/// Who splits the traffic: a row of the table.
#[derive(Clone, Copy)]
pub struct Provider(&'static Row);

impl Provider {
    /// What a provider string means. Unknown ones are routed by Istio, as in the contract (routers §0).
    ///
    /// # Errors
    /// For the user: it is known and has no row.
    pub fn parse(written: &str) -> Result<Self, String> {
        if let Some(row) = written_row(written) {
            return Ok(Self(row));
        }
        let family = written.split(':').next().unwrap_or(written);
        if ABSENT.iter().any(|absent| absent.family == family) {
            return Err(format!("provider {written} is not supported yet, use {}", choices()));
        }
        Ok(Self(&TABLE[0][0]))
    }

    /// The provider of this name in `status.run.routed`.
    pub fn from_name(name: &str) -> Option<Self> {
        rows().find(|row| row.name == name).map(Self)
    }

    /// Its name in `status.run.routed`.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// Its row.
    pub const fn row(self) -> &'static Row {
        self.0
    }

    /// Whether it can do this.
    pub fn can(self, feature: Feature) -> bool {
        self.0.features.contains(&feature)
    }
}

/// Rows have one name each.
impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name)
    }
}

/// Every row, in the order of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.into_iter().flatten()
}

/// The names of the rows as a choice, such as `one, two or three`.
pub fn choices() -> String {
    let names: Vec<&str> = rows().map(|row| row.name).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        Some(_) | None => names.concat(),
    }
}

/// The kinds of objects of all routers. Rows may share one.
pub fn kinds() -> impl Iterator<Item = &'static RouteKind> {
    rows().flat_map(|row| row.kinds.iter().copied())
}

/// Whose metrics the builtin queries read for a provider string; those of Istio for one that nobody knows, such as
/// `kubernetes:service` (contract: metrics §1, a quirk that is kept).
pub fn observer(written: &str) -> Observer {
    let absent = || ABSENT.iter().find(|absent| absent.strings.is(written)).map(|absent| absent.observer);
    written_row(written).map(|row| row.observer).or_else(absent).unwrap_or(TABLE[0][0].observer)
}

fn written_row(written: &str) -> Option<&'static Row> {
    rows().find(|row| row.names.iter().any(|name| name.is(written)))
}
