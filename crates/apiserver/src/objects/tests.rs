//! The verbs answer as the real server does, as far as the operator depends on it.

use super::*;

fn at(path: &str) -> Address {
    Address::parse(path).unwrap()
}

fn canaries() -> Address {
    at("/apis/flagger.app/v1beta1/namespaces/test/canaries")
}

fn podinfo() -> Address {
    Address { name: Some("podinfo".to_owned()), ..canaries() }
}

/// A store with one canary.
fn stored() -> (Objects, Value) {
    let mut objects = Objects::default();
    let canary = json!({"metadata": {"name": "podinfo"}, "spec": {"a": 1}, "status": {"phase": "Succeeded"}});
    let canary = objects.create(&canaries(), canary).unwrap();
    (objects, canary)
}

fn code(answer: &Result<Value, Refusal>) -> u16 {
    answer.as_ref().err().map_or(200, |refusal| refusal.code)
}

#[test]
fn what_is_created_gets_its_identity_no_status_and_cannot_be_created_twice() {
    let (mut objects, canary) = stored();
    assert_eq!(canary["metadata"]["namespace"], "test");
    assert_eq!(canary["metadata"]["resourceVersion"], "101");
    assert!(canary["metadata"]["uid"].is_string() && canary["status"].is_null());
    assert_eq!(code(&objects.create(&canaries(), canary)), 409);
    assert_eq!(code(&objects.create(&canaries(), json!({"metadata": {}}))), 422);
}

#[test]
fn a_write_on_another_version_or_another_object_is_a_conflict_and_one_that_changes_nothing_makes_no_version() {
    let (mut objects, canary) = stored();
    assert_eq!(objects.update(&podinfo(), canary.clone()).unwrap(), canary);
    let mut edited = canary.clone();
    edited["spec"]["a"] = 2.into();
    let written = objects.update(&podinfo(), edited.clone()).unwrap();
    assert_eq!(
        (&written["metadata"]["generation"], &written["metadata"]["resourceVersion"]),
        (&json!(2), &json!("102"))
    );
    assert_eq!(code(&objects.update(&podinfo(), edited)), 409);
    let mut other = written;
    other["metadata"]["uid"] = "other".into();
    assert_eq!(code(&objects.update(&podinfo(), other)), 409);
    assert_eq!(code(&objects.update(&at("/api/v1/namespaces/test/pods/none"), json!({}))), 404);
}

#[test]
fn the_status_is_written_by_its_own_path_alone() {
    let (mut objects, _) = stored();
    let status = Address { subresource: Some("status".to_owned()), ..podinfo() };
    let media = "application/json-patch+json";
    let patch = |version: &str| {
        json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": version},
               {"op": "add", "path": "/status", "value": {"phase": "Failed"}},
               {"op": "add", "path": "/spec/a", "value": 9}])
    };
    assert_eq!(code(&objects.patch(&status, media, patch("100"))), 409);
    let written = objects.patch(&status, media, patch("101")).unwrap();
    assert_eq!((&written["status"]["phase"], &written["spec"]["a"]), (&json!("Failed"), &json!(1)));
    let merged = objects.patch(&podinfo(), "application/merge-patch+json", json!({"status": null, "spec": {"b": 1}}));
    let merged = merged.unwrap();
    assert_eq!((&merged["status"]["phase"], &merged["spec"]), (&json!("Failed"), &json!({"a": 1, "b": 1})));
}

#[test]
fn a_json_patch_whose_test_fails_is_invalid() {
    let (mut objects, _) = stored();
    let patch = json!([{"op": "test", "path": "/spec/a", "value": 7}]);
    assert_eq!(code(&objects.patch(&podinfo(), "application/json-patch+json", patch)), 422);
}

#[test]
fn what_has_finalizers_is_marked_and_goes_when_the_last_one_is_taken_off() {
    let (mut objects, mut canary) = stored();
    canary["metadata"]["finalizers"] = json!(["finalizer.flagger.app"]);
    objects.update(&podinfo(), canary).unwrap();
    let refused = objects.delete(&podinfo(), &json!({"preconditions": {"uid": "other"}}));
    assert_eq!(code(&refused), 409);
    let mut marked = objects.delete(&podinfo(), &json!({})).unwrap();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    marked["metadata"]["finalizers"] = json!([]);
    objects.update(&podinfo(), marked).unwrap();
    assert_eq!(objects.read(&podinfo()), None);
    let kinds: Vec<&str> = objects.since(&canaries(), 0).unwrap().iter().map(|change| change.kind).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
}

#[test]
fn a_list_comes_in_pages_of_one_version_and_what_is_compacted_cannot_be_followed() {
    let mut objects = Objects::default();
    for name in ["a", "b", "c"] {
        objects.create(&at("/api/v1/namespaces/test/secrets"), json!({"metadata": {"name": name}})).unwrap();
    }
    let first = objects.list(&at("/api/v1/secrets?limit=2")).unwrap();
    objects.create(&at("/api/v1/namespaces/test/secrets"), json!({"metadata": {"name": "d"}})).unwrap();
    let rest = objects.list(&at(&format!("/api/v1/secrets?limit=2&continue={}", first.token.replace('+', "%2B"))));
    let rest = rest.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.token.as_str()), (2, 1, ""));
    assert_eq!((first.version, rest.version), (103, 103));
    assert_eq!(objects.since(&at("/api/v1/secrets"), 103).unwrap().len(), 1);
    objects.compact();
    assert_eq!(objects.since(&at("/api/v1/secrets"), 103).unwrap_err().code, 410);
}

#[test]
fn a_field_selector_takes_what_it_names_and_leaves_what_it_excludes() {
    let mut objects = Objects::default();
    for (name, kind) in [("a", "Opaque"), ("b", "helm.sh/release.v1")] {
        let secret = json!({"metadata": {"name": name}, "type": kind});
        objects.create(&at("/api/v1/namespaces/test/secrets"), secret).unwrap();
    }
    let mut names = |query: &str| {
        let page = objects.list(&at(&format!("/api/v1/secrets?fieldSelector={query}"))).unwrap();
        page.items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("type!%3Dhelm.sh/release.v1"), ["a"]);
    assert_eq!(names("metadata.name%3Db"), ["b"]);
}
