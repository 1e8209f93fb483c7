//! Whose an object is, and what is made of it.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{canary, rollout, world};

fn deployment(name: &str, label: &str, id: Option<&str>, owners: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "test", "ownerReferences": owners},
        "spec": {"selector": {"matchLabels": {"app": label}},
                 "template": {"metadata": {"labels": {"app": label}, "annotations": {"flagger-id": id}}, "spec": {}}},
    })
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": "flagger.app/v1beta1", "kind": kind, "name": name, "uid": uid, "controller": true}])
}

/// What becomes of a primary that is there.
fn claim_of(primary: &Value) -> Option<Claim> {
    let target = deployment("podinfo", "podinfo", None, &Value::Null);
    let world = world(canary(&json!({})), Vec::new(), &json!([target, primary]));
    claims(&rollout(&json!({})), &Settings::default(), &world).into_iter().map(|(_, claim)| claim).next()
}

#[test]
fn a_primary_is_ours_or_was_or_goes_or_is_somebody_elses() {
    let claim = |id, owners: &Value| claim_of(&deployment("podinfo-primary", "podinfo-primary", id, owners));
    assert_eq!(claim(None, &owner("Canary", "podinfo", "canary-uid")), None);
    assert_eq!(claim(Some("7"), &Value::Null), Some(Claim::Adopt));
    let another = claim_of(&deployment("podinfo-primary", "another", Some("7"), &Value::Null));
    for unmarked in [another, claim(None, &Value::Null)] {
        assert!(matches!(unmarked, Some(Claim::Taken(text)) if text.contains("nobody's")));
    }
    let text = "Deployment podinfo-primary.test is not the canary's, it belongs to Canary web".to_owned();
    assert_eq!(claim(Some("7"), &owner("Canary", "web", "w")), Some(Claim::Taken(text)));
    let text = "waiting for Deployment podinfo-primary.test to go, it is being deleted".to_owned();
    assert_eq!(claim(Some("7"), &owner("Canary", "podinfo", "former")), Some(Claim::Wait(text)));
}

#[test]
fn a_service_of_that_name_and_selector_is_ours_only_with_our_annotations() {
    let target = deployment("podinfo", "podinfo", None, &Value::Null);
    let service = |annotations: &Value| {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "podinfo-primary"}},
            "metadata": {"name": "podinfo-primary", "namespace": "test", "annotations": annotations},
        });
        let world = world(canary(&json!({})), Vec::new(), &json!([target, service]));
        claims(&rollout(&json!({})), &Settings::default(), &world).into_iter().map(|(_, claim)| claim).next()
    };
    assert!(matches!(service(&Value::Null), Some(Claim::Taken(_))), "as in front of a database `podinfo-primary`");
    assert_eq!(service(&crate::object::toolkit_off()), Some(Claim::Adopt));
}
