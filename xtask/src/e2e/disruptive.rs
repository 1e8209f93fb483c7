//! Tests that stop or kill what others need; they run one by one on each lab, and need a lab of our own.
mod alerts;
mod definitions;
mod guest;
mod idle;
mod istiod;
mod kills;
mod leadership;
mod lives;
mod narrow;
mod operators;
mod silent;
mod story;
mod upgrade;

use super::edits::weighted;
use super::objects::{DEPLOYMENT, revision, set};
use super::stage::{Beside, Stage, beside};
use super::story::promotion;
use super::{Group, Test};
use crate::audit;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::time::Duration;

/// The longest first, so that two labs end at about the same time. The idle operator is the very first: on a second lab
/// nothing has gone before it.
pub(crate) const TESTS: &[Test] = &[
    test("an_idle_operator_only_renews_its_lease", "idle", "watches all requests of the operator", idle::idle),
    test("a_run_holds_while_prometheus_is_away_and_then_completes", "outage", "stops Prometheus", outage),
    test("an_operator_that_is_killed_at_random_goes_on_where_it_was", "random", "kills the operator", kills::random),
    test("a_run_completes_when_the_api_server_comes_back", "server", "stops the API server", kills::server_away),
    test(
        "an_operator_that_stood_still_for_a_minute_overwrites_nothing",
        "paused",
        "stops the operator",
        leadership::paused,
    ),
    test("a_set_serves_until_proxies_that_hear_late_of_a_route_have_followed", "stale", "stops istiod", istiod::stale),
    test("an_operator_that_is_killed_in_any_phase_goes_on_where_it_was", "phases", "kills the operator", kills::phases),
    test(
        "an_outdated_definition_stops_all_writing_until_it_is_updated",
        "outdated",
        "changes the definition of canaries",
        definitions::outdated,
    ),
    test(
        "a_watch_whose_connection_has_gone_silent_is_noticed_within_a_minute",
        "silent",
        "cuts the operator's connections",
        silent::silent,
    ),
    test(
        "an_operator_with_roles_in_two_namespaces_needs_nothing_of_the_cluster",
        "narrow",
        "installs the operator again",
        narrow::narrow,
    ),
    test(
        "an_alert_that_is_due_when_the_operator_is_killed_is_sent_by_the_next",
        "due",
        "kills the operator",
        alerts::due,
    ),
    test("of_two_operators_one_acts_and_the_other_takes_over", "replicas", "kills the operator", leadership::replicas),
    test(
        "the_operator_of_a_cluster_that_exists_is_borrowed_for_the_tests_and_put_back",
        "guest",
        "installs the operator again",
        guest::guest,
    ),
    test(
        "the_page_about_upgrade_and_uninstallation_can_be_followed_during_a_run",
        "upgrade",
        "removes the operator",
        upgrade::upgraded,
    ),
];

/// What is looked at when all tests of a lab are over.
pub(crate) const AFTERWARDS: Test =
    test("the_operator_never_lacked_a_permission", "permissions", "looks at all requests of the operator", permissions);

fn permissions(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let denied = audit::denied(lab)?;
    ensure!(denied.is_empty(), "the operator was never allowed to {denied:?}");
    Ok(())
}

/// A test, and what it does that no other may bear.
const fn test(name: &'static str, space: &'static str, does: &'static str, run: fn(&Stage<'_>) -> Result<()>) -> Test {
    Test { name, space, group: Group::Disruptive(does), limit: Duration::from_mins(4), run }
}

/// Five intervals without an answer.
const OUTAGE_SECONDS: u64 = 50;

/// Two runs beside each other: a single check that counted as failed would end the first one, and would be told of the
/// second one.
fn outage(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let patient = beside(stage, "outage-patient")?;
    let stages: [&Stage<'_>; 2] = [stage, &patient];
    let each = |what: &dyn Fn(&Stage<'_>) -> Result<()>| {
        stages.into_iter().try_for_each(|stage| what(stage).with_context(|| stage.namespace().to_owned()))
    };
    for (stage, threshold) in stages.into_iter().zip([1, 5]) {
        let mut canary = weighted(stage, 30, 60)?;
        set(&mut canary, "/spec/analysis/threshold", json!(threshold));
        stage.apply(&stage.object(DEPLOYMENT)?)?;
        stage.apply(&canary)?;
    }
    each(&|stage| {
        stage.until_phase("Initialized", 90)?;
        stage.until_open()
    })?;
    let _loads = [stage.load(50)?, patient.load(50)?];
    each(&|stage| stage.patch_target(&revision("6.0.1", &[])))?;
    each(&|stage| stage.until_told("Advance podinfo.test canary weight 30", 60).map(drop))?;
    lab.stop_prometheus()?;
    let held = each(&|stage| stage.until_told("Prometheus query failed: *", 20).map(drop));
    let goes_on = || stages.iter().any(|stage| stage.times_told("Advance *") > 1);
    let never = stage.never("a run goes on", OUTAGE_SECONDS, goes_on).and_then(|()| each(&holds));
    lab.start_prometheus()?;
    held?;
    never?;
    each(&|stage| stage.until_promoted(120))?;
    each(&held_once)
}

/// The run is held where it was, and nothing has counted as a failed check.
fn holds(stage: &Stage<'_>) -> Result<()> {
    let status = &stage.canary()["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let held: Vec<_> = conditions.filter(|one| one["type"] == "Held").map(|one| one["status"].clone()).collect();
    ensure!(held == ["True"], "the condition Held is {held:?}: {status}");
    ensure!(status["canaryWeight"] == 30 && status["failedChecks"] == 0, "the run is not where it was: {status}");
    Ok(())
}

/// Nothing is told but the hold and its end, and the chat has heard of it once.
fn held_once(stage: &Stage<'_>) -> Result<()> {
    let steps = [
        "Advance podinfo.test canary weight 30",
        "Prometheus query failed: *",
        "Metrics provider answers again, resuming podinfo.test",
        "Advance podinfo.test canary weight 60",
    ];
    stage.expect_told(&promotion(&steps))?;
    let alerts = stage.alerts();
    let holds = alerts.iter().filter(|alert| alert.starts_with("Canary analysis on hold, ")).count();
    ensure!(holds == 1, "the chat was told {holds} times: {alerts:?}");
    Ok(())
}
