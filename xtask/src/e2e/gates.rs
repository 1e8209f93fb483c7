//! What people steer by hand: gates, skipped analysis, suspension, and who is told.
use super::delivery::{image, target_has};
use super::edits::{ask, hook, unmeasured};
use super::objects::{revision, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, PROMOTED};
use super::{Group, Test};
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "closed_gates_hold_a_run_and_tell_the_chat_once_until_they_open",
        space: "gates",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: gates,
    },
    Test {
        name: "a_version_is_promoted_at_once_when_the_analysis_is_skipped",
        space: "skipped",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: skipped,
    },
    Test {
        name: "a_suspended_canary_starts_no_run_until_it_is_resumed",
        space: "suspended",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: suspended,
    },
];

fn gates(stage: &Stage<'_>) -> Result<()> {
    let provider = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"},
        "spec": {"type": "slack", "channel": "team", "username": "burgee", "address": stage.hook_url("chat")},
    });
    stage.apply(&provider)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    ask(&mut canary, &[hook(stage, "start", "confirm-rollout"), hook(stage, "end", "confirm-promotion")]);
    set(
        &mut canary,
        "/spec/analysis/alerts",
        json!([{"name": "team", "severity": "info", "providerRef": {"name": "chat"}}]),
    );
    stage.answer("start", Answer::Status(403, "Forbidden"));
    stage.answer("end", Answer::Status(403, "Forbidden"));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Waiting", 15)?;
    stage.until("the gate is asked again", 30, || Ok(stage.calls("start").len() >= 3))?;
    target_has(stage, 0)?;
    stage.answer("start", Answer::Status(200, "OK"));
    stage.until_phase("WaitingPromotion", 90)?;
    let asked = stage.calls("end").len();
    stage.until("the gate is asked again", 30, || Ok(stage.calls("end").len() >= asked + 2))?;
    ensure!(
        image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.0",
        "the primary was changed before the gate opened"
    );
    stage.answer("end", Answer::Status(200, "OK"));
    stage.until_promoted(60)?;
    let start = ["Halt podinfo.test advancement waiting for approval start", "Confirm-rollout check start passed"];
    let steps = [
        "Advance podinfo.test canary weight 50",
        "Halt podinfo.test advancement waiting for promotion approval end",
        "Confirm-promotion check end passed",
    ];
    stage.expect_told(&[&INITIALIZED[..], &start, &BEGUN, &steps, &PROMOTED].concat())?;
    check_chat(stage)
}

fn check_chat(stage: &Stage<'_>) -> Result<()> {
    let expected = [
        "New Deployment detected, initialization completed.",
        "Canary is waiting for approval.",
        "New revision detected, progressing canary analysis.",
        "Canary promotion is waiting for approval.",
        "Canary analysis completed successfully, promotion finished.",
    ];
    stage.expect_alerts(&expected)?;
    let messages = stage.calls("chat");
    ensure!(messages.len() == expected.len(), "the provider got {} of the alerts", messages.len());
    for message in messages {
        let body = &message.body;
        let is_right = body["channel"] == "team" && body["username"] == "burgee" && body["icon_emoji"] == ":rocket:";
        ensure!(is_right, "the message is {body}");
    }
    Ok(())
}

fn skipped(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 20, 40)?;
    set(&mut canary, "/spec/skipAnalysis", json!(true));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_promoted(90)?;
    stage.expect_told(&[
        "Initialization done! podinfo.test",
        "New revision detected! Scaling up podinfo.test",
        "Copying podinfo.test template spec to podinfo-primary.test",
        "Promotion completed! Canary analysis was skipped for podinfo.test",
    ])?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.1", "the primary has another version");
    target_has(stage, 0)
}

fn suspended(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&unmeasured(stage, 50, 50)?)?;
    stage.patch("canary/podinfo", &json!({"spec": {"suspend": true}}))?;
    stage.until_told("skipping canary run as object is suspended", 15)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.never("a suspended canary starts a run", 15, || stage.phase() != "Initialized")?;
    let said = stage.times_told("skipping canary run as object is suspended");
    ensure!(said == 1, "the suspension was told {said} times");
    stage.patch("canary/podinfo", &json!({"spec": {"suspend": false}}))?;
    stage.until_told("New revision detected! Scaling up podinfo.test", 15).map(drop)
}
