//! What a canary told by the cluster's own record, which no crash can lose: its events. It judges no time.
use super::super::stage::Stage;
use super::super::story::{self, Told, is_waiting};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Instant;

/// One event by the API server.
pub(super) struct Recorded {
    /// Its name.
    pub name: String,
    /// How often it was told.
    pub count: i64,
    /// What it says.
    pub told: Told,
}

/// The canary's events by the API server, oldest first.
///
/// # Errors
/// With kubectl's own message.
pub(super) fn recorded(stage: &Stage<'_>) -> Result<Vec<Recorded>> {
    let list = stage.list("events")?;
    let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    events.retain(|event| event["involvedObject"]["kind"] == "Canary");
    let text = |event: &Value, path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Names go up with time within a second.
    events.sort_by_key(|event| (text(event, "/metadata/creationTimestamp"), text(event, "/metadata/name")));
    let read = |event: &&Value| Recorded {
        name: text(event, "/metadata/name"),
        count: event["count"].as_i64().unwrap_or_default(),
        told: Told {
            text: story::neutral(&text(event, "/message"), stage.namespace()),
            kind: text(event, "/type"),
            phase: String::new(),
            at: Instant::now(),
        },
    };
    Ok(events.iter().map(read).collect())
}

/// Checks that the canary's events are these, each once.
///
/// # Errors
/// With both, side by side.
pub(super) fn check(stage: &Stage<'_>, expected: &[&str]) -> Result<()> {
    let events = recorded(stage)?;
    let repeated = events.iter().find(|event| event.count != 1 && !is_waiting(&event.told.text));
    ensure!(repeated.is_none(), "an event was repeated: {:?}", repeated.map(|event| &event.told));
    let told: Vec<Told> = events.into_iter().map(|event| event.told).collect();
    story::expect(&told, expected).context("by the API server")
}
