//! The pages under `docs` as a book: each is in the summary, each link and anchor leads somewhere, and what they show of our
//! objects is taken by the schemas and by the operator. It judges no sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burgee_api::{AlertProvider, Canary};
use burgee_core::rollout::Rollout;
use burgee_core::settings::Settings;
use burgee_sim::admission;
use regex::Regex;
use serde_json::{Value, json};

/// Words after the three ticks of a block in a tutorial; CONTRIBUTING.md says what each means.
const TUTORIAL_BLOCKS: [&str; 8] = ["sh", "sh skip", "text", "yaml", "yaml refused", "yaml skip", "promql", "json"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// Every page by its path from the root of the repository.
fn pages() -> BTreeMap<String, String> {
    let mut found = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)).to_vec();
    collect(&root().join("docs"), &mut found);
    let name = |path: &Path| path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap_or_default())).collect()
}

/// A block between three ticks: what stands behind the first ones, the line where it begins, and its text.
struct Block {
    info: String,
    line: usize,
    text: String,
}

/// The blocks of a page, and the rest of it with nothing in their place.
fn taken_apart(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut rest): (Vec<Block>, String) = (Vec::new(), String::new());
    let mut is_inside = false;
    for (number, line) in (1..).zip(page.lines()) {
        match (line.trim_start().strip_prefix("```"), is_inside) {
            (Some(info), false) => {
                blocks.push(Block { info: info.trim().to_owned(), line: number, text: String::new() });
                is_inside = true;
            }
            (Some(_), true) => is_inside = false,
            (None, true) => {
                if let Some(block) = blocks.last_mut() {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
            (None, false) if line.starts_with("    ") => rest.push('\n'),
            (None, false) => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    (blocks, rest)
}

/// A text without what stands between single ticks.
fn without_code(text: &str) -> String {
    Regex::new("`[^`\n]*`").map_or_else(|_| text.to_owned(), |code| code.replace_all(text, "").into_owned())
}

/// A text with what its links say in their place.
fn without_links(text: &str) -> String {
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)");
    link.map_or_else(|_| text.to_owned(), |link| link.replace_all(text, "$1").into_owned())
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let text = if heading.contains("](") { without_links(heading) } else { heading.to_owned() };
    let is_kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
    let kept = text.trim().to_lowercase().chars().filter(is_kept).collect::<String>();
    kept.replace(' ', "-")
}

fn anchors(page: &str) -> BTreeSet<String> {
    let (mut found, mut times) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for line in taken_apart(page).1.lines().filter(|line| line.starts_with('#')) {
        let name = anchor(line.trim_start_matches('#'));
        let count = times.entry(name.clone()).or_default();
        found.insert(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    found
}

/// Where the links of a page lead, without those to other sites.
fn links(page: &str) -> Vec<String> {
    let text = without_code(&taken_apart(page).1);
    let Ok(link) = Regex::new(r"\]\(([^)\s]+)\)") else { return Vec::new() };
    let targets = link.captures_iter(&text).map(|found| found[1].to_owned());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// A path without `..`, as the keys of the pages are written.
fn resolved(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_and_anchor_leads_somewhere() {
    let pages = pages();
    let places: BTreeMap<&String, BTreeSet<String>> = pages.iter().map(|(name, text)| (name, anchors(text))).collect();
    let mut lost = Vec::new();
    for (name, text) in &pages {
        for target in links(text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { name.clone() } else { resolved(name, path) };
            let is_there = root().join(&file).exists();
            let has_anchor = anchor.is_empty() || places.get(&file).is_none_or(|places| places.contains(anchor));
            if !is_there || !has_anchor {
                lost.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(lost.is_empty(), "{} links lead nowhere:\n{}", lost.len(), lost.join("\n"));
}

#[test]
fn the_summary_names_every_page_and_no_other() {
    let pages = pages();
    let summary = pages.get("docs/SUMMARY.md").map(String::as_str).unwrap_or_default();
    let named: Vec<String> = links(summary).iter().map(|target| resolved("docs/SUMMARY.md", target)).collect();
    let unique: BTreeSet<&String> = named.iter().collect();
    assert_eq!(unique.len(), named.len(), "a page is named twice");
    let there: BTreeSet<&String> =
        pages.keys().filter(|name| name.starts_with("docs/") && *name != "docs/SUMMARY.md").collect();
    let missing: Vec<&&String> = there.difference(&unique).collect();
    let absent = unique.difference(&there);
    assert_eq!((missing, absent.collect::<Vec<_>>()), (Vec::new(), Vec::new()), "not named, and not there");
}

#[test]
fn anchors_are_made_as_sites_make_them() {
    let check = |heading: &str, expected: &str| assert_eq!(anchor(heading), expected);
    check(" A/B testing", "ab-testing");
    check(" Without `revertOnDeletion`", "without-revertondeletion");
    check(" `burgee why`", "burgee-why");
    check(" [How](x.md) it *works*, really", "how-it-works-really");
    assert_eq!(anchors("# A\n```sh\n# no\n```\n## A\n"), ["a", "a-1"].map(str::to_owned).into());
    assert_eq!(links("[a](b.md#c) `[d](e)` <f> [g](https://h)\n    [i](j)\n"), ["b.md#c"]);
}

/// The documents of a block, as YAML or JSON.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    let texts = text.split("\n---\n").filter(|text| !text.trim().is_empty());
    texts.map(|text| yaml_serde::from_str(text).map_err(|error| error.to_string())).collect()
}

/// A part of a Canary (`spec`, or `analysis` and `service` of it) in a whole one; other objects as they are.
fn whole(document: Value) -> Value {
    let is_part = |fields: &serde_json::Map<String, Value>| {
        !fields.is_empty() && fields.keys().all(|key| matches!(key.as_str(), "spec" | "analysis" | "service"))
    };
    if !document.as_object().is_some_and(is_part) {
        return document;
    }
    let part = if document["spec"].is_object() { document["spec"].clone() } else { document };
    let mut canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 9898}, "analysis": {"interval": "1m", "threshold": 5},
        },
    });
    for (field, value) in part.as_object().into_iter().flatten() {
        let place = &mut canary["spec"][field];
        match (place.as_object_mut(), value.as_object()) {
            (Some(known), Some(more)) => known.extend(more.clone()),
            (None, _) | (_, None) => *place = value.clone(),
        }
    }
    let analysis = &mut canary["spec"]["analysis"];
    if ["iterations", "stepWeight", "stepWeights"].iter().all(|steps| analysis[steps].is_null()) {
        analysis["stepWeight"] = json!(10);
    }
    canary
}

/// What is wrong with an object of ours, if anything is.
fn problem(object: &Value) -> Option<String> {
    if let Some(problem) = admission::problems(object).first() {
        return Some(problem.to_string());
    }
    match object["kind"].as_str().filter(|_| is_ours(object)) {
        Some("Canary") => match serde_json::from_value::<Canary>(object.clone()) {
            Ok(canary) => Rollout::parse(&canary, &Settings::default()).err(),
            Err(error) => Some(error.to_string()),
        },
        Some("AlertProvider") => {
            serde_json::from_value::<AlertProvider>(object.clone()).err().map(|error| error.to_string())
        }
        _ => None,
    }
}

fn is_ours(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("flagger.app/"))
}

#[test]
fn what_pages_show_of_our_objects_is_taken() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, text) in pages() {
        for block in taken_apart(&text).0.iter().filter(|block| block.info.split(' ').next() == Some("yaml")) {
            let place = format!("{name}:{}", block.line);
            let words: Vec<&str> = block.info.split(' ').collect();
            if words.contains(&"skip") {
                continue;
            }
            let objects = match documents(&block.text) {
                Ok(documents) => documents.into_iter().map(whole).filter(is_ours).collect::<Vec<_>>(),
                Err(error) => {
                    wrong.push(format!("{place}: {error}"));
                    continue;
                }
            };
            seen += objects.len();
            let problems: Vec<String> = objects.iter().filter_map(problem).collect();
            match words.contains(&"refused") {
                true if problems.is_empty() => wrong.push(format!("{place}: it is taken")),
                true => {}
                false => wrong.extend(problems.iter().map(|problem| format!("{place}: {problem}"))),
            }
        }
    }
    assert!(wrong.is_empty(), "{} blocks are not what they say:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 30, "{seen} objects");
}

#[test]
fn tutorials_keep_to_the_form_that_a_machine_can_follow() {
    let mut wrong = Vec::new();
    for (name, text) in pages().into_iter().filter(|(name, _)| name.starts_with("docs/tutorials/")) {
        let (blocks, _) = taken_apart(&text);
        assert!(blocks.len() > 5, "{name} has steps");
        let mut before = "";
        for block in &blocks {
            let info = block.info.split(" file=").next().unwrap_or_default();
            let is_skipped = info.ends_with(" skip");
            let has_reason = block.text.starts_with("# not run: ");
            let is_right = TUTORIAL_BLOCKS.contains(&info)
                && is_skipped == has_reason
                && (info != "text" || before.starts_with("sh"));
            if !is_right {
                wrong.push(format!("{name}:{} {:?}", block.line, block.info));
            }
            before = info;
        }
    }
    assert!(wrong.is_empty(), "blocks of another form (CONTRIBUTING.md, Tutorials):\n{}", wrong.join("\n"));
}
