//! Reading a canary that cannot be read as a whole: an API server with another schema takes what ours would refuse. What
//! cannot be read is left out and named, for a run whose canary nobody can read would stay where it is with its traffic.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

use crate::canary::{Canary, TargetRef};

/// So many places are left out one by one; of what has more, whole fields of the spec and the status are.
const MOST_PLACES: usize = 64;
/// So many of these are left out: more than there are.
const MOST_FIELDS: usize = 64;
/// How deep a field of the spec or the status lies.
const FIELD: usize = 2;
/// More of a path is not shown.
const LONGEST_PATH: usize = 200;

impl Canary {
    /// Reads the text of a canary. [`Canary::unreadable`] says what had to be left out.
    ///
    /// # Errors
    /// When not even its metadata can be read.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|_| Self::read_in_part(serde_json::from_str(text)?))
    }

    /// Reads a canary. [`Canary::unreadable`] says what had to be left out.
    ///
    /// # Errors
    /// When not even its metadata can be read.
    pub fn read_value(object: &Value) -> Result<Self, serde_json::Error> {
        serde::Deserialize::deserialize(object).or_else(|_| Self::read_in_part(object.clone()))
    }

    fn read_in_part(mut object: Value) -> Result<Self, serde_json::Error> {
        if !object.is_object() {
            return Err(serde::de::Error::custom("it is no object"));
        }
        let mut first = None;
        for place in 0..MOST_PLACES + MOST_FIELDS {
            let error = match serde_path_to_error::deserialize::<_, Self>(&object) {
                Ok(canary) => return Ok(Self { unreadable: canary.unreadable.or(first), ..canary }),
                Err(error) => error,
            };
            first.get_or_insert_with(|| text(&error));
            // The rest leads the traffic back, and without the status nobody would know that there is a run.
            let depth = if place < MOST_PLACES { usize::MAX } else { FIELD };
            if !leave_out(&mut object, error.path(), depth) {
                return Err(error.into_inner());
            }
        }
        let canary: Self = serde_json::from_value(object)?;
        Ok(Self { unreadable: canary.unreadable.or(first), ..canary })
    }
}

/// Reads an object that is of no use in part, such as a MetricTemplate.
///
/// # Errors
/// Which place cannot be read, without what stands there.
pub fn read_object<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(object).map_err(|error| text(&error))
}

/// The least that a spec has to have.
fn without_target() -> Value {
    json!({"targetRef": TargetRef::default()})
}

/// Leaves out what stands at a path of the spec or the status, or what it stands in at this depth. False if nothing there can
/// be left out.
fn leave_out(object: &mut Value, path: &Path, depth: usize) -> bool {
    let known = path.iter().take_while(|segment| !matches!(segment, Segment::Unknown));
    let keys: Vec<&Segment> = known.take(depth).collect();
    let names: Vec<&str> = keys
        .iter()
        .map_while(|segment| if let Segment::Map { key } = segment { Some(key.as_str()) } else { None })
        .collect();
    match names.as_slice() {
        [] | ["spec"] => object["spec"] = without_target(),
        ["spec", "targetRef", ..] => object["spec"]["targetRef"] = without_target()["targetRef"].take(),
        ["spec" | "status", ..] => return remove(object, &keys),
        _ => return false,
    }
    true
}

fn remove(mut value: &mut Value, path: &[&Segment]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    for parent in parents {
        let inner = match parent {
            Segment::Map { key } | Segment::Enum { variant: key } => value.get_mut(key.as_str()),
            Segment::Seq { index } => value.get_mut(*index),
            Segment::Unknown => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    match (last, value) {
        (Segment::Map { key }, Value::Object(fields)) => fields.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// What is told of a place that cannot be read: never its value, which may be a secret in the wrong place.
fn text(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path: String = error.path().to_string().chars().take(LONGEST_PATH).collect();
    let cause = error.inner().to_string();
    if cause.starts_with("missing field") {
        return format!("{path}: {cause}");
    }
    format!("{path} cannot be read, it is of the wrong type or has an unknown value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Value {
        json!({
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "service": {"port": 80},
                "analysis": {"threshold": 5, "metrics": [{"name": "request-success-rate"}, {"name": "request-duration"}]},
            },
            "status": {"phase": "Progressing", "canaryWeight": 50},
        })
    }

    /// Reads a canary with other values in some places, and what is said of them.
    fn read(places: &[(&str, Value)]) -> (Canary, Option<String>) {
        let mut object = written();
        for (place, value) in places {
            let (parent, field) = place.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        let canary = Canary::read(&object.to_string()).unwrap();
        assert_eq!(Canary::read_value(&object).unwrap(), canary, "a text and its value are read alike");
        (canary.clone(), canary.unreadable)
    }

    fn wrong(place: &str) -> String {
        format!("{place} cannot be read, it is of the wrong type or has an unknown value")
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_named_and_the_rest_is_as_it_was() {
        let (whole, told) = read(&[]);
        assert_eq!(told, None);
        let (canary, told) = read(&[("/spec/service/port", json!({"http": "s3cret"}))]);
        assert_eq!(told, Some(wrong("spec.service.port")));
        assert_eq!((canary.spec.service, &canary.spec.analysis), (None, &whole.spec.analysis));
        assert_eq!((canary.spec.target_ref, canary.status), (whole.spec.target_ref.clone(), whole.status.clone()));
        let (canary, told) = read(&[("/spec/analysis/metrics", json!([{"name": "request-duration"}, {}, "s3cret"]))]);
        assert_eq!(told.as_deref(), Some("spec.analysis.metrics[1]: missing field `name`"));
        let names = |canary: &Canary| canary.analysis().map(|analysis| analysis.metrics.len());
        assert_eq!((names(&canary), names(&whole)), (Some(1), Some(2)));
        let (canary, told) = read(&[("/spec/skipAnalysis", json!("s3cret")), ("/status/canaryWeight", json!({}))]);
        assert_eq!(told, Some(wrong("spec.skipAnalysis")));
        assert_eq!(canary.status.map(|status| status.phase.to_string()).as_deref(), Some("Progressing"));
    }

    #[test]
    fn what_a_canary_cannot_do_without_is_empty_where_it_cannot_be_read() {
        for (place, told) in [("/spec/targetRef/kind", "spec.targetRef.kind"), ("/spec/targetRef", "spec.targetRef")] {
            let (canary, told_of) = read(&[(place, json!(7))]);
            assert_eq!((canary.spec.target_ref, told_of), (TargetRef::default(), Some(wrong(told))));
            assert!(canary.spec.service.is_some(), "{place}");
        }
        for spec in [json!(["podinfo"]), json!([])] {
            assert!(read(&[("/spec", spec)]).1.is_some());
        }
        let (canary, told) = read(&[("/spec", Value::Null)]);
        assert_eq!((canary.spec, told), (crate::CanarySpec::default(), Some(wrong("spec"))));
        assert!(Canary::read("{}").is_ok_and(|canary| canary.unreadable.is_some()));
        assert!(
            Canary::read("[").is_err() && Canary::read("[1]").is_err() && Canary::read(r#"{"metadata": 7}"#).is_err()
        );
    }

    #[test]
    fn of_other_objects_the_place_is_told_and_not_what_stands_there() {
        let read = |headers: Value| {
            let provider = json!({"type": "prometheus", "headers": headers});
            let object = json!({"metadata": {"name": "errors"}, "spec": {"provider": provider, "query": "up"}});
            read_object::<crate::MetricTemplate>(&object).map(|template| template.spec.query)
        };
        assert_eq!(read(json!({"x": ["y"]})), Ok("up".to_owned()));
        assert_eq!(read(json!("Bearer s3cret")), Err(wrong("spec.provider.headers")));
    }

    #[test]
    fn of_what_is_wrong_all_over_the_run_and_what_leads_it_back_are_kept() {
        let (whole, _) = read(&[]);
        for (place, field) in [("/spec/analysis/webhooks", "analysis"), ("/spec/service/match", "service")] {
            let (canary, _) = read(&[(place, json!(vec![json!({"name": 7, "uri": 7}); 3 * MOST_PLACES]))]);
            assert_eq!((canary.status, canary.spec.target_ref), (whole.status.clone(), whole.spec.target_ref.clone()));
            assert_eq!(canary.spec.service.is_some(), field != "service", "{place}");
        }
    }

    #[test]
    fn a_place_is_told_at_no_greater_length_than_anybody_reads() {
        let long = "x".repeat(10_000);
        let (_, told) =
            read(&[("/spec/analysis/sessionAffinity", json!({"cookieName": "a", "cookieAttributes": {long: 1}}))]);
        assert!(told.is_none_or(|told| told.len() < 300));
    }

    /// The places of an object, as JSON pointers.
    fn places(value: &Value, at: &str) -> Vec<String> {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(field, value)| (field.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let below = inner.into_iter().flat_map(|(name, value)| places(value, &format!("{at}/{name}")));
        std::iter::once(at.to_owned()).chain(below).collect()
    }

    #[test]
    fn whatever_stands_in_a_place_of_the_spec_or_the_status_the_canary_is_read() {
        let values =
            [json!(null), json!(7), json!(-1.5), json!("x"), json!([]), json!({}), json!([[{}]]), json!({"a": [1]})];
        let all = places(&written(), "");
        let ours = all.iter().filter(|place| place.starts_with("/spec") || place.starts_with("/status"));
        let mut unreadable = 0;
        for (place, value) in ours.flat_map(|place| values.iter().map(move |value| (place, value))) {
            let mut object = written();
            *object.pointer_mut(place).unwrap() = value.clone();
            let canary = Canary::read_value(&object).unwrap();
            assert_eq!(canary.metadata.name.as_deref(), Some("podinfo"), "{place} {value}");
            unreadable += usize::from(canary.unreadable.is_some());
        }
        assert!(unreadable > 50, "{unreadable}");
    }
}
