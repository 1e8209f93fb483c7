//! What a canary told by the cluster's own record, which no crash can lose: its events, and when each was written.
use super::super::stage::Stage;
use super::super::story::{self, Told};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Instant;

/// The canary's events by the API server, oldest first.
///
/// # Errors
/// With kubectl's own message.
pub(super) fn recorded(stage: &Stage<'_>) -> Result<Vec<Told>> {
    let list = stage.list("events")?;
    let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    events.retain(|event| event["involvedObject"]["kind"] == "Canary");
    // Names go up with time within a second.
    let order = |event: &&Value| {
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/metadata/creationTimestamp"), text("/metadata/name"))
    };
    events.sort_by_key(order);
    let read = |event: &&Value| Told {
        text: story::neutral(event["message"].as_str().unwrap_or_default(), stage.namespace()),
        kind: event["type"].as_str().unwrap_or_default().to_owned(),
        phase: event["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        at: Instant::now(),
    };
    Ok(events.iter().map(read).collect())
}

/// Checks that the canary's events are these, each once.
///
/// # Errors
/// With both, side by side.
pub(super) fn check(stage: &Stage<'_>, expected: &[&str]) -> Result<()> {
    story::expect(&recorded(stage)?, expected).context("by the API server")?;
    let list = stage.list("events")?;
    let counted = list["items"].as_array().into_iter().flatten().find(|event| {
        let text = event["message"].as_str().unwrap_or_default();
        event["involvedObject"]["kind"] == "Canary" && event["count"] != 1 && !text.contains("waiting for ")
    });
    ensure!(counted.is_none(), "an event was repeated: {counted:?}");
    Ok(())
}
