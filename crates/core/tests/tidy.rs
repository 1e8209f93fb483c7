//! What clippy cannot enforce: short files, first lines, no dead files, a pure core. It must not judge style that clippy judges.
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test reads the core")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test's helpers may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 600;

/// Words that code under `crates/core/src` may not contain: runtimes, clocks, and order by chance.
const IMPURE_WORDS: [&str; 8] =
    ["tokio", "HashMap", "HashSet", "SystemTime", "Instant", "Timestamp::now", "Zoned::now", "std::env"];

/// Packages that neither the core nor the declarations may reach, however indirectly.
const EDGE_PACKAGES: [&str; 5] = ["tokio", "reqwest", "kube-client", "kube-runtime", "hyper"];

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = sources().into_iter().filter_map(|file| {
        let lines = read(&file).lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines, at most {LINES_MAX}", shown(&file)))
    });
    assert_none(long);
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    let silent = sources().into_iter().filter(|file| {
        let text = read(file);
        let first = text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|said| said.len() <= 10)
    });
    assert_none(silent.map(|file| format!("{}: the first line must be `//! ` and a sentence", shown(&file))));
}

#[test]
fn no_file_is_dead() {
    let mut alive = BTreeSet::new();
    for root in sources().into_iter().filter(|file| is_crate_root(file)) {
        follow(&root, root.parent().expect("a file has a folder"), &mut alive);
    }
    let dead = sources().into_iter().filter(|file| !alive.contains(file));
    assert_none(dead.map(|file| format!("{}: no `mod` leads to it", shown(&file))));
}

#[test]
fn the_core_names_no_runtime_clock_or_hash_order() {
    let core = workspace().join("crates/core/src");
    let mut found = Vec::new();
    for file in sources().into_iter().filter(|file| file.starts_with(&core)) {
        for (number, line) in (1..).zip(read(&file).lines()) {
            found.extend(impure_word(line).map(|word| format!("{}:{number}: {word}", shown(&file))));
        }
    }
    assert_none(found);
}

#[test]
fn the_core_and_the_api_reach_no_client_and_no_runtime() {
    for package in ["burgee-core", "burgee-api"] {
        let tree = cargo_tree(package);
        assert!(tree.contains(package), "cargo tree shows {package}");
        let reached = tree.lines().filter_map(|line| line.split_whitespace().next());
        assert_none(
            reached.filter(|name| EDGE_PACKAGES.contains(name)).map(|name| format!("{package} depends on {name}")),
        );
    }
}

#[test]
fn no_role_of_the_packages_holds_a_wildcard() {
    let mut roles = 0;
    for role in ["controller", "crds", "lease"] {
        let text = read(&workspace().join(format!("charts/burgee/roles/{role}.yaml")));
        let role: serde_json::Value = yaml_serde::from_str(&text).expect("a role is YAML");
        for rule in role["rules"].as_array().expect("a role has rules") {
            assert!(rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()), "{rule} allows something");
            assert!(!rule.to_string().contains('*'), "{rule} has a wildcard");
            roles += 1;
        }
    }
    assert!(roles > 10, "the roles allow what the operator does");
}

/// The first impure word in a line's code; comments may name what the code may not.
fn impure_word(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let is_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let paths: Vec<String> = code.split(|character| !is_path(character)).map(|path| format!("::{path}::")).collect();
    let is_named = |word: &&str| paths.iter().any(|path| path.contains(&format!("::{word}::")));
    IMPURE_WORDS.into_iter().find(is_named)
}

#[test]
fn an_impure_word_is_seen_in_code_and_not_in_comments() {
    assert_eq!(impure_word("use std::collections::HashMap;"), Some("HashMap"));
    assert_eq!(impure_word("let now = jiff::Timestamp::now();"), Some("Timestamp::now"));
    assert_eq!(impure_word("let home = std::env::var(\"HOME\");"), Some("std::env"));
    assert_eq!(impure_word("//! No tokio here."), None);
    assert_eq!(impure_word("let instantly = 1;"), None);
}

/// Adds `file` and every file that its `mod name;` lines lead to. `folder` is where those lie.
fn follow(file: &Path, folder: &Path, alive: &mut BTreeSet<PathBuf>) {
    if !alive.insert(file.to_owned()) {
        return;
    }
    for name in declared_modules(&read(file)) {
        let own_folder = folder.join(&name);
        for child in [folder.join(format!("{name}.rs")), own_folder.join("mod.rs")] {
            if child.is_file() {
                follow(&child, &own_folder, alive);
            }
        }
    }
}

/// The names in `mod name;`, with any visibility.
fn declared_modules(text: &str) -> Vec<String> {
    let declared = |line: &str| {
        let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        let is_visibility = before.is_empty() || before.starts_with("pub");
        is_visibility.then(|| name.to_owned())
    };
    text.lines().filter_map(declared).collect()
}

/// What cargo compiles by itself: libraries, binaries, build scripts, and each test, example and benchmark.
fn is_crate_root(file: &Path) -> bool {
    let folder = file.parent().expect("a file has a folder");
    let is_in = |name: &str| folder.ends_with(name) && folder.with_file_name("Cargo.toml").is_file();
    let is_package = folder.join("Cargo.toml").is_file();
    let is_main = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    let is_test_folder = file.ends_with("main.rs") && folder.parent().is_some_and(|parent| parent.ends_with("tests"));
    is_main || is_test_folder || is_package || ["tests", "examples", "benches", "bin"].into_iter().any(is_in)
}

/// Every Rust file of the workspace, in order.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&workspace().join(folder), &mut files);
    }
    assert!(files.len() > 7, "the workspace has sources");
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display())) {
        let path = entry.expect("a listed entry can be read").path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn cargo_tree(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--edges", "normal", "--package", package])
        .current_dir(workspace())
        .output()
        .expect("cargo can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree of {package}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is above this crate")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}

/// The one door: lists everything that is wrong at once.
fn assert_none(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}
