//! The bridge from TrafficSplits to Istio's routes, a process of its own: it watches both, and carries out what core says has
//! to be done about each TrafficSplit. It knows no Canary. Several of them at once would do the same, each write with the
//! version that it replaces, so it needs no lease.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use burgee_core::digest::digest;
use burgee_core::dns;
use burgee_core::router::bridge::{self, Errand};
use burgee_core::world::{Kind, ObjectKey};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::LogFormat;
use crate::cluster::{ApiError, Cluster, Resource, Seen, connect};
use crate::feed::{Depth, Feed, Happened, Lost};
use crate::item::Item;
use crate::lock::lock;
use crate::run::{config, heed_signals};
use crate::sized::too_large;
use crate::supervise::supervise;
use crate::vitals::Vitals;

/// First and longest wait after something went wrong.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// A watch that went well for so long begins with the first wait again.
const STEADY: Duration = Duration::from_secs(20);
/// How often a cluster that knows no TrafficSplits is asked again.
const UNKNOWN_KIND: Duration = Duration::from_secs(30);
/// Of the routes only those that we made.
const OURS: &str = "&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dburgee-smi-adapter";

/// The most characters of a reason in an event.
const LONGEST_REASON: usize = 900;

/// What the adapter is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Path of a kubeconfig; empty in a cluster.
    pub kubeconfig: String,
    /// The only namespace that is looked at; none is all.
    pub namespace: Option<String>,
    /// From which level on is logged.
    pub log_level: String,
}

/// Runs the adapter until a signal ends it.
///
/// # Errors
/// There is no way to the API server.
pub async fn run(options: Options) -> anyhow::Result<()> {
    crate::logs::start(&options.log_level, LogFormat::Json);
    let stop = CancellationToken::new();
    tokio::spawn(heed_signals(stop.clone()));
    let client = connect(config(&options.kubeconfig, "").await.context("Kubernetes configuration")?)?;
    let cluster = Cluster::new(client.clone(), client);
    let work = async {
        let kind = known_kind(&cluster).await;
        tracing::info!("Making VirtualServices of {}/{}", kind.api_version(), kind.name());
        Adapter::new(cluster.clone(), kind, options.namespace.clone()).work().await;
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// The newest version of TrafficSplits that the cluster serves, as soon as it serves any.
async fn known_kind(cluster: &Cluster) -> Kind {
    let path = format!("/apis/{}", Kind::TRAFFIC_SPLITS[0].names().0);
    loop {
        match cluster.raw(Method::GET, &path, None).await {
            Ok(group) => {
                if let Some(kind) = newest(&group) {
                    return kind;
                }
                tracing::warn!("the cluster serves no version of TrafficSplit that is known here");
            }
            Err(error) => tracing::warn!("the cluster knows no TrafficSplit yet: {error}"),
        }
        tokio::time::sleep(UNKNOWN_KIND).await;
    }
}

/// The newest version of TrafficSplits in the description of their group.
fn newest(group: &Value) -> Option<Kind> {
    let versions = group["versions"].as_array()?;
    let is_served = |kind: &Kind| versions.iter().any(|version| version["version"] == kind.names().1);
    Kind::TRAFFIC_SPLITS.into_iter().find(is_served)
}

/// When a TrafficSplit is looked at next.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    /// How long to wait when it goes wrong once more.
    wait: Duration,
}

/// What became of a TrafficSplit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Its routes are as they have to be.
    Done,
    /// There are none that may be written; it was told why.
    Refused,
}

/// The bridge at work.
pub(crate) struct Adapter {
    cluster: Cluster,
    kind: Kind,
    namespace: Option<String>,
    due: Mutex<BTreeMap<ObjectKey, Due>>,
    news: Notify,
}

impl Adapter {
    pub(crate) fn new(cluster: Cluster, kind: Kind, namespace: Option<String>) -> Arc<Self> {
        Arc::new(Self { cluster, kind, namespace, due: Mutex::default(), news: Notify::new() })
    }

    /// Works for ever.
    pub(crate) async fn work(self: Arc<Self>) {
        let vitals = Arc::new(Vitals::default());
        let task = |work: fn(Arc<Self>) -> Task| {
            let adapter = self.clone();
            move || work(adapter.clone())
        };
        tokio::join!(
            supervise(vitals.clone(), "splits", task(|adapter| Box::pin(async move { adapter.follow_splits().await }))),
            supervise(vitals.clone(), "routes", task(|adapter| Box::pin(async move { adapter.follow_routes().await }))),
            supervise(vitals.clone(), "errands", task(|adapter| Box::pin(async move { adapter.run_errands().await }))),
        );
    }

    async fn follow_splits(&self) {
        // What is told of metadata alone has another kind.
        let key = |metadata: &Value| {
            let (namespace, name) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
            Some(ObjectKey::new(self.kind, namespace, name)).filter(dns::is_key)
        };
        self.follow(self.kind, "", |item| key(&item.outline["metadata"])).await;
    }

    /// Whoever changes or deletes routes of ours gets them back.
    async fn follow_routes(&self) {
        self.follow(Kind::VIRTUAL_SERVICE, OURS, |item| bridge::split_of(&item.outline, self.kind)).await;
    }

    /// Follows a kind for ever: whatever is listed or happens is about a TrafficSplit.
    async fn follow(&self, kind: Kind, selector: &'static str, about: impl Fn(&Item) -> Option<ObjectKey>) {
        let path = Resource::of(kind).collection(self.namespace.as_deref());
        let feed = Feed { kind, path, selector, depth: Depth::Metadata };
        let mut wait = BACKOFF.0;
        loop {
            let begun = Instant::now();
            let ended = self.follow_once(&feed, &about).await;
            if begun.elapsed() > STEADY {
                wait = BACKOFF.0;
            }
            tracing::warn!("watch of {}: {ended}", kind.names().3);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// Lists, and follows until the thread is lost. Answers why it was.
    async fn follow_once(&self, feed: &Feed, about: &impl Fn(&Item) -> Option<ObjectKey>) -> ApiError {
        let enter = |item: &Item| about(item).into_iter().for_each(|key| self.is_due(key));
        let mut version = match feed.list(&self.cluster, |item| enter(&item)).await {
            Ok(version) => version,
            Err(error) => return error,
        };
        loop {
            let begun = Instant::now();
            let ended = feed.follow(&self.cluster, &mut version, |happened| match happened {
                Happened::Present(item) | Happened::Gone(item) => enter(&item),
                Happened::Nothing => {}
            });
            if let Err(Lost::Thread(error)) = ended.await {
                return error;
            }
            if begun.elapsed() < BACKOFF.0 {
                tokio::time::sleep(BACKOFF.0).await;
            }
        }
    }

    /// A TrafficSplit has to be looked at now.
    fn is_due(&self, key: ObjectKey) {
        lock(&self.due).insert(key, Due { at: Instant::now(), wait: BACKOFF.0 });
        self.news.notify_one();
    }

    /// Carries out what is due, one by one.
    async fn run_errands(&self) {
        loop {
            let news = pin!(self.news.notified());
            let next = lock(&self.due).iter().min_by_key(|(_, due)| due.at).map(|(key, due)| (key.clone(), *due));
            match next {
                Some((key, due)) if due.at <= Instant::now() => {
                    lock(&self.due).remove(&key);
                    self.run_errand(key, due).await;
                }
                Some((_, due)) => {
                    tokio::select! {
                        () = news => {}
                        () = tokio::time::sleep_until(due.at) => {}
                    }
                }
                None => news.await,
            }
        }
    }

    async fn run_errand(&self, key: ObjectKey, due: Due) {
        let wait = match self.settle(&key).await {
            Ok(Settled::Done) => return,
            // Nobody tells when somebody else's routes are gone.
            Ok(Settled::Refused) => BACKOFF.1,
            // Somebody was faster: a fresh look tells what is left to do.
            Err(ApiError::Conflict(_)) => BACKOFF.0,
            Err(error) => {
                tracing::warn!("{key}: {error}");
                due.wait
            }
        };
        let next = Due { at: Instant::now() + wait, wait: (wait * 2).min(BACKOFF.1) };
        // What has become due meanwhile comes first.
        lock(&self.due).entry(key).or_insert(next);
    }

    /// Does what has to be done about one TrafficSplit. What goes with it when it is deleted the cluster collects.
    async fn settle(&self, key: &ObjectKey) -> Result<Settled, ApiError> {
        let split = match self.cluster.look(key).await? {
            None => return Ok(Settled::Done),
            Some(Seen::Whole(split)) => split,
            Some(Seen::TooLarge(outline)) => {
                return Ok(self.refuse(key, &outline, &format!("it {}", too_large())).await);
            }
        };
        if !split["metadata"]["deletionTimestamp"].is_null() {
            return Ok(Settled::Done);
        }
        let route = bridge::route_key(key);
        // A name that is none was never asked for.
        let seen = match if dns::is_key(&route) { self.cluster.look(&route).await? } else { None } {
            None => None,
            Some(Seen::Whole(seen)) => Some(seen),
            Some(Seen::TooLarge(_)) => {
                return Ok(self.refuse(key, &split, &format!("{route} {}", too_large())).await);
            }
        };
        let (what, written) = match bridge::errand(&split, seen.as_ref()) {
            Ok(Errand::Nothing) => return Ok(Settled::Done),
            Ok(Errand::Create(object)) => ("created", self.cluster.create(&route, &object).await),
            Ok(Errand::Replace(object)) => ("updated", self.cluster.replace(&route, &object).await),
            Err(reason) => return Ok(self.refuse(key, &split, &reason).await),
        };
        let object = match written {
            Ok(object) => object,
            // An admission policy, or a permission that is missing: somebody has to be told.
            Err(ApiError::Refused(reason) | ApiError::Forbidden(reason)) => {
                return Ok(self.refuse(key, &split, &format!("{route} could not be written: {reason}")).await);
            }
            Err(error) => return Err(error),
        };
        let text = format!("{route} {what}: {}", bridge::told(&object));
        self.tell(key, &split, ("Normal", &text), &object["metadata"]["resourceVersion"]).await;
        Ok(Settled::Done)
    }

    /// Tells what keeps the routes from being made.
    async fn refuse(&self, key: &ObjectKey, split: &Value, reason: &str) -> Settled {
        // The API server may quote what others wrote, at any length.
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        self.tell(key, split, ("Warning", &reason), &split["metadata"]["generation"]).await;
        Settled::Refused
    }

    /// Tells something once: the event's name follows from the object, the text and the moment. An event that cannot be had
    /// holds nothing up.
    async fn tell(&self, key: &ObjectKey, split: &Value, (kind, text): (&str, &str), moment: &Value) {
        tracing::info!("{key}: {text}");
        let metadata = &split["metadata"];
        let name = digest(&json!([metadata["uid"], text, moment]));
        // The name of an event is no longer than that of any object.
        let start: String = key.name.chars().take(200).collect();
        let time = format!("{:.0}", Timestamp::now());
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("{start}.{name}"), "namespace": key.namespace},
            "involvedObject": {
                "apiVersion": key.kind.api_version(), "kind": key.kind.name(), "namespace": key.namespace, "name": key.name,
                "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
            },
            "reason": "Synced",
            "message": text,
            "type": kind,
            "source": {"component": "burgee-smi-adapter"},
            "reportingComponent": "burgee-smi-adapter",
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        });
        let path = Resource::EVENTS.collection(Some(&key.namespace));
        match self.cluster.raw(Method::POST, &path, Some(&event)).await {
            Ok(_) | Err(ApiError::Conflict(_)) => {}
            Err(error) => tracing::warn!("{key}: no event could be made: {error}"),
        }
    }
}

/// A task that is started anew after a panic.
type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[cfg(test)]
mod tests;
