//! Letters on their way: event webhooks, chats, alerts. They go in order for each canary and receiver, with deadlines, and
//! delay no rollout (S17). What cannot be sent is logged.

mod delivery;
pub mod post;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burgee_api::{Address, Webhook};
use burgee_core::alert::{Alert, Destination};
use burgee_core::world::ObjectKey;

use crate::http::Aim;
use crate::lock::lock;

/// What may wait for one canary; beyond that the oldest is dropped.
const OF_CANARY: Waiting = Waiting { letters: 256, bytes: 2 << 20 };
/// What may wait for all canaries of a namespace, and for all; beyond that nothing new is taken.
const OF_NAMESPACE_BYTES: usize = 6 << 20;
const OF_ALL_BYTES: usize = 32 << 20;

/// A letter as it will be sent: the message and the address. It waits for as long as others do not answer, so it holds
/// nothing else of its canary.
#[derive(Debug)]
enum Letter {
    /// To a webhook. Its metadata stands in the payload.
    Hook { webhook: Webhook, payload: Box<str>, aim: Aim },
    /// To a chat, by way of a proxy if one is named.
    Chat { to: (Destination, Aim), proxy: Address, alert: Arc<Post>, failure: &'static str },
    /// To an alert provider, whose address may stand in a Secret, which is read when it is sent.
    Provider { key: ObjectKey, alert: Arc<Post> },
}

/// To whom a letter goes: what is slow to one delays nothing to another. It may hold an address, and is shown nowhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Lane(String);

impl fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lane")
    }
}

impl Letter {
    fn lane(&self) -> Lane {
        Lane(match self {
            Self::Hook { webhook, payload: _, aim: _ } => format!("hook {}", webhook.url.written()),
            Self::Chat { to: (to, _), proxy: _, alert: _, failure: _ } => format!("chat {}", to.address.written()),
            Self::Provider { key, alert: _ } => format!("provider {}/{}", key.namespace, key.name),
        })
    }

    /// How much it holds, about.
    fn bytes(&self) -> usize {
        let size = |alert: &Alert| {
            let fields = alert.fields.iter().map(|(name, value)| name.len() + value.len());
            alert.message.len() + fields.sum::<usize>()
        };
        size_of::<Self>()
            + match self {
                Self::Hook { webhook, payload, aim: _ } => webhook.url.written().len() + payload.len(),
                Self::Chat { to: (to, _), proxy: _, alert, failure: _ } => {
                    to.address.written().len() + size(&alert.alert)
                }
                Self::Provider { key: _, alert } => size(&alert.alert),
            }
    }
}

/// An alert for everybody who gets it. When the last letter of it is sent, or given up, it is due no longer.
#[derive(Debug)]
struct Post {
    alert: Alert,
    _receipt: Option<Receipt>,
}

/// Kept as long as something is being delivered. When it goes, the delivery is due no longer, and the next tick has the
/// status say so.
struct Receipt {
    settle: Option<Box<dyn FnOnce(Delivered) + Send + Sync>>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// Whoever got it has it, or it was given up.
    Over,
    /// Somebody ended it: it stays due.
    Not,
}

impl Receipt {
    fn of(settle: impl FnOnce(Delivered) + Send + Sync + 'static) -> Self {
        Self { settle: Some(Box::new(settle)) }
    }

    /// What was to be delivered stays due.
    fn give_back(mut self) {
        if let Some(settle) = self.settle.take() {
            settle(Delivered::Not);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Receipt")
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle(Delivered::Over);
        }
    }
}

/// When a letter that was not taken is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The first pause; each one is twice as long.
    pub(crate) first: Duration,
    /// The longest pause, unless the receiver asks for a longer one.
    pub(crate) longest: Duration,
    /// From the first attempt on; after that the letter is given up.
    pub(crate) patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_mins(1), patience: Duration::from_hours(1) }
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    letters: usize,
    bytes: usize,
}

/// The letters of one canary. A lane that is in the map has a task that delivers.
#[derive(Debug, Default)]
struct Queue {
    lanes: BTreeMap<Lane, VecDeque<Letter>>,
    /// Of those that wait, and of those that are being delivered.
    bytes: usize,
}

impl Queue {
    /// Takes the oldest letter of a lane out. Its bytes count until it is delivered. A lane without one is forgotten.
    fn next(&mut self, lane: &Lane, delivered: usize) -> Option<Letter> {
        self.bytes = self.bytes.saturating_sub(delivered);
        let next = self.lanes.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.lanes.remove(lane);
        }
        next
    }

    fn count(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }

    /// Drops the oldest letters of the longest lanes until no more waits than may. Answers how many.
    fn shrink(&mut self) -> usize {
        let before = self.count();
        while self.count() > OF_CANARY.letters || (self.bytes > OF_CANARY.bytes && self.count() > 1) {
            let longest = self.lanes.values_mut().max_by_key(|lane| lane.len());
            let oldest = longest.and_then(VecDeque::pop_front);
            self.bytes = self.bytes.saturating_sub(oldest.map_or(0, |letter| letter.bytes()));
        }
        before - self.count()
    }
}

/// The letters that wait, by canary.
#[derive(Debug, Default)]
pub struct Outbox {
    /// When a letter that was not taken is tried again.
    pub(crate) pace: Pace,
    /// Post-rollout hooks that are being called.
    calls: Arc<AtomicUsize>,
    queues: Mutex<BTreeMap<ObjectKey, Queue>>,
}

impl Outbox {
    /// Puts letters at the end of their lanes. Answers how many were dropped, and the lanes in which nobody delivers yet.
    fn put(&self, canary: &ObjectKey, letters: Vec<Letter>) -> (usize, Vec<Lane>) {
        let mut queues = lock(&self.queues);
        let bytes = |queues: &BTreeMap<ObjectKey, Queue>, is_in: &dyn Fn(&ObjectKey) -> bool| -> usize {
            queues.iter().filter(|(key, _)| is_in(key)).map(|(_, queue)| queue.bytes).sum()
        };
        let (mut dropped, mut idle) = (0, Vec::new());
        for letter in letters {
            let (size, lane) = (letter.bytes(), letter.lane());
            let of_namespace = bytes(&queues, &|key| key.namespace == canary.namespace);
            let is_full = of_namespace + size > OF_NAMESPACE_BYTES || bytes(&queues, &|_| true) + size > OF_ALL_BYTES;
            if is_full {
                dropped += 1;
                continue;
            }
            let queue = queues.entry(canary.clone()).or_default();
            if !queue.lanes.contains_key(&lane) {
                idle.push(lane.clone());
            }
            queue.bytes += size;
            queue.lanes.entry(lane).or_default().push_back(letter);
            dropped += queue.shrink();
        }
        (dropped, idle)
    }

    /// The next letter of a lane, after one of so many bytes was delivered. A canary without lanes is forgotten.
    fn next(&self, canary: &ObjectKey, lane: &Lane, delivered: usize) -> Option<Letter> {
        let mut queues = lock(&self.queues);
        let queue = queues.get_mut(canary)?;
        let next = queue.next(lane, delivered);
        if queue.lanes.is_empty() {
            queues.remove(canary);
        }
        next
    }

    /// Whether every letter has been delivered, and every hook that was due after a rollout called.
    fn is_empty(&self) -> bool {
        lock(&self.queues).is_empty() && self.calls.load(Ordering::SeqCst) == 0
    }

    /// Canaries for which something waits or is on its way.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { pace: _, calls, queues } = self;
        vec![("letters", lock(queues).len()), ("calls", calls.load(Ordering::SeqCst))]
    }
}
