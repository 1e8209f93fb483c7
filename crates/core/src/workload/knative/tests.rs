//! Tests of Knative Services as targets.

use std::sync::Arc;

use super::*;
use crate::digest::digest;
use crate::fixtures;
use crate::rollout::TargetKind;
use crate::settings::Settings;
use crate::split::Mirror;
use crate::workload::{self, Recipe, Side};
use crate::world::{Kind, ObjectKey, World};

fn spec() -> Value {
    let target = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "podinfo"});
    json!({"provider": "knative", "targetRef": target, "service": null})
}

fn rollout() -> Rollout {
    fixtures::rollout(&spec())
}

fn service() -> Value {
    json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "podinfo", "namespace": "test", "resourceVersion": "7", "annotations": {"theirs": "1"}},
        "spec": {"template": {"spec": {"containers": [{"image": "hello:2", "envFrom": [{"configMapRef": {"name": "env"}}]}]}}},
        "status": {"latestCreatedRevisionName": "podinfo-00002", "latestReadyRevisionName": "podinfo-00001"}})
}

fn with_recipe<T>(f: impl FnOnce(&Recipe<'_>) -> T) -> T {
    f(&Recipe { rollout: &rollout(), settings: &Settings::default(), tracked: &[], flagger_id: "id" })
}

#[test]
fn the_latest_revision_is_named_as_the_primary_and_nothing_else_is_touched() {
    let primary = with_recipe(|recipe| workload::primary(recipe, &service())).unwrap();
    let mut expected = service();
    expected["metadata"]["annotations"][PRIMARY] = json!("podinfo-00002");
    assert_eq!(primary, expected);
    assert_eq!(with_recipe(|recipe| workload::promoted(recipe, &service(), &service(), 3)), Ok(expected));
    let restored = with_recipe(|recipe| workload::restored(recipe, &json!("podinfo-00001"), &primary, Some(&primary)));
    assert_eq!(restored.unwrap()["metadata"]["annotations"][PRIMARY], "podinfo-00001");
}

#[test]
fn the_name_of_the_latest_revision_is_the_revision() {
    let revision = workload::template(TargetKind::Knative, &service()).into_owned();
    assert_eq!(revision, "podinfo-00002");
    let primary = with_recipe(|recipe| workload::primary(recipe, &service())).unwrap();
    assert!(workload::is_copy(TargetKind::Knative, &primary, "", &digest(&revision)));
    assert!(!workload::is_copy(TargetKind::Knative, &service(), "", &digest(&revision)));
    let runs = |primary: &Value| with_recipe(|recipe| workload::runs(recipe, &revision, &service(), primary));
    assert_eq!((runs(&primary), runs(&service())), (Ok(true), Ok(false)));
}

fn world(service: &Value, revisions: &[(&str, &str)]) -> World {
    let mut objects = vec![service.clone()];
    for (name, ready) in revisions {
        objects.push(json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
            "metadata": {"name": name, "namespace": "test"},
            "status": {"conditions": [{"type": "Active", "status": "True"}, {"type": "Ready", "status": ready}]}}));
    }
    fixtures::world(fixtures::canary(&spec()), vec![rollout().target_key()], &json!(objects))
}

#[test]
fn each_side_is_as_ready_as_its_revision() {
    let mut named = service();
    named["metadata"]["annotations"][PRIMARY] = json!("podinfo-00001");
    let rollout = rollout();
    let ready = |world: &World| [Side::Primary, Side::Canary].map(|side| workload::ready_on(&rollout, world, side));
    let both = [("podinfo-00001", "True"), ("podinfo-00002", "True")];
    assert_eq!(ready(&world(&named, &both)), [1, 1]);
    assert_eq!(ready(&world(&named, &[("podinfo-00001", "True"), ("podinfo-00002", "Unknown")])), [1, 0]);
    assert_eq!(ready(&world(&named, &both[1..])), [0, 1]);
    assert_eq!(ready(&world(&service(), &both)), [0, 1], "no primary is named");
    let key = |name: &str| Some(ObjectKey::new(Kind::KnativeRevision, "test", name));
    let seen = world(&named, &both);
    assert_eq!(workload::revision(&rollout, &seen, Side::Primary), key("podinfo-00001"));
    assert_eq!(workload::revision(&rollout, &seen, Side::Canary), key("podinfo-00002"));
}

#[test]
fn a_service_that_names_no_primary_has_none() {
    let rollout = rollout();
    assert_eq!(workload::find_primary(&rollout, &world(&service(), &[])), Ok(None));
    let mut named = service();
    named["metadata"]["annotations"][PRIMARY] = json!("podinfo-00001");
    assert_eq!(workload::find_primary(&rollout, &world(&named, &[])), Ok(Some(&named)));
}

#[test]
fn a_revision_waits_until_the_canarys_deadline() {
    let since = "2026-01-01T00:00:00Z".parse().ok();
    let at = |now: &str| Patience { ready_percent: 100, deadline_seconds: 600, since, now: now.parse().unwrap() };
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let deadline = "2026-01-01T00:10:00Z".parse().ok();
    let waiting = Readiness::Waiting { reason: "is not ready".to_owned(), deadline };
    let failed = Readiness::Failed("is not ready, exceeded its progressDeadlineSeconds: 600".to_owned());
    let check = |now: &str, revision: &Value| workload::readiness(TargetKind::Knative, revision, &at(now));
    assert_eq!(check("2026-01-01T00:09:59Z", &unready), waiting);
    assert_eq!(check("2026-01-01T00:10:00Z", &unready), failed);
    assert_eq!(check("2026-01-01T00:00:01Z", &Value::Null), waiting, "not there");
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(check("2026-01-01T01:00:00Z", &ready), Readiness::Ready);
}

#[test]
fn nothing_is_scaled_selected_tracked_or_made_beside_it() {
    let rollout = rollout();
    assert_eq!(workload::scale_to_zero(&rollout, &service()), None);
    assert_eq!(workload::scale_from_zero(&rollout, &service(), None, None), None);
    assert_eq!(crate::dependencies::configs(&rollout, &Settings::default(), Some(&service())), []);
    assert_eq!(crate::dependencies::objects(&rollout), [rollout.target_key()]);
}

/// Parses a canary whose spec differs from a good one by these fields; `phase` is its status.
fn parsed(extra: &Value, phase: &str) -> Result<Rollout, String> {
    let mut spec = spec();
    crate::object::merge(&mut spec, extra);
    let mut canary = fixtures::canary(&spec);
    canary.status = serde_json::from_value(json!({"phase": phase})).unwrap();
    Rollout::parse(&canary, &Settings::default())
}

fn check_refused(extra: &Value, expected: &str) {
    assert_eq!(parsed(extra, "Succeeded").unwrap_err(), expected);
}

#[test]
fn what_does_not_fit_together_is_refused_with_the_contracts_words() {
    check_refused(&json!({"provider": "istio"}), "can't use istio provider with Knative Service as target");
    check_refused(&json!({"provider": null}), "can't use istio provider with Knative Service as target");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"});
    check_refused(
        &json!({"targetRef": deployment, "service": {"port": 80}}),
        "can't use apps/v1/Deployment as target if provider is set to knative",
    );
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    check_refused(&json!({"autoscalerRef": scaler}), "can't use autoscaler with Knative Service");
}

#[test]
fn the_provider_of_the_flags_counts() {
    let mut spec = spec();
    spec["provider"] = Value::Null;
    let settings = Settings { mesh_provider: "knative".to_owned(), ..Settings::default() };
    let rollout = Rollout::parse(&fixtures::canary(&spec), &settings).unwrap();
    assert_eq!(rollout.metrics_provider, "knative");
}

#[test]
fn what_a_traffic_list_cannot_say_is_refused_unless_a_run_is_under_way() {
    let analysis = |fields: &Value| {
        let mut analysis = json!({"interval": "30s", "threshold": 5});
        crate::object::merge(&mut analysis, fields);
        json!({"analysis": analysis})
    };
    let matches = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
    let wanted = [
        (json!({"iterations": 3, "match": matches}), "A/B testing"),
        (json!({"stepWeight": 10, "sessionAffinity": {"cookieName": "a"}}), "Session affinity"),
        (json!({"stepWeight": 10, "mirror": true}), "Traffic mirroring"),
    ];
    for (fields, what) in wanted {
        let text = format!("{what} is not supported when using the knative provider");
        check_refused(&analysis(&fields), &text);
        let finished = parsed(&analysis(&fields), "Progressing").unwrap();
        assert_eq!(finished.warnings, [text]);
        assert_eq!(finished.mirror, Mirror::Off);
    }
    let mirrored = parsed(&analysis(&json!({"iterations": 3, "mirror": true})), "Succeeded").unwrap();
    assert_eq!(mirrored.warnings, ["Traffic mirroring is not supported when using the knative provider"]);
}

/// A Service that names a primary and has a later revision, with all traffic on the primary.
fn named_and_routed() -> Value {
    let mut service = service();
    service["metadata"]["annotations"][PRIMARY] = json!("podinfo-00001");
    service["metadata"]["generation"] = json!(4);
    service["spec"]["traffic"] =
        json!([{"latestRevision": true, "percent": 0}, {"revisionName": "podinfo-00001", "percent": 100}]);
    service
}

/// The status that is decided on for this one, with both revisions ready.
fn decided(service: &Value, status: &Value) -> burgee_api::CanaryStatus {
    let mut world = world(service, &[("podinfo-00001", "True"), ("podinfo-00002", "True")]);
    Arc::make_mut(&mut world.canary).status = serde_json::from_value(status.clone()).unwrap();
    let settings = Settings::default();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let tick = crate::decide::Tick { world: &world, rollout: &rollout(), settings: &settings, now, clock: now };
    let plan = crate::decide::decide(&tick, &crate::question::Answers::default()).unwrap();
    plan.status().expect("a status is written").clone()
}

#[test]
fn a_primary_that_was_named_before_is_kept_and_the_latest_revision_is_left_to_an_analysis() {
    let status = json!({"phase": "Initializing", "run": {"startedAt": "2026-01-01T00:00:00Z"}});
    let initialized = decided(&named_and_routed(), &status);
    assert_eq!(initialized.phase, burgee_api::Phase::Initialized);
    assert_eq!(initialized.last_promoted_spec, digest(&json!("podinfo-00001")));
    assert_eq!(initialized.last_applied_spec, digest(&json!("podinfo-00001")));
}

#[test]
fn a_revision_that_knative_made_after_the_edit_was_seen_is_not_lost() {
    let first = digest(&json!("podinfo-00001"));
    let status = json!({"phase": "Initialized", "lastAppliedSpec": first, "lastPromotedSpec": first,
        "run": {"revision": first, "targetUid": "", "targetGeneration": 4}});
    let started = decided(&named_and_routed(), &status);
    assert_eq!(started.phase, burgee_api::Phase::Progressing);
    assert_eq!(started.last_applied_spec, digest(&json!("podinfo-00002")));
}
