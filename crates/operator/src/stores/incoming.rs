//! How objects get into the stores, as text as long as nobody wants them. It asks nobody.

use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use super::{Arrival, Deletion, Scope, Stored, Stores, strip};
use crate::item::Item;
use crate::sized::Unread;

impl Stores {
    /// What is to be kept of an object; none if it is of no known kind. Of one that nobody wants only the outline is read.
    pub(crate) fn incoming(&self, kind: Kind, item: Item) -> Option<Arrival> {
        let item = Item { outline: strip(kind, item.outline), ..item };
        let key = ObjectKey::of(&item.outline)?;
        if kind == Kind::Canary {
            return self.arrival(kind, item.whole());
        }
        if self.is_whole(&key) && !kind.is_confidential() {
            return match item.text.sized() {
                Ok(object) => self.arrival(kind, object),
                Err(Unread::TooLarge) => Some(Arrival { stored: Stored::refused(kind, &item.outline), key }),
                // Then it is there, and has nothing that anybody could act on.
                Err(Unread::Nonsense(_)) => self.arrival(kind, item.outline),
            };
        }
        Some(Arrival { stored: Stored::outline(kind, &item.outline), key })
    }

    /// Enters an object of a list if it is newer than what is known, and wakes whoever looks at it.
    pub(crate) fn listed_anew(&self, scope: &Scope, item: Item) {
        self.show(scope, self.incoming(scope.kind, item));
    }

    /// Enters an object that the API server has shown, and wakes whoever looks at it if it is newer than what is known.
    pub(crate) fn shown(&self, scope: &Scope, object: Value) {
        self.show(scope, self.arrival(scope.kind, object));
    }

    fn show(&self, scope: &Scope, arrival: Option<Arrival>) {
        if let Some(key) = arrival.and_then(|arrival| self.enter(scope, arrival)) {
            self.tell(key);
        }
    }

    /// Takes in one event of a watch.
    pub(crate) fn happened(&self, scope: &Scope, item: Item, deletion: Deletion) {
        let Some(arrival) = self.incoming(scope.kind, item) else { return };
        let (key, version) = (arrival.key.clone(), arrival.stored.version);
        let changed = self.lock().get_mut(scope).is_some_and(|store| {
            store.version = store.version.max(version);
            match deletion {
                Deletion::No => store.apply(arrival),
                Deletion::Yes => store.remove(&key, version, &arrival.stored.uid),
            }
        });
        if changed {
            self.tell(key);
        }
    }

    #[cfg(test)]
    pub(crate) fn event(&self, scope: &Scope, object: Value, deletion: Deletion) {
        if let Some(item) = crate::item::Text::from(object).item() {
            self.happened(scope, item, deletion);
        }
    }
}
