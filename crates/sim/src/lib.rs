//! A rollout in virtual time: the real decisions against a cluster in memory and an outside that answers as told.
//! It never waits, never connects, and depends on nothing but its inputs.
//!
//! A scenario is a file: prose, objects, commands. Playing it gives a film: one row for each thing that was told.

mod act;
pub mod admission;
mod asked;
pub mod checkers;
pub mod cluster;
pub mod coverage;
mod disturb;
mod edits;
pub mod fault;
pub mod faults;
pub mod film;
pub mod inspector;
pub mod instant;
mod kept;
pub mod kinds;
pub mod knative;
pub mod mutations;
pub mod neighbours;
pub mod others;
pub mod outside;
pub mod plays;
mod process;
pub mod prometheus;
mod reading;
pub mod scalers;
pub mod scenario;
pub mod soak;
pub mod stage;
mod trouble;
mod users;
pub mod workloads;
mod writing;

/// Whether the simulator knows what to do with an object of this kind; others are left out.
pub fn is_known(object: &serde_json::Value) -> bool {
    burgee_core::world::Kind::of(object).is_some()
}
