//! Many plays with faults chosen by seeds: no invariant breaks, and when the faults end every run comes to its end and
//! rests.

use burgee_sim::coverage::{Coverage, PHASES};
use burgee_sim::fault::Fault;
use burgee_sim::faults::TRIED;
use burgee_sim::kinds::TRAFFIC_SPLIT;
use burgee_sim::plays::play;
use burgee_sim::soak::soak;

/// Seeds that every test run plays. `SEEDS=n` plays another number of them, `SEED=n` one alone, with its film.
const SEEDS: u64 = 2_000;
/// And of those with a `TrafficSplit`.
const SPLIT_SEEDS: u64 = 400;
/// With so many seeds each phase meets at least so many kinds of faults; the rarest, which waits for its promotion, meets
/// 24 of them.
const FAULTS_IN_EACH_PHASE: usize = 16;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_every_invariant_and_comes_to_rest() {
    let count = number("SEEDS").unwrap_or(SEEDS);
    let seeds = number("SEED").map_or(0..count, |seed| seed..seed + 1);
    let summary = soak(seeds, 1, |_| true);
    if let Some(failure) = summary.failures.first() {
        panic!("SEED={} ({}): {}", failure.seed, failure.kind, failure.told);
    }
    if summary.plays >= SEEDS {
        assert_all_is_met(&summary.coverage);
    }
}

/// The same of another router: what it renders, reads and leads home holds under every fault.
#[test]
fn every_seed_keeps_every_invariant_behind_a_traffic_split_too() {
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(SPLIT_SEEDS), |seed| seed..seed + 1);
    for seed in seeds {
        let failure = play(TRAFFIC_SPLIT, seed).failure;
        assert!(failure.is_none(), "SEED={seed}: {}", failure.unwrap_or_default());
    }
}

/// Every fault that is on, and every phase with many of them.
fn assert_all_is_met(coverage: &Coverage) {
    let is_met = |fault: &&Fault| PHASES.iter().any(|phase| coverage.times(**fault, *phase) > 0);
    let missing: Vec<&Fault> = TRIED.iter().filter(|fault| !is_met(fault)).collect();
    assert!(missing.is_empty(), "{missing:?} never came\n{coverage}");
    for phase in PHASES {
        let met = TRIED.iter().filter(|fault| coverage.times(**fault, phase) > 0).count();
        assert!(met >= FAULTS_IN_EACH_PHASE, "{phase} met {met} kinds of faults\n{coverage}");
    }
}
