//! The rollout itself: what a canary is, what is seen of it, and what to do next. No clock, no client, no runtime.
//!
//! Read in this order: [`world`] (what is seen), [`rollout`] (what is wanted), [`decide`] (what to do about it),
//! [`plan`] (the answer) and [`question`] (what has to be asked first). Everything else serves one of these.

pub mod affinity;
pub mod alert;
pub mod bounds;
pub mod claims;
pub mod decide;
pub mod dependencies;
pub mod digest;
pub mod dns;
pub mod ending;
pub mod expression;
pub mod key;
pub mod kind;
pub mod lease;
pub mod limits;
pub mod metric;
pub mod notice;
pub mod object;
pub mod order;
pub mod ownership;
pub mod phase;
pub mod plain;
pub mod plan;
pub mod question;
pub mod reconcile;
pub mod restoration;
pub mod rollout;
mod round;
pub mod router;
pub mod scaler;
pub mod services;
pub mod settings;
pub mod snapshot;
pub mod split;
pub mod stale_references;
pub mod strangers;
pub mod target;
pub mod times;
pub mod timetable;
pub mod tracked;
pub mod webhook;
pub mod workload;
pub mod world;

#[cfg(test)]
mod fixtures;
