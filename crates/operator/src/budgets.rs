//! How much may be under way at the same time: what one namespace can write must cost the others nothing (I30). Whoever
//! finds no place waits for one; nobody is turned away. It asks nothing itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use burgee_core::world::ObjectKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// So many may be under way at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one canary.
    pub canary: usize,
    /// Of all canaries of a namespace.
    pub namespace: usize,
    /// Of all.
    pub total: usize,
}

/// Questions to metrics providers. Each takes five seconds at most, and an answer of 256 KiB: 6 MiB for a namespace.
pub const METRICS: Limits = Limits { canary: 8, namespace: 24, total: 96 };
/// Calls of webhooks. A hook that hangs keeps its place until its timeout, so there are more places: one slow hook must not
/// keep another one of the same canary from being asked. Of an answer 64 KiB are read: 8 MiB for a namespace.
pub const HOOKS: Limits = Limits { canary: 32, namespace: 128, total: 512 };
/// Letters that are being delivered, one of each canary.
pub const LETTERS: Limits = Limits { canary: 1, namespace: 16, total: 64 };

/// Looks at canaries. Each holds the objects that it looks at: three of 12 MiB at most, if somebody wants them so large.
pub const TICKS: Limits = Limits { canary: 1, namespace: 16, total: 64 };

/// The places of all kinds.
#[derive(Debug)]
pub struct Budgets {
    /// Of questions to metrics providers.
    pub metrics: Budget,
    /// Of calls of webhooks.
    pub hooks: Budget,
    /// Of letters.
    pub letters: Budget,
    /// Of ticks.
    pub ticks: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            metrics: Budget::new(METRICS),
            hooks: Budget::new(HOOKS),
            letters: Budget::new(LETTERS),
            ticks: Budget::new(TICKS),
        }
    }
}

impl Budgets {
    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { metrics, hooks, letters, ticks } = self;
        let places =
            [("metrics places", metrics), ("hook places", hooks), ("letter places", letters), ("tick places", ticks)];
        places.map(|(what, budget)| (what, budget.parts())).to_vec()
    }
}

/// The places of one kind of request.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    total: Arc<Semaphore>,
    /// Of namespaces and canaries as long as something of theirs is under way or waits.
    parts: Mutex<BTreeMap<(String, String), Weak<Semaphore>>>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    budget: &'a Budget,
    part: (String, String),
    /// In this order: who waits for a part must find that the whole is free.
    permits: Option<[OwnedSemaphorePermit; 3]>,
}

impl Budget {
    /// All places are free.
    pub fn new(limits: Limits) -> Self {
        Self { limits, total: Arc::new(Semaphore::new(limits.total)), parts: Mutex::default() }
    }

    /// Waits for a place. One of a canary that has used up its own waits for its own, and keeps nobody else from theirs.
    pub async fn place(&self, canary: &ObjectKey) -> Place<'_> {
        let part = (canary.namespace.clone(), canary.name.clone());
        let mut place = Place { budget: self, part, permits: None };
        let own = self.part(&place.part, self.limits.canary);
        let shared = self.part(&(canary.namespace.clone(), String::new()), self.limits.namespace);
        let mut permits = Vec::new();
        for semaphore in [own, shared, Arc::clone(&self.total)] {
            // None of them is ever closed.
            permits.extend(semaphore.acquire_owned().await);
        }
        place.permits = permits.try_into().ok();
        place
    }

    fn part(&self, part: &(String, String), most: usize) -> Arc<Semaphore> {
        let mut parts = lock(&self.parts);
        if let Some(known) = parts.get(part).and_then(Weak::upgrade) {
            return known;
        }
        let fresh = Arc::new(Semaphore::new(most));
        parts.insert(part.clone(), Arc::downgrade(&fresh));
        fresh
    }

    /// How many namespaces and canaries have something under way.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> usize {
        lock(&self.parts).len()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.permits.take());
        let whole = (self.part.0.clone(), String::new());
        let mut parts = lock(&self.budget.parts);
        for part in [&self.part, &whole] {
            if parts.get(part).is_some_and(|semaphore| semaphore.strong_count() == 0) {
                parts.remove(part);
            }
        }
    }
}

#[cfg(test)]
mod measured;

#[cfg(test)]
mod tests {
    use burgee_core::world::Kind;
    use futures::FutureExt;

    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Canary, namespace, name)
    }

    #[tokio::test]
    async fn a_canary_and_a_namespace_that_have_used_up_their_places_leave_the_others_theirs() {
        let budget = Budget::new(Limits { canary: 2, namespace: 3, total: 4 });
        let take = async |namespace: &str, name: &str| budget.place(&key(namespace, name)).now_or_never();
        let one = (take("a", "x").await, take("a", "x").await);
        assert!(one.0.is_some() && one.1.is_some());
        assert!(take("a", "x").await.is_none(), "the canary has two");
        let other = take("a", "y").await;
        assert!(other.is_some());
        assert!(take("a", "z").await.is_none(), "the namespace has three");
        let foreign = take("b", "x").await;
        assert!(foreign.is_some(), "another namespace is not concerned");
        assert!(take("c", "x").await.is_none(), "there are four in all");
        drop(one);
        assert!(take("a", "x").await.is_some());
        drop((other, foreign));
        assert_eq!(budget.parts(), 0, "nothing is remembered of who has nothing under way");
    }
}
