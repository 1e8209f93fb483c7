//! Metric providers: what is sent to them and what their answers mean. They never send anything, and never show a
//! credential (contract: metrics §6).

mod graphite;
mod newrelic;
mod prometheus;
mod row;
mod wire;

use burgee_api::METRIC_PROVIDERS;

use self::graphite::Graphite;
use self::newrelic::NewRelic;
use self::prometheus::Prometheus;
pub use self::row::{Answered, Exchange, Next, Query, Row, Secret};
use super::error::MeasureError;

/// The rows of all providers. The first is that of every type that nobody knows, as in the contract.
static TABLE: [Row; 3] = [Row::of::<Prometheus>(), Row::of::<Graphite>(), Row::of::<NewRelic>()];

/// The provider of `spec.provider.type`.
///
/// # Errors
/// The type is one of the contract's that has no row yet.
pub fn row(kind: &str) -> Result<&'static Row, MeasureError> {
    let known = rows().iter().find(|row| row.name == kind);
    if known.is_none() && METRIC_PROVIDERS.contains(&kind) {
        return Err(MeasureError::Wrong(format!("metric provider {kind} is not supported yet")));
    }
    Ok(known.unwrap_or(&TABLE[0]))
}

/// Every row, in the order of the table.
pub fn rows() -> &'static [Row] {
    &TABLE
}

#[cfg(test)]
mod tests;
