//! What an API server says of the names and labels of any object before it stores it. It changes nothing.

use serde_json::Value;

use super::{Problem, Segment};

/// Longest name of an object, of a Service and of a label's value.
const NAME_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

/// Where labels stand besides the object's own.
const LABELS: [&[&str]; 3] =
    [&["metadata", "labels"], &["spec", "selector", "matchLabels"], &["spec", "template", "metadata", "labels"]];

/// What is wrong with the name, the namespace and the labels of an object.
pub fn metadata_problems(object: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let text = |field: &str| object["metadata"][field].as_str();
    let is_service = object["kind"] == "Service";
    if let Some(name) = text("name").filter(|name| if is_service { !is_service_name(name) } else { !is_name(name) }) {
        found.push(problem(&["metadata", "name"], format!("{name:?} is no name that Kubernetes takes")));
    }
    if let Some(name) = text("namespace").filter(|name| !is_label(name)) {
        found.push(problem(&["metadata", "namespace"], format!("{name:?} is no name that Kubernetes takes")));
    }
    for path in LABELS {
        let labels = path.iter().fold(object, |value, field| &value[*field]);
        for (key, value) in labels.as_object().into_iter().flatten() {
            let place = [path, &[key.as_str()]].concat();
            if !is_key(key) {
                found.push(problem(&place, format!("{key:?} is no label that Kubernetes takes")));
            }
            if let Some(value) = value.as_str().filter(|value| !value.is_empty() && !is_value(value)) {
                found.push(problem(&place, format!("{value:?} is no value of a label that Kubernetes takes")));
            }
        }
    }
    for key in object["metadata"]["annotations"].as_object().into_iter().flatten().map(|(key, _)| key) {
        if !is_key(&key.to_ascii_lowercase()) {
            found.push(problem(&["metadata", "annotations", key], format!("{key:?} is no key that Kubernetes takes")));
        }
    }
    found
}

fn problem(path: &[&str], text: String) -> Problem {
    let path = path.iter().map(|field| Segment::Field((*field).to_owned())).collect();
    Problem { path, text, is_unknown: false }
}

/// A DNS name (RFC 1123).
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && is_bounded(part, |letter| letter == b'-') && is_lower(part);
    name.len() <= NAME_LIMIT && name.split('.').all(is_part)
}

fn is_label(name: &str) -> bool {
    name.len() <= LABEL_LIMIT && !name.contains('.') && is_name(name)
}

fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|letter: char| letter.is_ascii_lowercase())
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_name(prefix) && is_value(name),
        None => is_value(key),
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value.len() <= LABEL_LIMIT && is_bounded(value, |letter| matches!(letter, b'-' | b'_' | b'.'))
}

/// Whether a text is of letters and digits, with others only between them.
fn is_bounded(text: &str, may_stand_between: impl Fn(u8) -> bool) -> bool {
    let is_end = |letter: Option<u8>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    let is_inner = |letter: u8| letter.is_ascii_alphanumeric() || may_stand_between(letter);
    is_end(text.bytes().next()) && is_end(text.bytes().last()) && text.bytes().all(is_inner)
}

fn is_lower(text: &str) -> bool {
    !text.bytes().any(|letter| letter.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: &Value, expected: &[&str]) {
        let found: Vec<String> = metadata_problems(object).iter().map(Problem::field).collect();
        assert_eq!(found, expected, "{object}");
    }

    #[test]
    fn names_and_labels_that_kubernetes_refuses_are_found() {
        let named = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name, "namespace": "test"}});
        check(&named("Deployment", "podinfo.v1"), &[]);
        check(&named("Deployment", "Podinfo"), &["metadata.name"]);
        check(&named("Service", "podinfo.v1"), &["metadata.name"]);
        check(&named("Service", "2048"), &["metadata.name"]);
        check(&named("Service", &"a".repeat(64)), &["metadata.name"]);
        check(&json!({"metadata": {"namespace": "Test"}}), &["metadata.namespace"]);
        let labels = |labels: Value| json!({"spec": {"selector": {"matchLabels": labels}}});
        check(&labels(json!({"app": "podinfo", "app.kubernetes.io/name": "Pod_info.1", "empty": ""})), &[]);
        check(&labels(json!({"app": "a".repeat(64)})), &["spec.selector.matchLabels.app"]);
        check(&labels(json!({"app": "-a"})), &["spec.selector.matchLabels.app"]);
        check(&labels(json!({"a b": "c"})), &["spec.selector.matchLabels.a b"]);
        check(&json!({"metadata": {"annotations": {"a/b/c": "d"}}}), &["metadata.annotations.a/b/c"]);
    }
}
