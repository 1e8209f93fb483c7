//! Who looks at what, so that a change of an object wakes the canaries that read it. Whoever is about to look is entered
//! before it does: a change that comes while it is still looking must find it. It wakes nobody itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use burgee_core::world::ObjectKey;

use crate::configs::Configs;
use crate::lock::lock;
use crate::stores::Stores;

/// What canaries look at, and what is kept for them because they do.
#[derive(Debug, Default)]
pub struct Readers {
    index: Mutex<Index>,
}

/// By canary what it looks at, and by object who looks at it. Either follows from the other.
#[derive(Debug, Default)]
struct Index {
    reads: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    readers: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

/// Where objects are kept as long as somebody looks at them.
#[derive(Clone, Copy)]
pub struct Shelves<'a> {
    /// The objects.
    pub stores: &'a Stores,
    /// The checksums of ConfigMaps and Secrets.
    pub configs: &'a Configs,
}

impl Readers {
    /// From now on a canary looks at these objects as well, and they are kept whole.
    pub fn enter(&self, canary: &ObjectKey, objects: &[ObjectKey], shelves: Shelves<'_>) {
        let mut index = lock(&self.index);
        for object in objects {
            if index.readers.entry(object.clone()).or_default().insert(canary.clone()) {
                index.reads.entry(canary.clone()).or_default().insert(object.clone());
            }
        }
        shelves.stores.want(objects);
    }

    /// From now on a canary looks at these objects and at no other one. What nobody looks at any more is let go.
    pub fn settle(&self, canary: &ObjectKey, objects: &BTreeSet<ObjectKey>, shelves: Shelves<'_>) {
        let mut index = lock(&self.index);
        let Some(reads) = index.reads.get_mut(canary) else { return };
        let former: Vec<ObjectKey> = reads.difference(objects).cloned().collect();
        reads.retain(|read| objects.contains(read));
        if reads.is_empty() {
            index.reads.remove(canary);
        }
        for object in &former {
            let Some(readers) = index.readers.get_mut(object) else { continue };
            readers.remove(canary);
            if readers.is_empty() {
                index.readers.remove(object);
                // Under the lock, or somebody who enters at this moment would lose what it has just wanted.
                shelves.stores.unwant(object);
                shelves.configs.forget(object);
            }
        }
    }

    /// A canary looks at nothing any more.
    pub fn forget(&self, canary: &ObjectKey, shelves: Shelves<'_>) {
        self.settle(canary, &BTreeSet::new(), shelves);
    }

    /// Who looks at an object.
    pub fn of(&self, object: &ObjectKey) -> BTreeSet<ObjectKey> {
        lock(&self.index).readers.get(object).cloned().unwrap_or_default()
    }

    /// Who looks at any object of a kind, in one namespace or, if it is empty, in all.
    pub fn of_kind(&self, scope: &ObjectKey) -> BTreeSet<ObjectKey> {
        let index = lock(&self.index);
        let is_in = |read: &ObjectKey| {
            read.kind == scope.kind && (scope.namespace.is_empty() || read.namespace == scope.namespace)
        };
        index.readers.iter().filter(|(read, _)| is_in(read)).flat_map(|(_, readers)| readers).cloned().collect()
    }

    /// Who looks at something that this canary looks at.
    pub fn beside(&self, canary: &ObjectKey) -> BTreeSet<ObjectKey> {
        let index = lock(&self.index);
        let reads = index.reads.get(canary).into_iter().flatten();
        let all = reads.filter_map(|read| index.readers.get(read)).flatten();
        all.filter(|other| *other != canary).cloned().collect()
    }

    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { index } = self;
        let Index { reads, readers } = &*lock(index);
        vec![("reads", reads.len()), ("readers", readers.len())]
    }
}
