//! The only place that compares what is wanted with what is seen. It writes whole objects and knows no kind.

use serde_json::{Map, Value};

use crate::object::is_empty;
use crate::plan::Step;

type Fields = Map<String, Value>;

/// Fields of `metadata` that the API server writes and no comparison looks at.
const SERVER_FIELDS: [&str; 7] =
    ["resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp"];

/// The step that makes an object as wanted: create it if there is none, replace it whole if it differs, else nothing.
/// A replacement carries the `resourceVersion` and uid that were seen, so that a change in between is a conflict.
pub fn settle(desired: Value, seen: Option<&Value>) -> Option<Step> {
    let Some(seen) = seen else { return Some(Step::Create(without_server_fields(desired))) };
    if is_settled(&desired, seen) {
        return None;
    }
    let mut object = without_server_fields(desired);
    for field in SERVER_FIELDS.iter().filter(|field| **field != "managedFields") {
        if let Some(value) = seen["metadata"].get(field) {
            object["metadata"][*field] = value.clone();
        }
    }
    Some(Step::Replace(object))
}

/// Whether the seen object says the same as the wanted one: `status` and what the server writes do not count, null,
/// an empty map, an empty list and an absent field are one, and so are `1` and `1.0`.
pub fn is_settled(desired: &Value, seen: &Value) -> bool {
    let (Some(desired), Some(seen)) = (desired.as_object(), seen.as_object()) else { return false };
    let typed = |field: &str| matches!(field, "apiVersion" | "kind");
    let is_same = |field: &str, one: Option<&Value>, two: Option<&Value>| match (field, one, two) {
        ("status", _, _) => true,
        ("metadata", Some(Value::Object(one)), Some(Value::Object(two))) => {
            all_pairs(one, two, |field, one, two| SERVER_FIELDS.contains(&field) || are_equal(one, two))
        }
        ("metadata", one, two) => {
            are_equal(one.map(without_server_metadata).as_ref(), two.map(without_server_metadata).as_ref())
        }
        // An object from a list has neither.
        (_, None, _) | (_, _, None) if typed(field) => true,
        (_, one, two) => are_equal(one, two),
    };
    all_pairs(desired, seen, is_same)
}

/// Whether two values say the same: empty is absent, and `1` is `1.0`.
pub fn are_alike(one: &Value, two: &Value) -> bool {
    are_equal(Some(one), Some(two))
}

fn are_equal(one: Option<&Value>, two: Option<&Value>) -> bool {
    let one = one.unwrap_or(&Value::Null);
    let two = two.unwrap_or(&Value::Null);
    match (one, two) {
        (Value::Object(left), Value::Object(right)) => all_pairs(left, right, |_, one, two| are_equal(one, two)),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| are_equal(Some(left), Some(right)))
        }
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (one, two) => one == two || (is_empty(one) && is_empty(two)),
    }
}

/// Whether every field of either map passes, looked at in both.
fn all_pairs(one: &Fields, two: &Fields, passes: impl Fn(&str, Option<&Value>, Option<&Value>) -> bool) -> bool {
    one.iter().all(|(field, value)| passes(field, Some(value), two.get(field)))
        && two.iter().all(|(field, value)| one.contains_key(field) || passes(field, None, Some(value)))
}

fn without_server_metadata(metadata: &Value) -> Value {
    let mut metadata = metadata.clone();
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|field, _| !SERVER_FIELDS.contains(&field.as_str()));
    }
    metadata
}

fn without_server_fields(mut object: Value) -> Value {
    object["metadata"] = without_server_metadata(&object["metadata"]);
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(port: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": port}]}})
    }

    fn stored(mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = json!("7");
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
        object["status"] = json!({"loadBalancer": {}});
        object
    }

    #[test]
    fn what_is_absent_is_created() {
        assert_eq!(settle(service(&json!(1)), None), Some(Step::Create(service(&json!(1)))));
    }

    #[test]
    fn what_differs_is_replaced_with_the_version_it_was_decided_on() {
        let Some(Step::Replace(object)) = settle(service(&json!(2)), Some(&stored(service(&json!(1))))) else {
            panic!("no replacement");
        };
        assert_eq!(object["metadata"], json!({"name": "a", "namespace": "b", "resourceVersion": "7", "uid": "u"}));
        assert_eq!(object["spec"]["ports"][0]["port"], 2);
    }

    #[test]
    fn what_the_server_adds_or_drops_is_no_difference() {
        let mut wordy = service(&json!(1.0));
        wordy["metadata"]["labels"] = json!({});
        wordy["spec"]["selector"] = Value::Null;
        wordy["spec"]["externalIPs"] = json!([]);
        assert_eq!(settle(wordy, Some(&stored(service(&json!(1))))), None);
    }

    #[test]
    fn an_object_from_a_list_has_no_kind_and_is_no_difference() {
        let mut seen = stored(service(&json!(1)));
        seen.as_object_mut().unwrap().remove("kind");
        seen.as_object_mut().unwrap().remove("apiVersion");
        assert_eq!(settle(service(&json!(1)), Some(&seen)), None);
    }

    #[test]
    fn a_removed_or_added_entry_and_another_order_are_differences() {
        let seen = stored(service(&json!(1)));
        let mut labelled = seen.clone();
        labelled["metadata"]["labels"] = json!({"x": "y"});
        assert!(settle(seen.clone(), Some(&labelled)).is_some());
        assert!(settle(labelled, Some(&seen)).is_some());
        assert!(!are_equal(Some(&json!([1, 2])), Some(&json!([2, 1]))));
    }
}
