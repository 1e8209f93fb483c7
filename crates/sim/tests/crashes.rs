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
    stage.film.texts().into_iter().filter(|text| !text.contains("not ready")).collect()
}

/// Alerts without their times.
fn alerts(stage: &Stage) -> Vec<&str> {
    let sides = stage.aside.iter().filter_map(|side| side.split_once(" alert "));
    sides.map(|(_, alert)| alert).collect()
}

fn times(stage: &Stage, wanted: &str) -> usize {
    alerts(stage).into_iter().filter(|alert| *alert == wanted).count()
}

/// When which weight was told.
fn weights(stage: &Stage) -> impl Iterator<Item = (i64, Option<u8>)> {
    let weight = |frame: &Frame| frame.text.rsplit(' ').next().and_then(|word| word.parse().ok());
    let raises = stage.film.frames.iter().filter(|frame| frame.text.contains("canary weight"));
    raises.map(move |frame| (frame.second, weight(frame)))
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
            let repeated = alerts(&broken).into_iter().find(|alert| times(&broken, alert) > times(&unbroken, alert));
            assert_eq!(repeated, None, "{name} {crash:?}: an alert came twice");
            let raises: Vec<(i64, Option<u8>)> = weights(&broken).collect();
            let kept = raises.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10 || pair[1].1 < pair[0].1);
            assert!(kept, "{name} {crash:?}\n{}", broken.film);
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
fn a_deletion_gives_the_target_back_after_every_crash() -> Result<(), String> {
    check("revert-on-deletion")
}

#[test]
fn an_abort_by_order_is_obeyed_once_after_every_crash() -> Result<(), String> {
    check("abort")
}

#[test]
fn a_promotion_by_order_is_obeyed_once_after_every_crash() -> Result<(), String> {
    check("promote")
}

#[test]
fn a_pause_outlives_every_crash_and_ends_once() -> Result<(), String> {
    check("pause")
}

#[test]
fn a_retry_by_order_is_obeyed_once_after_every_crash() -> Result<(), String> {
    check("retry")
}

#[test]
fn the_brake_survives_every_crash() -> Result<(), String> {
    check("brake")
}

#[test]
fn a_revert_in_the_middle_of_a_run_survives_every_crash() -> Result<(), String> {
    check("revert-mid-run")
}

#[test]
fn a_deadline_ends_the_run_after_every_crash() -> Result<(), String> {
    check("deadline")
}

#[test]
fn a_service_target_survives_every_crash() -> Result<(), String> {
    check("service-target")
}

#[test]
fn a_daemonset_survives_every_crash() -> Result<(), String> {
    check("daemonset")
}

#[test]
fn a_knative_service_survives_every_crash() -> Result<(), String> {
    check("knative")
}
