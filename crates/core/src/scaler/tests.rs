//! Tests of the primary's autoscaler.

use serde_json::json;

use super::*;
use crate::fixtures;
use crate::object::LAST_APPLIED;
use crate::reconcile::settle;

fn source(minimum: i64) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "source", "annotations": {"a": "b"},
            "labels": {"team": "red", "kustomize.toolkit.fluxcd.io/name": "x"}},
        "spec": {"minReplicas": minimum, "maxReplicas": 4, "fieldOfTomorrow": 1,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu"}}],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}},
        "status": {"currentReplicas": 2}})
}

fn primary_scaler(
    rollout: &Rollout,
    object: &Value,
    seen: Option<&Value>,
    floor: Option<i64>,
    sync: Sync,
) -> Option<Value> {
    super::primary_scaler(rollout, &Source { object, selector: None }, seen, floor, sync)
}

fn rollout(replicas: &Value) -> Rollout {
    fixtures::rollout(&json!({"autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "name": "podinfo", "primaryScalerReplicas": replicas}}))
}

fn made(floor: Option<i64>, seen: Option<&Value>) -> Value {
    primary_scaler(&rollout(&json!({})), &source(2), seen, floor, Sync::CreateOnly).unwrap()
}

#[test]
fn it_is_the_source_pointed_at_the_primary() {
    let expected = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "podinfo-primary", "namespace": "test", "labels": {"team": "red"},
            "annotations": {"a": "b"}, "ownerReferences": [rollout(&json!({})).owner_reference()]},
        "spec": {"minReplicas": 2, "maxReplicas": 4, "fieldOfTomorrow": 1,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu"}}],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo-primary"}}});
    assert_eq!(made(None, None), expected);
}

#[test]
fn a_floor_raises_the_minimum_within_the_maximum_and_is_taken_back_exactly() {
    let plain = made(None, None);
    let raised = made(Some(3), Some(&plain));
    assert_eq!(raised["spec"]["minReplicas"], 3);
    assert_eq!(made(Some(9), Some(&raised))["spec"]["minReplicas"], 4);
    assert_eq!(settle(made(Some(3), Some(&raised)), Some(&raised)), None);
    assert_eq!(settle(made(None, Some(&raised)), Some(&plain)), None);
}

#[test]
fn a_floor_below_the_minimum_changes_nothing() {
    let plain = made(None, None);
    assert_eq!(settle(made(Some(1), Some(&plain)), Some(&plain)), None);
}

#[test]
fn edits_of_the_source_wait_for_a_full_sync_which_keeps_the_floor() {
    let seen = made(Some(3), None);
    let edited = source(1);
    let rollout = rollout(&json!({}));
    let create_only = primary_scaler(&rollout, &edited, Some(&seen), Some(3), Sync::CreateOnly).unwrap();
    assert_eq!(settle(create_only, Some(&seen)), None);
    let full = primary_scaler(&rollout, &edited, Some(&seen), Some(3), Sync::Full).unwrap();
    assert_eq!(full["spec"]["minReplicas"], 3);
    let released = primary_scaler(&rollout, &edited, Some(&full), None, Sync::CreateOnly).unwrap();
    assert_eq!(released["spec"]["minReplicas"], 1);
}

#[test]
fn own_limits_win_over_the_source_but_not_over_the_floor() {
    let rollout = rollout(&json!({"minReplicas": 1, "maxReplicas": 10}));
    let scaler = primary_scaler(&rollout, &source(2), None, None, Sync::Full).unwrap();
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(1), &json!(10)));
    let held = primary_scaler(&rollout, &source(2), None, Some(6), Sync::Full).unwrap();
    assert_eq!(held["spec"]["minReplicas"], 6);
}

fn scaled_object() -> Value {
    json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "so", "namespace": "test", "uid": "u", "resourceVersion": "4", "labels": {"team": "red"},
            "annotations": {"note": "x", "autoscaling.keda.sh/paused-replicas": "0", LAST_APPLIED: "{}"}},
        "spec": {"minReplicaCount": 1, "maxReplicaCount": 5, "fieldOfTomorrow": 1,
            "advanced": {"horizontalPodAutoscalerConfig": {"name": "so-hpa"}},
            "scaleTargetRef": {"name": "podinfo"},
            "triggers": [{"type": "prometheus", "name": "rps", "metadata":
                {"query": "sum(rate(a{pod=~\"podinfo-[0-9].*\",svc=\"podinfo-canary\",old=\"podinfo-primary\"}[1m]))"}}]}})
}

fn keda(queries: &Value) -> Rollout {
    fixtures::rollout(&json!({"autoscalerRef": {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "so",
        "primaryScalerQueries": queries}}))
}

#[test]
fn a_scaled_object_is_pointed_at_the_primary_with_its_queries() {
    let rollout = keda(&json!({}));
    let expected = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "so-primary", "namespace": "test", "labels": {"team": "red"},
            "annotations": {"note": "x", COPIED_MINIMUM: "1"}, "ownerReferences": [rollout.owner_reference()]},
        "spec": {"minReplicaCount": 3, "maxReplicaCount": 5, "fieldOfTomorrow": 1,
            "advanced": {"horizontalPodAutoscalerConfig": {"name": "so-hpa-primary"}},
            "scaleTargetRef": {"name": "podinfo-primary"},
            "triggers": [{"type": "prometheus", "name": "rps", "metadata":
                {"query": "sum(rate(a{pod=~\"podinfo-primary-[0-9].*\",svc=\"podinfo-primary\",old=\"podinfo-primary\"}[1m]))"}}]}});
    assert_eq!(primary_scaler(&rollout, &scaled_object(), None, Some(3), Sync::CreateOnly), Some(expected));
}

#[test]
fn a_full_sync_of_a_scaled_object_is_settled_and_given_queries_win() {
    let rollout = keda(&json!({"rps": "mine"}));
    let once = primary_scaler(&rollout, &scaled_object(), None, Some(3), Sync::Full).unwrap();
    assert_eq!(once["spec"]["triggers"][0]["metadata"]["query"], "mine");
    let twice = primary_scaler(&rollout, &scaled_object(), Some(&once), Some(3), Sync::Full).unwrap();
    assert_eq!(settle(twice, Some(&once)), None);
}

#[test]
fn the_name_that_keda_gives_each_scaled_object_is_neither_copied_nor_removed() {
    let rollout = keda(&json!({}));
    let mut source = scaled_object();
    source["metadata"]["labels"]["scaledobject.keda.sh/name"] = json!("so");
    let mut made = primary_scaler(&rollout, &source, None, None, Sync::CreateOnly).unwrap();
    assert_eq!(made["metadata"]["labels"], json!({"team": "red"}));
    made["metadata"]["labels"]["scaledobject.keda.sh/name"] = json!("so-primary");
    let synced = primary_scaler(&rollout, &source, Some(&made), None, Sync::Full).unwrap();
    assert_eq!(settle(synced, Some(&made)), None);
}

#[test]
fn only_a_scaled_object_is_paused_and_only_once() {
    let paused = scaled_object();
    let keda = keda(&json!({}));
    assert_eq!(pause(&keda, &paused), None);
    let Some(Step::Patch { operations, .. }) = resume(&keda, &paused) else { panic!("not resumed") };
    let path = "/metadata/annotations/autoscaling.keda.sh~1paused-replicas";
    assert_eq!(operations[2], json!({"op": "remove", "path": path}));
    let mut bare = scaled_object();
    bare["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(resume(&keda, &bare), None);
    let Some(Step::Patch { operations, .. }) = pause(&keda, &bare) else { panic!("not paused") };
    assert_eq!(operations[2]["path"], "/metadata/annotations");
    assert_eq!(pause(&rollout(&json!({})), &source(1)), None);
}

#[test]
fn annotations_and_labels_of_an_hpa_reach_the_primarys_and_edits_of_them_too() {
    let rollout = rollout(&json!({}));
    let per_replica = "metric-config.object.requests.prometheus/per-replica";
    let query = "metric-config.object.requests.prometheus/query";
    let mut source = source(2);
    source["metadata"]["annotations"] = json!({
        (per_replica): "true",
        (query): "sum(rate(requests{destination_workload=\"podinfo\"}[2m]))",
        (LAST_APPLIED): "{}",
        "autoscaling.alpha.kubernetes.io/conditions": "[]",
        "argocd.argoproj.io/tracking-id": "x",
    });
    let made = primary_scaler(&rollout, &source, None, None, Sync::CreateOnly).unwrap();
    let expected = json!({
        (per_replica): "true",
        (query): "sum(rate(requests{destination_workload=\"podinfo-primary\"}[2m]))",
    });
    assert_eq!(made["metadata"]["annotations"], expected);
    source["metadata"]["annotations"] = json!({(per_replica): "false"});
    source["metadata"]["labels"] = json!({"team": "blue"});
    let edited = primary_scaler(&rollout, &source, Some(&made), Some(3), Sync::Full).unwrap();
    assert_eq!(edited["metadata"]["annotations"], json!({(per_replica): "false", COPIED_MINIMUM: "2"}));
    assert_eq!(edited["metadata"]["labels"], json!({"team": "blue"}));
}

#[test]
fn whatever_reaches_the_primarys_autoscaler_changes_what_is_followed_and_nothing_else_does() {
    let of = |rollout: &Rollout, object: &Value| followed(rollout, &Source { object, selector: None });
    let (plain, mut edited) = (rollout(&json!({})), source(2));
    let before = of(&plain, &edited);
    assert!(before.is_some());
    edited["status"] = json!({"currentReplicas": 3});
    edited["metadata"]["resourceVersion"] = json!("9");
    edited["metadata"]["annotations"][LAST_APPLIED] = json!("{}");
    assert_eq!(of(&plain, &edited), before);
    assert_ne!(of(&rollout(&json!({"minReplicas": 3})), &edited), before);
    for (pointer, value) in [("/spec/maxReplicas", json!(9)), ("/metadata/labels/team", json!("x"))] {
        let mut edited = source(2);
        *edited.pointer_mut(pointer).unwrap() = value;
        assert_ne!(of(&plain, &edited), before, "{pointer}");
    }
}

#[test]
fn all_triggers_come_along_and_those_without_a_given_query_ask_about_the_primary() {
    let rollout = keda(&json!({"given": "mine"}));
    let mut source = scaled_object();
    source["spec"]["fallback"] = json!({"failureThreshold": 3, "replicas": 4});
    source["spec"]["triggers"] = json!([
        {"type": "cron", "name": "office", "metadata": {"timezone": "Europe/Berlin", "desiredReplicas": "5"}},
        {"type": "kubernetes-workload", "metadata": {"podSelector": "app=podinfo", "value": "1"}},
        {"type": "prometheus", "name": "given", "metadata": {"query": "podinfo_jobs"}},
        {"type": "prometheus", "metadata": {"query": "up{app=\"podinfo\"}"}},
    ]);
    let target = json!({"spec": {"selector": {"matchLabels": {"app": "podinfo"}}}});
    let selector = crate::workload::selector(&rollout, &crate::settings::Settings::default(), &target, None).unwrap();
    let source = Source { object: &source, selector: Some(&selector) };
    assert_eq!(obstacle(&rollout, &source), None);
    let made = super::primary_scaler(&rollout, &source, None, None, Sync::Full).unwrap();
    let mut expected = source.object["spec"]["triggers"].clone();
    expected[1]["metadata"]["podSelector"] = json!("app=podinfo-primary");
    expected[2]["metadata"]["query"] = json!("mine");
    expected[3]["metadata"]["query"] = json!("up{app=\"podinfo-primary\"}");
    assert_eq!(made["spec"]["triggers"], expected);
    assert_eq!(made["spec"]["fallback"], source.object["spec"]["fallback"]);
    assert_eq!(made["spec"]["advanced"], json!({"horizontalPodAutoscalerConfig": {"name": "so-hpa-primary"}}));
}

#[test]
fn a_query_that_cannot_be_pointed_at_the_primary_is_refused_with_a_hint() {
    let mut source = scaled_object();
    source["spec"]["triggers"][0]["metadata"]["query"] = json!("sum(rate(podinfo_requests_total[1m]))");
    let text = |rollout: &Rollout, object: &Value| obstacle(rollout, &Source { object, selector: None });
    let hint = "its query names podinfo where nothing tells target and primary apart, give one for the primary in \
                spec.autoscalerRef.primaryScalerQueries";
    let expected = format!("ScaledObject so.test trigger rps: {hint}");
    assert_eq!(text(&keda(&json!({})), &source), Some(expected));
    assert_eq!(text(&keda(&json!({"rps": "mine"})), &source), None);
    source["spec"]["triggers"][0].as_object_mut().unwrap().remove("name");
    let expected = format!("ScaledObject so.test trigger 1 (without a name): {hint}");
    assert_eq!(text(&keda(&json!({"rps": "mine"})), &source), Some(expected));
}
