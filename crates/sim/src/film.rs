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

/// Something that was done from outside: an edit, or a change of what is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Seconds since the film began.
    pub second: i64,
    /// What was done.
    pub text: String,
    /// How many rows came before.
    pub frames_before: usize,
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Film {
    /// In order of time.
    pub frames: Vec<Frame>,
    /// What was done from outside, in order of time.
    pub marks: Vec<Mark>,
}

impl Film {
    /// Seconds between the beginning and a time.
    pub fn second(start: Timestamp, now: Timestamp) -> i64 {
        now.duration_since(start).as_secs()
    }

    /// Writes down that something was done from outside.
    pub fn mark(&mut self, second: i64, text: &str) {
        self.marks.push(Mark { second, text: text.to_owned(), frames_before: self.frames.len() });
    }

    /// The texts alone.
    pub fn texts(&self) -> Vec<&str> {
        self.frames.iter().map(|frame| frame.text.as_str()).collect()
    }
}

impl fmt::Display for Film {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:>6}  {:<16} {:>14}  {:>4}  told", "time", "phase", "traffic", "pods")?;
        let mut marks = self.marks.iter().peekable();
        for (place, frame) in self.frames.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.frames_before <= place) {
                mark.fmt(formatter)?;
            }
            frame.fmt(formatter)?;
        }
        marks.try_for_each(|mark| mark.fmt(formatter))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let split = self.split.map_or_else(|| "-".to_owned(), |split| split.to_string());
        let pods = format!("{}+{}", self.primary_pods, self.canary_pods);
        let Self { second, phase, text, .. } = self;
        writeln!(formatter, "{second:>5}s  {phase:<16} {split:>14}  {pods:>4}  {text}")
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { second, text, .. } = self;
        writeln!(formatter, "{second:>5}s  > {text}")
    }
}
