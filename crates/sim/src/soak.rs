//! Many plays at once, on all cores. It plays and counts; what a play is stands in [`crate::plays`].

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::coverage::Coverage;
use crate::kinds::{KINDS, Kindred};
use crate::plays::play;

/// A play in which something was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The kind of canary.
    pub kind: &'static str,
    /// What was wrong, and the film.
    pub told: String,
}

/// What came out of many plays.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many were played.
    pub plays: u64,
    /// What they met.
    pub coverage: Coverage,
    /// What was wrong; nothing more is begun after the last that was allowed.
    pub failures: Vec<Failure>,
}

/// The kind of canary that a seed plays.
pub fn kind_of(seed: u64) -> Kindred {
    let place = usize::try_from(seed).unwrap_or(0) % KINDS.len();
    KINDS[place]
}

/// Plays one seed. Answers how many were wrong so far.
fn play_one(seed: u64, summary: &Mutex<Summary>) -> usize {
    let kind = kind_of(seed);
    let played = play(kind, seed);
    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
    summary.plays += 1;
    summary.coverage.add(&played.coverage);
    summary.failures.extend(played.failure.map(|told| Failure { seed, kind: kind.name, told }));
    summary.failures.len()
}

/// Plays these seeds on all cores, as long as `goes_on` says so of the number of plays so far, and until so many were
/// wrong.
pub fn soak(seeds: Range<u64>, failures: usize, goes_on: impl Fn(u64) -> bool + Sync) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut seed = next.fetch_add(1, Ordering::Relaxed);
                while seed < seeds.end && goes_on(seed - seeds.start) && play_one(seed, &summary) < failures {
                    seed = next.fetch_add(1, Ordering::Relaxed);
                }
                // Whoever stops for whatever reason stops all others.
                next.store(seeds.end, Ordering::Relaxed);
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}
