//! Selectors within a pod template that speak of the target's own pods: in the primary's they speak of the primary's. It
//! must not touch one that speaks of anybody else.

use serde_json::{Value, json};

use super::Selector;
use crate::object::{items, items_mut};

/// By which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule<'a> {
    /// By the value of the label that tells the two apart, wherever it stands (S51).
    Value {
        /// Namespace of the target.
        namespace: &'a str,
    },
    /// As the peer does (contract: lifecycle §7.2), by which its primaries are recognized: what has the target's name under
    /// any of these labels, of expressions the first one alone, and of affinities those that keep pods apart.
    Flaggers {
        /// Name of the target.
        target: &'a str,
        /// The labels of `-selector-labels`.
        labels: &'a [String],
    },
}

/// Points topology spread and affinities at the primary's own pods.
pub(super) fn spread(pod_spec: &mut Value, selector: &Selector, rule: Rule<'_>) {
    let rename = |holder: &mut Value| {
        if let Some(found) = holder.get_mut("labelSelector") {
            match rule {
                Rule::Value { .. } => by_value(found, selector),
                Rule::Flaggers { target, labels } => by_name(found, target, labels),
            }
        }
    };
    items_mut(pod_spec.get_mut("topologySpreadConstraints")).for_each(rename);
    let kinds: &[&str] = match rule {
        Rule::Value { .. } => &["podAffinity", "podAntiAffinity"],
        Rule::Flaggers { .. } => &["podAntiAffinity"],
    };
    for kind in kinds {
        let Some(affinity) = pod_spec.pointer_mut(&format!("/affinity/{kind}")) else { continue };
        let terms = items_mut(affinity.get_mut("requiredDuringSchedulingIgnoredDuringExecution"));
        terms.filter(|term| is_of_own_namespace(term, rule)).for_each(rename);
        let preferred = items_mut(affinity.get_mut("preferredDuringSchedulingIgnoredDuringExecution"));
        let terms = preferred.filter_map(|preferred| preferred.get_mut("podAffinityTerm"));
        terms.filter(|term| is_of_own_namespace(term, rule)).for_each(rename);
    }
}

/// Whether a term can mean pods of the target's namespace. The same labels mean other pods elsewhere.
fn is_of_own_namespace(term: &Value, rule: Rule<'_>) -> bool {
    let Rule::Value { namespace } = rule else { return true };
    let mut named = items(&term["namespaces"]).peekable();
    let names_none = named.peek().is_none();
    names_none || named.any(|name| name == namespace)
}

fn by_value(found: &mut Value, selector: &Selector) {
    let primary = json!(selector.primary_value());
    let is_own = |value: &Value| *value == selector.value.as_str();
    let own_label = found.get_mut("matchLabels").and_then(|labels| labels.get_mut(&selector.label));
    if let Some(value) = own_label.filter(|value| is_own(value)) {
        *value = primary.clone();
    }
    for expression in items_mut(found.get_mut("matchExpressions")) {
        if expression["key"] != selector.label.as_str() {
            continue;
        }
        for value in items_mut(expression.get_mut("values")).filter(|value| is_own(value)) {
            *value = primary.clone();
        }
    }
}

fn by_name(found: &mut Value, target: &str, labels: &[String]) {
    let primary = json!(format!("{target}-primary"));
    for label in labels {
        let value = found.get_mut("matchLabels").and_then(|entries| entries.get_mut(label));
        if let Some(value) = value.filter(|value| *value == target) {
            *value = primary.clone();
        }
    }
    for expression in items_mut(found.get_mut("matchExpressions")) {
        if !labels.iter().any(|label| expression["key"] == label.as_str()) {
            continue;
        }
        if let Some(value) = items_mut(expression.get_mut("values")).find(|value| *value == target) {
            *value = primary.clone();
        }
    }
}

#[cfg(test)]
mod tests;
