//! Tests of what selects a target's pods and a primary's.

use serde_json::{Value, json};

use super::*;
use crate::fixtures;
use crate::workload::{Recipe, primary, promoted, restored, runs};

fn target(selector: &Value) -> Value {
    let labels = json!({"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-us", "tier": "web"});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"replicas": 2, "selector": selector, "template": {"metadata": {"labels": labels}, "spec": {}}}})
}

fn two_labels() -> Value {
    json!({"matchLabels": {"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-us"}})
}

fn found(selector: &Value, primary: Option<&Value>) -> Result<Selector, String> {
    super::selector(&fixtures::rollout(&json!({})), &Settings::default(), &target(selector), primary)
}

fn with_recipe<T>(f: impl FnOnce(&Recipe<'_>) -> T) -> T {
    let (rollout, settings) = (fixtures::rollout(&json!({})), Settings::default());
    f(&Recipe { rollout: &rollout, settings: &settings, tracked: &[], flagger_id: "id" })
}

fn made(selector: &Value) -> Value {
    with_recipe(|recipe| primary(recipe, &target(selector))).unwrap()
}

/// As Flagger makes it: it selects by one label.
fn flaggers() -> Value {
    let mut primary = made(&two_labels());
    primary["spec"]["selector"] = json!({"matchLabels": {"app.kubernetes.io/name": "shop-primary"}});
    primary
}

#[test]
fn all_labels_select_and_one_tells_the_two_apart() {
    let selector = found(&two_labels(), None).unwrap();
    let labels = |name: &str| json!({"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop-us"});
    assert_eq!(selector.canary_labels(), labels("shop"));
    assert_eq!(selector.primary_labels(), labels("shop-primary"));
    let primary = made(&two_labels());
    assert_eq!(primary["spec"]["selector"], json!({"matchLabels": labels("shop-primary")}));
    assert_eq!(primary["spec"]["template"]["metadata"]["labels"]["tier"], "web");
}

#[test]
fn the_pods_of_another_instance_are_in_none_of_the_services() {
    let selector = found(&two_labels(), None).unwrap();
    for name in ["shop", "shop-primary"] {
        let others = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop-eu", "tier": "web"});
        assert!(!selects(&selector.canary_labels(), &others) && !selects(&selector.primary_labels(), &others));
    }
    let own = &target(&two_labels())["spec"]["template"]["metadata"]["labels"];
    assert!(selects(&selector.canary_labels(), own) && !selects(&selector.primary_labels(), own));
    assert!(!selects(&json!({}), own), "a Service without a selector leads nowhere");
}

#[test]
fn a_primary_that_is_there_goes_on_selecting_as_it_does() {
    let selector = found(&two_labels(), Some(&flaggers())).unwrap();
    assert_eq!(selector.primary_labels(), json!({"app.kubernetes.io/name": "shop-primary"}));
    let promoted = with_recipe(|recipe| promoted(recipe, &target(&two_labels()), &flaggers(), 1)).unwrap();
    assert_eq!(promoted["spec"]["selector"], flaggers()["spec"]["selector"]);
    assert_eq!(promoted["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"], "shop-us");
}

#[test]
fn the_labels_by_which_a_primary_selects_stay_on_its_pods_whatever_becomes_of_the_target() {
    let mut seen = made(&two_labels());
    seen["spec"]["selector"]["matchLabels"]["stage"] = json!("one");
    let promoted = with_recipe(|recipe| promoted(recipe, &target(&two_labels()), &seen, 1)).unwrap();
    assert!(selects(&seen["spec"]["selector"]["matchLabels"], &promoted["spec"]["template"]["metadata"]["labels"]));
}

#[test]
fn a_primary_that_is_made_from_an_older_template_selects_its_own_pods() {
    let template = json!({"metadata": {"labels": {"app.kubernetes.io/name": "shop"}}, "spec": {}});
    let made = with_recipe(|recipe| restored(recipe, &template, &target(&two_labels()), None)).unwrap();
    assert!(selects(&made["spec"]["selector"]["matchLabels"], &made["spec"]["template"]["metadata"]["labels"]));
}

#[test]
fn a_primary_that_selects_the_targets_pods_too_is_no_guide() {
    let mut seen = flaggers();
    seen["spec"]["selector"] = json!({"matchLabels": {"tier": "web"}});
    let selector = found(&two_labels(), Some(&seen)).unwrap();
    assert_eq!(selector.primary_labels()["app.kubernetes.io/name"], "shop-primary");
}

#[test]
fn expressions_come_along_and_those_with_one_value_are_labels() {
    let mut selector = two_labels();
    let expression =
        |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
    selector["matchExpressions"] = json!([
        expression("tier", "In", &["web"]),
        expression("zone", "In", &["a", "b"]),
        expression("app.kubernetes.io/name", "In", &["shop", "store"]),
        expression("app.kubernetes.io/name", "NotIn", &["db"]),
    ]);
    let found = found(&selector, None).unwrap();
    assert_eq!(found.canary_labels()["tier"], "web");
    assert_eq!(found.primary_labels()["tier"], "web");
    let mut expected = selector["matchExpressions"].clone();
    expected[2]["values"] = json!(["shop-primary", "store"]);
    assert_eq!(made(&selector)["spec"]["selector"]["matchExpressions"], expected);
}

#[test]
fn an_expression_that_no_primary_can_meet_is_refused_with_the_reason() {
    let mut selector = two_labels();
    selector["matchExpressions"] =
        json!([{"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["shop-primary"]}]);
    let reason = "deployment podinfo.test spec.selector.matchExpressions must not exclude \
                  app.kubernetes.io/name=shop-primary, the label of the primary's pods";
    assert_eq!(found(&selector, None), Err(reason.to_owned()));
}

#[test]
fn a_primary_of_flagger_is_recognized_by_its_way_of_spreading_pods() {
    let mut target = target(&json!({"matchLabels": {"app": "shop"}}));
    target["spec"]["template"]["metadata"]["labels"] = json!({"app": "shop"});
    let by = |value: &str| json!([{"labelSelector": {"matchLabels": {"app": value}}}]);
    for (of_target, of_flaggers, of_ours) in
        [("podinfo", "podinfo-primary", "podinfo"), ("shop", "shop", "shop-primary"), ("db", "db", "db")]
    {
        target["spec"]["template"]["spec"]["topologySpreadConstraints"] = by(of_target);
        let mut primary = with_recipe(|recipe| primary(recipe, &target)).unwrap();
        let spread = &mut primary["spec"]["template"]["spec"]["topologySpreadConstraints"];
        assert_eq!(*spread, by(of_ours));
        *spread = by(of_flaggers);
        let template = &target["spec"]["template"];
        assert_eq!(with_recipe(|recipe| runs(recipe, template, &target, &primary)), Ok(true), "{of_target}");
        primary["spec"]["template"]["spec"]["topologySpreadConstraints"] = by("another");
        assert_eq!(with_recipe(|recipe| runs(recipe, template, &target, &primary)), Ok(false));
    }
}
