//! YAML that becomes no more than it may: a few aliases can stand for gigabytes. It knows nothing of Jobs.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What a document becomes is no larger than this, in bytes.
const SIZE_MAX: usize = 4 << 20;
/// What a value takes beside its text, about.
const VALUE: usize = 64;

/// Reads one document, with each alias as large as what it stands for.
pub(super) fn read(yaml: &str) -> Result<Value, yaml_serde::Error> {
    let left = Cell::new(SIZE_MAX);
    Budget(&left).deserialize(yaml_serde::Deserializer::from_str(yaml))
}

/// What is left of the size.
#[derive(Clone, Copy)]
struct Budget<'a>(&'a Cell<usize>);

impl Budget<'_> {
    fn spend<E: Error>(self, text: &str) -> Result<(), E> {
        let left = self.0.get().checked_sub(VALUE + text.len());
        self.0
            .set(left.ok_or_else(|| E::custom(format!("it is longer than {} MiB with its aliases", SIZE_MAX >> 20)))?);
        Ok(())
    }

    fn value<E: Error>(self, value: Value) -> Result<Value, E> {
        self.spend(value.as_str().unwrap_or_default()).map(|()| value)
    }
}

impl<'de> DeserializeSeed<'de> for Budget<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Budget<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.value(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.value(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.value(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.value(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.value(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value).map(|()| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.spend("")?;
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            found.push(item);
        }
        Ok(found.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.spend("")?;
        let mut found = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.spend(&key)?;
            found.insert(key, entries.next_value_seed(self)?);
        }
        Ok(found.into())
    }
}
