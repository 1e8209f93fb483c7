//! Why there is no number: one error from the socket to the verdict (S10). It must not say what follows from it.

use serde::{Deserialize, Serialize};

/// Why a provider gave no number (S10). The text is the contract's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MeasureError {
    /// It answered that there is nothing: a failed check.
    #[error("{0}")]
    NoValues(String),
    /// The question is wrong, and asking again cannot help: a failed check.
    #[error("{0}")]
    Wrong(String),
    /// The Secret with the credentials is missing or unusable: a failed check, with its own text.
    #[error("{0}")]
    Secret(String),
    /// It does not answer, or not as a provider would: the run is held.
    #[error("{0}")]
    Unavailable(String),
}

impl MeasureError {
    /// The contract's text for an answer without a number.
    pub fn no_values() -> Self {
        Self::NoValues("no values found".to_owned())
    }

    /// Why, in one word, as it stands on `/metrics`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoValues(_) => "no-values",
            Self::Wrong(_) => "wrong",
            Self::Secret(_) => "secret",
            Self::Unavailable(_) => "unanswered",
        }
    }
}
