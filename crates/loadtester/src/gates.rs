//! Gates that people open and close by hand, and canaries ask for. They are kept in memory: after a restart all are closed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use burgee_operator::lock::lock;

/// More open gates than this are none of a cluster's canaries.
const MOST: usize = 10_000;

/// The gates that are open.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<BTreeSet<String>>);

impl Gates {
    /// Whether there was room for one more.
    pub(crate) fn open(&self, key: String) -> bool {
        let mut open = lock(&self.0);
        let has_room = open.len() < MOST || open.contains(&key);
        if has_room {
            open.insert(key);
        }
        has_room
    }

    pub(crate) fn close(&self, key: &str) {
        lock(&self.0).remove(key);
    }

    pub(crate) fn is_open(&self, key: &str) -> bool {
        lock(&self.0).contains(key)
    }
}
