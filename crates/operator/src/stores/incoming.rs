//! How objects get into the stores, as text as long as nobody wants them. It asks nobody.

use burgee_core::world::{Kind, ObjectKey};
use serde_json::Value;

use super::{Arrival, Deletion, Scope, Stored, Stores, strip};
use crate::item::Item;

/// So many values may an object have that a canary looks at: ten times what the largest route or workload has that people
/// write. Read into memory each takes up to 600 bytes, and 16 ticks of a namespace hold three of them at a time.
const MOST_VALUES: usize = 20_000;

impl Stores {
    /// What is to be kept of an object; none if it is of no known kind. Of one that nobody wants only the outline is read.
    pub(crate) fn incoming(&self, kind: Kind, item: Item) -> Option<Arrival> {
        let item = Item { outline: strip(kind, item.outline), ..item };
        let key = ObjectKey::of(&item.outline)?;
        if self.is_whole(&key) && !kind.is_confidential() {
            return self.arrival(kind, item.whole());
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

/// Whether an object is of a size that is read.
///
/// # Errors
/// What is wrong with it, for the user; the object's name stands before it.
pub(crate) fn verify_size(object: &Value) -> Result<(), String> {
    let values = values(object);
    if values <= MOST_VALUES {
        return Ok(());
    }
    Err(format!("has {values} values, more than the {MOST_VALUES} that are read"))
}

/// How many values there are in an object. An empty list or map counts as one.
fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len().max(1) + items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => fields.len().max(1) + fields.values().map(values).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_counted_and_not_what_stands_in_texts() {
        assert_eq!(values(&json!({})), 1);
        assert_eq!(values(&json!({"a": [1, 2, 3], "b": {"c": "x,{[\"\\\\,"}})), 6);
    }

    #[test]
    fn an_object_of_too_many_values_is_not_read() {
        let of = |number: usize| json!({"spec": vec![json!({}); number]});
        assert_eq!(verify_size(&of(9_000)), Ok(()));
        let refused = "has 100001 values, more than the 20000 that are read".to_owned();
        assert_eq!(verify_size(&of(50_000)), Err(refused));
    }
}
