//! Tests that stop or kill what others need; they run one by one on each lab, and need a lab of our own.
mod audit;
mod definitions;
mod guest;
mod idle;
mod istiod;
mod kills;
mod leadership;
mod lives;
mod operators;
mod story;

use super::edits::{end_at_first_failure, weighted};
use super::objects::revision;
use super::stage::{Beside, Stage, beside};
use super::story::{expect, promotion};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
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
    test("of_two_operators_one_acts_and_the_other_takes_over", "replicas", "kills the operator", leadership::replicas),
    test(
        "the_operator_of_a_cluster_that_exists_is_borrowed_for_the_tests_and_put_back",
        "guest",
        "installs the operator again",
        guest::guest,
    ),
];

/// What is looked at when all tests of a lab are over.
pub(crate) const AFTERWARDS: Test =
    test("the_operator_never_lacked_a_permission", "permissions", "looks at all requests of the operator", permissions);

fn permissions(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.world().lab.as_ref().context("this test needs a lab of its own")?;
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

/// With a threshold of 1, so that a single check that counted as failed would end the run; how a run with a higher one holds
/// is the film `outage`.
fn outage(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.world().lab.as_ref().context("this test needs a lab of its own")?;
    let mut canary = weighted(stage, 30, 60)?;
    end_at_first_failure(&mut canary);
    stage.initialize(&canary)?;
    stage.until_open()?;
    let _load = stage.load(50)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 30", 60)?;
    lab.stop_prometheus()?;
    let held = stage.until_told("Prometheus query failed: *", 20);
    let never = stage.never("the run goes on", OUTAGE_SECONDS, || stage.times_told("Advance *") > 1);
    lab.start_prometheus()?;
    held?;
    never?;
    stage.until_promoted(120)?;
    let steps = [
        "Advance podinfo.test canary weight 30",
        "Prometheus query failed: *",
        "Metrics provider answers again, resuming podinfo.test",
        "Advance podinfo.test canary weight 60",
    ];
    expect(&stage.told(), &promotion(&steps))?;
    let alerts = stage.alerts();
    let holds = alerts.iter().filter(|alert| alert.starts_with("Canary analysis on hold, ")).count();
    ensure!(holds == 1, "the chat was told {holds} times: {alerts:?}");
    Ok(())
}
