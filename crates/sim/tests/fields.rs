//! The reference of fields shows what the schemas hold now. `BLESS=1` writes its tables anew.
//!
//! `<!-- fields: KIND PATH -->` begins a table of the fields below PATH, without those that have a table of their own;
//! `<!-- end -->` ends it. What stands between the tables is written by hand.

use std::path::Path;

use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/fields.md");
const BEGIN: &str = "<!-- fields: ";
const END: &str = "<!-- end -->";

/// Trees that are there twice; the page says so in words.
const TOLD_IN_WORDS: [&str; 2] = ["spec.canaryAnalysis", "spec.service.trafficPolicy.portLevelSettings[]"];

/// The schema of the newest version of a kind.
fn schema(kind: &str) -> Option<Value> {
    let definitions = burgee_api::crds();
    let definition = definitions.iter().find(|definition| definition["spec"]["names"]["kind"] == kind)?;
    let versions = definition["spec"]["versions"].as_array()?;
    let newest = versions.iter().find(|version| version["name"] == "v1beta1")?;
    Some(newest["schema"]["openAPIV3Schema"].clone())
}

/// The schema below a path such as `spec.analysis.metrics[]`.
fn below<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, part| match part.strip_suffix("[]") {
        Some(name) => &schema["properties"][name]["items"],
        None => &schema["properties"][part],
    })
}

/// Whether it is a text that a request is compared with: there are so many that one row says it.
fn is_match(schema: &Value) -> bool {
    let names = schema["properties"].as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    names.is_some_and(|names| names.iter().any(|name| name == "regex") && names.iter().all(|name| is_way(name)))
}

fn is_way(name: &str) -> bool {
    matches!(name, "exact" | "prefix" | "suffix" | "regex")
}

fn kind_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "number or text".to_owned();
    }
    if is_match(schema) {
        let ways: Vec<&str> = schema["properties"].as_object().into_iter().flatten().map(|(way, _)| &way[..]).collect();
        return format!("one of {}", ways.join(", "));
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", plural(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map to {}", kind_of(&schema["additionalProperties"]))
        }
        Some("object") => "object".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("number") if schema["multipleOf"] == 1 => "whole number".to_owned(),
        Some(_) => "number".to_owned(),
        None => "true, false or a list".to_owned(),
    }
}

fn plural(schema: &Value) -> String {
    let kind = kind_of(schema);
    if kind.starts_with("one of") { kind } else { format!("{kind}s") }
}

/// What a value must keep to, in words.
fn limits(schema: &Value) -> String {
    if schema["type"].is_null() {
        // Two types in one: its limits are about which one it is.
        return String::new();
    }
    let limit = |field: &str| schema.get(field).filter(|limit| !limit.is_null());
    let number = |field: &str, words: &str| Some(words.replace('#', &limit(field)?.to_string()));
    let choices = schema["enum"].as_array().map(|choices| {
        let named = choices.iter().filter_map(Value::as_str).filter(|choice| !choice.is_empty());
        named.map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
    });
    let duration = schema["pattern"].as_str().filter(|pattern| pattern.contains("(ns|us|ms|s|m|h)"));
    let pattern = schema["pattern"].as_str().filter(|_| duration.is_none());
    let parts = [
        choices,
        number("minimum", "at least #"),
        number("maximum", "at most #"),
        duration.map(|_| "a Go duration".to_owned()),
        pattern.map(|pattern| format!("pattern `{}`", pattern.replace('|', "\\|"))),
        number("minLength", "# characters or more"),
        number("maxLength", "at most # characters").filter(|_| duration.is_none()),
        number("maxItems", "at most # items"),
        number("maxProperties", "at most # keys"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The description, and the default in it or in the schema.
fn told(schema: &Value) -> (String, String) {
    let text = schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
    let given = schema.get("default").filter(|value| !value.is_null());
    match text.split_once(" (default") {
        Some((before, rest)) => {
            let (default, after) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{before}{after}"), default.trim_start_matches([':', ' ']).to_owned())
        }
        None => (text, given.map(|value| value.to_string().replace('"', "`")).unwrap_or_default()),
    }
}

/// Rows of what stands below a path; `sections` have tables of their own.
fn rows(schema: &Value, (section, place): (&str, &str), sections: &[String], table: &mut String) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let shown = format!("{place}{name}");
        let item = if field["items"].is_object() { "[]" } else { "" };
        let path = format!("{section}.{shown}{item}");
        let (text, default) = told(field);
        let mark = if required(name) { " \\*" } else { "" };
        let elsewhere = sections.contains(&path) || TOLD_IN_WORDS.contains(&path.as_str());
        let more = if elsewhere { format!(" See [below](#{}).", anchor(&path)) } else { String::new() };
        let more = if TOLD_IN_WORDS.contains(&path.as_str()) { String::new() } else { more };
        let row = [format!("`{shown}`{mark}"), kind_of(field), default, limits(field), format!("{text}{more}")];
        let row = format!("| {} |\n", row.join(" | "));
        table.push_str(&row.replace("  ", " "));
        if !elsewhere {
            let inner = if item.is_empty() { field } else { &field["items"] };
            let inner = if field["additionalProperties"].is_object() { &Value::Null } else { inner };
            let inner = if is_match(inner) { &Value::Null } else { inner };
            rows(inner, (section, &format!("{shown}{item}.")), sections, table);
        }
    }
}

fn anchor(path: &str) -> String {
    path.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The page with each table made anew.
fn renewed(page: &str) -> Result<String, String> {
    let marked: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(BEGIN)?.strip_suffix(" -->")).collect();
    for root in ["Canary spec", "Canary status", "MetricTemplate spec", "AlertProvider spec"] {
        if !marked.contains(&root) {
            return Err(format!("there is no table of {root}, so fields may be missing"));
        }
    }
    let (mut renewed, mut lines) = (String::new(), page.lines());
    while let Some(line) = lines.next() {
        renewed.push_str(line);
        renewed.push('\n');
        let Some(mark) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        if !lines.any(|line| line == END) {
            return Err(format!("{line} has no {END}"));
        }
        let (kind, path) = mark.split_once(' ').ok_or_else(|| format!("{line} has no path"))?;
        let schema = schema(kind).ok_or_else(|| format!("there is no kind {kind}"))?;
        let of_kind = marked.iter().filter_map(|mark| mark.strip_prefix(kind)?.strip_prefix(' ').map(str::to_owned));
        let mut table = "| field | type | default | limits | what it is |\n|---|---|---|---|---|\n".to_owned();
        let before = table.len();
        rows(below(&schema, path), (path, ""), &of_kind.collect::<Vec<_>>(), &mut table);
        if table.len() == before {
            return Err(format!("{mark} has no fields"));
        }
        renewed.push_str(&table);
        renewed.push_str(END);
        renewed.push('\n');
    }
    Ok(renewed)
}

#[test]
fn the_reference_of_fields_is_that_of_the_schemas() -> Result<(), String> {
    let path = Path::new(PAGE);
    let page = std::fs::read_to_string(path).map_err(|error| format!("{PAGE}: {error}"))?;
    let expected = renewed(&page)?;
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, expected).map_err(|error| format!("{PAGE}: {error}"));
    }
    assert!(page == expected, "docs/reference/fields.md is not what the types say: run `cargo xtask bless`");
    Ok(())
}
