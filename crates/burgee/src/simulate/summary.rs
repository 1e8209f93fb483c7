//! The last line: how the run ended, how long it took, how many pods it needed. It judges nothing.

use std::fmt;

use burgee_api::GoDuration;
use burgee_sim::film::Frame;
use burgee_sim::stage::Stage;
use serde_json::Value;

/// How the last run ended.
pub(super) struct Summary {
    /// Why the canary would be refused, if it would.
    refused: Option<String>,
    /// Why it never begins, if it does not.
    stuck: Option<String>,
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
        let message = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
        let invalid = conditions.into_iter().find(|condition| condition["type"] == "Invalid");
        // The other reasons may be of objects that a script took away.
        let refused = invalid.filter(|condition| condition["reason"] == "InvalidSpec").map(message);
        let frames: Vec<&Frame> = stage.film.told().collect();
        let begun = frames.iter().rposition(|frame| frame.text.starts_with("New revision detected! Scaling up"));
        let ended = frames.iter().rposition(|frame| matches!(frame.phase.as_str(), "Succeeded" | "Failed"));
        let run = begun.zip(ended).filter(|(begun, ended)| begun < ended);
        Self {
            refused,
            stuck: is_stuck(&stage.canary()).then(|| invalid.map_or_else(|| last_words(&frames), message)),
            is_best,
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            run: run.map(|(begun, ended)| frames[ended].second - frames[begun].second),
            seconds: stage.second(),
            primary_pods: frames.iter().map(|frame| frame.primary_pods).max().unwrap_or(0),
            canary_pods: frames.iter().map(|frame| frame.canary_pods).max().unwrap_or(0),
        }
    }

    /// What is wrong with the canary, if it is of no use.
    pub(super) fn failure(&self) -> Option<String> {
        let refused = self.refused.as_ref().map(|reason| format!("the canary would be refused: {reason}"));
        refused.or_else(|| Some(format!("the canary would never begin: {}", self.stuck.as_ref()?)))
    }

    /// The line.
    pub(super) fn text(&self) -> String {
        self.to_string()
    }
}

/// Whether a canary that is there and wants to begin has not been set up.
fn is_stuck(canary: &Value) -> bool {
    let phase = canary["status"]["phase"].as_str().unwrap_or_default();
    canary.is_object() && canary["spec"]["suspend"] != true && matches!(phase, "" | "Initializing")
}

fn last_words(frames: &[&Frame]) -> String {
    let last = frames.iter().rev().find(|frame| !frame.text.is_empty());
    last.map_or_else(|| "nothing happens".to_owned(), |frame| frame.text.clone())
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, stuck: _, phase, is_best, run, seconds, primary_pods, canary_pods } = self;
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
