//! Names a revision by what is stored of it. It must never depend on the types of any library (S1, I9).

use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Prefix of every digest; a new way to compute it gets a new prefix.
const VERSION: &str = "b1-";

/// The digest of a stored value, nulls and empty maps removed: `b1-` and 16 hex digits.
pub fn digest(value: &Value) -> String {
    format!("{VERSION}{}", hex(&Sha256::digest(canonical(value))[..8]))
}

/// Whether a recorded digest was made by the peer: it matches `^[4-9bcdf]{1,10}$`, or begins with
/// `v2:` (contract: lifecycle §3).
pub fn is_foreign(recorded: &str) -> bool {
    !recorded.is_empty() && !recorded.starts_with(VERSION)
}

/// Lower case hex digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The compact JSON that is hashed. Keys are sorted because `serde_json` sorts them.
fn canonical(value: &Value) -> String {
    // That a value cannot be written happens only to maps with odd keys, which JSON does not have.
    serde_json::to_string(&Remains(value)).unwrap_or_default()
}

/// What remains of a value without nulls and empty maps. An item of which nothing remains keeps its place.
struct Remains<'a>(&'a Value);

impl Serialize for Remains<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            nothing if is_nothing(nothing) => serializer.serialize_unit(),
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(_, field)| !is_nothing(field));
                serializer.collect_map(kept.map(|(key, field)| (key, Remains(field))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Remains)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => self.0.serialize(serializer),
        }
    }
}

/// Whether nothing remains of a value.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_and_empty_maps_do_not_count() {
        let spare = json!({"spec": {"containers": [{"name": "app"}]}});
        let wordy = json!({"metadata": {"creationTimestamp": null, "labels": {}},
            "spec": {"containers": [{"name": "app", "resources": {}}]}});
        assert_eq!(digest(&spare), digest(&wordy));
    }

    #[test]
    fn a_changed_or_unknown_field_is_a_new_revision() {
        let one = json!({"spec": {"containers": [{"name": "app", "image": "a:1"}]}});
        let two = json!({"spec": {"containers": [{"name": "app", "image": "a:2"}]}});
        let odd = json!({"spec": {"containers": [{"name": "app", "image": "a:1"}], "fieldOfTomorrow": 1}});
        assert_ne!(digest(&one), digest(&two));
        assert_ne!(digest(&one), digest(&odd));
    }

    #[test]
    fn an_emptied_item_keeps_its_place_in_a_list() {
        assert_ne!(digest(&json!([{}, 1])), digest(&json!([1])));
    }

    #[test]
    fn what_is_hashed_is_the_compact_json_of_what_remains() {
        let wordy = json!({"b": [{}, null, 1.5], "a": "x\"\n\u{e9}\u{7f}", "c": {"d": {"e": null}}});
        assert_eq!(canonical(&wordy), "{\"a\":\"x\\\"\\n\u{e9}\u{7f}\",\"b\":[null,null,1.5]}");
        assert_eq!(canonical(&json!({"a\\": [[], true, -3, ""]})), r#"{"a\\":[[],true,-3,""]}"#);
        assert_eq!(canonical(&json!({"a": {}})), "null");
    }

    #[test]
    fn digests_of_the_peer_are_told_apart() {
        assert!(is_foreign("5f56684589") && is_foreign("v2:5f1c8d0b7a6e4932"));
        assert!(!is_foreign(&digest(&json!({"a": 1}))));
        assert!(!is_foreign(""));
    }
}
