//! How large an object may be that is read. It asks nobody.

use serde_json::{Value, json};

use crate::sized::{MOST_VALUES, too_large};

/// The parts of a canary.
const PARTS: [&str; 3] = ["metadata", "spec", "status"];

/// Whether an object is of a size that is read.
///
/// # Errors
/// What is wrong with it, for the user; the object's name stands before it.
pub(crate) fn verify_size(object: &Value) -> Result<(), String> {
    if values(object) <= MOST_VALUES { Ok(()) } else { Err(too_large()) }
}

/// A canary of a size that is read. Of one that is larger the largest parts are left out, and it says so: whoever wrote it
/// has to be told, and its traffic must not stay where it is ([`burgee_api::Canary::unreadable`]).
pub(super) fn cut(mut canary: Value) -> Value {
    if verify_size(&canary).is_ok() {
        return canary;
    }
    if let Some(fields) = canary.as_object_mut() {
        fields.retain(|field, _| ["apiVersion", "kind"].contains(&field.as_str()) || PARTS.contains(&field.as_str()));
    }
    // No number: what we write of it into the status would change it.
    let reason = format!("the canary has more than the {MOST_VALUES} values that are read");
    canary["unreadable"] = json!(match leave_out_largest(&mut canary) {
        Some(place) => format!("{reason}, most of them in {place}"),
        None => reason,
    });
    while verify_size(&canary).is_err() && leave_out_largest(&mut canary).is_some() {}
    canary
}

/// Leaves out the largest field of a part, and says which one it was; none if none has any values.
fn leave_out_largest(canary: &mut Value) -> Option<String> {
    let fields = PARTS.iter().filter_map(|part| Some((*part, canary.get(part)?.as_object()?)));
    let all = fields.flat_map(|(part, fields)| fields.iter().map(move |(field, value)| (values(value), part, field)));
    let (1.., part, field) = all.max_by_key(|(values, _, _)| *values)? else { return None };
    let field = field.clone();
    canary[part].as_object_mut()?.remove(&field)?;
    Some(format!("{part}.{field}"))
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
        let refused = "has more than the 20000 values that are read".to_owned();
        assert_eq!(verify_size(&of(50_000)), Err(refused));
    }

    #[test]
    fn of_a_canary_that_is_too_large_the_largest_parts_are_left_out_and_it_says_so() {
        let canary = |headers: usize, annotations: usize| {
            let annotations: serde_json::Map<String, Value> =
                (0..annotations).map(|number| (number.to_string(), json!(""))).collect();
            json!({
                "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
                "metadata": {"name": "podinfo", "uid": "u", "resourceVersion": "7", "annotations": annotations},
                "spec": {"targetRef": {"name": "podinfo"}, "service": vec![json!({}); headers]},
                "status": {"phase": "Progressing", "conditions": [{"type": "Promoted"}]},
            })
        };
        assert_eq!(cut(canary(9_000, 5)), canary(9_000, 5));
        for (headers, annotations) in [(30_000, 0), (30_000, 30_000), (0, 30_000)] {
            let cut = cut(canary(headers, annotations));
            let place = if headers > 0 { "spec.service" } else { "metadata.annotations" };
            let reason = format!("the canary has more than the 20000 values that are read, most of them in {place}");
            assert_eq!(cut["unreadable"], json!(reason));
            assert_eq!((&cut["metadata"]["uid"], &cut["status"]), (&json!("u"), &canary(0, 0)["status"]));
            assert_eq!(cut["spec"]["targetRef"], canary(0, 0)["spec"]["targetRef"]);
            assert!(verify_size(&cut).is_ok());
        }
    }
}
