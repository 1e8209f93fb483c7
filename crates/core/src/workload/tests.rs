//! Tests of primaries, readiness and scaling.

use super::*;
use crate::fixtures::{self, yaml};
use crate::reconcile::settle;

fn rollout() -> Rollout {
    fixtures::rollout(&json!({}))
}

fn scaled_rollout() -> Rollout {
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    fixtures::rollout(&json!({"autoscalerRef": scaler}))
}

fn daemon_rollout() -> Rollout {
    fixtures::rollout(&json!({"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "podinfo"}}))
}

fn target() -> Value {
    yaml(
        r"
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: podinfo
          namespace: test
          uid: target-uid
          generation: 3
          labels: {app: podinfo, team: red}
          annotations:
            note: keep
            kubectl.kubernetes.io/last-applied-configuration: '{}'
            deployment.kubernetes.io/revision: '4'
            argocd.argoproj.io/tracking-id: x
            kustomize.toolkit.fluxcd.io/checksum: x
        spec:
          replicas: 3
          minReadySeconds: 2
          strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0}}
          selector: {matchLabels: {app: podinfo, tier: web}}
          template:
            metadata:
              labels: {app: podinfo, tier: web, kustomize.toolkit.fluxcd.io/name: x}
              annotations: {prometheus.io/scrape: 'true'}
            spec:
              fieldOfTomorrow: {deep: 1}
              containers: [{name: app, image: 'podinfo:1', envFrom: [{configMapRef: {name: env}}]}]
              topologySpreadConstraints: [{labelSelector: {matchLabels: {app: podinfo, tier: podinfo}}}]
              affinity:
                podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: podinfo}}}]}
                podAntiAffinity:
                  requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: other}}}]
                  preferredDuringSchedulingIgnoredDuringExecution:
                  - {weight: 1, podAffinityTerm: {labelSelector: {matchExpressions: [{key: app, operator: In, values: [a, podinfo]}]}}}
        ",
    )
}

/// Runs `f` with a recipe that tracks the ConfigMap `env`.
fn with_recipe<T>(rollout: &Rollout, f: impl FnOnce(&Recipe<'_>) -> T) -> T {
    let settings =
        Settings { include_label_prefixes: vec!["team".to_owned(), "note".to_owned()], ..Settings::default() };
    let tracked = [ObjectKey::new(Kind::ConfigMap, "test", "env")];
    f(&Recipe { rollout, settings: &settings, tracked: &tracked, flagger_id: "id" })
}

fn created() -> Value {
    with_recipe(&rollout(), |recipe| primary(recipe, &target())).unwrap()
}

#[test]
fn a_new_primary_matches_its_golden() {
    fixtures::check_golden("objects/primary-deployment.out.yaml", &created());
}

#[test]
fn a_target_at_zero_gets_a_primary_of_one() {
    let mut target = target();
    target["spec"]["replicas"] = json!(0);
    let primary = with_recipe(&rollout(), |recipe| primary(recipe, &target)).unwrap();
    assert_eq!(primary["spec"]["replicas"], 1);
}

/// The primary as stored, with things that others wrote.
fn stored() -> Value {
    let mut primary = created();
    primary["metadata"]["resourceVersion"] = json!("7");
    primary["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
    primary["spec"]["replicas"] = json!(5);
    primary["spec"]["paused"] = json!(false);
    primary
}

#[test]
fn promotion_takes_the_template_and_keeps_the_version_and_what_is_not_the_targets() {
    let mut target = target();
    target["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:2");
    let promoted = with_recipe(&rollout(), |recipe| promoted(recipe, &target, &stored(), 4)).unwrap();
    assert_eq!(promoted["spec"]["template"]["spec"]["containers"][0]["image"], "podinfo:2");
    assert_eq!(promoted["spec"]["template"]["spec"]["fieldOfTomorrow"], json!({"deep": 1}));
    assert_eq!(promoted["metadata"]["annotations"], json!({"note": "keep", "deployment.kubernetes.io/revision": "1"}));
    assert_eq!(promoted["metadata"]["resourceVersion"], "7");
    assert_eq!(promoted["spec"]["selector"], stored()["spec"]["selector"]);
    assert_eq!(promoted["spec"]["paused"], false);
    assert_eq!(promoted["spec"]["replicas"], 4);
}

fn check_promoted_replicas(rollout: &Rollout, target_replicas: i64, floor: i64, expected: i64) {
    let mut target = target();
    target["spec"]["replicas"] = json!(target_replicas);
    let promoted = with_recipe(rollout, |recipe| promoted(recipe, &target, &stored(), floor)).unwrap();
    assert_eq!(promoted["spec"]["replicas"], expected);
}

#[test]
fn replicas_follow_the_target_down_to_the_floor_unless_an_autoscaler_has_them() {
    check_promoted_replicas(&rollout(), 3, 0, 3);
    check_promoted_replicas(&rollout(), 3, 4, 4);
    check_promoted_replicas(&rollout(), 0, 0, 5);
    check_promoted_replicas(&scaled_rollout(), 3, 0, 5);
}

#[test]
fn restoring_puts_the_kept_template_back_and_nothing_else() {
    let mut target = target();
    let good = template(TargetKind::Deployment, &target).into_owned();
    target["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:broken");
    target["spec"]["minReadySeconds"] = json!(99);
    let broken = with_recipe(&rollout(), |recipe| promoted(recipe, &target, &stored(), 0)).unwrap();
    let restored_primary = with_recipe(&rollout(), |recipe| restored(recipe, &good, &target, Some(&broken))).unwrap();
    let mut expected = broken;
    expected["spec"]["template"] = created()["spec"]["template"].clone();
    assert_eq!(restored_primary, expected);
    let recreated = with_recipe(&rollout(), |recipe| restored(recipe, &good, &target, None)).unwrap();
    assert_eq!(recreated["spec"]["template"], created()["spec"]["template"]);
}

#[test]
fn a_primary_runs_a_template_whatever_its_id() {
    let mut primary = stored();
    primary["spec"]["template"]["metadata"]["annotations"]["flagger-id"] = json!("another");
    let template = template(TargetKind::Deployment, &target()).into_owned();
    let check = |primary: &Value| with_recipe(&rollout(), |recipe| runs(recipe, &template, &target(), primary));
    assert_eq!(check(&primary), Ok(true));
    primary["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:0");
    assert_eq!(check(&primary), Ok(false));
}

#[test]
fn the_selector_label_is_the_first_of_the_flags_that_the_target_has() {
    let settings = Settings::default();
    let found = selector(&rollout(), &settings, &target(), None).unwrap();
    assert_eq!((found.label.as_str(), found.value.as_str()), ("app", "podinfo"));
    let mut odd = target();
    odd["spec"]["selector"]["matchLabels"] = json!({"x": "y"});
    assert_eq!(
        selector(&rollout(), &settings, &odd, None).unwrap_err(),
        "getSelectorLabel failed: deployment podinfo.test spec.selector.matchLabels must contain one of [app name \
         app.kubernetes.io/name]"
    );
    assert_eq!(
        selector(&daemon_rollout(), &settings, &odd, None).unwrap_err(),
        "getSelectorLabel failed: daemonset podinfo.test spec.selector.matchLabels must contain one of [app name \
         app.kubernetes.io/name]'"
    );
}

fn now() -> Timestamp {
    "2026-01-01T00:10:01Z".parse().unwrap()
}

fn patience(ready_percent: i64) -> Patience {
    let since = "2026-01-01T00:00:00Z".parse().ok();
    Patience { ready_percent, deadline_seconds: 600, since, now: now() }
}

/// A Deployment of 4 replicas with this status besides an up-to-date generation.
fn deployment(status: &Value) -> Value {
    let mut object = target();
    object["spec"]["replicas"] = json!(4);
    object["status"] = json!({"observedGeneration": 3});
    merge(&mut object["status"], status);
    object
}

fn check_waiting(status: &Value, percent: i64, expected: &str) {
    let Readiness::Waiting { reason, deadline } =
        readiness(TargetKind::Deployment, &deployment(status), &patience(percent))
    else {
        panic!("not waiting: {status}");
    };
    assert_eq!((reason.as_str(), deadline), (expected, None));
}

#[test]
fn a_deployment_waits_with_the_texts_of_the_contract() {
    check_waiting(
        &json!({"observedGeneration": 2}),
        100,
        "waiting for rollout to finish: observed deployment generation less than desired generation",
    );
    check_waiting(
        &json!({"updatedReplicas": 1}),
        100,
        "waiting for rollout to finish: 1 out of 4 new replicas have been updated",
    );
    check_waiting(
        &json!({"updatedReplicas": 4, "replicas": 6}),
        100,
        "waiting for rollout to finish: 2 old replicas are pending termination",
    );
    check_waiting(
        &json!({"updatedReplicas": 4, "replicas": 4, "availableReplicas": 2}),
        75,
        "waiting for rollout to finish: 2 of 4 (readyThreshold 75%) updated replicas are available",
    );
    let enough = deployment(&json!({"updatedReplicas": 4, "replicas": 4, "availableReplicas": 3}));
    assert_eq!(readiness(TargetKind::Deployment, &enough, &patience(75)), Readiness::Ready);
    // The threshold is cut, not rounded: 99 % of 4 is 3.
    assert_eq!(readiness(TargetKind::Deployment, &enough, &patience(99)), Readiness::Ready);
}

fn unavailable(since: &str) -> Value {
    deployment(&json!({"updatedReplicas": 4, "replicas": 4, "conditions": [
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "lastUpdateTime": since}]}))
}

#[test]
fn a_deployment_that_is_short_for_too_long_fails_and_says_before_when_it_will() {
    let text = "waiting for rollout to finish: 0 of 4 (readyThreshold 100%) updated replicas are available".to_owned();
    let failed = readiness(TargetKind::Deployment, &unavailable("2026-01-01T00:00:00Z"), &patience(100));
    assert_eq!(failed, Readiness::Failed(text.clone()));
    let waiting = readiness(TargetKind::Deployment, &unavailable("2026-01-01T00:00:30Z"), &patience(100));
    let deadline = "2026-01-01T00:10:30Z".parse().ok();
    assert_eq!(waiting, Readiness::Waiting { reason: text, deadline });
}

#[test]
fn a_deployment_past_its_own_deadline_fails_at_once() {
    let object = deployment(&json!({"updatedReplicas": 4,
        "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}));
    let expected = Readiness::Failed("deployment \"podinfo\" exceeded its progress deadline".to_owned());
    assert_eq!(readiness(TargetKind::Deployment, &object, &patience(100)), expected);
}

#[test]
fn pods_on_their_way_out_do_not_count_as_ready() {
    let mut object = deployment(&json!({"readyReplicas": 4}));
    assert_eq!(ready_pods(TargetKind::Deployment, &object), 4);
    object["spec"]["replicas"] = json!(0);
    object["metadata"]["generation"] = json!(4);
    assert_eq!(ready_pods(TargetKind::Deployment, &object), 0);
}

#[test]
fn unready_sets_are_named_as_in_the_contract() {
    let failed = Readiness::Failed(String::new());
    assert_eq!(primary_prefix(&rollout()), "podinfo-primary.test not ready: ");
    assert_eq!(canary_prefix(&rollout(), &failed), "canary deployment podinfo.test not ready: ");
    assert_eq!(primary_prefix(&daemon_rollout()), "primary daemonset podinfo-primary.test not ready: ");
    assert_eq!(
        canary_prefix(&daemon_rollout(), &failed),
        "canary damonset podinfo.test not ready with retryable false: "
    );
}

fn replicas_of(step: Option<&Step>) -> Value {
    let Some(Step::Patch { operations, .. }) = step else { return Value::Null };
    assert_eq!(operations[0], json!({"op": "test", "path": "/metadata/uid", "value": "target-uid"}));
    assert_eq!(operations[1], json!({"op": "test", "path": "/metadata/generation", "value": 3}));
    operations[2]["value"].clone()
}

#[test]
fn the_target_is_scaled_once_and_only_as_it_was_seen() {
    let mut zero = target();
    zero["spec"]["replicas"] = json!(0);
    assert_eq!(replicas_of(scale_to_zero(&rollout(), &target()).as_ref()), 0);
    assert_eq!(scale_to_zero(&rollout(), &zero), None);
    assert_eq!(scale_from_zero(&rollout(), &target(), None, None), None);
}

fn check_from_zero(rollout: &Rollout, primary: Option<i64>, scaler: Option<i64>, expected: i64) {
    let mut zero = target();
    zero["spec"]["replicas"] = json!(0);
    let primary = primary.map(|replicas| json!({"spec": {"replicas": replicas}}));
    let scaler = scaler.map(|minimum| json!({"spec": {"minReplicas": minimum}}));
    let step = scale_from_zero(rollout, &zero, primary.as_ref(), scaler.as_ref());
    assert_eq!(replicas_of(step.as_ref()), expected);
}

#[test]
fn from_zero_the_target_gets_the_primarys_pods_or_the_autoscalers_minimum() {
    check_from_zero(&rollout(), Some(3), None, 3);
    check_from_zero(&rollout(), Some(0), None, 1);
    check_from_zero(&rollout(), None, None, 1);
    check_from_zero(&scaled_rollout(), Some(3), Some(2), 2);
    check_from_zero(&scaled_rollout(), Some(3), None, 1);
}

fn daemonset() -> Value {
    let mut object = target();
    object["kind"] = json!("DaemonSet");
    object["spec"]["updateStrategy"] = json!({"type": "RollingUpdate"});
    object["status"] = json!({"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2,
        "numberAvailable": 1, "numberReady": 1});
    object
}

#[test]
fn a_daemonset_waits_and_fails_with_the_texts_of_the_contract() {
    let mut early = patience(100);
    early.now = "2026-01-01T00:01:00Z".parse().unwrap();
    let deadline = "2026-01-01T00:10:00Z".parse().ok();
    let check = |object: &Value, reason: &str| {
        let expected = Readiness::Waiting { reason: reason.to_owned(), deadline };
        assert_eq!(readiness(TargetKind::DaemonSet, object, &early), expected);
    };
    check(&daemonset(), "waiting for rollout to finish: 1 of 2 (readyThreshold 100%) updated pods are available");
    let mut old = daemonset();
    old["status"]["updatedNumberScheduled"] = json!(0);
    check(&old, "waiting for rollout to finish: 0 out of 2 new pods have been updated");
    let failed = Readiness::Failed("exceeded its progressDeadlineSeconds: 600".to_owned());
    assert_eq!(readiness(TargetKind::DaemonSet, &daemonset(), &patience(100)), failed);
    assert_eq!(readiness(TargetKind::DaemonSet, &daemonset(), &patience(50)), Readiness::Ready);
}

#[test]
fn a_marked_daemonset_has_no_pods_and_the_mark_never_reaches_the_primary() {
    let rollout = daemon_rollout();
    let mut marked = daemonset();
    marked["spec"]["template"]["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true"});
    assert!(is_scaled_to_zero(TargetKind::DaemonSet, &marked));
    assert_eq!(scale_to_zero(&rollout, &marked), None);
    assert_eq!(
        replicas_of(scale_to_zero(&rollout, &daemonset()).as_ref()),
        json!({"flagger.app/scale-to-zero": "true"})
    );
    assert!(scale_from_zero(&rollout, &marked, None, None).is_some());
    assert_eq!(template(TargetKind::DaemonSet, &marked), template(TargetKind::DaemonSet, &daemonset()));
    let primary = with_recipe(&rollout, |recipe| primary(recipe, &marked)).unwrap();
    assert_eq!(primary["spec"]["template"]["spec"].get("nodeSelector"), None);
    assert_eq!(primary["spec"].get("replicas"), None);
    assert_eq!(primary["kind"], "DaemonSet");
}

#[test]
fn a_daemonset_that_cannot_roll_is_refused() {
    let mut odd = daemonset();
    odd["spec"]["updateStrategy"]["type"] = json!("OnDelete");
    let refused = with_recipe(&daemon_rollout(), |recipe| primary(recipe, &odd));
    assert_eq!(refused.unwrap_err(), "daemonset podinfo.test must have RollingUpdate strategy but have OnDelete");
}

#[test]
fn a_settled_primary_stays_settled() {
    let again = with_recipe(&rollout(), |recipe| promoted(recipe, &target(), &stored(), 5)).unwrap();
    let once = with_recipe(&rollout(), |recipe| promoted(recipe, &target(), &again, 5)).unwrap();
    assert_eq!(settle(once, Some(&again)), None);
}

fn metadata_with(prefixes: &[&str], make: impl FnOnce(&Recipe<'_>) -> Value) -> Value {
    let include_label_prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let settings = Settings { include_label_prefixes, ..Settings::default() };
    make(&Recipe { rollout: &rollout(), settings: &settings, tracked: &[], flagger_id: "id" })["metadata"].clone()
}

#[test]
fn a_star_includes_every_label_and_an_empty_list_none_but_the_selecting_one() {
    let labels =
        |prefixes: &[&str]| metadata_with(prefixes, |recipe| primary(recipe, &target()).unwrap())["labels"].clone();
    assert_eq!(labels(&["*"]), json!({"app": "podinfo-primary", "team": "red"}));
    assert_eq!(labels(&[]), json!({"app": "podinfo-primary"}));
    assert_eq!(labels(&["te"]), json!({"app": "podinfo-primary", "team": "red"}));
}

#[test]
fn promotion_copies_included_annotations_and_never_what_speaks_of_the_target() {
    let annotations = |prefixes: &[&str]| {
        metadata_with(prefixes, |recipe| promoted(recipe, &target(), &stored(), 0).unwrap())["annotations"].clone()
    };
    let own = json!({"deployment.kubernetes.io/revision": "1"});
    assert_eq!(annotations(&["*"]), json!({"deployment.kubernetes.io/revision": "1", "note": "keep"}));
    assert_eq!(annotations(&["kubectl", "argocd", "kustomize"]), own);
    assert_eq!(annotations(&[]), own);
}

#[test]
fn the_flags_order_chooses_the_label_that_tells_the_two_apart_and_all_labels_select() {
    let settings = Settings { selector_labels: vec!["tier".to_owned(), "app".to_owned()], ..Settings::default() };
    let recipe = Recipe { rollout: &rollout(), settings: &settings, tracked: &[], flagger_id: "id" };
    let primary = primary(&recipe, &target()).unwrap();
    assert_eq!(primary["spec"]["selector"]["matchLabels"], json!({"tier": "web-primary", "app": "podinfo"}));
    let labels = &primary["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["tier"], &labels["app"]), (&json!("web-primary"), &json!("podinfo")));
    // What spreads pods apart has other values: both sets are meant.
    let spread = &primary["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
    assert_eq!(*spread, json!({"app": "podinfo", "tier": "podinfo"}));
}

/// The label selectors of a required anti-affinity, as the primary has them.
fn required_apart(rollout: &Rollout, target: &Value, selector: &Value) -> Value {
    let mut target = target.clone();
    let path =
        "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector";
    *target.pointer_mut(path).unwrap() = selector.clone();
    with_recipe(rollout, |recipe| primary(recipe, &target)).unwrap().pointer(path).unwrap().clone()
}

#[test]
fn a_required_anti_affinity_is_renamed_where_it_means_the_targets_own_pods() {
    let check = |selector: &Value, expected: &Value| {
        assert_eq!(required_apart(&rollout(), &target(), selector), *expected);
    };
    check(
        &json!({"matchLabels": {"app": "podinfo", "name": "podinfo"}}),
        &json!({"matchLabels": {"app": "podinfo-primary", "name": "podinfo"}}),
    );
    let expressions =
        |values: &Value| json!({"matchExpressions": [{"key": "app", "operator": "In", "values": values}]});
    check(&expressions(&json!(["other", "podinfo"])), &expressions(&json!(["other", "podinfo-primary"])));
    let foreign = json!({"matchLabels": {"app": "podinfo-eu"}, "matchExpressions": [
        {"key": "zone", "operator": "In", "values": ["podinfo"]}, {"key": "app", "operator": "Exists"}]});
    check(&foreign, &foreign);
}

#[test]
fn a_daemonsets_affinity_is_left_as_it_is() {
    let selector = json!({"matchLabels": {"app": "podinfo"}});
    assert_eq!(required_apart(&daemon_rollout(), &daemonset(), &selector), selector);
}

#[test]
fn a_daemonset_that_lags_waits_without_a_deadline_and_promotion_takes_its_settings() {
    let mut lagging = daemonset();
    lagging["status"]["observedGeneration"] = json!(2);
    let reason = "waiting for rollout to finish: observed daemonset generation less than desired generation".to_owned();
    let expected = Readiness::Waiting { reason, deadline: None };
    assert_eq!(readiness(TargetKind::DaemonSet, &lagging, &patience(100)), expected);

    let rollout = daemon_rollout();
    let seen = with_recipe(&rollout, |recipe| primary(recipe, &daemonset())).unwrap();
    let mut target = daemonset();
    target["spec"]["minReadySeconds"] = json!(7);
    target["spec"]["template"]["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true", "disk": "ssd"});
    let promoted = with_recipe(&rollout, |recipe| promoted(recipe, &target, &seen, 2)).unwrap();
    assert_eq!(promoted["spec"]["minReadySeconds"], 7);
    assert_eq!(promoted["spec"]["template"]["spec"]["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(promoted["spec"].get("replicas"), None);
}
