//! What is written is of the kinds and names that the canary derives, and what is there is its own.

use burgee_api::{CopiedScaler, Routed};
use serde_json::json;

use super::*;
use crate::fixtures::{canary, rollout};

fn object(kind: Kind, name: &str, owner: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "test", "ownerReferences": owner});
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": metadata})
}

fn ours() -> Value {
    json!([rollout(&json!({})).owner_reference()])
}

fn bounds() -> Bounds {
    let spec = json!({"autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"}});
    Bounds::of(&rollout(&spec), &canary(&spec))
}

/// Why a step is refused, if it is.
fn check(step: &Step, expected: Option<&str>) {
    let reason = bounds().may_take(step).err().map(|trespass| trespass.reason);
    assert_eq!(reason, expected, "{step:?}");
}

#[test]
fn what_the_canary_derives_is_created_with_it_as_the_owner() {
    for (kind, name) in [
        (Kind::Deployment, "podinfo-primary"),
        (Kind::Service, "podinfo"),
        (Kind::Service, "podinfo-primary"),
        (Kind::Service, "podinfo-canary"),
        (Kind::HorizontalPodAutoscaler, "podinfo-primary"),
        (Kind::VIRTUAL_SERVICE, "podinfo"),
        (Kind::DESTINATION_RULE, "podinfo-primary"),
        (Kind::DESTINATION_RULE, "podinfo-canary"),
        (Kind::ControllerRevision, "podinfo-b1-0"),
        (Kind::ConfigMap, "env-primary"),
        (Kind::Secret, "token-primary"),
        (Kind::Secret, "podinfo-promoted-configs"),
    ] {
        check(&Step::Create(object(kind, name, &ours())), None);
        check(&Step::Create(object(kind, name, &Value::Null)), Some(NOT_CONTROLLED));
    }
}

#[test]
fn nothing_else_is_created_whoever_says_so() {
    let mut elsewhere = object(Kind::Deployment, "podinfo-primary", &ours());
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    for object in [
        elsewhere,
        object(Kind::Deployment, "podinfo", &ours()),
        object(Kind::DaemonSet, "podinfo-primary", &ours()),
        object(Kind::ConfigMap, "env", &ours()),
        object(Kind::ConfigMap, "-primary", &ours()),
        object(Kind::ControllerRevision, "frontend-b1-0", &ours()),
        object(Kind::Canary, "podinfo", &ours()),
        object(Kind::VIRTUAL_SERVICE, "frontend", &ours()),
    ] {
        check(&Step::Create(object.clone()), Some(NOT_DERIVED));
        check(&Step::Keep(object), Some(NOT_DERIVED));
    }
}

#[test]
fn what_is_there_and_not_the_canarys_is_replaced_only_if_it_is_adopted_and_nobody_elses() {
    let theirs =
        || json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "w", "controller": true}]);
    for (kind, name, nobodys) in [
        (Kind::Deployment, "podinfo-primary", Some(NOT_CONTROLLED)),
        (Kind::Service, "podinfo-primary", Some(NOT_CONTROLLED)),
        (Kind::Service, "podinfo", None),
        (Kind::VIRTUAL_SERVICE, "podinfo", None),
    ] {
        check(&Step::Replace(object(kind, name, &ours())), None);
        check(&Step::Replace(object(kind, name, &Value::Null)), nobodys);
        check(&Step::Replace(object(kind, name, &theirs())), Some(NOT_CONTROLLED));
    }
}

#[test]
fn only_the_canarys_own_is_deleted() {
    let key = ObjectKey::new(Kind::ControllerRevision, "test", "podinfo-b1-0");
    let refused = |key: &ObjectKey, owner: &Value| bounds().may_delete(key, &object(key.kind, &key.name, owner)).err();
    assert_eq!(refused(&key, &ours()), None);
    assert_eq!(refused(&key, &Value::Null).map(|trespass| trespass.reason), Some(NOT_CONTROLLED));
    let primary = ObjectKey::new(Kind::Deployment, "test", "podinfo-primary");
    assert_eq!(
        refused(&primary, &ours()).map(|trespass| trespass.reason),
        Some(NOT_DERIVED),
        "it goes with the canary"
    );
}

#[test]
fn the_users_objects_are_patched_and_no_others() {
    let patch = |kind: Kind, name: &str| Step::Patch { key: ObjectKey::new(kind, "test", name), operations: json!([]) };
    check(&patch(Kind::Deployment, "podinfo"), None);
    check(&patch(Kind::Canary, "podinfo"), None);
    check(&patch(Kind::HorizontalPodAutoscaler, "podinfo"), None);
    check(&patch(Kind::Deployment, "podinfo-primary"), Some(NOT_DERIVED));
    check(&patch(Kind::Deployment, "web"), Some(NOT_DERIVED));
    check(&patch(Kind::Canary, "frontend"), Some(NOT_DERIVED));
}

#[test]
fn what_the_status_says_was_left_behind_is_touched_only_if_it_is_the_canarys() {
    let spec = json!({});
    let mut left = canary(&spec);
    let run = burgee_api::Run {
        routed: Some(Routed { provider: "istio".to_owned(), name: "frontend".to_owned() }),
        scalers: vec![CopiedScaler { kind: "HorizontalPodAutoscaler".to_owned(), name: "web".to_owned() }],
        ..burgee_api::Run::default()
    };
    left.status = Some(burgee_api::CanaryStatus { run: Some(run), ..burgee_api::CanaryStatus::default() });
    let bounds = Bounds::of(&rollout(&spec), &left);
    let theirs = json!([{"kind": "Canary", "name": "frontend", "uid": "f", "controller": true}]);
    let route = |owner: &Value| Step::Replace(object(Kind::VIRTUAL_SERVICE, "frontend", owner));
    assert_eq!(bounds.may_take(&route(&ours())), Ok(()));
    assert!(bounds.may_take(&route(&theirs)).is_err());
    assert!(bounds.may_take(&Step::Create(object(Kind::VIRTUAL_SERVICE, "frontend", &ours()))).is_err());
    let scaler = ObjectKey::new(Kind::HorizontalPodAutoscaler, "test", "web-primary");
    let made = |owner: &Value| bounds.may_delete(&scaler, &object(scaler.kind, "web-primary", owner)).is_ok();
    assert!(made(&ours()) && !made(&theirs) && !made(&Value::Null));
}

#[test]
fn a_config_is_copied_within_the_namespace_and_under_its_own_name() {
    let copy = |namespace: &str, name: &str, uid: &str| {
        Step::CopyConfig(ConfigCopy {
            source: ObjectKey::new(Kind::Secret, namespace, "token"),
            checksum: String::new(),
            name: name.to_owned(),
            owner: json!({"uid": uid}),
            include_label_prefixes: Vec::new(),
        })
    };
    check(&copy("test", "token-primary", "canary-uid"), None);
    check(&copy("kube-system", "token-primary", "canary-uid"), Some(NOT_DERIVED));
    check(&copy("test", "other-primary", "canary-uid"), Some(NOT_DERIVED));
    check(&copy("test", "token-primary", "another"), Some(NOT_CONTROLLED));
}

#[test]
fn for_a_canary_that_means_nothing_nothing_but_itself_is_written() {
    let key = ObjectKey::new(Kind::Canary, "test", "podinfo");
    let bounds = Bounds::of_nobody(&key);
    assert_eq!(bounds.may_patch(&key), Ok(()));
    assert!(bounds.may_take(&Step::Create(object(Kind::Service, "podinfo", &Value::Null))).is_err());
}
