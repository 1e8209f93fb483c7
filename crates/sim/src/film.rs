//! What happened, one row for each thing that was told. It only writes down.

use std::fmt;

use burgee_core::split::Split;
use jiff::Timestamp;
use serde::Serialize;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Seconds since the film began.
    pub second: i64,
    /// The phase that was reached.
    pub phase: String,
    /// How the routes split the traffic; none before there are routes.
    pub split: Option<Split>,
    /// Ready pods of the primary.
    pub primary_pods: usize,
    /// Ready pods of the target.
    pub canary_pods: usize,
    /// What was told.
    pub text: String,
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Film {
    /// In order of time.
    pub frames: Vec<Frame>,
}

impl Film {
    /// Seconds between the beginning and a time.
    pub fn second(start: Timestamp, now: Timestamp) -> i64 {
        now.duration_since(start).as_secs()
    }

    /// The texts alone.
    pub fn texts(&self) -> Vec<&str> {
        self.frames.iter().map(|frame| frame.text.as_str()).collect()
    }
}

impl fmt::Display for Film {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:>6}  {:<16} {:>14}  {:>4}  told", "time", "phase", "traffic", "pods")?;
        for frame in &self.frames {
            let split = frame.split.map_or_else(|| "-".to_owned(), |split| split.to_string());
            let pods = format!("{}+{}", frame.primary_pods, frame.canary_pods);
            let Frame { second, phase, text, .. } = frame;
            writeln!(formatter, "{second:>5}s  {phase:<16} {split:>14}  {pods:>4}  {text}")?;
        }
        Ok(())
    }
}
