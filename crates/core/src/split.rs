//! How traffic is divided between the primary and the canary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Shares of traffic in percent. The two always add up to 100 (I7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    canary: u8,
    mirror: Mirror,
}

/// Whether the canary also receives a copy of the primary's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mirror {
    /// No copies.
    Off,
    /// Copies of requests are sent to the canary; its answers are dropped.
    On,
}

impl Split {
    /// All traffic to the primary.
    pub const PRIMARY: Self = Self { canary: 0, mirror: Mirror::Off };
    /// All traffic to the canary.
    pub const CANARY: Self = Self { canary: 100, mirror: Mirror::Off };

    /// A share for the canary, cut at 100; the primary has the rest.
    pub fn with_canary(percent: u8) -> Self {
        Self { canary: percent.min(100), mirror: Mirror::Off }
    }

    /// The same shares with mirroring.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self { mirror: Mirror::On, ..self }
    }

    /// The canary's share in percent.
    pub const fn canary(self) -> u8 {
        self.canary
    }

    /// The primary's share in percent.
    pub const fn primary(self) -> u8 {
        100 - self.canary
    }

    /// Whether requests are mirrored.
    pub const fn mirror(self) -> Mirror {
        self.mirror
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mirror {
            Mirror::Off => "",
            Mirror::On => " mirrored",
        };
        write!(formatter, "{}/{}{mark}", self.primary(), self.canary())
    }
}
