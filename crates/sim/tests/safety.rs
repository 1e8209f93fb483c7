//! What cannot be read stands before no check, no abort and no rollback (I28, I29). An operator that is started again reads
//! everything anew, so these are no scenarios: another crash would be another story.

use burgee_core::world::{Kind, ObjectKey};
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;

/// The cast with this script, played until `second`.
fn played(script: &str, second: i64) -> Result<Stage, String> {
    let mut stage = Scenario::parse(&format!("# A test.\nuse podinfo\n{script}\nat {second}s end\n"))?.play()?;
    stage.play_until(second)?;
    match &stage.broken {
        Some(broken) => Err(format!("{broken}\n{}", stage.film)),
        None => Ok(stage),
    }
}

fn weights(stage: &Stage) -> Vec<i64> {
    let route = stage.cluster.get(&ObjectKey::new(Kind::VIRTUAL_SERVICE, "test", "podinfo"));
    let route = route.map(|route| route["spec"]["http"][0]["route"].clone()).unwrap_or_default();
    route.as_array().into_iter().flatten().filter_map(|one| one["weight"].as_i64()).collect()
}

fn check(stage: &Stage, phase: &str, expected: [i64; 2]) {
    assert_eq!(stage.status()["phase"], phase, "{}", stage.film);
    assert_eq!(weights(stage), expected, "{}", stage.film);
}

#[test]
fn a_run_is_judged_and_led_back_while_destination_rules_cannot_be_read() -> Result<(), String> {
    let blind = "at 30s image podinfo:6.0.1\nat 45s unreadable DestinationRule\nat 75s success-rate 67";
    // The checks pass, and no weight is raised on routes that cannot be made.
    check(&played(blind, 74)?, "Progressing", [80, 20]);
    check(&played(blind, 110)?, "Failed", [100, 0]);
    Ok(())
}

#[test]
fn a_run_is_judged_and_taken_back_while_deployments_cannot_be_read() -> Result<(), String> {
    let blind = "at 30s image podinfo:6.0.1\nat 45s unreadable Deployment";
    check(&played(blind, 69)?, "Progressing", [80, 20]);
    check(&played(&format!("{blind}\nat 70s order abort jane"), 71)?, "Failed", [100, 0]);
    check(&played(&format!("{blind}\nat 50s success-rate 67"), 65)?, "Failed", [100, 0]);
    Ok(())
}

/// A Service of the canary is gone, and the API server will not have it back: here for its labels, which a quota, a policy
/// or an admission webhook that is down would do as well.
const REFUSED: &str = "at 30s image podinfo:6.0.1
at 45s set canary /spec/service/canary {\"labels\": {\"a b\": \"x\"}}
at 46s delete Service podinfo-canary";

#[test]
fn a_run_is_judged_while_a_service_of_it_is_refused() -> Result<(), String> {
    check(&played(&format!("{REFUSED}\nat 50s success-rate 67"), 120)?, "Failed", [100, 0]);
    Ok(())
}

#[test]
fn the_traffic_of_a_run_that_is_taken_back_goes_home_while_a_service_is_refused() -> Result<(), String> {
    check(&played(&format!("{REFUSED}\nat 50s order abort jane"), 52)?, "Failed", [100, 0]);
    Ok(())
}

#[test]
fn a_canary_that_loses_its_pods_loses_its_traffic_while_a_service_is_refused() -> Result<(), String> {
    let stage = played(&format!("{REFUSED}\nat 50s pods podinfo crash 2"), 60)?;
    assert_eq!(weights(&stage), [100, 0], "{}", stage.film);
    Ok(())
}
