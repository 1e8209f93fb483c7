//! What selects the pods of a target and of its primary (contract: lifecycle §7.1). All labels of the target count: with the
//! one alone that tells the two apart, Services would lead to the pods of whoever shares it.

use serde_json::{Value, json};

use super::TargetKind;
use crate::object::{entries, is_empty, items, items_mut, merge};
use crate::rollout::Rollout;
use crate::settings::Settings;

/// The labels by which the target's pods and the primary's are selected (contract: lifecycle §7.1; S50).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The label that tells the two apart.
    pub label: String,
    /// Its value on the target's pods.
    pub value: String,
    /// All labels that the target's pods must have.
    labels: Value,
    /// What the target demands of its pods' labels besides (`matchExpressions`), in the primary's words.
    expressions: Value,
    /// The labels by which a primary that is there selects its pods. They cannot be changed any more: one that Flagger made
    /// knows one label.
    primary: Option<Value>,
}

impl Selector {
    /// The label's value on the primary's pods.
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }

    /// The labels that select the target's pods.
    pub fn canary_labels(&self) -> Value {
        self.labels.clone()
    }

    /// The labels that select the primary's pods.
    pub fn primary_labels(&self) -> Value {
        self.primary.clone().unwrap_or_else(|| self.all_primary_labels())
    }

    /// The same as `spec.selector` of a primary that is made.
    pub(super) fn of_new_primary(&self) -> Value {
        let mut selector = json!({"matchLabels": self.all_primary_labels()});
        if !is_empty(&self.expressions) {
            selector["matchExpressions"] = self.expressions.clone();
        }
        selector
    }

    /// Makes labels of the target's pods those of the primary's. A primary must select its own pods, also when they get a
    /// template from before the target had these labels.
    pub(super) fn mark(&self, labels: &mut Value) {
        merge(labels, &self.primary_labels());
    }

    /// Whether a Service's selector is the one that leads to the primary, with all labels or with the one alone.
    pub fn is_of_primary(&self, selector: &Value) -> bool {
        selector[&self.label] == self.primary_value().as_str()
    }

    fn all_primary_labels(&self) -> Value {
        let mut labels = self.labels.clone();
        labels[&self.label] = json!(self.primary_value());
        labels
    }
}

/// What selects the target's pods: told apart by the first of `-selector-labels` in its `matchLabels`. The error is the
/// contract's text (lifecycle §2 step 4, §7.1), or says which expression no pod of a primary could ever meet.
pub fn selector(
    rollout: &Rollout,
    settings: &Settings,
    target: &Value,
    primary: Option<&Value>,
) -> Result<Selector, String> {
    let selector = &target["spec"]["selector"];
    let labels = &selector["matchLabels"];
    let found = settings.selector_labels.iter().find_map(|label| Some((label, labels[label.as_str()].as_str()?)));
    let (label, value) = found.ok_or_else(|| without_label(rollout, settings))?;
    let mut found = Selector {
        label: label.clone(),
        value: value.to_owned(),
        labels: labels.clone(),
        expressions: Value::Null,
        primary: None,
    };
    for expression in items(&selector["matchExpressions"]) {
        if let Some(value) = only_value(expression) {
            found.labels[expression["key"].as_str().unwrap_or_default()] = value.clone();
        }
    }
    found.expressions = expressions(rollout, &found, &selector["matchExpressions"])?;
    let own = primary.map(|primary| &primary["spec"]["selector"]["matchLabels"]);
    // One that does not tell the two apart selects both.
    found.primary = own.filter(|own| found.is_of_primary(own)).cloned();
    Ok(found)
}

fn without_label(rollout: &Rollout, settings: &Settings) -> String {
    let (kind, end) = match rollout.target_kind {
        TargetKind::Deployment => ("deployment", ""),
        // The stray quote is the contract's.
        TargetKind::DaemonSet => ("daemonset", "'"),
        TargetKind::Service | TargetKind::Knative => ("service", ""),
    };
    format!(
        "getSelectorLabel failed: {kind} {}.{} spec.selector.matchLabels must contain one of [{}]{end}",
        rollout.target.name,
        rollout.namespace,
        settings.selector_labels.join(" ")
    )
}

/// The value of an expression that is a label in other words. Services know no expressions.
fn only_value(expression: &Value) -> Option<&Value> {
    let mut values = items(&expression["values"]);
    let first = values.next().filter(|_| expression["operator"] == "In");
    first.filter(|_| values.next().is_none())
}

/// The target's `matchExpressions` for the primary, whose pods have another value of the one label.
fn expressions(rollout: &Rollout, selector: &Selector, expressions: &Value) -> Result<Value, String> {
    let (value, renamed) = (json!(selector.value), json!(selector.primary_value()));
    let mut expressions = expressions.clone();
    for expression in items_mut(Some(&mut expressions)) {
        if expression["key"] != selector.label.as_str() {
            continue;
        }
        if expression["operator"] == "NotIn" && items(&expression["values"]).any(|other| *other == renamed) {
            return Err(format!(
                "{} {}.{} spec.selector.matchExpressions must not exclude {}={}, the label of the primary's pods",
                rollout.target.kind.to_lowercase(),
                rollout.target.name,
                rollout.namespace,
                selector.label,
                selector.primary_value()
            ));
        }
        if expression["operator"] == "In" {
            items_mut(expression.get_mut("values"))
                .filter(|other| **other == value)
                .for_each(|other| *other = renamed.clone());
        }
    }
    Ok(expressions)
}

/// Whether pods with these labels are among those that a Service of this selector leads to. One without a selector leads to
/// none.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    !is_empty(selector) && entries(selector).all(|(key, value)| labels[key.as_str()] == *value)
}

#[cfg(test)]
mod tests;
