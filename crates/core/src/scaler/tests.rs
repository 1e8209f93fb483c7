//! Tests of the primary's autoscaler.

use serde_json::json;

use super::*;
use crate::fixtures;
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
            "ownerReferences": [rollout(&json!({})).owner_reference()]},
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
