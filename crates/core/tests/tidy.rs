//! What clippy cannot enforce: short files, first lines, no dead files, a pure core. It must not judge style that clippy judges.
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test reads the core")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test's helpers may fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burgee_core::world::Kind;

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
    let alive = alive();
    let dead = sources().into_iter().filter(|file| !alive.contains_key(file));
    assert_none(dead.map(|file| format!("{}: no `mod` leads to it", shown(&file))));
}

#[test]
fn the_core_names_no_runtime_clock_or_hash_order() {
    let core = workspace().join("crates/core/src");
    let shipped = alive().into_iter().filter(|(file, use_of)| file.starts_with(&core) && *use_of == Use::Always);
    let mut found = Vec::new();
    for (file, _) in shipped {
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

/// The rules of every role that the packages grant, or can grant.
fn rules() -> Vec<serde_json::Value> {
    let folder = fs::read_dir(workspace().join("charts/burgee/roles")).expect("there are roles");
    let roles = folder
        .flatten()
        .map(|file| -> serde_json::Value { yaml_serde::from_str(&read(&file.path())).expect("a role is YAML") });
    roles.flat_map(|role| role["rules"].as_array().expect("a role has rules").clone()).collect()
}

#[test]
fn no_role_of_the_packages_holds_a_wildcard() {
    for rule in &rules() {
        assert!(rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()), "{rule} allows something");
        assert!(!rule.to_string().contains('*'), "{rule} has a wildcard");
    }
    assert!(rules().len() > 10, "the roles allow what the operator does");
}

#[test]
fn every_role_is_bound_by_kustomize() {
    let account = read(&workspace().join("kustomize/base/flagger/account.yaml"));
    let shared = read(&workspace().join("charts/burgee/kustomization.yaml"));
    let listed = shared.lines().filter_map(|line| line.trim().strip_prefix("- roles/")?.strip_suffix(".yaml"));
    let missing = listed.filter(|part| {
        let name = if *part == "controller" { "flagger".to_owned() } else { format!("flagger-{part}") };
        !account.contains(&format!("  name: {name}\nsubjects"))
    });
    assert_none(missing.map(|part| format!("roles/{part}.yaml is bound to nobody")));
}

#[test]
fn every_kind_that_is_read_may_be_read() {
    let rules = rules();
    let names =
        |list: &serde_json::Value, name: &str| list.as_array().is_some_and(|list| list.iter().any(|one| one == name));
    let missing = Kind::all().into_iter().flat_map(|kind| {
        let (group, _, _, plural) = kind.names();
        // Kept templates are not watched.
        let verbs: &[&str] = if kind == Kind::ControllerRevision {
            &["get"]
        } else if matches!(kind, Kind::MetricTemplate | Kind::AlertProvider) {
            // All of them are followed, so none is read by itself.
            &["list", "watch"]
        } else {
            &["get", "list", "watch"]
        };
        let is_for = |rule: &&serde_json::Value| names(&rule["apiGroups"], group) && names(&rule["resources"], plural);
        let may = |verb: &str| rules.iter().filter(is_for).any(|rule| names(&rule["verbs"], verb));
        verbs.iter().filter(|verb| !may(verb)).map(|verb| format!("{verb} {plural}.{group}")).collect::<Vec<_>>()
    });
    assert_none(missing);
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

/// Every file that something leads to.
fn alive() -> BTreeMap<PathBuf, Use> {
    let mut alive = BTreeMap::new();
    for root in sources().into_iter().filter(|file| is_crate_root(file)) {
        follow(&root, root.parent().expect("a file has a folder"), Use::Always, &mut alive);
    }
    alive
}

/// A `mod name;` of a file.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    name: String,
    /// Of `#[path = "…"]`.
    path: Option<String>,
    use_of: Use,
}

/// What a file is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Always,
    Tests,
}

/// Notes `file`, whose modules lie in `folder`, and every file that its `mod name;` lines lead to.
fn follow(file: &Path, folder: &Path, use_of: Use, alive: &mut BTreeMap<PathBuf, Use>) {
    if alive.insert(file.to_owned(), use_of).is_some() {
        return;
    }
    for declared in declared_modules(&read(file)) {
        let own_folder = folder.join(&declared.name);
        let of_child = if use_of == Use::Tests { use_of } else { declared.use_of };
        let beside = file.parent().expect("a file has a folder");
        let elsewhere = declared.path.iter().map(|path| beside.join(path));
        let usual = [folder.join(format!("{}.rs", declared.name)), own_folder.join("mod.rs")];
        for child in elsewhere.chain(usual).filter(|child| child.is_file()) {
            follow(&child, &own_folder, of_child, alive);
        }
    }
}

/// The modules in `mod name;`, with any visibility, and what the attributes above them say.
fn declared_modules(text: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let (mut path, mut use_of) = (None, Use::Always);
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.strip_suffix("\"]").map(str::to_owned);
        } else if line == "#[cfg(test)]" {
            use_of = Use::Tests;
        } else if !line.starts_with("#[") {
            let name = module_name(line).map(str::to_owned);
            found.extend(name.map(|name| Declared { name, path: path.take(), use_of }));
            (path, use_of) = (None, Use::Always);
        }
    }
    found
}

fn module_name(line: &str) -> Option<&str> {
    let (before, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

#[test]
fn modules_are_found_with_their_attributes() {
    let text = "pub mod a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\npub(crate) mod c;\nmod inline {}\n";
    let declared = |name: &str, path: Option<&str>, use_of| Declared {
        name: name.to_owned(),
        path: path.map(str::to_owned),
        use_of,
    };
    let expected = [
        declared("a", None, Use::Always),
        declared("tests", Some("b_tests.rs"), Use::Tests),
        declared("c", None, Use::Always),
    ];
    assert_eq!(declared_modules(text), expected);
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
    // Not env!: a target folder that checkouts share would hold the path of another one.
    let core = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    Path::new(&core).join("../..").canonicalize().expect("the workspace is above this crate")
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
