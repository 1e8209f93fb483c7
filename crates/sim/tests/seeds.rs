//! Many plays with faults chosen by seeds: crashes, conflicts, edits, outages, failing hooks. No invariant breaks, and
//! when the faults end, every run comes to its end.

use std::path::Path;

use burgee_sim::faults::Faults;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;

/// Seeds that every test run plays. `SEEDS=n` plays another number of them, `SEED=n` one alone, with its film.
const SEEDS: u64 = 40;
/// Seconds of disturbance, and of peace after it.
const UNKIND_SECONDS: i64 = 300;
const KIND_SECONDS: i64 = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn play(scenario: &Scenario, seed: u64) -> Result<Stage, String> {
    let mut stage = scenario.set_up()?;
    stage.play_until(20)?;
    let mut faults = Faults::new(seed);
    stage.faults = Some(faults.clone());
    let mut second = 20;
    while second < UNKIND_SECONDS {
        second += faults.next_pause_seconds();
        stage.play_until(second)?;
        faults.disturb(&mut stage)?;
    }
    let mut peace = stage.faults.take().unwrap_or_else(|| Faults::new(seed));
    peace.end(&mut stage);
    stage.play_until(second + KIND_SECONDS)?;
    match &stage.broken {
        Some(broken) => Err(format!("{broken}\n{}", stage.film)),
        None => Ok(stage),
    }
}

fn check(name: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("txt");
    let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    for seed in seeds {
        let stage = play(&scenario, seed).map_err(|error| format!("{name}, SEED={seed}: {error}"))?;
        let phase = stage.status()["phase"].as_str().unwrap_or_default().to_owned();
        if !["Succeeded", "Failed", "Initialized"].contains(&phase.as_str()) {
            return Err(format!("{name}, SEED={seed}: the run never ends, it is {phase}\n{}", stage.film));
        }
    }
    Ok(())
}

#[test]
fn a_canary_by_weights_keeps_every_invariant() -> Result<(), String> {
    check("promotion")
}

#[test]
fn an_ab_test_keeps_every_invariant() -> Result<(), String> {
    check("ab-testing")
}

#[test]
fn a_blue_green_run_keeps_every_invariant() -> Result<(), String> {
    check("blue-green")
}
