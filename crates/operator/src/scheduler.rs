//! The loop: who is due is started, what changed wakes those who read it. It starts ticks and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use burgee_core::timetable::{Timetable, Wake};
use burgee_core::world::{Kind, ObjectKey};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::brake;
use crate::clock;
use crate::gauges;
use crate::observe;
use crate::operator::{Operator, Wish};
use crate::tick;
use crate::tick_context::TickContext;
use crate::watch;

/// Ticks that run or wait for a place among those of their namespace.
const CONCURRENT: usize = 512;
/// Edits that follow each other faster than this are one (docs/differences.md, Faster).
const DEBOUNCE: Duration = Duration::from_millis(200);
/// After a start or a change of leader canaries are looked at over a time that grows with their number, not all at once;
/// this is the share of each, and the most.
const SPREAD: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How often a process that may not write looks whether it may.
const LEASE_LOOK: Duration = Duration::from_secs(1);
/// So long may the list of canaries take that a new holder of the lease reads.
const CATCHING_UP: Duration = Duration::from_secs(10);
/// The loop goes round at least this often, so that one that stands still is seen.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A canary whose tick panicked is left alone for this long.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// Who is due, and who is running.
pub(crate) struct Scheduler {
    operator: Arc<Operator>,
    timetable: Timetable<ObjectKey>,
    running: JoinSet<Wake>,
    /// What is told of ticks that panicked.
    telling: JoinSet<()>,
    names: BTreeMap<Id, ObjectKey>,
    canaries: BTreeSet<ObjectKey>,
    /// Whether the lease is ours, and nothing that whoever had it before wrote is unknown.
    has_caught_up: bool,
}

impl Scheduler {
    /// Scheduler over no canary yet.
    pub(crate) fn new(operator: Arc<Operator>) -> Self {
        Self {
            operator,
            timetable: Timetable::default(),
            running: JoinSet::new(),
            telling: JoinSet::new(),
            names: BTreeMap::new(),
            canaries: BTreeSet::new(),
            has_caught_up: false,
        }
    }

    /// Goes on until `stop`, then lets the ticks that run come to their end.
    pub(crate) async fn go(
        mut self,
        mut changes: UnboundedReceiver<ObjectKey>,
        mut wishes: UnboundedReceiver<Wish>,
        stop: &CancellationToken,
    ) {
        let mut leading = self.operator.leadership.changes();
        let mut brake = self.operator.brake.changes();
        while !stop.is_cancelled() {
            self.operator.stores.vitals.goes_on();
            self.operator.leadership.announce();
            self.start_due();
            let pause = self.pause();
            tokio::select! {
                Some(key) = changes.recv() => self.changed(&key),
                Some((key, at)) = wishes.recv() => self.timetable.wake(&key, at),
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                Some(_) = self.telling.join_next() => {}
                Ok(()) = leading.changed() => {
                    let leads = *leading.borrow_and_update();
                    self.operator.telemetry.set("burgee_leader", &[], f64::from(u8::from(leads)));
                    self.has_caught_up = false;
                    self.operator.end_questions();
                    if leads {
                        self.catch_up(stop).await;
                        self.wake_all();
                    }
                }
                Ok(()) = brake.changed() => {
                    brake::follow::show(&self.operator);
                    self.wake_all();
                }
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Starts whoever is due, unless somebody else leads: then nothing is even looked at.
    fn start_due(&mut self) {
        if !self.operator.leadership.may_write() || !self.has_caught_up {
            return;
        }
        let free = CONCURRENT.saturating_sub(self.running.len());
        for key in self.timetable.start(clock::steady(), free) {
            let (operator, canary) = (self.operator.clone(), key.clone());
            let task = self.running.spawn(async move {
                let budgets = operator.clone();
                let _place = budgets.budgets.ticks.place(&canary).await;
                Box::pin(tick::tick(operator, canary)).await
            });
            self.names.insert(task.id(), key);
        }
    }

    /// Whoever wins the lease reads the canaries once more: its watch may be behind what the holder before it wrote last,
    /// and an old status would lead routes and autoscalers back to where that run was (I14).
    async fn catch_up(&mut self, stop: &CancellationToken) {
        let operator = &self.operator;
        let scopes = operator.stores.own_scopes(Kind::Canary);
        let lists = scopes.iter().map(|scope| watch::catch_up(&operator.cluster, &operator.stores, scope));
        let listing = futures::future::try_join_all(lists);
        let trouble = tokio::select! {
            listed = tokio::time::timeout(CATCHING_UP, listing) => match listed {
                Ok(listed) => listed.err().map(|error| error.to_string()),
                Err(_) => Some(format!("no answer within {} s", CATCHING_UP.as_secs())),
            },
            () = stop.cancelled() => return,
        };
        if let Some(trouble) = trouble {
            tracing::warn!("canaries could not be listed after the lease was won, the watch is believed: {trouble}");
        }
        self.has_caught_up = true;
    }

    fn pause(&self) -> Duration {
        let longest = HEARTBEAT;
        if !self.operator.leadership.may_write() {
            return LEASE_LOOK;
        }
        if self.running.len() >= CONCURRENT {
            return longest;
        }
        let due = self.timetable.next_due().map(|due| due.duration_since(clock::steady()));
        due.map_or(longest, |due| Duration::try_from(due).unwrap_or_default().min(longest))
    }

    fn ended(&mut self, ended: Result<(Id, Wake), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(key) = self.names.remove(&id) else { return };
        let next = match ended {
            Ok((_, next)) => next,
            Err(error) => self.panicked(&key, &error),
        };
        if self.operator.stores.is_gone(&key) {
            // What the tick noted of a canary that was deleted meanwhile goes with it.
            self.operator.forget(&key);
            self.timetable.finish(&key, Wake::OnChange);
            self.timetable.forget(&key);
        } else {
            self.timetable.finish(&key, next);
        }
    }

    /// One bad object never harms another canary (I15), nor does telling of it.
    fn panicked(&mut self, key: &ObjectKey, error: &JoinError) -> Wake {
        tracing::error!(canary = format!("{}.{}", key.name, key.namespace), "internal error: {error}");
        if let Some(Ok(canary)) = observe::canary(&self.operator, key) {
            self.operator.show(key, |telemetry| telemetry.panicked(&gauges::subject(&canary)));
            let pause = jiff::SignedDuration::try_from(AFTER_PANIC).unwrap_or_default();
            let context = TickContext::new(key, &canary, pause);
            let message = "internal error, the canary is looked at again in a minute; please report it".to_owned();
            let operator = self.operator.clone();
            self.telling.spawn(async move { tick::problem(&operator, &context, message).await });
        }
        Wake::At(after(AFTER_PANIC))
    }

    /// Wakes whoever is concerned by a change.
    fn changed(&mut self, key: &ObjectKey) {
        if key.kind == Kind::Canary && !key.name.is_empty() {
            self.canary_changed(key);
        }
        let readers = &self.operator.readers;
        let readers = if key.name.is_empty() { readers.of_kind(key) } else { readers.of(key) };
        for canary in readers {
            self.timetable.wake(&canary, after(DEBOUNCE));
        }
    }

    fn canary_changed(&mut self, key: &ObjectKey) {
        let exists = self.operator.stores.has(key);
        if exists {
            observe::enter(&self.operator, key);
            self.timetable.wake(key, after(DEBOUNCE));
            for rival in self.operator.stores.host_rivals(key) {
                self.timetable.wake(&rival, after(DEBOUNCE));
            }
        }
        let moved = if exists { self.canaries.insert(key.clone()) } else { self.canaries.remove(key) };
        if moved {
            self.operator.telemetry.totals(&crate::run::totals(&self.canaries));
            self.wake_rivals(key);
        }
        if !exists {
            self.timetable.forget(key);
            self.operator.forget(key);
        }
    }

    /// A canary that comes or goes may free or take what another one claims (S24).
    fn wake_rivals(&mut self, key: &ObjectKey) {
        for rival in self.operator.readers.beside(key) {
            self.timetable.wake(&rival, after(DEBOUNCE));
        }
    }

    /// Wakes every canary, spread over a moment: after winning the lease, and when the brake moved.
    fn wake_all(&mut self) {
        let over = spread(self.canaries.len());
        for canary in &self.canaries {
            self.timetable.wake(canary, after(over.mul_f64(fastrand::f64())));
        }
    }
}

/// Over which time so many canaries are looked at.
fn spread(canaries: usize) -> Duration {
    let canaries = u32::try_from(canaries).unwrap_or(u32::MAX);
    SPREAD.0.saturating_mul(canaries).min(SPREAD.1)
}

fn after(pause: Duration) -> Timestamp {
    let now = clock::steady();
    now.saturating_add(pause).unwrap_or(now)
}

#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod tests;
