//! Names a revision by what is stored of it. It must never depend on the types of any library (S1, I9).

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Prefix of every digest; a new way to compute it gets a new prefix.
const VERSION: &str = "b1-";

/// The digest of a stored value, nulls and empty maps removed: `b1-` and 16 hex digits.
pub fn digest(value: &Value) -> String {
    let canonical = without_empty(value).unwrap_or(Value::Null).to_string();
    format!("{VERSION}{}", hex(&Sha256::digest(canonical.as_bytes())[..8]))
}

/// Whether a recorded digest was made by the peer: it matches `^[4-9bcdf]{1,10}$` (contract: lifecycle §3).
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

/// A value without nulls and empty maps; none if nothing remains. Keys are sorted because `serde_json` sorts them.
fn without_empty(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let kept: serde_json::Map<String, Value> = fields
                .iter()
                .filter_map(|(key, field)| without_empty(field).map(|field| (key.clone(), field)))
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            Some(Value::Array(items.iter().map(|item| without_empty(item).unwrap_or(Value::Null)).collect()))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
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
    fn digests_of_the_peer_are_told_apart() {
        assert!(is_foreign("5f56684589"));
        assert!(!is_foreign(&digest(&json!({"a": 1}))));
        assert!(!is_foreign(""));
    }
}
