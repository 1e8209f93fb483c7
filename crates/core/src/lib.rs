//! Placeholder.

pub mod metric;
