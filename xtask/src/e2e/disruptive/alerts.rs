//! An alert that nobody has taken when its operator is killed is sent by the next one.
use super::super::edits::unmeasured;
use super::super::objects::set;
use super::super::receiver::Answer;
use super::super::stage::Stage;
use super::kills::kill;
use super::lives::Lives;
use super::operators::Operators;
use anyhow::{Result, ensure};
use serde_json::json;

pub(super) fn due(stage: &Stage<'_>) -> Result<()> {
    let spec = json!({"type": "slack", "channel": "team", "address": stage.hook_url("chat")});
    stage.apply(&json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"}, "spec": spec,
    }))?;
    stage.answer("chat", Answer::Status(503, "not now"));
    let mut canary = unmeasured(stage, 50, 50)?;
    let alert = json!([{"name": "team", "severity": "info", "providerRef": {"name": "chat"}}]);
    set(&mut canary, "/spec/analysis/alerts", alert);
    stage.initialize(&canary)?;
    stage.poll("the chat has refused the alert", 30, || Ok(!stage.calls("chat").is_empty()))?;
    ensure!(is_due(stage), "nothing is due: {}", stage.canary()["status"]);
    let operators = Operators::of(stage)?;
    let mut lives = Lives::begin(&operators)?;
    kill(&operators, &mut lives, &[(stage, "Initialized")])?;
    let refused = stage.calls("chat").len();
    stage.answer("chat", Answer::Status(200, "ok"));
    stage.poll("the next operator sends it", 60, || Ok(stage.calls("chat").len() > refused))?;
    let text = &stage.calls("chat")[refused].body["attachments"][0]["text"];
    ensure!(*text == "New Deployment detected, initialization completed.", "the chat got {text}");
    stage.poll("it is due no longer", 30, || Ok(!is_due(stage)))?;
    ensure!(stage.calls("chat").len() == refused + 1, "it was sent {} times", stage.calls("chat").len() - refused);
    Ok(())
}

/// Whether the status says that something is to be delivered.
fn is_due(stage: &Stage<'_>) -> bool {
    stage.canary()["status"]["run"]["due"].as_array().is_some_and(|due| !due.is_empty())
}
