//! What people write is read without loss. It must not need a cluster.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]

use std::fmt::Debug;

use burgee_api::{AlertProvider, Canary, MetricTemplate, Mirror, Phase, WebhookType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn documents(text: &str) -> Vec<Value> {
    yaml_serde::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("each document is yaml"))
        .collect()
}

/// Reads an object as its kind and compares what is written again with what was read.
#[track_caller]
fn check(document: &Value) {
    let again = match document["kind"].as_str() {
        Some("Canary") => read_and_write::<Canary>(document),
        Some("MetricTemplate") => read_and_write::<MetricTemplate>(document),
        Some("AlertProvider") => read_and_write::<AlertProvider>(document),
        kind => unreachable!("{kind:?} is none of our kinds"),
    };
    for part in ["metadata", "spec", "status"] {
        assert_eq!(again[part], document[part], "{part} of {}", document["metadata"]["name"]);
    }
}

fn read_and_write<T: DeserializeOwned + Serialize + PartialEq + Debug>(document: &Value) -> Value {
    let object: T = serde_json::from_value(document.clone()).expect("the object is readable");
    let written = serde_json::to_value(&object).expect("plain data");
    assert_eq!(serde_json::from_value::<T>(written.clone()).expect("what is written is readable"), object);
    written
}

fn canary(text: &str) -> Canary {
    serde_json::from_value(documents(text).remove(0)).expect("a canary")
}

#[test]
fn the_objects_of_the_guides_are_read_without_loss() {
    let guides = [
        include_str!("../testdata/guides/istio-progressive.yaml"),
        include_str!("../testdata/guides/first-canary.yaml"),
        include_str!("../testdata/guides/own-metrics.yaml"),
        include_str!("../testdata/guides/ab-testing.yaml"),
        include_str!("../testdata/guides/v1alpha3.yaml"),
        include_str!("../testdata/guides/production-frontend.yaml"),
        include_str!("../testdata/guides/smi-istio.yaml"),
    ];
    guides.into_iter().flat_map(documents).for_each(|document| check(&document));
}

#[test]
fn every_field_is_read_without_loss() {
    documents(include_str!("../testdata/every-field.yaml")).iter().for_each(check);
}

#[test]
fn the_analysis_is_found_under_both_names() {
    let older = canary(include_str!("../testdata/guides/v1alpha3.yaml"));
    assert_eq!(older.spec.analysis, None);
    assert_eq!(older.analysis().and_then(|analysis| analysis.step_weight), Some(5));
    let newer = canary(include_str!("../testdata/guides/istio-progressive.yaml"));
    assert_eq!(newer.analysis().and_then(|analysis| analysis.step_weight), Some(10));
}

#[test]
fn a_hook_without_type_is_not_a_hook_of_type_rollout_but_is_asked_like_one() {
    let hooks = canary(include_str!("../testdata/guides/first-canary.yaml")).spec.analysis.expect("analysis").webhooks;
    assert_eq!(hooks[0].kind, WebhookType::Untyped);
    assert!(WebhookType::Untyped.is_rollout() && WebhookType::Rollout.is_rollout());
    assert!(!WebhookType::Event.is_rollout());
    assert_eq!(serde_json::from_value::<WebhookType>(json!("")).expect("empty"), WebhookType::Untyped);
}

#[test]
fn the_mirror_is_a_switch_or_a_list_and_anything_else_is_kept_for_a_message() {
    let read = |mirror: Value| serde_json::from_value::<Mirror>(mirror).expect("anything is read");
    assert_eq!(read(json!(true)), Mirror::Switch(true));
    assert!(matches!(read(json!([{ "backendRef": { "name": "a" } }])), Mirror::Targets(targets) if targets.len() == 1));
    assert_eq!(read(json!({})), Mirror::Unusable(json!({})));
}

#[test]
fn a_status_is_written_with_its_counters_and_nothing_else_when_empty() {
    let written = serde_json::to_value(burgee_api::CanaryStatus::default()).expect("plain data");
    assert_eq!(written, json!({ "phase": "", "failedChecks": 0, "canaryWeight": 0, "iterations": 0 }));
}

#[test]
fn phases_print_as_they_are_stored() {
    let phases = [
        Phase::Unset,
        Phase::Initializing,
        Phase::Initialized,
        Phase::Waiting,
        Phase::Progressing,
        Phase::WaitingPromotion,
        Phase::Promoting,
        Phase::Finalising,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Terminating,
        Phase::Terminated,
    ];
    for phase in phases {
        assert_eq!(serde_json::to_value(phase).expect("plain data"), json!(phase.to_string()));
    }
}
