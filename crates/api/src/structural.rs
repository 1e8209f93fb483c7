//! From JSON schema to what Kubernetes calls a structural schema. It must not change what is accepted.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The structural schema of a type, its description left out.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    rewrite(&mut schema);
    schema
}

/// Rewrites a node and all below it.
fn rewrite(node: &mut Value) {
    let Some(fields) = node.as_object_mut() else { return };
    take_out_null(fields);
    flatten_enumeration(fields);
    tidy(fields);
    children(fields).for_each(rewrite);
    for below in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(below).and_then(Value::as_object_mut) {
            child.remove("description");
        }
    }
}

/// The schemas directly below a node. Those in `oneOf` and the like only forbid, and are written by hand.
fn children(fields: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    fields.iter_mut().flat_map(|(key, value)| match (key.as_str(), value) {
        ("properties", Value::Object(properties)) => properties.values_mut().collect::<Vec<_>>(),
        ("items" | "additionalProperties", child) => vec![child],
        (_, _) => Vec::new(),
    })
}

/// Optional is said by not being required; null is never stored.
fn take_out_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(inner) = the_one_besides_null(fields.get("anyOf")) {
        fields.remove("anyOf");
        for (key, value) in inner {
            fields.entry(key).or_insert(value);
        }
    }
}

fn the_one_besides_null(any_of: Option<&Value>) -> Option<Map<String, Value>> {
    let choices = any_of?.as_array()?;
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|name| name == "null");
    choices.iter().find(is_null)?;
    choices.iter().find(|choice| !is_null(choice))?.as_object().cloned()
}

/// A choice of constants, as a commented enum has it, is an enumeration of texts.
fn flatten_enumeration(fields: &mut Map<String, Value>) {
    let constants = fields.get("oneOf").and_then(Value::as_array).and_then(|choices| constants_of(choices));
    if let Some(constants) = constants {
        fields.remove("oneOf");
        fields.insert("type".to_owned(), json!("string"));
        fields.insert("enum".to_owned(), Value::Array(constants));
    }
}

fn constants_of(choices: &[Value]) -> Option<Vec<Value>> {
    choices.iter().map(|choice| choice.get("const").cloned()).collect()
}

/// Drops what Kubernetes refuses or does not use, and shortens descriptions to their first paragraph.
fn tidy(fields: &mut Map<String, Value>) {
    fields.remove("title");
    fields.remove("default");
    if fields.get("format").is_some_and(|format| format == "int64" || format == "double") {
        fields.remove("format");
    }
    if let Some(default) = fields.remove("x-default") {
        fields.insert("default".to_owned(), default);
    }
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = short(description);
    }
}

/// The first paragraph on one line, without back quotes and without the place in the contract.
fn short(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
    let Some((before, place)) = line.split_once(" (contract: ") else { return line };
    let after = place.split_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut schema: Value, expected: &Value) {
        rewrite(&mut schema);
        assert_eq!(&schema, expected);
    }

    #[test]
    fn null_is_taken_out_of_types_and_choices() {
        check(json!({ "type": ["string", "null"], "pattern": "a" }), &json!({ "type": "string", "pattern": "a" }));
        check(
            json!({ "anyOf": [{ "type": "object", "description": "inner" }, { "type": "null" }], "description": "outer" }),
            &json!({ "type": "object", "description": "outer" }),
        );
    }

    #[test]
    fn a_choice_that_only_demands_stays() {
        let schema = json!({ "type": "object", "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] });
        check(schema.clone(), &schema);
    }

    #[test]
    fn commented_constants_become_an_enumeration() {
        check(
            json!({ "oneOf": [{ "type": "string", "const": "", "description": "x" }, { "type": "string", "const": "a" }] }),
            &json!({ "type": "string", "enum": ["", "a"] }),
        );
    }

    #[test]
    fn only_wanted_defaults_stay() {
        check(
            json!({ "type": "number", "default": 1, "x-default": 2, "format": "double" }),
            &json!({ "type": "number", "default": 2 }),
        );
    }

    #[test]
    fn descriptions_are_one_short_line() {
        check(
            json!({ "type": "string", "description": "One `thing`\nand more (contract: api §1.2).\n\nRest." }),
            &json!({ "type": "string", "description": "One thing and more." }),
        );
    }
}
