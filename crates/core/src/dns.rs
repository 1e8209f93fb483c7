//! Names as Kubernetes takes them. What is none never becomes part of a path (S30): an API server would take `..` in it for
//! another object.

use crate::key::ObjectKey;

/// The most characters of a name, and of a namespace (RFC 1123).
const LONGEST: (usize, usize) = (253, 63);

/// Whether a text is the name of an object: a DNS subdomain.
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST.0 && text.split('.').all(is_part)
}

/// Whether a text is a DNS label, which the name of a namespace is.
pub fn is_label(text: &str) -> bool {
    text.len() <= LONGEST.1 && is_part(text)
}

/// A host as hosts are compared: in lower case, without the dot at its end that only says that it is written in full.
pub fn folded(host: &str) -> String {
    host.trim_end_matches('.').to_lowercase()
}

/// Whether a key is made of names.
pub fn is_key(key: &ObjectKey) -> bool {
    is_name(&key.name) && is_label(&key.namespace)
}

/// What may stand between the dots of a name.
fn is_part(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::canary;
    use crate::rollout::Rollout;
    use crate::settings::Settings;

    #[test]
    fn a_name_is_a_subdomain_and_a_namespace_a_label() {
        let most = "a".repeat(253);
        for name in ["a", "podinfo", "a-b.c-9", "9", most.as_str()] {
            assert!(is_name(name), "{name}");
        }
        let more = "a".repeat(254);
        for text in
            ["", ".", "..", "a/b", "../secrets/x", "A", "a_b", "-a", "a-", "a..b", "a%2fb", "a?b", "ä", "a b", &more]
        {
            assert!(!is_name(text) && !is_label(text), "{text}");
        }
        assert!(is_label("kube-system") && !is_label("a.b") && !is_label(&"a".repeat(64)));
    }

    fn refusal(spec: &serde_json::Value) -> Option<String> {
        Rollout::parse(&canary(spec), &Settings::default()).err()
    }

    #[test]
    fn a_spec_that_names_something_by_what_is_no_name_is_refused_with_the_field() {
        let analysis = |field: &str, value: serde_json::Value| {
            let mut analysis = json!({"interval": "30s", "threshold": 5, "stepWeight": 10});
            analysis[field] = value;
            json!({"analysis": analysis})
        };
        let odd = "../../kube-system/secrets/x";
        let text = |field: &str| Some(format!("{field} {odd:?} is no name that Kubernetes takes"));
        let target = json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": odd}});
        assert_eq!(refusal(&target), text("targetRef.name"));
        assert_eq!(refusal(&json!({"service": {"port": 80, "name": odd}})), text("service.name"));
        let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": odd});
        assert_eq!(refusal(&json!({"autoscalerRef": scaler})), text("autoscalerRef.name"));
        let metric = json!([{"name": "a", "templateRef": {"name": "a", "namespace": odd}}]);
        assert_eq!(refusal(&analysis("metrics", metric)), text("templateRef.namespace"));
        let alert = json!([{"name": "a", "severity": "info", "providerRef": {"name": odd}}]);
        assert_eq!(refusal(&analysis("alerts", alert)), text("providerRef.name"));
    }
}
