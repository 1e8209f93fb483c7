//! The parts of the schemas that the types alone do not say. It must not loosen what the contract pins down.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Value, json};

/// What `spec.provider` may be (contract: api §1.1). `gatewayapi` and the names of SMI for Istio are additions, for guides.
pub(crate) const PROVIDERS: [&str; 23] = [
    "apisix",
    "appmesh",
    "appmesh:v1beta2",
    "contour",
    "gatewayapi",
    "gatewayapi:v1",
    "gatewayapi:v1beta1",
    "gloo",
    "istio",
    "knative",
    "kubernetes",
    "kuma",
    "linkerd",
    "nginx",
    "osm",
    "skipper",
    "smi:istio",
    "smi:v1alpha1",
    "smi:v1alpha2",
    "smi:v1alpha2:istio",
    "smi:v1alpha3",
    "smi:v1alpha3:istio",
    "traefik",
];

/// What `spec.provider.type` of a `MetricTemplate` may be (contract: api §2).
pub const METRIC_PROVIDERS: [&str; 11] = [
    "prometheus",
    "influxdb",
    "datadog",
    "externalmetrics",
    "stackdriver",
    "cloudwatch",
    "newrelic",
    "graphite",
    "dynatrace",
    "keptn",
    "splunk",
];

/// What `spec.type` of an `AlertProvider` may be (contract: api §3); the last two are additions.
pub const ALERT_PROVIDERS: [&str; 7] = ["slack", "msteams", "discord", "rocket", "gchat", "webhook", "alertmanager"];

/// A lower case DNS name, or nothing for the core group.
pub(crate) const DNS_SUBDOMAIN_OR_EMPTY: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A Go duration as people write it: `30s`, `1m30s`, `1h`.
pub(crate) const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$";

/// Most characters of a text that is matched, and of a text that a query or a webhook is given.
const MATCH_LIMIT: usize = 2048;
const TEXT_LIMIT: usize = 16 * 1024;

/// Most entries of a map or a list of a canary.
const ENTRIES_LIMIT: usize = 100;

/// The ways of matching that a text takes in one place of the schema.
const COMMON_WAYS: [&str; 3] = ["exact", "prefix", "regex"];
const HEADER_WAYS: [&str; 4] = ["exact", "prefix", "suffix", "regex"];

/// A whole number or a name.
pub(crate) fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

/// A text matched in at most one way.
pub(crate) fn string_match(_: &mut SchemaGenerator) -> Schema {
    at_most_one_of(&COMMON_WAYS)
}

/// Names to texts matched in at most one way.
pub(crate) fn string_matches(_: &mut SchemaGenerator) -> Schema {
    map_of(&at_most_one_of(&COMMON_WAYS))
}

/// Origins of a cross-origin policy, each matched in exactly one way.
pub(crate) fn origins(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": exactly_one_of(&COMMON_WAYS) })
}

/// `analysis.match`: the parts of a request that an A/B run may look at, as Istio has them, with suffix for headers. A
/// condition without any part would match everybody.
pub(crate) fn analysis_match(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ENTRIES_LIMIT,
        "items": {
            "type": "object",
            "minProperties": 1,
            "properties": {
                "uri": described(at_most_one_of(&COMMON_WAYS), "Path of the request."),
                "scheme": described(at_most_one_of(&COMMON_WAYS), "Scheme of the URI."),
                "method": described(at_most_one_of(&COMMON_WAYS), "HTTP method."),
                "authority": described(at_most_one_of(&COMMON_WAYS), "HTTP authority."),
                "headers": described(map_of(&exactly_one_of(&HEADER_WAYS)), "Header name to match."),
                "queryParams": described(map_of(&at_most_one_of(&COMMON_WAYS)), "Query parameter name to match."),
                "withoutHeaders": described(
                    map_of(&at_most_one_of(&COMMON_WAYS)),
                    "Header name to a match that must not hold.",
                ),
                "port": {
                    "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535,
                    "description": "Port that is addressed.",
                },
                "sourceLabels": {
                    "type": "object",
                    "description": "Labels of the calling workload.",
                    "additionalProperties": { "type": "string" },
                },
                "gateways": {
                    "type": "array", "maxItems": ENTRIES_LIMIT, "items": { "type": "string" },
                    "description": "Gateways for which this holds.",
                },
                "ignoreUriCase": { "type": "boolean", "description": "Whether the case of the path is ignored." },
                "sourceNamespace": { "type": "string", "description": "Namespace of the calling workload." },
            },
        },
    })
}

/// Weights in percent, step by step.
pub(crate) fn weights(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ENTRIES_LIMIT,
        "items": { "type": "number", "minimum": 0, "multipleOf": 1 },
    })
}

/// Names to texts that a query or a webhook is given.
pub(crate) fn texts(_: &mut SchemaGenerator) -> Schema {
    map_of(&json_schema!({ "type": "string", "maxLength": TEXT_LIMIT }))
}

fn described(mut schema: Schema, description: &str) -> Schema {
    schema.insert("description".to_owned(), json!(description));
    schema
}

/// `service.mirror`: true or false, or a list. No `type` can say that, so unknown fields have to be kept, and each other
/// type is kept out by a bound that nothing meets; only `{}` passes and is left to the controller.
pub(crate) fn mirror<Target: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let target = Target::json_schema(generator);
    json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "items": target,
        "pattern": r"[^\s\S]",
        "minimum": 1,
        "maximum": 0,
        "maxProperties": 0,
    })
}

/// A backend has a port, or is no Service of the core group. (A CEL rule below an untyped node is never evaluated.)
pub(crate) fn port_of_service() -> Value {
    json!([
        { "required": ["port"] },
        { "properties": { "group": { "not": { "enum": [""] } } } },
        { "properties": { "kind": { "not": { "enum": ["Service"] } } } },
    ])
}

/// A reference to an object of this kind in any namespace.
pub(crate) fn object_ref<Reference: JsonSchema>(generator: &mut SchemaGenerator, kind: &str) -> Schema {
    let mut schema = Reference::json_schema(generator);
    if let Some(named) = schema.pointer_mut("/properties/kind").and_then(Value::as_object_mut) {
        named.insert("enum".to_owned(), json!([kind]));
    }
    schema
}

/// A reference to an object of this kind in the namespace of the canary.
pub(crate) fn local_ref<Reference: JsonSchema>(generator: &mut SchemaGenerator, kind: &str) -> Schema {
    let mut schema = object_ref::<Reference>(generator, kind);
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.remove("namespace");
    }
    schema
}

fn map_of(value: &Schema) -> Schema {
    json_schema!({ "type": "object", "maxProperties": ENTRIES_LIMIT, "additionalProperties": value })
}

fn exactly_one_of(ways: &[&str]) -> Schema {
    one_of(ways, &each_required(ways))
}

fn at_most_one_of(ways: &[&str]) -> Schema {
    let mut choices = vec![json!({ "not": { "anyOf": each_required(ways) } })];
    choices.extend(each_required(ways));
    one_of(ways, &choices)
}

fn one_of(ways: &[&str], choices: &[Value]) -> Schema {
    let properties: serde_json::Map<String, Value> =
        ways.iter().map(|way| ((*way).to_owned(), json!({ "type": "string", "maxLength": MATCH_LIMIT }))).collect();
    json_schema!({ "type": "object", "properties": properties, "oneOf": choices })
}

fn each_required(ways: &[&str]) -> Vec<Value> {
    ways.iter().map(|way| json!({ "required": [way] })).collect()
}
