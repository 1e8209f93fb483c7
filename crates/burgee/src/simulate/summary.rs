//! The last line: how the run ended, how long it took, how many pods it needed. It judges nothing.

use std::fmt;

use burgee_api::GoDuration;
use burgee_sim::film::Frame;
use burgee_sim::stage::Stage;
use serde_json::Value;

/// How the last run ended.
pub(super) struct Summary {
    /// Why the canary would be refused, if it would.
    pub(super) refused: Option<String>,
    phase: String,
    is_best: bool,
    /// Seconds from the new revision to the end.
    run: Option<i64>,
    seconds: i64,
    primary_pods: usize,
    canary_pods: usize,
}

impl Summary {
    /// The summary of a play.
    pub(super) fn of(stage: &Stage) -> Self {
        // Only a new revision, and nothing that could go wrong: sooner than this it never ends.
        let is_best = stage.film.marks.len() == 1;
        let status = stage.status();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        // The other reasons are of objects that a script took away.
        let refused = |condition: &&Value| condition["type"] == "Invalid" && condition["reason"] == "InvalidSpec";
        let invalid = conditions.into_iter().find(refused);
        let frames: Vec<&Frame> = stage.film.told().collect();
        let begun = frames.iter().rposition(|frame| frame.text.starts_with("New revision detected! Scaling up"));
        let ended = frames.iter().rposition(|frame| matches!(frame.phase.as_str(), "Succeeded" | "Failed"));
        let run = begun.zip(ended).filter(|(begun, ended)| begun < ended);
        Self {
            refused: invalid.map(|condition| condition["message"].as_str().unwrap_or_default().to_owned()),
            is_best,
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            run: run.map(|(begun, ended)| frames[ended].second - frames[begun].second),
            seconds: stage.second(),
            primary_pods: frames.iter().map(|frame| frame.primary_pods).max().unwrap_or(0),
            canary_pods: frames.iter().map(|frame| frame.canary_pods).max().unwrap_or(0),
        }
    }

    /// The line.
    pub(super) fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, phase, is_best, run, seconds, primary_pods, canary_pods } = self;
        let after = |seconds: i64| GoDuration::from_seconds(seconds);
        if refused.is_some() {
            return write!(formatter, "refused");
        }
        match (phase.as_str(), run) {
            ("Succeeded", Some(run)) if *is_best => write!(formatter, "promoted after {} at best", after(*run))?,
            ("Succeeded", Some(run)) => write!(formatter, "promoted after {}", after(*run))?,
            ("Failed", Some(run)) => write!(formatter, "rolled back after {}", after(*run))?,
            (phase, _) => write!(formatter, "{phase} after {}", after(*seconds))?,
        }
        write!(formatter, "; needs {primary_pods} + {canary_pods} pods (primary + canary)")
    }
}
