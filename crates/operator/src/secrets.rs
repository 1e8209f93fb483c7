//! Credentials of metric and alert providers, which are not read at each use: kept for a minute at most, or as long as a
//! watch shows that they are the same. What is in them can be shown by nothing in here: no type of this file has `Debug`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_core::world::ObjectKey;
use serde_json::Value;

use crate::cluster::{ApiError, Cluster};
use crate::lock::lock;
use crate::stores::{Look, version_of};

/// How long a content is believed that no watch covers.
const KEPT: Duration = Duration::from_mins(1);

/// What was read longer ago is forgotten, whatever a watch says.
const STALE: Duration = Duration::from_mins(10);

/// Types of Secrets that are never credentials of a provider: who may have a MetricTemplate sent somewhere must not have
/// them sent along. They let their bearer in as an account of the cluster, or hold a whole release (S31).
const NEVER: [&str; 3] = ["kubernetes.io/service-account-token", "helm.sh/release.v1", "bootstrap.kubernetes.io/token"];

/// Why a Secret gives no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    /// There is none of this name.
    #[error("secrets {0:?} not found")]
    Missing(String),
    /// It is of a type that is never used so.
    #[error("secret {name}.{namespace} is of type {kind}, which is never used as credentials")]
    Refused {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Its type.
        kind: &'static str,
    },
    /// The API server did not give it.
    #[error("{0}")]
    Unread(ApiError),
}

/// The decoded `data` of a Secret.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

/// A Secret as it was read.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) content: Arc<Content>,
    version: u64,
    at: Instant,
}

impl Reading {
    /// Whether it was read before this time, and so may be out of date.
    pub(crate) fn is_older_than(&self, time: Instant) -> bool {
        self.at < time
    }

    /// Whether it may still be used, given what a watch says of the Secret.
    fn is_good(&self, metadata: &Look, now: Instant) -> bool {
        match metadata {
            Look::Present(object) => self.version == version_of(object),
            Look::Absent | Look::Ask | Look::Unknown(_) => now.saturating_duration_since(self.at) < KEPT,
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > STALE
    }
}

/// Who reads one waits for whoever reads the same already.
type Slot = Arc<tokio::sync::Mutex<Option<Reading>>>;

/// What was read lately.
#[derive(Default)]
pub(crate) struct Secrets {
    slots: Mutex<BTreeMap<ObjectKey, Slot>>,
}

impl Secrets {
    /// The content of a Secret, as kept or as it is now.
    pub(crate) async fn read(
        &self,
        cluster: &Cluster,
        key: &ObjectKey,
        metadata: &Look,
        now: Instant,
    ) -> Result<Reading, SecretError> {
        let slot = self.slot(key, now);
        let mut kept = slot.lock().await;
        if let Some(good) = kept.as_ref().filter(|kept| kept.is_good(metadata, now)) {
            return Ok(good.clone());
        }
        *kept = None;
        Ok(kept.insert(get(cluster, key, now).await?).clone())
    }

    /// The content now, after a provider would not take this one.
    pub(crate) async fn read_again(
        &self,
        cluster: &Cluster,
        key: &ObjectKey,
        refused: &Reading,
        now: Instant,
    ) -> Result<Reading, SecretError> {
        let slot = self.slot(key, now);
        let mut kept = slot.lock().await;
        if let Some(newer) = kept.as_ref().filter(|kept| kept.at > refused.at) {
            return Ok(newer.clone());
        }
        *kept = None;
        Ok(kept.insert(get(cluster, key, now).await?).clone())
    }

    /// Forgets every content, after somebody is gone who may have used it. Whoever uses one still reads it once more.
    pub(crate) fn sweep(&self) {
        lock(&self.slots).retain(|_, slot| slot.try_lock().is_err());
    }

    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { slots } = self;
        vec![("secrets", lock(slots).len())]
    }

    /// The place of a Secret. What was read long ago is forgotten.
    fn slot(&self, key: &ObjectKey, now: Instant) -> Slot {
        let mut slots = lock(&self.slots);
        slots.retain(|other, slot| {
            let unused = || slot.try_lock().is_ok_and(|kept| kept.as_ref().is_none_or(|kept| kept.is_stale(now)));
            other == key || !unused()
        });
        slots.entry(key.clone()).or_default().clone()
    }
}

async fn get(cluster: &Cluster, key: &ObjectKey, now: Instant) -> Result<Reading, SecretError> {
    let ObjectKey { name, namespace, .. } = key;
    let object = cluster.get(key).await.map_err(SecretError::Unread)?;
    let object = object.ok_or_else(|| SecretError::Missing(name.clone()))?;
    if let Some(kind) = NEVER.into_iter().find(|kind| object["type"] == *kind) {
        return Err(SecretError::Refused { name: name.clone(), namespace: namespace.clone(), kind });
    }
    Ok(Reading { content: Arc::new(decode(&object)), version: version_of(&object), at: now })
}

/// The decoded `data` of a Secret.
fn decode(secret: &Value) -> Content {
    let entries = secret["data"].as_object().into_iter().flatten();
    let decoded = entries.filter_map(|(key, value)| Some((key.clone(), BASE64.decode(value.as_str()?).ok()?)));
    decoded.collect()
}
