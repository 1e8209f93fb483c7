//! What the watches have seen, as compact JSON text by kind and name. It never goes back in time: an object is replaced
//! only by a newer version, and our own writes are entered at once, so that a tick always sees them (I14). Of an object
//! that no canary wants nothing is kept but that it is there; it is asked for when one does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use burgee_core::claims::Claim;
use burgee_core::settings::Settings;
use burgee_core::world::{Kind, ObjectKey, Rival};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::cluster::{ApiError, Cluster, Seen};
use crate::lock::lock;
use crate::sized::too_large;
use crate::supervise::supervise;
use crate::vitals::Vitals;
use crate::watch;
use kept::{config_text, meaning, uid_of};
pub(crate) use kept::{strip, version_of};
use size::verify_size;

mod incoming;
mod kept;

mod neighbours;
mod size;

/// So many objects that are gone are remembered of each watch, longer than any answer is on its way.
const GONE: usize = 256;

/// One watch: a kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// What is watched.
    pub kind: Kind,
    /// Where; none is everywhere.
    pub namespace: Option<String>,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = self.kind.names().3;
        match &self.namespace {
            Some(namespace) => write!(text, "{plural} in namespace {namespace}"),
            None => text.write_str(plural),
        }
    }
}

/// How far a watch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The first list has not come yet.
    Listing,
    /// The store is a consistent view of the past.
    Synced,
    /// A permission is missing; the text says which. Objects are read one by one instead.
    Forbidden(String),
    /// It cannot be watched at present, for example because the kind is not installed.
    Failing(String),
}

/// What is known of an object without asking.
#[derive(Clone, Debug)]
pub enum Look {
    /// As last seen.
    Present(Arc<Value>),
    /// There is none.
    Absent,
    /// The store may not know: ask the API server.
    Ask,
    /// It is not known; the text says why.
    Unknown(String),
}

#[derive(Debug)]
struct Stored {
    version: u64,
    uid: Box<str>,
    /// None as long as no canary wants it.
    json: Option<Arc<str>>,
    /// Hash of what of it can matter to a tick.
    meaning: u64,
    /// Of canaries: what it claims, so that rivals are found without reading all of them.
    claim: Option<Box<Claim>>,
    /// Of workloads: the labels of their pods, as JSON text.
    labels: Option<Box<str>>,
    /// Why it is not kept although it is wanted.
    refused: Option<Box<str>>,
}

impl Stored {
    /// The object as it is kept when it is wanted. Of a config that is who it is: nothing else of it is ever kept.
    fn whole(kind: Kind, object: &Value) -> Self {
        if kind.is_confidential() {
            return Self::outline(kind, object);
        }
        let claim = (kind == Kind::Canary).then(|| Box::new(Claim::of(object)));
        let json = match verify_size(object) {
            Ok(()) => object.to_string(),
            Err(_) if kind == Kind::Canary => size::cut(object.clone()).to_string(),
            Err(_) => return Self::refused(kind, object),
        };
        Self { json: Some(json.into()), claim, meaning: meaning(kind, object), ..Self::outline(kind, object) }
    }

    /// The same when nobody wants it.
    fn outline(kind: Kind, object: &Value) -> Self {
        let labels = neighbours::labels(kind, object);
        let (version, uid) = (version_of(object), uid_of(object).into());
        Self { version, uid, json: None, meaning: 0, claim: None, labels, refused: None }
    }

    /// The same when it is wanted and is too large to be read.
    fn refused(kind: Kind, object: &Value) -> Self {
        Self { refused: Some(too_large().into()), ..Self::outline(kind, object) }
    }

    /// Whether it says more than what is known.
    fn is_news(&self, known: &Self) -> bool {
        self.version > known.version || (self.version == known.version && self.json.is_some() && known.json.is_none())
    }
}

/// An object on its way into a store.
#[derive(Debug)]
pub(crate) struct Arrival {
    key: ObjectKey,
    stored: Stored,
}

#[derive(Debug)]
struct Store {
    progress: Progress,
    objects: BTreeMap<(String, String), Stored>,
    /// Uids of objects that we deleted: late watch events do not bring them back.
    deleted: BTreeSet<String>,
    /// Uids that a watch has shown to be gone, the last ones: an answer that was on its way brings none of them back.
    gone: VecDeque<Box<str>>,
    /// The newest version that a list or watch has shown.
    version: u64,
}

impl Store {
    const fn new() -> Self {
        Self {
            progress: Progress::Listing,
            objects: BTreeMap::new(),
            deleted: BTreeSet::new(),
            gone: VecDeque::new(),
            version: 0,
        }
    }

    /// Enters an object if it is newer than what is known. Answers whether anything that matters has changed; of one that
    /// nobody wants, that is not known.
    fn apply(&mut self, arrival: Arrival) -> bool {
        let Arrival { key, stored } = arrival;
        let place = (key.namespace, key.name);
        let known = self.objects.get(&place);
        let is_gone = self.deleted.contains(&*stored.uid) || self.gone.contains(&stored.uid);
        if is_gone || known.is_some_and(|known| !stored.is_news(known)) {
            return false;
        }
        let changed = known.is_none_or(|known| stored.json.is_none() || known.meaning != stored.meaning);
        self.objects.insert(place, stored);
        changed
    }

    /// An object is gone, and its uid never comes back.
    fn forget(&mut self, uid: &str) {
        self.deleted.remove(uid);
        if !uid.is_empty() {
            self.gone.push_back(uid.into());
        }
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }

    /// What we deleted and a list does not show any more is gone: the watch that would have said so was cut off.
    fn settle_deletions(&mut self, arrivals: &[Arrival]) {
        let is_shown = |uid: &String| arrivals.iter().any(|arrival| *arrival.stored.uid == **uid);
        let over: Vec<String> = self.deleted.iter().filter(|uid| !is_shown(uid)).cloned().collect();
        for uid in over {
            self.forget(&uid);
        }
    }

    /// Removes an object unless a newer one has taken its name.
    fn remove(&mut self, key: &ObjectKey, version: u64, uid: &str) -> bool {
        self.forget(uid);
        let place = (key.namespace.clone(), key.name.clone());
        let is_older = self.objects.get(&place).is_some_and(|known| *known.uid == *uid || known.version <= version);
        is_older && self.objects.remove(&place).is_some()
    }
}

/// The stores of all kinds that some canary needs.
pub struct Stores {
    /// When each watch was heard.
    pub vitals: Arc<Vitals>,
    /// Of `-namespace`; none is everywhere.
    namespaces: BTreeSet<String>,
    by_scope: Mutex<BTreeMap<Scope, Store>>,
    /// What canaries look at.
    wanted: Mutex<BTreeSet<ObjectKey>>,
    news: Notify,
    changes: mpsc::UnboundedSender<ObjectKey>,
}

impl Stores {
    /// Empty stores, limited to the namespaces of `-namespace` if there are any; changed keys go to `changes`.
    pub fn new(namespaces: BTreeSet<String>, changes: mpsc::UnboundedSender<ObjectKey>) -> Arc<Self> {
        Arc::new(Self {
            vitals: Arc::default(),
            namespaces,
            by_scope: Mutex::default(),
            wanted: Mutex::default(),
            news: Notify::new(),
            changes,
        })
    }

    /// The watch that covers an object: one for each kind. One for each namespace would take a connection for each, and
    /// a request for each about every minute, while of a config that nobody wants no more is kept than its name. With
    /// `-namespace` it is one for each namespace: a Role permits no list over all of them.
    pub fn scope(&self, key: &ObjectKey) -> Scope {
        Scope { kind: key.kind, namespace: (!self.namespaces.is_empty()).then(|| key.namespace.clone()) }
    }

    /// The watches that show every canary, template or alert provider there is.
    pub fn own_scopes(&self, kind: Kind) -> Vec<Scope> {
        if self.namespaces.is_empty() {
            return vec![Scope { kind, namespace: None }];
        }
        self.namespaces.iter().map(|namespace| Scope { kind, namespace: Some(namespace.clone()) }).collect()
    }

    /// Starts the watch if nobody needs it so far.
    pub fn start(self: &Arc<Self>, cluster: &Cluster, scope: &Scope) {
        let mut stores = self.lock();
        if !stores.contains_key(scope) {
            stores.insert(scope.clone(), Store::new());
            let (cluster, stores, scope) = (cluster.clone(), self.clone(), scope.clone());
            let follow = move || watch::follow(cluster.clone(), stores.clone(), scope.clone());
            tokio::spawn(supervise(self.vitals.clone(), "watch", follow));
        }
    }

    /// Ends a watch that nobody needs any more, with what it has shown. Answers whether it did. Our own kinds are needed as
    /// long as the program runs.
    pub(crate) fn retire(&self, scope: &Scope) -> bool {
        let mut stores = self.lock();
        let is_own = is_our_own(scope.kind) && self.own_scopes(scope.kind).contains(scope);
        let is_needed = is_own || lock(&self.wanted).iter().any(|key| self.scope(key) == *scope);
        if !is_needed {
            stores.remove(scope);
            self.vitals.end(&scope.to_string());
        }
        !is_needed
    }

    /// From now on these objects are kept whole.
    pub fn want<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) {
        let mut wanted = lock(&self.wanted);
        for key in keys {
            if !wanted.contains(key) {
                wanted.insert(key.clone());
            }
        }
    }

    /// Nobody looks at this object any more.
    pub fn unwant(&self, key: &ObjectKey) {
        lock(&self.wanted).remove(key);
        let scope = self.scope(key);
        if let Some(store) = self.lock().get_mut(&scope)
            && !self.is_whole(key)
            && let Some(stored) = store.objects.get_mut(&(key.namespace.clone(), key.name.clone()))
        {
            stored.json = None;
        }
    }

    /// Whether an object is kept whole. Our own kinds always are, and configs are never more than their names.
    fn is_whole(&self, key: &ObjectKey) -> bool {
        is_our_own(key.kind) || lock(&self.wanted).contains(key)
    }

    /// What is to be kept of an object; none if it is of no known kind.
    pub(crate) fn arrival(&self, kind: Kind, object: Value) -> Option<Arrival> {
        let object = strip(kind, object);
        let key = ObjectKey::of(&object)?;
        let stored = if self.is_whole(&key) { Stored::whole(kind, &object) } else { Stored::outline(kind, &object) };
        Some(Arrival { key, stored })
    }

    /// What is known of an object. Waits for the first list of its kind, but not for ever. One that nobody has wanted
    /// before is asked for; whoever wants to be woken by it says so first ([`crate::readers::Readers::enter`]), and a look
    /// for a canary that is gone makes nobody want anything (I31).
    pub async fn look(self: &Arc<Self>, cluster: &Cluster, key: &ObjectKey) -> Look {
        let scope = self.scope(key);
        self.start(cluster, &scope);
        if tokio::time::timeout(cluster.deadlines.first_list, self.listed(&scope)).await.is_err() {
            return Look::Unknown(format!("{} could not be listed yet", scope.kind.names().3));
        }
        let known = self.peek(key);
        if matches!(known, Look::Ask) && self.progress(&scope) == Some(Progress::Synced) {
            return self.fetch(cluster, key).await;
        }
        known
    }

    async fn fetch(&self, cluster: &Cluster, key: &ObjectKey) -> Look {
        match cluster.look(key).await {
            Ok(Some(Seen::Whole(object))) => {
                self.wrote(key, &object);
                Look::Present(Arc::new(strip(key.kind, object)))
            }
            Ok(Some(Seen::TooLarge(outline))) => {
                let scope = self.scope(key);
                self.enter(&scope, Arrival { key: key.clone(), stored: Stored::refused(key.kind, &outline) });
                Look::Unknown(format!("{key} {}", too_large()))
            }
            Ok(None) => Look::Absent,
            Err(error) => Look::Unknown(format!("{key} get query error: {error}")),
        }
    }

    /// Reads an object anew after a write has shown that it is not what is known of it: its watch may be late. What is
    /// newer is entered, and wakes whoever looks at it, because the watch will have nothing new to tell.
    pub async fn renew(&self, cluster: &Cluster, key: &ObjectKey) {
        let scope = self.scope(key);
        // What no store answers for is asked for by each tick anyway.
        if self.progress(&scope) != Some(Progress::Synced) {
            return;
        }
        let known = self.uid(key);
        match cluster.find(key).await {
            Ok(object) => self.shown(&scope, object),
            Err(ApiError::Missing(message)) if is_gone(key, &message) => {
                if known.is_some_and(|uid| self.take_out(key, &uid)) {
                    self.tell(key.clone());
                }
            }
            Err(error) => tracing::debug!("{key} get query error: {error}"),
        }
    }

    /// Returns when the first list of a kind has come or failed.
    pub async fn listed(&self, scope: &Scope) {
        loop {
            let news = self.news.notified();
            if self.progress(scope).is_some_and(|progress| progress != Progress::Listing) {
                return;
            }
            news.await;
        }
    }

    /// What is known of an object right now.
    pub fn peek(&self, key: &ObjectKey) -> Look {
        match self.text(key) {
            Ok(Some(json)) => match serde_json::from_str(&json) {
                Ok(object) => Look::Present(Arc::new(object)),
                Err(error) => Look::Unknown(format!("stored object cannot be read: {error}")),
            },
            Ok(None) => Look::Absent,
            Err(look) => look,
        }
    }

    /// What is known of an object right now, as what it means; none if it is not known to be there.
    pub fn read<T>(&self, key: &ObjectKey, meaning: impl FnOnce(&str) -> T) -> Option<T> {
        self.text(key).ok().flatten().map(|json| meaning(&json))
    }

    /// Whether an object is known to be there.
    pub fn has(&self, key: &ObjectKey) -> bool {
        matches!(self.text(key), Ok(Some(_)))
    }

    /// Whether an object is known not to be there.
    pub fn is_gone(&self, key: &ObjectKey) -> bool {
        matches!(self.text(key), Ok(None))
    }

    /// The text of an object, or none if there is none. The error is what it looks like when that is not known.
    fn text(&self, key: &ObjectKey) -> Result<Option<Arc<str>>, Look> {
        let scope = self.scope(key);
        let stores = self.lock();
        let store = stores.get(&scope).ok_or(Look::Ask)?;
        match &store.progress {
            Progress::Synced => match store.objects.get(&(key.namespace.clone(), key.name.clone())) {
                Some(object) if key.kind.is_confidential() => Ok(Some(config_text(key, object))),
                Some(Stored { json: Some(json), .. }) => Ok(Some(json.clone())),
                Some(Stored { refused: Some(reason), .. }) => Err(Look::Unknown(format!("{key} {reason}"))),
                Some(_) => Err(Look::Ask),
                None => Ok(None),
            },
            Progress::Forbidden(_) => Err(Look::Ask),
            Progress::Failing(reason) => Err(Look::Unknown(reason.clone())),
            Progress::Listing => Err(Look::Unknown(format!("{} have not been listed yet", key.kind.names().3))),
        }
    }

    /// The older canary that claims the same as this one, if there is one (S24).
    pub fn rival(&self, canary: &ObjectKey, settings: &Settings) -> Option<Rival> {
        let stores = self.lock();
        let objects = &stores.get(&self.scope(canary))?.objects;
        let own = objects.get(&(canary.namespace.clone(), canary.name.clone()))?.claim.as_deref()?;
        let all = stores.iter().filter(|(scope, _)| scope.kind == Kind::Canary).flat_map(|(_, store)| &store.objects);
        own.rival(all.filter_map(|(_, stored)| stored.claim.as_deref()), settings)
    }

    /// The canaries of other namespaces that claim a host which this one claims (S29).
    pub fn host_rivals(&self, canary: &ObjectKey) -> Vec<ObjectKey> {
        let stores = self.lock();
        let place = (canary.namespace.clone(), canary.name.clone());
        let own = stores.get(&self.scope(canary)).and_then(|store| store.objects.get(&place)?.claim.as_deref());
        let Some(own) = own else { return Vec::new() };
        let all = stores.iter().filter(|(scope, _)| scope.kind == Kind::Canary).flat_map(|(_, store)| &store.objects);
        let meets = |stored: &Stored| stored.claim.as_deref().is_some_and(|claim| own.meets_elsewhere(claim));
        let rivals = all.filter(|(_, stored)| meets(stored));
        rivals.map(|((namespace, name), _)| ObjectKey::new(Kind::Canary, namespace, name)).collect()
    }

    /// Every canary that is known.
    pub fn canaries(&self) -> Vec<ObjectKey> {
        let stores = self.lock();
        let canaries = stores.iter().filter(|(scope, _)| scope.kind == Kind::Canary);
        let places = canaries.flat_map(|(_, store)| store.objects.keys());
        places.map(|(namespace, name)| ObjectKey::new(Kind::Canary, namespace, name)).collect()
    }

    /// Which permission is missing to watch an object of this kind, if one is.
    pub fn forbidden(&self, key: &ObjectKey) -> Option<String> {
        match self.progress(&self.scope(key))? {
            Progress::Forbidden(text) => Some(text),
            Progress::Listing | Progress::Synced | Progress::Failing(_) => None,
        }
    }

    /// How far a watch has come; none if it was never started.
    pub fn progress(&self, scope: &Scope) -> Option<Progress> {
        self.lock().get(scope).map(|store| store.progress.clone())
    }

    /// Enters the object that a write of ours returned. It wakes nobody.
    pub fn wrote(&self, key: &ObjectKey, object: &Value) {
        let scope = self.scope(key);
        if self.progress(&scope).is_some() {
            self.arrival(scope.kind, object.clone()).and_then(|arrival| self.enter(&scope, arrival));
        }
    }

    /// Enters an object if it is newer than what is known. Answers its key if anything that matters has changed.
    fn enter(&self, scope: &Scope, arrival: Arrival) -> Option<ObjectKey> {
        let key = arrival.key.clone();
        self.lock().get_mut(scope)?.apply(arrival).then_some(key)
    }

    /// Notes that we deleted an object.
    pub fn deleted(&self, key: &ObjectKey, uid: &str) {
        self.take_out(key, uid);
    }

    /// Takes out an object that is gone, if it is still the one that is known. Answers whether it was.
    fn take_out(&self, key: &ObjectKey, uid: &str) -> bool {
        let (scope, place) = (self.scope(key), (key.namespace.clone(), key.name.clone()));
        let mut stores = self.lock();
        let Some(store) = stores.get_mut(&scope) else { return false };
        let is_known = store.objects.get(&place).is_some_and(|known| *known.uid == *uid);
        if is_known {
            store.objects.remove(&place);
            store.deleted.insert(uid.to_owned());
        }
        is_known
    }

    /// The uid of an object as it is known.
    fn uid(&self, key: &ObjectKey) -> Option<Box<str>> {
        let stores = self.lock();
        let objects = &stores.get(&self.scope(key))?.objects;
        objects.get(&(key.namespace.clone(), key.name.clone())).map(|known| known.uid.clone())
    }

    /// Takes in a complete list. What we wrote after the list was taken stays, unless the list shows that the cluster
    /// itself has gone back in time.
    pub(crate) fn listing(&self, scope: &Scope, version: u64, arrivals: Vec<Arrival>) {
        let mut changed = Vec::new();
        if let Some(store) = self.lock().get_mut(scope) {
            let restored = version < store.version;
            if restored {
                // What was gone may be there again.
                store.gone.clear();
                store.deleted.clear();
            }
            store.settle_deletions(&arrivals);
            let was_blind = matches!(store.progress, Progress::Failing(_) | Progress::Forbidden(_));
            let mut left: BTreeMap<_, _> = std::mem::take(&mut store.objects);
            for arrival in arrivals {
                let key = arrival.key.clone();
                let place = (key.namespace.clone(), key.name.clone());
                if let Some(known) = left.remove(&place).filter(|_| !restored) {
                    store.objects.insert(place, known);
                }
                if store.apply(arrival) {
                    changed.push(key);
                }
            }
            for ((namespace, name), stored) in left {
                if stored.version > version && !restored {
                    store.objects.insert((namespace, name), stored);
                } else {
                    changed.push(ObjectKey::new(scope.kind, &namespace, &name));
                }
            }
            if was_blind {
                // Whoever looked meanwhile saw nothing, and nothing else would wake it.
                let all = store.objects.keys();
                changed.extend(all.map(|(namespace, name)| ObjectKey::new(scope.kind, namespace, name)));
                changed.push(whole_kind(scope));
            }
            store.version = version;
            store.progress = Progress::Synced;
        }
        self.news.notify_waiters();
        for key in changed {
            self.tell(key);
        }
    }

    /// Notes how far a watch has come. Whoever reads the kind is woken by the key with an empty name.
    pub(crate) fn report(&self, scope: &Scope, progress: Progress) {
        let moved = self.lock().get_mut(scope).is_some_and(|store| {
            let moved = store.progress != progress;
            store.progress = progress;
            moved
        });
        self.news.notify_waiters();
        if moved {
            self.tell(whole_kind(scope));
        }
    }

    fn tell(&self, key: ObjectKey) {
        // The receiver is gone only when the operator ends.
        let _ = self.changes.send(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Scope, Store>> {
        lock(&self.by_scope)
    }
}

/// Whether a watch event takes the object away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It was added or modified.
    No,
    /// It is gone.
    Yes,
}

const fn is_our_own(kind: Kind) -> bool {
    matches!(kind, Kind::Canary | Kind::MetricTemplate | Kind::AlertProvider)
}

/// The key that wakes whoever reads anything of a scope.
fn whole_kind(scope: &Scope) -> ObjectKey {
    ObjectKey::new(scope.kind, scope.namespace.as_deref().unwrap_or_default(), "")
}

/// Whether an answer 404 speaks of the object. An API server that has just started answers so for whole kinds of custom
/// resources, which it does not know yet.
fn is_gone(key: &ObjectKey, message: &str) -> bool {
    message.contains(&format!("{:?} not found", key.name))
}

#[cfg(test)]
mod tests;
