//! Why a plan was not carried out to its end.

use std::time::Duration;

use burgee_core::bounds::Trespass;
use burgee_core::world::ObjectKey;

/// Why a plan was not carried out to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The world has moved since: this object is not what the plan was made for. Look again soon, and at that one anew.
    #[error("{1}")]
    Conflict(ObjectKey, String),
    /// The lease is not ours, or nearly over: do nothing until it is.
    #[error("the lease is not held for long enough")]
    Fenced,
    /// The process stood still in the middle of the plan: it is too old to be carried out.
    #[error("the plan stood still for too long")]
    Late,
    /// The API server did not take it for reasons of its own: try again soon.
    #[error("{0}")]
    Unavailable(String),
    /// A permission seems to be missing; whether it is will be known after so much more time. Until then try again soon.
    #[error("{0}")]
    Doubted(String, Duration),
    /// It was refused; the text is for the user.
    #[error("{0}")]
    Failed(String),
    /// Something was noted in the status that the rest of the plan has to know: decide anew at once.
    #[error("the status has moved")]
    Noted,
}

impl From<Trespass> for Stopped {
    fn from(trespass: Trespass) -> Self {
        Self::Failed(trespass.to_string())
    }
}
