//! The forms of a report: what `-o` of a command that reports takes.
use clap::ValueEnum;

/// Form of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table and sentences.
    Text,
    /// One JSON object.
    Json,
}
