//! A small reader of structural schemas: defaults and validates as an API server does. It must not know our kinds.

use serde_json::{Map, Value};

/// The paths at which a value is refused; empty when it is accepted.
pub(crate) fn refusals(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut value = value.clone();
    set_defaults(schema, &mut value);
    let mut refused = Vec::new();
    visit(schema, &value, path, &mut refused);
    refused
}

fn set_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, property) in entries(&schema["properties"]) {
                if let Some(default) = property.get("default") {
                    fields.entry(name).or_insert_with(|| default.clone());
                }
            }
            fields.iter_mut().for_each(|(name, field)| set_defaults(below(schema, name), field));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| set_defaults(&schema["items"], item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit(schema: &Value, value: &Value, path: &str, refused: &mut Vec<String>) {
    if !(has_type(schema, value) && is_in_bounds(schema, value) && meets_choices(schema, value)) {
        refused.push(path.to_owned());
    }
    match value {
        Value::Object(fields) => visit_fields(schema, fields, path, refused),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| visit(&schema["items"], item, &format!("{path}[{index}]"), refused)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit_fields(schema: &Value, fields: &Map<String, Value>, path: &str, refused: &mut Vec<String>) {
    let missing = required(schema).filter(|name| !fields.contains_key(*name));
    refused.extend(missing.map(|name| format!("{path}.{name}")));
    for (name, field) in fields {
        visit(below(schema, name), field, &format!("{path}.{name}"), refused);
    }
}

fn below<'a>(schema: &'a Value, name: &str) -> &'a Value {
    schema["properties"].get(name).unwrap_or(&schema["additionalProperties"])
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn entries(properties: &Value) -> impl Iterator<Item = (String, &Value)> {
    properties.as_object().into_iter().flatten().map(|(name, property)| (name.clone(), property))
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some(unknown) => unreachable!("no value has type {unknown}"),
        None => true,
    }
}

fn is_in_bounds(schema: &Value, value: &Value) -> bool {
    let above = |bound: &str, size: f64| schema[bound].as_f64().is_none_or(|least| size >= least);
    let below = |bound: &str, size: f64| schema[bound].as_f64().is_none_or(|most| size <= most);
    let is_multiple = |number: f64| schema["multipleOf"].as_f64().is_none_or(|unit| number % unit == 0.0);
    let is_within = |number: f64| above("minimum", number) && below("maximum", number) && is_multiple(number);
    let number = value.as_f64().is_none_or(is_within);
    let text = value.as_str().is_none_or(|text| {
        let length = size(text.chars().count());
        above("minLength", length) && below("maxLength", length) && has_pattern(schema, text)
    });
    let items = value.as_array().is_none_or(|items| below("maxItems", size(items.len())));
    let fields = value
        .as_object()
        .is_none_or(|fields| above("minProperties", size(fields.len())) && below("maxProperties", size(fields.len())));
    number && text && items && fields
}

fn size(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The patterns of our schemas, by hand: no engine for three expressions.
fn has_pattern(schema: &Value, text: &str) -> bool {
    match schema["pattern"].as_str() {
        None => true,
        Some(r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$") => {
            text.starts_with(|letter: char| letter.is_ascii_digit()) && burgee_api::GoDuration::parse(text).is_ok()
        }
        Some(r"[^\s\S]") => false,
        Some(r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$") => {
            text.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.'))
        }
        Some(unknown) => unreachable!("pattern {unknown} is not known here"),
    }
}

fn meets_choices(schema: &Value, value: &Value) -> bool {
    let holding =
        |key: &str| schema[key].as_array().map(|choices| choices.iter().filter(|choice| holds(choice, value)).count());
    holding("oneOf").is_none_or(|count| count == 1)
        && holding("anyOf").is_none_or(|count| count > 0)
        && schema.get("not").is_none_or(|forbidden| !holds(forbidden, value))
        && schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value))
}

fn holds(schema: &Value, value: &Value) -> bool {
    let mut refused = Vec::new();
    visit(schema, value, "", &mut refused);
    refused.is_empty()
}
