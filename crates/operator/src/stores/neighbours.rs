//! The labels of the pods of all workloads, which are kept of each although nobody wants it: a Service may lead to them.

use burgee_core::strangers::KINDS;
use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use super::Stores;

/// Longer labels than these are not kept: whoever writes many of them costs nobody else memory.
const LONGEST: usize = 2048;

impl Stores {
    /// The workloads of a namespace that are known, with the labels of their pods. It starts no watch.
    pub fn workloads(&self, namespace: &str) -> Vec<(ObjectKey, Value)> {
        let mut found = Vec::new();
        for kind in KINDS {
            let scope = self.scope(&ObjectKey::new(kind, namespace, ""));
            let stores = self.lock();
            let objects = stores.get(&scope).map(|store| store.objects.range((namespace.to_owned(), String::new())..));
            let own = objects.into_iter().flatten().take_while(|((other, _), _)| other == namespace);
            found.extend(own.filter_map(|((namespace, name), stored)| {
                let labels = serde_json::from_str(stored.labels.as_deref()?).ok()?;
                Some((ObjectKey::new(kind, namespace, name), labels))
            }));
        }
        found
    }
}

/// The labels of a workload's pods, as they are kept.
pub(super) fn labels(kind: Kind, object: &Value) -> Option<Box<str>> {
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let text = (KINDS.contains(&kind) && labels.is_object()).then(|| labels.to_string())?;
    (text.len() <= LONGEST).then(|| text.into())
}
