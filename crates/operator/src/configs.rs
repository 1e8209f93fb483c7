//! Checksums of ConfigMaps and Secrets. Their content is read once per change and never kept.

use std::collections::BTreeMap;
use std::sync::Mutex;

use burgee_core::tracked;
use burgee_core::world::{ConfigSeen, Kind, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::clock;
use crate::cluster::{ApiError, Cluster};
use crate::lock::lock;
use crate::stores::{Look, version_of};

/// The same object is read at most this often.
const PACE: SignedDuration = SignedDuration::from_secs(10);
/// A Secret that the watch does not show is looked for this often.
const ABSENT_PACE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Clone, Debug)]
struct Read {
    version: u64,
    at: Timestamp,
    seen: ConfigSeen,
}

/// What is known of the contents.
#[derive(Debug, Default)]
pub struct Configs {
    known: Mutex<BTreeMap<ObjectKey, Read>>,
}

/// A checksum, and when to look again if it may be out of date.
pub type Sight = (ConfigSeen, Option<Timestamp>);

impl Configs {
    /// What is known of a ConfigMap or Secret, given what the metadata watch says of it.
    pub async fn look(&self, cluster: &Cluster, key: &ObjectKey, metadata: Look) -> Sight {
        let version = match metadata {
            // The watch of Secrets leaves out types that are never tracked: only a GET knows whether it is there.
            Look::Absent if key.kind == Kind::Secret => Some(0),
            Look::Absent => {
                lock(&self.known).remove(key);
                return (ConfigSeen::Absent, None);
            }
            Look::Unknown(reason) => return (ConfigSeen::Unknown(reason), None),
            Look::Present(object) => Some(version_of(&object)),
            Look::Ask => None,
        };
        let (known, now) = (lock(&self.known).get(key).cloned(), clock::steady());
        match known {
            Some(read) if Some(read.version) == version && version != Some(0) => (read.seen, None),
            Some(read) if version == Some(0) && now.duration_since(read.at) < ABSENT_PACE => (read.seen, None),
            // Out of date, but read a moment ago: unknown is not changed (S15).
            Some(read) if now.duration_since(read.at) < PACE => {
                (read.seen, Some(read.at.saturating_add(PACE).unwrap_or(now)))
            }
            Some(_) | None => (self.read(cluster, key, now).await, None),
        }
    }

    /// Notes a content that was read or written besides.
    pub fn note(&self, key: &ObjectKey, object: &Value, at: Timestamp) {
        lock(&self.known).insert(key.clone(), Read { version: version_of(object), at, seen: seen(object) });
    }

    /// Whether an object that the watch shows is known to have this content.
    pub fn has(&self, key: &ObjectKey, metadata: &Look, wanted: &str) -> bool {
        let Look::Present(object) = metadata else { return false };
        let known = lock(&self.known).get(key).cloned().filter(|read| read.version == version_of(object));
        known.is_some_and(|read| matches!(read.seen, ConfigSeen::Present { checksum, .. } if checksum == wanted))
    }

    /// Nobody looks at this object any more, nor at its copy for the primary.
    pub fn forget(&self, key: &ObjectKey) {
        let mut known = lock(&self.known);
        known.remove(key);
        known.remove(&tracked::copy_key(key));
    }

    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { known } = self;
        vec![("configs", lock(known).len())]
    }

    async fn read(&self, cluster: &Cluster, key: &ObjectKey, at: Timestamp) -> ConfigSeen {
        match cluster.get(key).await {
            Ok(Some(object)) => {
                let seen = seen(&object);
                lock(&self.known).insert(key.clone(), Read { version: version_of(&object), at, seen: seen.clone() });
                seen
            }
            Ok(None) => {
                lock(&self.known).insert(key.clone(), Read { version: 0, at, seen: ConfigSeen::Absent });
                ConfigSeen::Absent
            }
            Err(error) => ConfigSeen::Unknown(unreadable(key, &error)),
        }
    }
}

/// What is kept of a content.
fn seen(object: &Value) -> ConfigSeen {
    ConfigSeen::Present { checksum: tracked::checksum(object), tracking: tracked::tracking(object) }
}

fn unreadable(key: &ObjectKey, error: &ApiError) -> String {
    let kind = key.kind.name().to_lowercase();
    format!("{kind} {}.{} get query error: {error}", key.name, key.namespace)
}
