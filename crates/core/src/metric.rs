//! Metric analysis: which query is asked, of whom, and what the answers mean together. It never asks anything itself
//! (contract: metrics §1–6; S10).

pub mod builtin;
pub mod error;
pub mod observer;
pub mod provider;
pub mod template;
pub mod verdict;
