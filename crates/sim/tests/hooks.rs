//! Webhooks that take their time: each is called once for its moment, whatever happens meanwhile, and none keeps a
//! rollback waiting (I16, I22).

use std::path::Path;

use burgee_sim::outside::Reply;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use jiff::SignedDuration;
use serde_json::json;

/// Seconds that the load test takes before it gives up.
const SLOW: i64 = 35;

/// The scenario of a promotion with a rollback hook that says no, played until its load test hangs at the first weight.
fn hanging() -> Result<Stage, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/promotion.txt");
    let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let mut stage = scenario.set_up()?;
    let hook = json!({"name": "undo", "type": "rollback", "url": "http://tester.test/"});
    let canary = stage.cluster.iter().map(|(key, _)| key).find(|key| key.kind.name() == "Canary").cloned();
    let operations = json!([{"op": "add", "path": "/spec/analysis/webhooks/-", "value": hook}]);
    stage.cluster.patch(&canary.ok_or("no canary")?, &operations).map_err(|refusal| refusal.to_string())?;
    stage.outside.set_hook("undo", Err("no".to_owned()));
    stage.play_until(30)?;
    stage.new_revision()?;
    stage.play_until(40)?;
    stage.outside.slow_down("load-test", SignedDuration::from_secs(SLOW));
    stage.play_until(50)?;
    assert_eq!(stage.status()["canaryWeight"], 10, "{}", stage.film);
    assert_eq!(calls(&stage, "load-test"), 1);
    Ok(stage)
}

fn calls(stage: &Stage, name: &str) -> usize {
    stage.calls.iter().filter(|(_, hook)| hook == name).count()
}

/// Somebody changes the routes.
fn meddle(stage: &mut Stage) -> Result<(), String> {
    let routes = stage.cluster.iter().map(|(key, _)| key).find(|key| key.kind.name() == "VirtualService").cloned();
    let operations = json!([{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 1}]);
    stage.cluster.patch(&routes.ok_or("no routes")?, &operations).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_hook_that_takes_long_is_called_once_although_the_routes_are_repaired_meanwhile() -> Result<(), String> {
    let mut stage = hanging()?;
    meddle(&mut stage)?;
    stage.play_until(43 + SLOW)?;
    assert_eq!(calls(&stage, "load-test"), 1, "{}", stage.film);
    assert_eq!((failures(&stage), stage.status()["canaryWeight"].as_i64()), (1, Some(10)), "{}", stage.film);
    Ok(())
}

#[test]
fn an_answer_that_came_before_a_repair_is_not_asked_for_again() -> Result<(), String> {
    let mut stage = hanging()?;
    stage.play_until(43 + SLOW - 1)?;
    meddle(&mut stage)?;
    stage.play_until(43 + SLOW + 11)?;
    assert_eq!((calls(&stage, "load-test"), failures(&stage)), (1, 1), "{}", stage.film);
    Ok(())
}

fn failures(stage: &Stage) -> i64 {
    stage.status()["failedChecks"].as_i64().unwrap_or_default()
}

#[test]
fn a_rollback_is_heard_within_an_interval_while_another_hook_hangs() -> Result<(), String> {
    let mut stage = hanging()?;
    stage.outside.set_hook("undo", Ok(()));
    stage.play_until(58)?;
    assert_eq!(stage.status()["phase"], "Failed", "{}", stage.film);
    assert_eq!(calls(&stage, "load-test"), 1);
    Ok(())
}

#[test]
fn bad_metrics_are_seen_within_an_interval_while_a_hook_hangs() -> Result<(), String> {
    let mut stage = hanging()?;
    stage.outside.set_metric("success-rate", Reply::Value(69.0));
    stage.play_until(54)?;
    assert_eq!((calls(&stage, "load-test"), failures(&stage)), (1, 1), "{}", stage.film);
    stage.play_until(76)?;
    assert_eq!(stage.status()["phase"], "Failed", "{}", stage.film);
    Ok(())
}
