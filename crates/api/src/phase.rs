//! Where a canary stands, as stored. It must not know which phase follows which.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a canary stands (contract: api §1.7). [`fmt::Display`] gives the contract's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// Nothing was written yet.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// The primary is being made.
    Initializing,
    /// Primary, services and route exist.
    Initialized,
    /// The gate before a run is closed.
    Waiting,
    /// The analysis runs.
    Progressing,
    /// The gate before promotion is closed.
    WaitingPromotion,
    /// The primary runs the new revision and takes traffic back.
    Promoting,
    /// All traffic is on the primary.
    Finalising,
    /// The run ended well.
    Succeeded,
    /// The run was rolled back.
    Failed,
    /// The canary is being deleted.
    Terminating,
    /// The canary was deleted.
    Terminated,
}

impl Phase {
    /// The contract's name of the phase; empty for [`Phase::Unset`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Initializing => "Initializing",
            Self::Initialized => "Initialized",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::WaitingPromotion => "WaitingPromotion",
            Self::Promoting => "Promoting",
            Self::Finalising => "Finalising",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
