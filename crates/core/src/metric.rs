//! Metric analysis: which query is asked, of whom, and what the answers mean together. It never asks anything itself
//! (contract: metrics; rules: "Verdict of a step").

pub mod builtin;
pub mod provider;
pub mod template;
pub mod verdict;
