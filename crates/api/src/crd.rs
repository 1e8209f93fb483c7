//! The three custom resource definitions, generated from the types. It must not write anywhere.

use serde_json::{Value, json};

use crate::alert_provider::AlertProviderSpec;
use crate::canary::CanarySpec;
use crate::canary_status::CanaryStatus;
use crate::metric_template::MetricTemplateSpec;
use crate::structural::schema_of;

/// One kind, as its definition names it.
struct Names {
    kind: &'static str,
    singular: &'static str,
    plural: &'static str,
    description: &'static str,
}

/// The definitions of Canary, `MetricTemplate` and `AlertProvider`, keys sorted (contract: api).
pub fn crds() -> Vec<Value> {
    let mut definitions = vec![canaries(), metric_templates(), alert_providers()];
    definitions.iter_mut().for_each(Value::sort_all_objects);
    definitions
}

/// Canary is also served as `v1alpha3`, as older guides write it; both versions have the same schema.
fn canaries() -> Value {
    let names = Names {
        kind: "Canary",
        singular: "canary",
        plural: "canaries",
        description: "Canary says how a workload is released.",
    };
    let mut schema = root(names.description, &schema_of::<CanarySpec>());
    describe(&mut schema, "/properties/spec", "What the user wants.");
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.insert("status".to_owned(), schema_of::<CanaryStatus>());
    }
    describe(&mut schema, "/properties/status", "How far it is.");
    let columns = canary_columns();
    let stored = version("v1beta1", &schema, &columns);
    let mut older = version("v1alpha3", &schema, &columns);
    older["storage"] = json!(false);
    definition(&names, &json!([stored, older]))
}

fn metric_templates() -> Value {
    let names = Names {
        kind: "MetricTemplate",
        singular: "metrictemplate",
        plural: "metrictemplates",
        description: "MetricTemplate is a query and whom to ask.",
    };
    let mut schema = root(names.description, &schema_of::<MetricTemplateSpec>());
    describe(&mut schema, "/properties/spec", "The query and whom to ask.");
    let columns = json!([column("Provider", "string", ".spec.provider.type")]);
    definition(&names, &json!([version("v1beta1", &schema, &columns)]))
}

fn alert_providers() -> Value {
    let names = Names {
        kind: "AlertProvider",
        singular: "alertprovider",
        plural: "alertproviders",
        description: "AlertProvider is a chat to be told.",
    };
    let mut schema = root(names.description, &schema_of::<AlertProviderSpec>());
    describe(&mut schema, "/properties/spec", "Which chat, and how to reach it.");
    let columns = json!([column("Type", "string", ".spec.type")]);
    definition(&names, &json!([version("v1beta1", &schema, &columns)]))
}

fn definition(names: &Names, versions: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", names.plural, crate::GROUP),
            "annotations": { "helm.sh/resource-policy": "keep" },
        },
        "spec": {
            "group": crate::GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": format!("{}List", names.kind),
                "plural": names.plural,
                "singular": names.singular,
                "categories": ["all"],
            },
            "conversion": { "strategy": "None" },
            "versions": versions,
        },
    })
}

fn version(name: &str, schema: &Value, columns: &Value) -> Value {
    json!({
        "name": name,
        "served": true,
        "storage": true,
        "subresources": { "status": {} },
        "additionalPrinterColumns": columns,
        "schema": { "openAPIV3Schema": schema },
    })
}

fn root(description: &str, spec: &Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
        },
    })
}

fn describe(schema: &mut Value, pointer: &str, description: &str) {
    if let Some(Value::Object(fields)) = schema.pointer_mut(pointer) {
        fields.insert("description".to_owned(), json!(description));
    }
}

/// Scripts read phases from the plain table, so names, order and priorities are the contract's. What is added stands last
/// in the wide one.
fn canary_columns() -> Value {
    json!([
        column("Status", "string", ".status.phase"),
        column("Weight", "string", ".status.canaryWeight"),
        wide_column("Suspended", "boolean", ".spec.suspend"),
        wide_column("FailedChecks", "string", ".status.failedChecks"),
        wide_column("Interval", "string", ".spec.analysis.interval"),
        wide_column("Mirror", "boolean", ".spec.analysis.mirror"),
        wide_column("StepWeight", "string", ".spec.analysis.stepWeight"),
        wide_column("StepWeights", "string", ".spec.analysis.stepWeights"),
        wide_column("MaxWeight", "string", ".spec.analysis.maxWeight"),
        column("LastTransitionTime", "string", ".status.lastTransitionTime"),
        wide_column("Invalid", "string", ".status.conditions[?(@.type==\"Invalid\")].reason"),
    ])
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path })
}

/// A column that only `kubectl get -o wide` shows.
fn wide_column(name: &str, kind: &str, path: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path, "priority": 1 })
}
