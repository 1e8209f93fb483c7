//! Shares the tests out: which run beside which, and who takes the next one. It boots nothing and contains no test.
use super::disruptive::AFTERWARDS;
use super::stage::{Stage, World};
use super::{End, Group, Outcome, Test};
use anyhow::{Context, bail};
use burgee_lab::{seconds, wait_if_interrupted};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// All tests of a run, each to be taken once.
pub(super) struct Work {
    parallel: Queue,
    loaded: Queue,
    disruptive: Queue,
}

impl Work {
    /// The tests by the company that they may keep.
    pub(super) fn of(tests: &[Test]) -> Self {
        let queue = |wanted: fn(Group) -> bool| {
            Queue::of(tests.iter().filter(|test| wanted(test.group)).copied().collect::<Vec<Test>>())
        };
        Self {
            parallel: queue(|group| matches!(group, Group::Parallel | Group::With(_))),
            loaded: queue(|group| group == Group::Loaded),
            disruptive: queue(|group| matches!(group, Group::Disruptive(_))),
        }
    }

    /// On how many labs this work can go on at the same time, which is one for each test that must be alone, and one for
    /// all others.
    pub(super) fn places(&self) -> usize {
        let others = self.parallel.tests.len() + self.loaded.tests.len();
        self.disruptive.tests.len() + others.min(1)
    }

    /// Runs the tests that others may run beside, `at_once` of them, and only one of those that send many requests.
    pub(super) fn run_beside_each_other(&self, world: &World, at_once: usize) -> Vec<Outcome> {
        let others = || self.parallel.run(world);
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (1..at_once).map(|_| scope.spawn(others)).collect();
            let mut outcomes = self.loaded.run(world);
            outcomes.extend(others());
            outcomes.extend(lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_default()));
            outcomes
        })
    }

    /// Runs tests that must be alone on their lab, one by one, until none is left that another lab has not taken, and
    /// looks at what is known only when all tests of the lab are over.
    pub(super) fn run_alone(&self, world: &World) -> Vec<Outcome> {
        let mut outcomes = self.disruptive.run(world);
        outcomes.push(run_one(world, &AFTERWARDS));
        outcomes
    }

    /// Leaves out the tests that stop what others need: a cluster that existed before may have other users.
    pub(super) fn skip_disruptive(&self) -> Vec<Outcome> {
        let rest = std::iter::from_fn(|| self.disruptive.take());
        rest.map(|test| {
            let does = if let Group::Disruptive(does) = test.group { does } else { "is alone on it" };
            let outcome = Outcome::skipped(test.name, &format!("it {does}, and needs a lab of our own for that"));
            if let End::Skipped(why) = &outcome.end {
                println!("skip   {}: {why}", test.name);
            }
            outcome
        })
        .collect()
    }

    /// Lets nobody take a test any more.
    pub(super) fn abandon(&self) {
        for queue in [&self.parallel, &self.loaded, &self.disruptive] {
            queue.next.store(queue.tests.len(), Ordering::Relaxed);
        }
    }
}

/// Tests that are taken one after the other, by whoever has time.
struct Queue {
    tests: Vec<Test>,
    next: AtomicUsize,
}

impl Queue {
    const fn of(tests: Vec<Test>) -> Self {
        Self { tests, next: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<&Test> {
        self.tests.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn run(&self, world: &World) -> Vec<Outcome> {
        std::iter::from_fn(|| self.take()).map(|test| run_one(world, test)).collect()
    }
}

/// Two labs print at the same time; what one prints stays together.
static PRINTING: Mutex<()> = Mutex::new(());

fn run_one(world: &World, test: &Test) -> Outcome {
    wait_if_interrupted();
    let started = Instant::now();
    let result = Stage::open(world, test.space, test.limit).and_then(|stage| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (test.run)(&stage)));
        let result = result.unwrap_or_else(|_| bail!("the test panicked"));
        let report = result.as_ref().err().map(|_| stage.report());
        stage.close()?;
        result.with_context(|| report.unwrap_or_default())
    });
    let took = started.elapsed();
    let _printing = PRINTING.lock().unwrap_or_else(PoisonError::into_inner);
    let end = match result {
        Ok(()) => {
            println!("ok     {} ({})", test.name, seconds(took));
            End::Passed
        }
        Err(error) => {
            let report = error.to_string();
            let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            let cause = if causes.is_empty() { report.clone() } else { causes.join(": ") };
            println!("FAILED {} ({})\n  {cause}\n{report}", test.name, seconds(took));
            End::Failed(cause)
        }
    };
    Outcome { lab: world.name(), ..Outcome::of(test.name, took, end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ALONE: Group = Group::Disruptive("is a test");

    fn tests_of(groups: &[Group]) -> Vec<Test> {
        let test = |&group| Test { name: "a", space: "a", group, limit: Duration::ZERO, run: |_| Ok(()) };
        groups.iter().map(test).collect()
    }

    #[test]
    fn a_test_is_taken_once_however_many_take() {
        let queue = Queue::of(tests_of(&vec![Group::Parallel; 1000]));
        let take_all = || std::iter::from_fn(|| queue.take()).count();
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8).map(|_| scope.spawn(take_all)).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }

    #[test]
    fn each_test_that_must_be_alone_could_use_a_lab_and_all_others_share_one() {
        let check = |groups: &[Group], places: usize| assert_eq!(Work::of(&tests_of(groups)).places(), places);
        check(&[], 0);
        check(&[Group::Parallel, Group::Loaded, Group::Parallel], 1);
        check(&[ALONE], 1);
        check(&[ALONE, Group::Parallel], 2);
        check(&[ALONE, ALONE, Group::Loaded], 3);
    }

    #[test]
    fn after_it_was_abandoned_no_test_is_taken() {
        let work = Work::of(&tests_of(&[ALONE, Group::Parallel]));
        work.abandon();
        assert!(work.disruptive.take().is_none() && work.parallel.take().is_none());
    }
}
