//! Many plays with faults chosen by seeds: no invariant breaks, and when the faults end every run comes to its end and
//! rests.

use burgee_sim::soak::soak;

/// Seeds that every test run plays. `SEEDS=n` plays another number of them, `SEED=n` one alone, with its film.
const SEEDS: u64 = 330;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_every_invariant_and_comes_to_rest() {
    let count = number("SEEDS").unwrap_or(SEEDS);
    let seeds = number("SEED").map_or(0..count, |seed| seed..seed + 1);
    let summary = soak(seeds, |_| true);
    if let Some(failure) = summary.failures.first() {
        panic!("SEED={} ({}): {}", failure.seed, failure.kind, failure.told);
    }
}
