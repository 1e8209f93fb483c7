//! The edge: it observes, asks, acts and tells, and leaves every decision to core.
//!
//! Read [`tick`] first, then the four verbs: [`observe`], [`ask`], [`act`], [`tell`]. [`run`] starts everything.

pub mod act;
pub mod adapter;
pub mod args;
pub mod ask;
pub mod brake;
pub mod budgets;
pub mod clock;
pub mod cluster;
pub mod configs;
pub mod contention;
pub mod crds;
mod door;
mod event_outage;
mod feed;
#[cfg(test)]
mod fixtures;
pub mod flags;
mod gauges;
pub mod hooks;
pub mod http;
mod item;
pub mod lead;
pub mod lock;
pub mod logs;
pub mod memory;
pub mod observe;
pub mod operator;
pub mod outbox;
pub mod readers;
mod refusals;
pub mod run;
mod scheduler;
mod secrets;
pub mod serve;
mod sized;
pub mod stopped;
pub mod stores;
mod supervise;
pub mod telemetry;
pub mod tell;
pub mod tick;
pub mod tick_context;
pub mod visit;
pub mod vitals;
mod watch;
