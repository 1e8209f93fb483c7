//! An object read from its text, and no more of it than may be: whoever may write only in his namespace may write a megabyte
//! of maps, which takes a hundred times as much once it is read. What is too large is known before it is. It asks nobody.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// So many values may an object have that a canary looks at: ten times what the largest route or workload has that people
/// write. Read into memory each takes up to 600 bytes, and 16 ticks of a namespace hold three of them at a time.
pub(crate) const MOST_VALUES: usize = 20_000;

/// What is wrong with an object that has more, for the user; the object's name stands before it.
pub(crate) fn too_large() -> String {
    format!("has more than the {MOST_VALUES} values that are read")
}

/// Why an object is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It has more values than are read.
    TooLarge,
    /// It is no JSON, or something in it lies too deep.
    Nonsense(serde_json::Error),
}

/// Reads an object of at most so many values, but for its `managedFields`, which nobody needs. An empty list or map counts as
/// one value.
pub(crate) fn read(text: &str, most: usize) -> Result<Value, Unread> {
    let (left, is_over) = (Cell::new(most), Cell::new(false));
    let part = Part { left: &left, is_over: &is_over, place: Place::Object };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = part.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| if is_over.get() { Unread::TooLarge } else { Unread::Nonsense(error) })
}

/// Where in an object something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The object itself.
    Object,
    /// Its metadata.
    Metadata,
    /// Anywhere else.
    Elsewhere,
}

/// A part of an object, and what is left for it.
#[derive(Clone, Copy)]
struct Part<'a> {
    left: &'a Cell<usize>,
    is_over: &'a Cell<bool>,
    place: Place,
}

impl Part<'_> {
    fn spend<E: Error>(self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.is_over.set(left.is_none());
        left.map(|left| self.left.set(left)).ok_or_else(|| E::custom("it has more values than are read"))
    }

    /// What stands in a field of this one.
    fn field(self, name: &str) -> Self {
        let place = if self.place == Place::Object && name == "metadata" { Place::Metadata } else { Place::Elsewhere };
        Self { place, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(self.field(""))? {
            self.spend()?;
            found.push(item);
        }
        if found.is_empty() {
            self.spend()?;
        }
        Ok(found.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.place == Place::Metadata && key == "managedFields" {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            self.spend()?;
            let value = entries.next_value_seed(self.field(&key))?;
            found.insert(key, value);
        }
        if found.is_empty() {
            self.spend()?;
        }
        Ok(found.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_what_stands_there_without_the_managed_fields() {
        let object = json!({
            "metadata": {"name": "podinfo", "labels": {}}, "list": [null, true, -1, 1, 1.5, "a\n", u64::MAX, [], {}],
            "spec": {"metadata": {"managedFields": [1]}},
        });
        let mut written = object.clone();
        written["metadata"]["managedFields"] = json!(vec![json!({"a": {}}); 1_000]);
        assert_eq!(read(&written.to_string(), 100).unwrap(), object);
    }

    #[test]
    fn an_object_of_too_many_values_is_told_from_one_that_makes_no_sense() {
        let of = |count: usize| json!({"metadata": {"name": "a"}, "spec": vec![json!({}); count]}).to_string();
        assert!(read(&of(48), 100).is_ok());
        assert!(matches!(read(&of(49), 100), Err(Unread::TooLarge)));
        for odd in ["", "{", "{} {}", &"[".repeat(200)] {
            assert!(matches!(read(odd, 1_000), Err(Unread::Nonsense(_))), "{odd}");
        }
    }
}
