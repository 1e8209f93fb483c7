//! Between the stage and the checkers: it keeps the last instant and what each operator saw and was answered, and hands
//! every moment to every checker. What they find first counts; it judges nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use burgee_core::bounds::Trespass;
use burgee_core::decide::Tick;
use burgee_core::plan::{Plan, Step};
use burgee_core::question::{self, Answer, Ask, AskKey};
use burgee_core::split::Split;
use burgee_core::world::World;
use jiff::Timestamp;

use crate::checkers::round::Round;
use crate::checkers::{self, Checkers, Moment, Sight, What};
use crate::instant::{Instant, View};

/// What a stage reports.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// Something may have moved without an operator: time, pods, a user's edit.
    Outside,
    /// An operator looks at a world, to decide on it.
    Looks(&'a Tick<'a>),
    /// It asks somebody.
    Asks(&'a AskKey, &'a Ask),
    /// It is answered.
    Hears(&'a AskKey, &'a Ask, &'a Answer),
    /// It has decided on a world.
    Decides(&'a Plan, &'a World),
    /// A step of it took effect. [`Report::Outside`] comes before the step.
    Takes(&'a Step),
    /// It was about to take a step that leaves the bounds of its canary, and was kept from it.
    Trespasses(&'a Trespass),
    /// The API server refuses its next write without a reason, or will not answer it: it is going to wait and decide anew.
    Fails,
    /// It was killed, and what it was answered is forgotten.
    Dies,
}

/// What is remembered of a play.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    checkers: Checkers,
    last: Option<Instant>,
    sights: BTreeMap<usize, Sight>,
    rounds: BTreeMap<usize, Round>,
    /// Operators whose last decision ended its round.
    ending: BTreeSet<usize>,
    count: u64,
    /// How often each operator was killed.
    deaths: BTreeMap<usize, u64>,
    /// For each operator, the number of its decision that was written last.
    wrote: BTreeMap<usize, u64>,
    /// Where an operator led the traffic last.
    routed: Option<Split>,
    /// When the API server failed the first write of each operator since its last decision.
    failed: BTreeMap<usize, Timestamp>,
    broken: Option<String>,
}

impl Inspector {
    /// What the checkers found first, if they found anything.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Takes a report of an operator, counted from 0. After the first finding nothing is looked at any more.
    pub fn hear(&mut self, view: &View, operator: usize, report: Report) {
        if self.broken.is_some() {
            return;
        }
        match report {
            Report::Outside => self.show(view, operator, What::Outside),
            Report::Looks(tick) => {
                self.count += 1;
                let deaths = self.deaths.get(&operator).copied().unwrap_or_default();
                let sight = Sight { deaths, at: view.now, ..Sight::of(tick, self.count) };
                self.sights.insert(operator, sight);
            }
            Report::Asks(key, ask) => {
                self.rounds.entry(operator).or_default().turn_to(key);
                self.show(view, operator, What::Asked(key, ask));
            }
            Report::Hears(key, ask, answer) => self.rounds.entry(operator).or_default().hear(key, ask, answer),
            Report::Decides(plan, world) => {
                self.decides(view, operator, (plan, world));
            }
            Report::Takes(step) => {
                if matches!(step, Step::Status(_)) && self.ending.contains(&operator) {
                    self.rounds.entry(operator).or_default().end();
                }
                self.show(view, operator, What::Step(step));
                if matches!(step, Step::Status(_)) {
                    let number = self.sights.get(&operator).map_or(0, |sight| sight.number);
                    self.wrote.insert(operator, number);
                }
            }
            Report::Trespasses(trespass) => self.broken = Some(checkers::i27_bounds::found(trespass)),
            Report::Fails => _ = self.failed.entry(operator).or_insert(view.now),
            Report::Dies => {
                self.rounds.remove(&operator);
                *self.deaths.entry(operator).or_default() += 1;
            }
        }
    }

    /// A plan that is refused is decided again on the same answers, and one that comes in between leaves them alone.
    fn decides(&mut self, view: &View, operator: usize, decided: (&Plan, &World)) {
        let (plan, world) = decided;
        match plan.round {
            question::Round::Over => {
                let round = self.rounds.remove(&operator).unwrap_or_default();
                self.show(view, operator, What::Decided { plan, world, round: &round });
                self.rounds.insert(operator, round);
                self.ending.insert(operator);
            }
            question::Round::Open => {
                self.show(view, operator, What::Decided { plan, world, round: &Round::default() });
                self.ending.remove(&operator);
            }
        }
    }

    fn show(&mut self, view: &View, operator: usize, what: What) {
        match self.last.take() {
            Some(last) if last.is_at(view) => {
                if !matches!(what, What::Outside) {
                    self.judge(view, operator, what, [&last, &last]);
                }
                self.last = Some(last);
            }
            last => {
                let after = Instant::look(view, last.as_ref());
                if let Some(after) = &after {
                    let before = last.as_ref().unwrap_or(after);
                    let is_quiet = matches!(what, What::Outside) && before.now == after.now && before.is_like(after);
                    if !is_quiet {
                        self.judge(view, operator, what, [before, after]);
                    }
                }
                self.last = after.or(last);
            }
        }
    }

    fn judge(&mut self, view: &View, operator: usize, what: What, [before, after]: [&Instant; 2]) {
        let sight = self.sights.entry(operator).or_default();
        let is_overtaken = self.wrote.iter().any(|(other, number)| *other != operator && *number > sight.number);
        let failed = if matches!(what, What::Decided { .. }) { self.failed.remove(&operator) } else { None };
        let held_up = failed.map(|at| after.now.duration_since(at)).unwrap_or_default();
        let is_led = matches!(what, What::Step(_)) && before.split != after.split;
        let is_put_back = is_led && self.routed == after.split;
        if is_led {
            self.routed = after.split;
        }
        let is_still = view.is_still;
        let changes = view.cluster.changes();
        let moment =
            Moment { what, operator, sight, is_overtaken, is_still, held_up, is_put_back, before, after, changes };
        let found = self.checkers.look(&moment);
        let second = after.now.duration_since(view.start).as_secs();
        self.broken = found.err().map(|wrong| format!("{wrong} (at {second}s)"));
    }
}
