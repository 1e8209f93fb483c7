//! Tests of Services as targets.

use super::*;
use crate::fixtures::{self, yaml};
use crate::reconcile::settle;
use crate::rollout::TargetKind;
use crate::settings::Settings;
use crate::workload::{self, Readiness};

fn spec(service: &Value) -> Value {
    json!({"targetRef": {"apiVersion": "v1", "kind": "Service", "name": "podinfo"}, "service": service})
}

fn rollout() -> Rollout {
    fixtures::rollout(&spec(&json!({"port": 80})))
}

fn target() -> Value {
    yaml(
        r"
        apiVersion: v1
        kind: Service
        metadata:
          name: podinfo
          namespace: test
          uid: target-uid
          resourceVersion: '12'
          labels: {app: podinfo, team: red, argocd.argoproj.io/instance: x}
          annotations:
            note: keep
            kubectl.kubernetes.io/last-applied-configuration: '{}'
            kustomize.toolkit.fluxcd.io/checksum: x
          ownerReferences: [{kind: Theirs, name: theirs, uid: theirs}]
        spec:
          type: NodePort
          fieldOfTomorrow: {deep: 1}
          selector: {app: podinfo}
          clusterIP: 10.0.0.1
          clusterIPs: [10.0.0.1]
          externalIPs: [192.0.2.1]
          ports:
          - {name: http, protocol: TCP, port: 80, targetPort: 8080, nodePort: 30000}
          - {name: admin, protocol: TCP, port: 81, targetPort: admin, nodePort: 30001}
        ",
    )
}

fn with_recipe<T>(f: impl FnOnce(&Recipe<'_>) -> T) -> T {
    let settings = Settings { include_label_prefixes: vec!["team".to_owned()], ..Settings::default() };
    f(&Recipe { rollout: &rollout(), settings: &settings, tracked: &[], flagger_id: "id" })
}

fn created() -> Value {
    with_recipe(|recipe| workload::primary(recipe, &target())).unwrap()
}

/// A copy as the API server stores it.
fn stored(mut service: Value, last: u8) -> Value {
    service["metadata"]["resourceVersion"] = json!("7");
    service["spec"]["clusterIP"] = json!(format!("10.0.0.{last}"));
    service["spec"]["clusterIPs"] = json!([format!("10.0.0.{last}")]);
    service["spec"]["ports"][0]["nodePort"] = json!(31000);
    service["spec"]["ports"][1]["nodePort"] = json!(31001);
    service
}

#[test]
fn a_new_primary_is_the_target_without_what_only_one_service_can_have() {
    let expected = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "podinfo-primary", "namespace": "test", "labels": {"app": "podinfo", "team": "red"},
            "annotations": {"note": "keep", "flagger-id": "id", "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
                "helm.toolkit.fluxcd.io/driftDetection": "disabled"},
            "ownerReferences": [rollout().owner_reference()]},
        "spec": {"type": "NodePort", "fieldOfTomorrow": {"deep": 1}, "selector": {"app": "podinfo"},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
                {"name": "admin", "protocol": "TCP", "port": 81, "targetPort": "admin"}]}});
    assert_eq!(created(), expected);
}

#[test]
fn a_headless_target_has_headless_copies_and_a_distribution_of_the_canary_wins() {
    let mut headless = target();
    headless["spec"]["clusterIP"] = json!("None");
    headless["spec"]["clusterIPs"] = json!(["None"]);
    let rollout = fixtures::rollout(&spec(&json!({"port": 80, "trafficDistribution": "PreferClose"})));
    let canary = canary(&rollout, &headless, None);
    assert_eq!((&canary["spec"]["clusterIP"], canary["spec"].get("clusterIPs")), (&json!("None"), None));
    assert_eq!(canary["spec"]["trafficDistribution"], "PreferClose");
}

#[test]
fn the_canary_follows_every_change_of_the_target_and_keeps_its_own_addresses() {
    let seen = stored(canary(&rollout(), &target(), None), 9);
    assert_eq!(settle(canary(&rollout(), &target(), Some(&seen)), Some(&seen)), None);
    let mut moved = target();
    moved["spec"]["selector"]["version"] = json!("2");
    moved["metadata"]["labels"]["team"] = json!("blue");
    let followed = canary(&rollout(), &moved, Some(&seen));
    assert_eq!(followed["spec"]["selector"], json!({"app": "podinfo", "version": "2"}));
    assert_eq!(followed["metadata"]["labels"]["team"], "blue");
    assert_eq!(followed["spec"]["clusterIP"], "10.0.0.9");
    assert_eq!(followed["spec"]["ports"][1]["nodePort"], 31001);
}

#[test]
fn an_address_is_not_kept_for_a_copy_that_becomes_a_name() {
    let seen = stored(canary(&rollout(), &target(), None), 9);
    let mut named = target();
    named["spec"] = json!({"type": "ExternalName", "externalName": "two.example.com"});
    let expected = json!({"type": "ExternalName", "externalName": "two.example.com"});
    assert_eq!(canary(&rollout(), &named, Some(&seen))["spec"], expected);
}

#[test]
fn a_service_of_others_under_the_canarys_name_keeps_its_metadata() {
    let mut theirs = stored(canary(&rollout(), &target(), None), 9);
    theirs["metadata"] = json!({"name": "podinfo-canary", "namespace": "test", "labels": {"mine": "yes"}});
    assert_eq!(canary(&rollout(), &target(), Some(&theirs))["metadata"], theirs["metadata"]);
}

#[test]
fn promotion_takes_the_spec_and_the_included_metadata_and_keeps_the_owner() {
    let seen = stored(created(), 8);
    let mut moved = target();
    moved["spec"]["selector"]["version"] = json!("2");
    let promoted = with_recipe(|recipe| workload::promoted(recipe, &moved, &seen, 3)).unwrap();
    assert_eq!(promoted["spec"]["selector"], json!({"app": "podinfo", "version": "2"}));
    assert_eq!(promoted["spec"]["clusterIP"], "10.0.0.8");
    assert_eq!(promoted["metadata"]["labels"], json!({"team": "red"}));
    assert_eq!(promoted["metadata"]["annotations"].get("note"), None);
    assert_eq!(promoted["metadata"]["ownerReferences"], json!([rollout().owner_reference()]));
    assert_eq!(promoted["metadata"]["resourceVersion"], "7");
    assert!(workload::is_copy(TargetKind::Service, &promoted, "id", ""));
    assert!(!workload::is_copy(TargetKind::Service, &promoted, "another", ""));
    assert_eq!(promoted["spec"].get("replicas"), None);
}

#[test]
fn a_primary_is_put_back_to_the_kept_spec_and_known_by_it() {
    let mut broken = stored(created(), 8);
    broken["spec"]["selector"] = json!({"app": "broken"});
    let kept = workload::template(TargetKind::Service, &target()).into_owned();
    let check = |primary: &Value| with_recipe(|recipe| workload::runs(recipe, &kept, &target(), primary));
    assert_eq!(check(&broken), Ok(false));
    let restored = with_recipe(|recipe| workload::restored(recipe, &kept, &target(), Some(&broken))).unwrap();
    assert_eq!(restored, stored(created(), 8));
    assert_eq!(check(&restored), Ok(true));
    let recreated = with_recipe(|recipe| workload::restored(recipe, &kept, &target(), None)).unwrap();
    assert_eq!(recreated, created());
}

#[test]
fn a_service_is_always_ready_and_never_scaled() {
    let patience =
        workload::Patience { ready_percent: 100, deadline_seconds: 1, since: None, now: jiff::Timestamp::UNIX_EPOCH };
    assert_eq!(workload::readiness(TargetKind::Service, &target(), &patience), Readiness::Ready);
    assert_eq!(workload::ready_pods(TargetKind::Service, &target()), 1);
    assert_eq!(workload::scale_to_zero(&rollout(), &target()), None);
    assert_eq!(workload::scale_from_zero(&rollout(), &target(), None, None), None);
    assert_eq!(workload::scale_like_primary(&rollout(), &target(), Some(&created())), None);
}

fn check_refused(extra: &Value, expected: &str) {
    let mut spec = spec(&json!({"port": 80}));
    merge(&mut spec, extra);
    assert_eq!(Rollout::parse(&fixtures::canary(&spec), &Settings::default()).unwrap_err(), expected);
}

#[test]
fn what_a_service_target_cannot_have_is_refused() {
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    check_refused(&json!({"autoscalerRef": scaler}), "can't use autoscaler with Service");
    check_refused(
        &json!({"service": {"port": 80, "name": "web"}}),
        "can't use web as service.name with Service podinfo as target, its primary and canary are named after it",
    );
}
