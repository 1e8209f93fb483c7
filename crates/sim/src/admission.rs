//! What an API server says of our custom resources before it stores them: wrong types, missing and unknown fields. It
//! changes nothing and decides nothing about a canary.

use std::fmt;

use regex::Regex;
use serde_json::{Map, Value};

mod metadata;

pub use metadata::metadata_problems;

/// One part of the way to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field of an object.
    Field(String),
    /// An item of a list, counted from 0.
    Item(usize),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The way to it from the top of the object.
    pub path: Vec<Segment>,
    /// What is wrong.
    pub text: String,
    is_unknown: bool,
}

impl Problem {
    /// The way as a JSON pointer.
    pub fn pointer(&self) -> String {
        let parts = self.path.iter().map(|segment| match segment {
            Segment::Field(name) => format!("/{name}"),
            Segment::Item(place) => format!("/{place}"),
        });
        parts.collect()
    }

    /// The way as people write it, such as `spec.analysis.metrics[0].name`.
    pub fn field(&self) -> String {
        let parts = self.path.iter().map(|segment| match segment {
            Segment::Field(name) => format!(".{name}"),
            Segment::Item(place) => format!("[{place}]"),
        });
        parts.collect::<String>().trim_start_matches('.').to_owned()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field(), self.text)
    }
}

/// What is wrong with an object of our API group; nothing is said of other groups. Fields that the schema does not have
/// count as well: `kubectl` refuses them, and the API server drops them.
pub fn problems(object: &Value) -> Vec<Problem> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let Some(version) = version.strip_prefix("flagger.app/") else { return Vec::new() };
    let at = |field: &str, text: String| vec![Problem { path: vec![field_named(field)], text, is_unknown: false }];
    let definitions = burgee_api::crds();
    let kinds = || definitions.iter().filter_map(|definition| definition["spec"]["names"]["kind"].as_str());
    let Some(definition) = definitions.iter().find(|definition| definition["spec"]["names"]["kind"] == object["kind"])
    else {
        let kinds: Vec<&str> = kinds().collect();
        return at("kind", format!("{} is no kind of flagger.app; there are {}", object["kind"], kinds.join(", ")));
    };
    let versions = definition["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(served) = versions.iter().find(|served| served["name"] == version) else {
        return at("apiVersion", format!("there is no version {version} of {}", object["kind"]));
    };
    let mut found = Vec::new();
    check(&served["schema"]["openAPIV3Schema"], object, &[], &mut found);
    found
}

fn field_named(name: &str) -> Segment {
    Segment::Field(name.to_owned())
}

/// Checks a value and all below it. Null is absent, as the API server has it.
fn check(schema: &Value, value: &Value, path: &[Segment], found: &mut Vec<Problem>) {
    if value.is_null() {
        return;
    }
    let mut say = |text: String| found.push(Problem { path: path.to_vec(), text, is_unknown: false });
    if let Some(text) = wrong_type(schema, value) {
        return say(text);
    }
    bounds(schema, value).into_iter().chain(choices(schema, value)).for_each(&mut say);
    match value {
        Value::Object(fields) => {
            check_fields(schema, fields, path, found);
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (place, item) in items.iter().enumerate() {
                check(&schema["items"], item, &[path, &[Segment::Item(place)]].concat(), found);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_fields(schema: &Value, fields: &Map<String, Value>, path: &[Segment], found: &mut Vec<Problem>) {
    for name in names(&schema["required"]) {
        if fields.get(name).is_none_or(Value::is_null) {
            found.push(Problem { path: path.to_vec(), text: format!("{name} is missing"), is_unknown: false });
        }
    }
    let known = schema["properties"].as_object();
    for (name, value) in fields {
        let below = [path, &[field_named(name)]].concat();
        let property = known.and_then(|known| known.get(name));
        if let Some(property) = property.or(Some(&schema["additionalProperties"]).filter(|more| more.is_object())) {
            check(property, value, &below, found);
        } else if known.is_some() && schema["x-kubernetes-preserve-unknown-fields"] != true {
            found.push(Problem { path: below, text: "there is no such field".to_owned(), is_unknown: true });
        }
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What is wrong with the type, if anything is.
fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        return (!value.is_string() && !is_whole(value)).then(|| format!("{value} is neither a number nor a text"));
    }
    let (fits, wanted) = match schema["type"].as_str()? {
        "object" => (value.is_object(), "a map"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "a text"),
        "boolean" => (value.is_boolean(), "true or false"),
        "integer" => (is_whole(value), "a whole number"),
        _ => (value.is_number(), "a number"),
    };
    (!fits).then(|| format!("{value} is not {wanted}"))
}

/// Whether this is a number without a fraction.
pub(crate) fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// What a value alone must keep to: enumerations, patterns, lengths.
fn bounds(schema: &Value, value: &Value) -> Option<String> {
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        return Some(format!("{value} is none of {}", allowed.join(", ")));
    }
    let (least, most) = match value {
        Value::String(text) => {
            let pattern = schema["pattern"].as_str().filter(|pattern| !matches(pattern, text));
            if let Some(pattern) = pattern {
                return Some(format!("{value} does not match {pattern}"));
            }
            (("minLength", length(text.chars().count())), ("maxLength", length(text.chars().count())))
        }
        Value::Array(items) => (("minItems", length(items.len())), ("maxItems", length(items.len()))),
        Value::Object(fields) => (("minProperties", length(fields.len())), ("maxProperties", length(fields.len()))),
        Value::Number(number) => (("minimum", number.as_f64()), ("maximum", number.as_f64())),
        Value::Null | Value::Bool(_) => return None,
    };
    let bound = |name: &str| schema[name].as_f64();
    if let (Some(number), Some(unit)) = (value.as_f64(), bound("multipleOf"))
        && number % unit != 0.0
    {
        return Some(format!("{value} is no multiple of {}", schema["multipleOf"]));
    }
    if least.1 < bound(least.0) {
        return Some(format!("{value} is below its {} of {}", least.0, schema[least.0]));
    }
    bound(most.0).filter(|bound| most.1 > Some(*bound))?;
    Some(format!("{value} is above its {} of {}", most.0, schema[most.0]))
}

fn length(length: usize) -> Option<f64> {
    u32::try_from(length).ok().map(f64::from)
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// What is wrong with a choice between several forms.
fn choices(schema: &Value, value: &Value) -> Option<String> {
    let fitting = |name: &str| {
        let forms = schema[name].as_array()?;
        Some((forms.iter().filter(|form| fits(form, value)).count(), forms))
    };
    if let Some((count, forms)) = fitting("oneOf").filter(|(count, _)| *count != 1) {
        return Some(format!("exactly one of these must be given, but {count} are: {}", shown(forms)));
    }
    if let Some((_, forms)) = fitting("anyOf").filter(|(count, _)| *count == 0) {
        return Some(format!("one of these must be given: {}", shown(forms)));
    }
    (schema["not"].is_object() && fits(&schema["not"], value)).then(|| "this form is not allowed".to_owned())
}

fn fits(schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    check(schema, value, &[], &mut found);
    found.iter().all(|problem| problem.is_unknown)
}

/// The fields that each form demands.
fn shown(forms: &[Value]) -> String {
    let fields = |form: &Value| names(&form["required"]).collect::<Vec<_>>().join(" with ");
    let forms: Vec<String> = forms.iter().map(fields).filter(|form| !form.is_empty()).collect();
    forms.join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canary() -> Value {
        json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "podinfo"}, "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}, "service": {"port": 9898},
            "analysis": {"interval": "1m", "threshold": 5, "stepWeight": 10,
                "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}}]}}})
    }

    #[track_caller]
    fn check(patch: &Value, expected: &[&str]) {
        let mut canary = canary();
        json_patch::merge(&mut canary, patch);
        let found: Vec<String> = problems(&canary).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_the_schema_takes_has_no_problem() {
        check(&json!({}), &[]);
        check(&json!({"apiVersion": "flagger.app/v1alpha3"}), &[]);
        check(
            &json!({"spec": {"service": {"targetPort": "http", "mirror": true}, "analysis": {"interval": "1m30s"}}}),
            &[],
        );
        check(&json!({"spec": {"analysis": {"threshold": 5.0, "mirror": null}}}), &[]);
    }

    #[test]
    fn a_problem_names_its_field() {
        check(
            &json!({"spec": {"analysis": {"stepWeigth": 25}}}),
            &["spec.analysis.stepWeigth: there is no such field"],
        );
        check(
            &json!({"spec": {"analysis": {"interval": "10 seconds"}}}),
            &[r#"spec.analysis.interval: "10 seconds" does not match ^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"#],
        );
        check(
            &json!({"spec": {"analysis": {"threshold": "five"}}}),
            &[r#"spec.analysis.threshold: "five" is not a number"#],
        );
        check(
            &json!({"spec": {"analysis": {"metrics": [{"name": "a"}, {"interval": "1m"}]}}}),
            &["spec.analysis.metrics[1]: name is missing"],
        );
        check(
            &json!({"spec": {"service": {"mirror": "yes"}}}),
            &[r#"spec.service.mirror: "yes" does not match [^\s\S]"#],
        );
    }

    /// What `check` and what it calls look at, and what says nothing of a value.
    const EVALUATED: [&str; 21] = [
        "type",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "minProperties",
        "maxProperties",
        "oneOf",
        "anyOf",
        "not",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "description",
    ];

    fn check_keywords(schema: &Value, path: &str) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let is_evaluated =
                EVALUATED.contains(&keyword.as_str()) || matches!(keyword.as_str(), "format" | "default");
            assert!(is_evaluated, "{path} has {keyword}");
            let below = match keyword.as_str() {
                "properties" => value.as_object().into_iter().flatten().map(|(_, below)| below).collect(),
                "oneOf" | "anyOf" => value.as_array().into_iter().flatten().collect(),
                "items" | "additionalProperties" | "not" => vec![value],
                _ => Vec::new(),
            };
            for below in below {
                check_keywords(below, &format!("{path}.{keyword}"));
            }
        }
    }

    /// A rule in another language, such as CEL, would be one that `burgee simulate` does not know of.
    #[test]
    fn every_keyword_of_the_schemas_is_evaluated_here() {
        let definitions = burgee_api::crds();
        assert_eq!(definitions.len(), 3);
        for definition in &definitions {
            for served in definition["spec"]["versions"].as_array().into_iter().flatten() {
                check_keywords(
                    &served["schema"]["openAPIV3Schema"],
                    definition["spec"]["names"]["kind"].as_str().unwrap(),
                );
            }
        }
    }

    #[test]
    fn an_analysis_has_one_kind_of_steps() {
        let forms = "interval with threshold with iterations or interval with threshold with stepWeight or interval with \
                     threshold with stepWeights";
        let said = |count| format!("spec.analysis: exactly one of these must be given, but {count} are: {forms}");
        check(&json!({"spec": {"analysis": {"iterations": 3}}}), &[&said(2)]);
        check(&json!({"spec": {"analysis": {"stepWeight": null}}}), &[&said(0)]);
    }

    #[test]
    fn kinds_and_versions_are_known() {
        check(
            &json!({"kind": "Canry"}),
            &[r#"kind: "Canry" is no kind of flagger.app; there are Canary, MetricTemplate, AlertProvider"#],
        );
        check(&json!({"apiVersion": "flagger.app/v2"}), &[r#"apiVersion: there is no version v2 of "Canary""#]);
        check(&json!({"apiVersion": "apps/v1", "kind": "Deploment"}), &[]);
    }
}
