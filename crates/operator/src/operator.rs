//! What every part of the edge shares. It holds things and does nothing itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burgee_core::decide::{Tick, decide};
use burgee_core::plan::Plan;
use burgee_core::question::{Answers, Question};
use burgee_core::settings::Settings;
use burgee_core::world::ObjectKey;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::args::Notifier;
use crate::brake::Brake;
use crate::budgets::Budgets;
use crate::cluster::Cluster;
use crate::configs::Configs;
use crate::http::{Guard, Outside};
use crate::lead::Leadership;
use crate::lock::lock;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::readers::{Readers, Shelves};
use crate::refusals::Doubts;
use crate::secrets::Secrets;
use crate::stores::Stores;
use crate::telemetry::{Subject, Telemetry};

/// A canary that wants a tick, and when.
pub type Wish = (ObjectKey, Timestamp);

/// What makes a decision of what was seen: [`decide`], or in a test one that fails.
pub type Decide = fn(&Tick, &Answers) -> Result<Plan, Question>;

/// The operator: what every part of the edge shares.
pub struct Operator {
    /// The API server.
    pub cluster: Cluster,
    /// What the watches have seen.
    pub stores: Arc<Stores>,
    /// Checksums of ConfigMaps and Secrets.
    pub configs: Configs,
    /// Who looks at what.
    pub readers: Readers,
    /// What decisions depend on, as far as the command line says it.
    pub settings: Settings,
    /// What else may pause new runs.
    pub brake: Brake,
    /// Where alerts and events go when a canary does not say.
    pub notifier: Notifier,
    /// The numbers.
    pub telemetry: Arc<Telemetry>,
    /// Whether this process may write.
    pub leadership: Arc<Leadership>,
    /// Whether the definitions keep what has to be remembered.
    pub definitions: crate::crds::Guard,
    /// Credentials of providers.
    pub(crate) secrets: Secrets,
    /// Writes that the API server refuses at present.
    pub(crate) doubts: Doubts,
    /// Webhooks, providers, chats.
    pub outside: Outside,
    /// Letters on their way to webhooks and chats.
    pub outbox: Outbox,
    /// How many questions and letters may be under way.
    pub budgets: Budgets,
    /// Canaries that want a tick.
    pub wishes: mpsc::UnboundedSender<Wish>,
    /// What decides.
    pub decide: Decide,
    memories: Mutex<BTreeMap<ObjectKey, Arc<Mutex<Memory>>>>,
}

/// What an operator is made of.
pub struct Parts {
    /// The API server.
    pub cluster: Cluster,
    /// What the watches have seen.
    pub stores: Arc<Stores>,
    /// What decisions depend on.
    pub settings: Settings,
    /// Where alerts and events go when a canary does not say.
    pub notifier: Notifier,
    /// Where objects may aim requests.
    pub guard: Guard,
    /// Canaries that want a tick.
    pub wishes: mpsc::UnboundedSender<Wish>,
}

impl Operator {
    /// An operator that has seen and told nothing yet. The error says why no HTTP client can be had.
    pub fn new(parts: Parts) -> Result<Self, String> {
        let Parts { cluster, stores, settings, notifier, guard, wishes } = parts;
        Ok(Self {
            cluster,
            stores,
            configs: Configs::default(),
            readers: Readers::default(),
            settings,
            brake: Brake::default(),
            notifier,
            telemetry: Arc::default(),
            leadership: Arc::default(),
            definitions: crate::crds::Guard::default(),
            secrets: Secrets::default(),
            doubts: Doubts::default(),
            outside: Outside::new(guard).map_err(|error| error.to_string())?,
            outbox: Outbox::default(),
            budgets: Budgets::default(),
            wishes,
            decide,
            memories: Mutex::default(),
        })
    }

    /// What decisions depend on now.
    pub fn settings_now(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.pause_new_runs |= self.brake.is_on();
        settings
    }

    /// From now on a canary looks at these objects: a change of one of them wakes it, and they are kept.
    pub fn reads(&self, canary: &ObjectKey, objects: &[ObjectKey]) {
        self.readers.enter(canary, objects, self.shelves());
    }

    /// Where what canaries look at is kept.
    pub fn shelves(&self) -> Shelves<'_> {
        Shelves { stores: &self.stores, configs: &self.configs }
    }

    /// What is remembered of a canary; made if there is nothing. Of one that is known to be gone nothing is remembered for
    /// longer than whoever asks needs it: a tick that ends after the deletion brings nothing back (I31).
    pub fn memory(&self, canary: &ObjectKey) -> Arc<Mutex<Memory>> {
        let mut memories = lock(&self.memories);
        if let Some(memory) = memories.get(canary) {
            return memory.clone();
        }
        let memory = Arc::default();
        if !self.stores.is_gone(canary) {
            memories.insert(canary.clone(), Arc::clone(&memory));
        }
        memory
    }

    /// Whether a canary is there: what comes late for one that is gone makes no series (S19).
    pub fn exists(&self, canary: &ObjectKey) -> bool {
        self.stores.has(canary)
    }

    /// Shows something of a canary on `/metrics`, unless it is gone (S19).
    pub fn show(&self, canary: &ObjectKey, show: impl FnOnce(&Telemetry)) {
        let memories = lock(&self.memories);
        // Under the lock, or what is shown while the canary is forgotten would stay.
        if memories.contains_key(canary) {
            show(&self.telemetry);
        }
    }

    /// Notes who a canary is before it is looked at. One of the same name that was made anew begins without memories, and
    /// the series of a target that it has no longer go.
    pub fn meet(&self, canary: &ObjectKey, uid: &str, subject: &Subject) {
        let memory = self.memory(canary);
        let (former, is_another) = {
            let mut memory = lock(&memory);
            let is_another = memory.uid.as_deref().is_some_and(|known| known != uid);
            memory.uid = Some(uid.to_owned());
            (memory.subject.replace(subject.clone()), is_another)
        };
        let mut memories = lock(&self.memories);
        if is_another {
            lock(&memory).end_questions();
            let mut fresh = Memory::default();
            (fresh.uid, fresh.subject) = (Some(uid.to_owned()), Some(subject.clone()));
            memories.entry(canary.clone()).and_modify(|known| *known = Arc::new(Mutex::new(fresh)));
        }
        if let Some(former) = former.filter(|former| is_another || former != subject) {
            self.telemetry.forget(&former);
        }
    }

    /// Forgets a canary that is gone, once and for all (I31).
    pub fn forget(&self, canary: &ObjectKey) {
        self.readers.forget(canary, self.shelves());
        self.secrets.sweep();
        self.doubts.forget(&canary.namespace);
        let mut memories = lock(&self.memories);
        let memory = memories.remove(canary);
        if let Some(memory) = &memory {
            lock(memory).end_questions();
        }
        if let Some(subject) = memory.and_then(|memory| lock(&memory).subject.clone()) {
            self.telemetry.forget(&subject);
        }
    }

    /// How much is remembered, by what: a test compares it before and after. Whoever adds a field says here what becomes of
    /// it (I31).
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> BTreeMap<&'static str, usize> {
        let Self {
            cluster: _,
            stores,
            configs,
            readers,
            settings: _,
            brake: _,
            notifier: _,
            telemetry,
            leadership: _,
            definitions: _,
            secrets,
            doubts,
            outside: _,
            outbox,
            budgets,
            wishes: _,
            decide: _,
            memories,
        } = self;
        let parts = [
            stores.sizes(),
            configs.sizes(),
            readers.sizes(),
            telemetry.sizes(),
            secrets.sizes(),
            doubts.sizes(),
            outbox.sizes(),
            budgets.sizes(),
            vec![("memories", lock(memories).len())],
        ];
        parts.into_iter().flatten().collect()
    }

    /// Ends every question that is out: whoever leads now asks for itself.
    pub fn end_questions(&self) {
        let memories: Vec<_> = lock(&self.memories).values().cloned().collect();
        for memory in memories {
            lock(&memory).end_questions();
        }
    }

    /// Something was done for a canary that may be gone by now: then what it used is let go once more.
    pub fn sweep_after(&self, canary: &ObjectKey) {
        if self.stores.is_gone(canary) {
            self.secrets.sweep();
        }
    }

    /// Wishes for a tick. The receiver is gone only when the operator ends.
    pub fn wish(&self, canary: &ObjectKey, at: Timestamp) {
        let _ = self.wishes.send((canary.clone(), at));
    }
}
