//! Whether a round of questions is over.

use serde::{Deserialize, Serialize};

/// Whether a plan ends the round of questions that led to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Round {
    /// The answers led to it: no answer is used for two decisions.
    #[default]
    Over,
    /// It came in between, such as a repair: what was answered still counts, or hooks would be called again for nothing
    /// (I16).
    Open,
}
