//! Tests of selectors within a pod template: they mean the primary's pods where they meant the target's.

use serde_json::{Value, json};

use crate::fixtures;
use crate::settings::Settings;
use crate::workload::{Recipe, primary};

/// A target whose label is not its name, with this pod spec, and the primary's pod spec.
fn spread(spec: &Value) -> Value {
    let labels = json!({"app.kubernetes.io/name": "mail", "app.kubernetes.io/instance": "mail-prod"});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}});
    let (rollout, settings) = (fixtures::rollout(&json!({})), Settings::default());
    let recipe = Recipe { rollout: &rollout, settings: &settings, tracked: &[], flagger_id: "id" };
    primary(&recipe, &target).unwrap()["spec"]["template"]["spec"].clone()
}

/// Every place where a pod spec can hold this selector.
fn everywhere(selector: &Value) -> Value {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector});
    let affinity = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": [term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
    });
    json!({"affinity": {"podAffinity": affinity, "podAntiAffinity": affinity},
        "topologySpreadConstraints": [{"maxSkew": 1, "labelSelector": selector}]})
}

#[track_caller]
fn check(selector: &Value, expected: &Value) {
    assert_eq!(spread(&everywhere(selector)), everywhere(expected));
}

#[test]
fn a_selector_of_the_targets_own_pods_means_the_primarys_in_every_place() {
    check(
        &json!({"matchLabels": {"app.kubernetes.io/name": "mail", "app.kubernetes.io/instance": "mail-prod"}}),
        &json!({"matchLabels": {"app.kubernetes.io/name": "mail-primary", "app.kubernetes.io/instance": "mail-prod"}}),
    );
    let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": operator, "values": values}]});
    check(&expression("In", &["mail"]), &expression("In", &["mail-primary"]));
    check(&expression("In", &["web", "mail", "mail-eu"]), &expression("In", &["web", "mail-primary", "mail-eu"]));
    check(&expression("NotIn", &["mail"]), &expression("NotIn", &["mail-primary"]));
}

#[test]
fn a_selector_of_others_stays_although_it_has_the_same_value_or_label() {
    for foreign in [
        json!({"matchLabels": {"app.kubernetes.io/name": "mail-eu"}}),
        json!({"matchLabels": {"team": "mail", "app": "podinfo"}}),
        json!({"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "Exists"}]}),
        Value::Null,
    ] {
        check(&foreign, &foreign);
    }
}

#[test]
fn the_same_labels_in_another_namespace_are_other_pods() {
    let term = |namespaces: &[&str], value: &str| {
        let labels = json!({"app.kubernetes.io/name": value});
        let term = json!({"namespaces": namespaces, "labelSelector": {"matchLabels": labels}});
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    assert_eq!(spread(&term(&["other"], "mail")), term(&["other"], "mail"));
    assert_eq!(spread(&term(&["other", "test"], "mail")), term(&["other", "test"], "mail-primary"));
}
