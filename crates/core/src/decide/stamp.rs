//! Times as they stand in the status.

use jiff::Timestamp;

/// A time with its fraction, as `status.run` keeps it.
pub(super) fn fraction(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// A time in whole seconds, as Kubernetes writes it.
pub(super) fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// A time as it stands in the status; none if it is not one.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
