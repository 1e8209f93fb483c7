//! The server as tests see it: what is stored in it, what it is to do wrong, and what was asked of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::address::Address;
use crate::faults::{Fault, Faults, Requests, Times};
use crate::objects::Objects;
use crate::seen::{Seen, Verb};
use crate::serve;
use crate::wire::{Answer, Stream};

/// The real server sends bookmarks about so often.
const BOOKMARKS: Duration = Duration::from_mins(1);

/// Answers what the server would not answer by itself; none leaves it to the server.
pub(crate) type Script = Box<dyn Fn(&Seen) -> Option<Answer> + Send + Sync>;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) objects: Mutex<Objects>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// Plural names that nobody knows.
    pub(crate) unknown: Mutex<BTreeSet<String>>,
    /// Namespaces that end and take nothing new.
    pub(crate) ending: Mutex<BTreeSet<String>>,
    pub(crate) script: Script,
    pub(crate) bookmarks: Mutex<Duration>,
    /// The newest version, for whoever watches.
    pub(crate) news: watch::Sender<u64>,
    /// Connections with a smaller number than the first have fallen silent; with a smaller one than the second they end.
    pub(crate) silenced: watch::Sender<(usize, usize)>,
    pub(crate) accepted: AtomicUsize,
    pub(crate) connections: watch::Sender<usize>,
    pub(crate) watches: watch::Sender<usize>,
}

/// The server. It stops when the last handle is dropped.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.silenced.send_modify(|silenced| silenced.1 = usize::MAX);
    }
}

impl ApiServer {
    /// An empty server on the loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_with(|_| None).await
    }

    /// A server that answers by itself only what the script leaves to it.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_with(script: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            faults: Mutex::default(),
            seen: Mutex::default(),
            unknown: Mutex::default(),
            ending: Mutex::default(),
            script: Box::new(script),
            bookmarks: Mutex::new(BOOKMARKS),
            news: watch::Sender::new(0),
            silenced: watch::Sender::new((0, 0)),
            accepted: AtomicUsize::new(0),
            connections: watch::Sender::new(0),
            watches: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves a connection that was accepted elsewhere, for example one with TLS, until it ends.
    pub fn attend(&self, stream: impl Stream) -> impl Future<Output = ()> + Send + 'static {
        serve::attend(self.shared.clone(), stream)
    }

    /// Stores an object as it is, as somebody else would; its status too. Answers it as it is stored.
    pub fn put(&self, object: Value) -> Value {
        let address = collection(&object);
        let stored = lock(&self.shared.objects).seed(&address, object);
        self.shared.tell();
        stored
    }

    /// Deletes an object as somebody else would: what has finalizers is only marked. Answers whether it was there.
    pub fn remove(&self, path: &str) -> bool {
        let Some(address) = Address::parse(path) else { return false };
        let removed = lock(&self.shared.objects).delete(&address, &Value::Null).is_ok();
        self.shared.tell();
        removed
    }

    /// An object by its path, as it is stored.
    pub fn object(&self, path: &str) -> Option<Value> {
        lock(&self.shared.objects).read(&Address::parse(path)?)
    }

    /// Forgets what happened so far, so that whoever watches from before must list again (410).
    pub fn compact(&self) {
        lock(&self.shared.objects).compact();
    }

    /// From now on a kind is not installed.
    pub fn uninstall(&self, plural: &str) {
        lock(&self.shared.unknown).insert(plural.to_owned());
    }

    /// A kind that was not installed is.
    pub fn install(&self, plural: &str) {
        lock(&self.shared.unknown).remove(plural);
    }

    /// A namespace is being deleted: nothing can be created in it.
    pub fn end_namespace(&self, namespace: &str) {
        lock(&self.shared.ending).insert(namespace.to_owned());
    }

    /// How often watches get a bookmark: once a minute unless told.
    pub fn bookmark_every(&self, pause: Duration) {
        *lock(&self.shared.bookmarks) = pause;
    }

    /// Lets the requests of a kind go wrong.
    pub fn trouble(&self, requests: Requests, fault: Fault, times: Times) {
        lock(&self.shared.faults).add(requests, fault, times);
    }

    /// All trouble is over; what hangs goes on hanging.
    pub fn peace(&self) {
        lock(&self.shared.faults).end();
    }

    /// Connections that are open now never send anything again, as behind a firewall that has forgotten them.
    pub fn silence(&self) {
        let accepted = self.shared.accepted.load(Ordering::SeqCst);
        self.shared.silenced.send_modify(|silenced| silenced.0 = accepted);
    }

    /// Connections that are open now end.
    pub fn cut(&self) {
        let accepted = self.shared.accepted.load(Ordering::SeqCst);
        self.shared.silenced.send_modify(|silenced| silenced.1 = accepted);
    }

    /// Every request so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, requests: &Requests) -> usize {
        lock(&self.shared.seen).iter().filter(|seen| requests.hold(seen)).count()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        *self.shared.watches.borrow()
    }

    /// Tells whenever the number of open connections changes.
    pub fn connection_changes(&self) -> watch::Receiver<usize> {
        self.shared.connections.subscribe()
    }

    /// Tells whenever the number of open watches changes.
    pub fn watch_changes(&self) -> watch::Receiver<usize> {
        self.shared.watches.subscribe()
    }

    /// Returns when so many requests of a kind have come, all since the start.
    pub async fn asked(&self, requests: &Requests, times: usize) {
        let mut news = self.shared.news.subscribe();
        while self.count(requests) < times {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// The version of the newest change.
    pub fn version(&self) -> u64 {
        lock(&self.shared.objects).version()
    }
}

impl Shared {
    /// Tells whoever waits that something happened.
    pub(crate) fn tell(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    /// Notes a request.
    pub(crate) fn note(&self, seen: &Seen) {
        lock(&self.seen).push(seen.clone());
        self.tell();
    }

    /// What an ending namespace says to whoever creates something in it.
    pub(crate) fn is_ending(&self, seen: &Seen) -> Option<String> {
        let namespace = seen.address.as_ref()?.namespace.clone()?;
        (seen.verb == Verb::Create && lock(&self.ending).contains(&namespace)).then_some(namespace)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve::attend(shared.clone(), stream));
    }
}

/// Where an object belongs, by what it says of itself.
fn collection(object: &Value) -> Address {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
    let (group, version) = (group.to_owned(), version.to_owned());
    Address { group, version, namespace, plural: plural(&text(&object["kind"])), ..Address::default() }
}

/// The plural name of a kind, by the rules of English.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(start) if !start.ends_with('a') => format!("{start}ies"),
        Some(_) | None if kind.ends_with('s') => format!("{kind}es"),
        Some(_) | None => format!("{kind}s"),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_plural_names_of_their_paths() {
        let check = |kind: &str, expected: &str| assert_eq!(plural(kind), expected);
        check("Canary", "canaries");
        check("Gateway", "gateways");
        check("Ingress", "ingresses");
        check("Lease", "leases");
        check("HTTPRoute", "httproutes");
    }
}
