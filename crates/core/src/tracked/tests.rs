//! Tests of config tracking.

use super::*;

fn check_sum(object: &Value, expected: &str) {
    assert_eq!(checksum(object), expected);
}

#[test]
fn checksums_equal_those_of_the_peer() {
    check_sum(&json!({}), "74234e98afe7498f");
    check_sum(&json!({"data": {}}), "44136fa355b3678a");
    check_sum(&json!({"data": {"color": "red"}}), "241889ca0604e333");
    check_sum(&json!({"data": {"b": "<x>&y", "a": "1\n2"}}), "b6cec14208bb2495");
    check_sum(&json!({"data": {"apiKey": "dGVzdA==", "x": null, "y": ""}}), "aaf896a2b65ef31f");
}

#[test]
fn a_checksum_looks_at_nothing_but_data() {
    check_sum(&json!({"data": {"color": "red"}, "binaryData": {"a": "AA=="}, "immutable": true}), "241889ca0604e333");
}

#[test]
fn separators_and_control_characters_are_escaped_as_in_go() {
    let mut text = String::new();
    write_string(&mut text, "\u{2028}\u{1}\u{8}\u{c}\t\"\\é\u{7f}");
    assert_eq!(text, "\"\\u2028\\u0001\\b\\f\\t\\\"\\\\é\u{7f}\"");
}

fn template() -> Value {
    json!({"spec": {
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "files"}},
            {"name": "b", "secret": {"secretName": "certs", "optional": true}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "token"}}]}},
        ],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "certs"}}]}],
        "containers": [{"name": "c",
            "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "x", "optional": true}}},
                    {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "y"}}},
                    {"name": "Z", "value": "z"}],
            "envFrom": [{"configMapRef": {"name": "env", "optional": true}}]}],
    }})
}

#[test]
fn every_place_of_the_contract_is_scanned_and_optional_means_everywhere() {
    let found: Vec<String> = references("test", &template())
        .iter()
        .map(|reference| format!("{}{}", status_key(&reference.key), if reference.optional { "?" } else { "" }))
        .collect();
    let expected =
        ["configmap/env?", "configmap/files", "configmap/part", "secret/certs", "secret/keys", "secret/token"];
    assert_eq!(found, expected);
}

#[test]
fn only_tracked_names_are_renamed_and_kinds_are_told_apart() {
    let mut spec = template()["spec"].clone();
    rename(
        &mut spec,
        &[
            ObjectKey::new(Kind::ConfigMap, "test", "env"),
            ObjectKey::new(Kind::Secret, "test", "certs"),
            ObjectKey::new(Kind::Secret, "test", "files"),
        ],
    );
    let mut expected = template()["spec"].clone();
    expected["volumes"][1]["secret"]["secretName"] = json!("certs-primary");
    expected["initContainers"][0]["envFrom"][0]["secretRef"]["name"] = json!("certs-primary");
    expected["containers"][0]["env"][0]["valueFrom"]["configMapKeyRef"]["name"] = json!("env-primary");
    expected["containers"][0]["envFrom"][0]["configMapRef"]["name"] = json!("env-primary");
    assert_eq!(spec, expected);
}

#[test]
fn annotation_and_type_exclude_from_tracking() {
    let annotated = |value: &str| json!({"metadata": {"annotations": {"flagger.app/config-tracking": value}}});
    assert_eq!(tracking(&annotated("disabled")), ConfigTracking::Excluded);
    assert_eq!(tracking(&annotated("enabled")), ConfigTracking::Tracked);
    assert_eq!(tracking(&json!({"type": "kubernetes.io/tls"})), ConfigTracking::Tracked);
    assert_eq!(tracking(&json!({"type": "kubernetes.io/service-account-token"})), ConfigTracking::Excluded);
    assert_eq!(tracking(&json!({})), ConfigTracking::Tracked);
}

fn plan() -> ConfigCopy {
    ConfigCopy {
        source: ObjectKey::new(Kind::Secret, "test", "keys"),
        checksum: String::new(),
        name: "keys-primary".to_owned(),
        owner: json!({"kind": "Canary", "name": "podinfo", "uid": "new", "controller": true}),
        include_label_prefixes: vec!["team".to_owned()],
    }
}

fn source() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": false,
        "metadata": {"name": "keys", "namespace": "test", "annotations": {"a": "b"},
            "labels": {"team": "red", "app": "x", "team.toolkit.fluxcd.io/x": "y"}},
        "data": {"k": "dg=="}})
}

#[test]
fn a_copy_carries_content_type_and_included_labels_only() {
    let expected = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": false,
        "metadata": {"name": "keys-primary", "namespace": "test", "labels": {"team": "red"},
            "ownerReferences": [plan().owner]},
        "data": {"k": "dg=="}});
    assert_eq!(copy(&source(), &plan(), None), expected);
}

#[test]
fn a_shared_copy_keeps_its_other_owners_without_control() {
    let mut seen = copy(&source(), &plan(), None);
    seen["metadata"]["resourceVersion"] = json!("3");
    seen["metadata"]["ownerReferences"] = json!([
        {"kind": "Canary", "name": "podinfo", "uid": "old", "controller": true},
        {"kind": "Canary", "name": "other", "uid": "o", "controller": true}]);
    let copied = copy(&source(), &plan(), Some(&seen));
    assert_eq!(
        copied["metadata"]["ownerReferences"],
        json!([plan().owner, {"kind": "Canary", "name": "other", "uid": "o", "controller": false}])
    );
    assert_eq!(copied["metadata"]["resourceVersion"], "3");
}

#[test]
fn an_immutable_copy_with_other_content_has_to_be_deleted_first() {
    let seen = json!({"type": "Opaque", "immutable": true, "data": {"a": "1"}});
    assert!(is_replaceable(&seen, &seen));
    assert!(!is_replaceable(&seen, &json!({"type": "Opaque", "immutable": true, "data": {"a": "2"}})));
    assert!(!is_replaceable(&json!({"type": "Opaque"}), &json!({"type": "kubernetes.io/tls"})));
}
