//! The definitions are what an API server takes, and refuse what they should. It must not need a cluster.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]

mod judge;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(burgee_api::crds);

fn definition(kind: &str) -> &'static Value {
    let mut definitions = DEFINITIONS.iter();
    definitions.find(|definition| definition["spec"]["names"]["kind"] == kind).expect("the kind has a definition")
}

fn schema(kind: &str) -> &'static Value {
    &definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// One line of `judged.yaml`.
#[derive(Deserialize)]
struct Case {
    says: String,
    #[serde(default = "canary")]
    kind: String,
    #[serde(default)]
    spec: Value,
    refused: Option<String>,
}

fn canary() -> String {
    "Canary".to_owned()
}

fn least_spec(kind: &str) -> Value {
    match kind {
        "Canary" => json!({
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
            "service": { "port": 80 },
            "analysis": { "interval": "1m", "threshold": 5, "stepWeight": 10 },
        }),
        "MetricTemplate" => json!({ "provider": { "type": "prometheus" }, "query": "1" }),
        "AlertProvider" => json!({ "type": "slack", "address": "http://a" }),
        unknown => unreachable!("{unknown} is none of our kinds"),
    }
}

/// JSON merge patch.
fn merge(base: &mut Value, patch: &Value) {
    let (Some(fields), Some(changes)) = (base.as_object_mut(), patch.as_object()) else {
        *base = patch.clone();
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}

#[track_caller]
fn check(case: &Case) {
    let mut spec = least_spec(&case.kind);
    if !case.spec.is_null() {
        merge(&mut spec, &case.spec);
    }
    let refused = judge::refusals(&schema(&case.kind)["properties"]["spec"], &spec, "spec");
    match &case.refused {
        None => assert!(refused.is_empty(), "{}: refused at {refused:?}", case.says),
        Some(path) => assert!(refused.contains(path), "{}: refused at {refused:?}", case.says),
    }
}

#[test]
fn the_schema_judges_each_case_as_it_says() {
    let cases: Vec<Case> = yaml_serde::from_str(include_str!("../testdata/judged.yaml")).expect("a list of cases");
    assert!(cases.len() > 60, "only {} cases were read", cases.len());
    cases.iter().for_each(check);
}

#[test]
fn the_objects_of_the_guides_are_accepted() {
    let guides = [
        include_str!("../testdata/guides/istio-progressive.yaml"),
        include_str!("../testdata/guides/first-canary.yaml"),
        include_str!("../testdata/guides/own-metrics.yaml"),
        include_str!("../testdata/guides/ab-testing.yaml"),
        include_str!("../testdata/guides/v1alpha3.yaml"),
        include_str!("../testdata/guides/production-frontend.yaml"),
        include_str!("../testdata/guides/smi-istio.yaml"),
        include_str!("../testdata/every-field.yaml"),
    ];
    for document in guides.into_iter().flat_map(yaml_serde::Deserializer::from_str) {
        let object = Value::deserialize(document).expect("each document is yaml");
        let schema = schema(object["kind"].as_str().expect("a kind"));
        assert_eq!(judge::refusals(schema, &object, ""), Vec::<String>::new(), "{}", object["metadata"]["name"]);
        assert_eq!(unknown_fields(schema, &object, ""), Vec::<String>::new(), "{}", object["metadata"]["name"]);
    }
}

/// The fields that an API server would prune.
fn unknown_fields(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(fields) if path != ".metadata" => {
            fields.iter().flat_map(|(name, field)| unknown_field(schema, name, field, path)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| unknown_fields(&schema["items"], item, path)).collect(),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn unknown_field(schema: &Value, name: &str, field: &Value, path: &str) -> Vec<String> {
    let path = format!("{path}.{name}");
    match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
        Some(below) => unknown_fields(below, field, &path),
        None => vec![path],
    }
}

/// Every node of a structural schema says what it is, and choices only forbid.
fn check_structure(node: &Value, path: &str) {
    let fields = node.as_object().expect("a schema is an object");
    let says_what_it_is = fields.get("type").is_some_and(Value::is_string)
        || node["x-kubernetes-int-or-string"] == true
        || node["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(says_what_it_is, "{path} has no type");
    for refused in ["$ref", "$schema", "$defs", "title", "const", "nullable", "x-default"] {
        assert!(!fields.contains_key(refused), "{path} has {refused}");
    }
    for choice in ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|key| node[key].as_array()).flatten() {
        check_choice(choice, path);
    }
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        check_structure(property, &format!("{path}.{name}"));
    }
    for below in ["items", "additionalProperties"].into_iter().filter_map(|key| fields.get(key)) {
        check_structure(below, &format!("{path}[]"));
    }
}

fn check_choice(choice: &Value, path: &str) {
    for refused in ["type", "description", "default", "additionalProperties", "nullable"] {
        assert!(choice.get(refused).is_none(), "a choice of {path} has {refused}");
    }
}

#[test]
fn the_schemas_are_structural() {
    for kind in ["Canary", "MetricTemplate", "AlertProvider"] {
        check_structure(schema(kind), kind);
    }
}

#[test]
fn every_field_is_described() {
    for kind in ["Canary", "MetricTemplate", "AlertProvider"] {
        for part in ["spec", "status"] {
            check_descriptions(&schema(kind)["properties"][part], &format!("{kind}.{part}"));
        }
    }
}

fn check_descriptions(node: &Value, path: &str) {
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let is_way = matches!(name.as_str(), "exact" | "prefix" | "suffix" | "regex");
        let description = property["description"].as_str().unwrap_or_default();
        assert!(is_way || (3..=110).contains(&description.len()), "{path} is described as {description:?}");
        check_descriptions(property, &path);
        check_descriptions(&property["items"], &path);
        check_descriptions(&property["additionalProperties"], &path);
    }
}

#[test]
fn canaries_are_stored_as_v1beta1_and_served_as_v1alpha3_with_the_same_schema() {
    let definition = definition("Canary");
    let versions = definition["spec"]["versions"].as_array().expect("versions");
    let said: Vec<Value> =
        versions.iter().map(|version| json!([version["name"], version["served"], version["storage"]])).collect();
    assert_eq!(said, [json!(["v1beta1", true, true]), json!(["v1alpha3", true, false])]);
    assert_eq!(versions[0]["schema"], versions[1]["schema"]);
    assert_eq!(definition["spec"]["conversion"], json!({ "strategy": "None" }));
}

#[test]
fn the_plain_table_shows_status_weight_and_transition_in_this_order() {
    let columns = &definition("Canary")["spec"]["versions"][0]["additionalPrinterColumns"];
    let plain = columns.as_array().expect("columns").iter().filter(|column| column.get("priority").is_none());
    let names: Vec<&Value> = plain.map(|column| &column["name"]).collect();
    assert_eq!(names, ["Status", "Weight", "LastTransitionTime"]);
}

#[test]
fn the_kinds_keep_their_names() {
    let said: Vec<Value> = DEFINITIONS.iter().map(names).collect();
    let expected = [
        json!(["canaries.flagger.app", "Canary", "CanaryList", "canary", ["all"], null, "keep"]),
        json!([
            "metrictemplates.flagger.app",
            "MetricTemplate",
            "MetricTemplateList",
            "metrictemplate",
            ["all"],
            null,
            "keep"
        ]),
        json!([
            "alertproviders.flagger.app",
            "AlertProvider",
            "AlertProviderList",
            "alertprovider",
            ["all"],
            null,
            "keep"
        ]),
    ];
    assert_eq!(said, expected);
}

fn names(definition: &Value) -> Value {
    let names = &definition["spec"]["names"];
    let policy = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
    json!([
        definition["metadata"]["name"],
        names["kind"],
        names["listKind"],
        names["singular"],
        names["categories"],
        names["shortNames"],
        policy
    ])
}

/// What is recorded of a run must be in the schema, or it would be pruned and a restart would not know it.
#[test]
fn the_schema_has_every_field_of_a_run() {
    let run = &schema("Canary")["properties"]["status"]["properties"]["run"]["properties"];
    let fields: Vec<&String> = run.as_object().map(Map::keys).expect("an object").collect();
    let expected = [
        "catchingUp",
        "drainUntil",
        "due",
        "foreignTold",
        "foreignUntil",
        "foughtSince",
        "gatesClosed",
        "heldReason",
        "heldSince",
        "hooksPassed",
        "keptConfigs",
        "lastFailure",
        "ordered",
        "orders",
        "outcome",
        "pausedSince",
        "pendingSince",
        "pendingTold",
        "primary",
        "primaryReadyAtStart",
        "providersChecked",
        "revision",
        "rollbackWaitsSince",
        "routed",
        "scalerDigest",
        "scalers",
        "startedAt",
        "stepStartedAt",
        "strategy",
        "targetGeneration",
        "targetUid",
        "told",
        "traffic",
        "unreadySince",
        "weights",
    ];
    assert_eq!(fields, expected);
}
