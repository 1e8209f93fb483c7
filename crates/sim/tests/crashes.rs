//! An operator that dies between any two steps of any plan, and is started again, tells the same story: nothing twice,
//! nothing left out, no weight sooner than its interval (I23).

use std::path::Path;

use burgee_sim::film::Frame;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::{Crash, Stage};

fn scenario(name: &str) -> Result<Scenario, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Scenario::parse(&text)
}

/// What is told, without the warnings that only say that pods are not ready: how many of those come is timing.
fn story(stage: &Stage) -> Vec<&str> {
    stage.film.texts().into_iter().filter(|text| !text.contains("not ready: ")).collect()
}

fn weights(stage: &Stage) -> impl Iterator<Item = &Frame> {
    stage.film.frames.iter().filter(|frame| frame.text.contains("canary weight"))
}

fn check(name: &str) -> Result<(), String> {
    let scenario = scenario(name)?;
    let unbroken = scenario.play()?;
    for (plan, steps) in unbroken.plans.iter().enumerate() {
        for steps in 0..=*steps {
            let crash = Crash { plan, steps };
            let broken = scenario.play_with(Some(crash)).map_err(|error| format!("{name} {crash:?}: {error}"))?;
            assert!(
                story(&unbroken) == story(&broken),
                "{name} {crash:?}\n{}\n{}",
                broken.film,
                broken.aside.join("\n")
            );
            assert_eq!(unbroken.status()["phase"], broken.status()["phase"], "{name} {crash:?}\n{}", broken.film);
            let times: Vec<i64> = weights(&broken).map(|frame| frame.second).collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{name} {crash:?}\n{}", broken.film);
        }
    }
    Ok(())
}

#[test]
fn a_promotion_survives_every_crash() -> Result<(), String> {
    check("promotion")
}

#[test]
fn a_rollback_survives_every_crash() -> Result<(), String> {
    check("rollback")
}

#[test]
fn an_outage_of_the_provider_survives_every_crash() -> Result<(), String> {
    check("outage")
}

#[test]
fn a_failed_promotion_is_healed_after_every_crash() -> Result<(), String> {
    check("failed-promotion")
}

#[test]
fn a_failing_hook_ends_the_run_after_every_crash() -> Result<(), String> {
    check("failing-hook")
}

#[test]
fn an_ab_test_survives_every_crash() -> Result<(), String> {
    check("ab-testing")
}

#[test]
fn a_blue_green_run_with_mirroring_survives_every_crash() -> Result<(), String> {
    check("blue-green-mirror")
}

#[test]
fn a_canary_with_mirroring_survives_every_crash() -> Result<(), String> {
    check("canary-mirror")
}

#[test]
fn a_deadline_ends_the_run_after_every_crash() -> Result<(), String> {
    check("deadline")
}
