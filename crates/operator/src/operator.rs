//! What every part of the edge shares. It holds things and does nothing itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burgee_core::decide::{Tick, decide};
use burgee_core::plan::Plan;
use burgee_core::question::{Answers, Question};
use burgee_core::settings::Settings;
use burgee_core::world::ObjectKey;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::args::Notifier;
use crate::brake::Brake;
use crate::cluster::Cluster;
use crate::configs::Configs;
use crate::http::{Guard, Outside};
use crate::lead::Leadership;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::refusals::Doubts;
use crate::secrets::Secrets;
use crate::stores::Stores;
use crate::telemetry::Telemetry;

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

    /// What is remembered of a canary; made if there is nothing.
    pub fn memory(&self, canary: &ObjectKey) -> Arc<Mutex<Memory>> {
        lock(&self.memories).entry(canary.clone()).or_default().clone()
    }

    /// Whether a canary is there: what comes late for one that is gone makes no series (S19).
    pub fn exists(&self, canary: &ObjectKey) -> bool {
        self.stores.has(canary)
    }

    /// Forgets a canary that is gone, and takes its series off `/metrics`: all of its target's, unless another canary of
    /// the same target still shows them.
    pub fn forget(&self, canary: &ObjectKey) {
        let Some(memory) = lock(&self.memories).remove(canary) else { return };
        lock(&memory).end_questions();
        let Some(subject) = lock(&memory).subject.clone() else { return };
        let others: Vec<_> = lock(&self.memories).values().cloned().collect();
        if others.iter().any(|other| lock(other).subject.as_ref() == Some(&subject)) {
            self.telemetry.forget_canary(&subject, &canary.name);
        } else {
            self.telemetry.forget(&subject);
        }
    }

    /// Ends every question that is out: whoever leads now asks for itself.
    pub fn end_questions(&self) {
        let memories: Vec<_> = lock(&self.memories).values().cloned().collect();
        for memory in memories {
            lock(&memory).end_questions();
        }
    }

    /// Wishes for a tick. The receiver is gone only when the operator ends.
    pub fn wish(&self, canary: &ObjectKey, at: Timestamp) {
        let _ = self.wishes.send((canary.clone(), at));
    }
}

/// The content of a lock, whatever became of its last holder: a tick that panicked leaves nothing half done in here.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
