//! What is made of the table of routers elsewhere: roles of the chart, its choice among them, the table of the docs.
//! `BLESS=1` writes anew what is generated; of the rest it says what is missing. It must not know any single router.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test compares files with the core")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use burgee_api::Canary;
use burgee_core::rollout::Rollout;
use burgee_core::router;
use burgee_core::router::row::{Feature, Lacking, Name, Role, RouteKind, Row, Targets};
use burgee_core::router::table::rows;
use burgee_core::settings::Settings;
use burgee_core::world::{ObjectKey, World};
use serde_json::json;

fn workspace() -> PathBuf {
    // Not env!: a target folder that checkouts share would hold the path of another one.
    let core = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    Path::new(&core).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_default()
}

/// Compares a file with what it has to be.
fn check(path: &str, expected: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(workspace().join(path), expected).expect("the file can be written");
    }
    assert!(read(path) == expected, "{path} is not what the table of routers says: run `cargo xtask bless`");
}

/// The roles that the rows name, each once.
fn roles() -> Vec<&'static Role> {
    let mut roles: Vec<&Role> = Vec::new();
    for role in rows().filter_map(|row| row.role) {
        if roles.iter().all(|known| known.name != role.name) {
            roles.push(role);
        }
    }
    roles
}

/// The longest line of a comment.
const WIDTH: usize = 125;

fn role_file(role: &Role) -> String {
    let Role { name, about, rules } = role;
    let mut text = format!("# {about} (`rbac.{name}`).\n");
    let _ = write!(
        text,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: flagger-{name}\n"
    );
    text.push_str("rules:\n");
    for rule in *rules {
        if !rule.why.is_empty() {
            let _ = writeln!(text, "  # {}", rule.why);
        }
        let (resources, verbs) = (rule.resources.join(", "), rule.verbs.join(", "));
        let group = rule.group;
        let _ = write!(text, "  - apiGroups: [{group}]\n    resources: [{resources}]\n    verbs: [{verbs}]\n");
    }
    text
}

#[test]
fn roles_of_the_chart_are_those_of_the_rows() {
    for role in roles() {
        let text = role_file(role);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        check(&format!("charts/burgee/roles/{}.yaml", role.name), &text);
    }
}

/// For the chart's `auto`: which provider strings need which part of the role.
#[test]
fn the_chart_knows_which_provider_needs_which_role() {
    let mut text =
        "# Which part of the role each router needs, for `auto` under `rbac`. Written by `cargo xtask bless`.\n"
            .to_owned();
    for role in roles() {
        let rows: Vec<&Row> = rows().filter(|row| row.role.is_some_and(|known| known.name == role.name)).collect();
        let names = || rows.iter().flat_map(|row| row.names);
        let exact: Vec<&str> =
            names().filter_map(|name| if let Name::Is(name) = name { Some(*name) } else { None }).collect();
        let prefixes: Vec<&str> =
            names().filter_map(|name| if let Name::Begins(start) = name { Some(*start) } else { None }).collect();
        let list = |words: &[&str]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{}:\n  names: [{}]\n  prefixes: [{}]", role.name, list(&exact), list(&prefixes));
    }
    check("charts/burgee/files/routers.yaml", &text);
}

#[test]
fn every_role_of_a_row_can_be_granted() {
    let (values, schema) = (read("charts/burgee/values.yaml"), read("charts/burgee/values.schema.json"));
    let (all, listed) = (read("charts/testdata/burgee/all.yaml"), read("charts/burgee/kustomization.yaml"));
    for Role { name, .. } in roles() {
        assert!(values.contains(&format!("\n  {name}: auto\n")), "charts/burgee/values.yaml lacks rbac.{name}");
        assert!(
            schema.contains(&format!("\n        \"{name}\": {{")),
            "charts/burgee/values.schema.json lacks rbac.{name}"
        );
        assert!(all.contains(&format!(" {name}: true")), "charts/testdata/burgee/all.yaml lacks rbac.{name}");
        assert!(
            listed.contains(&format!("- roles/{name}.yaml\n")),
            "charts/burgee/kustomization.yaml lacks roles/{name}"
        );
    }
}

fn table() -> String {
    let mut text = "| provider | also written | splits by |".to_owned();
    for feature in Feature::ALL {
        let _ = write!(text, " {} |", feature.name());
    }
    text.push_str(" builtin queries | what it cannot do | permissions |\n|---|---|---|");
    text.push_str(&"---|".repeat(Feature::ALL.len() + 3));
    text.push('\n');
    for row in rows() {
        let others = row.names.iter().filter(|name| **name != Name::Is(row.name)).map(|name| match name {
            Name::Is(name) => format!("`{name}`"),
            Name::Begins(start) => format!("`{start}…`"),
        });
        let others: Vec<String> = others.collect();
        let _ = write!(text, "| `{}` | {} | {} |", row.name, others.join(", "), row.about);
        for feature in Feature::ALL {
            text.push_str(if row.features.contains(&feature) { " yes |" } else { " – |" });
        }
        let lacking = match row.lacking {
            Lacking::LeftOut => "is left out",
            Lacking::Refused => "is refused",
        };
        let role = row.role.map_or_else(|| "–".to_owned(), |role| format!("`rbac.{}`", role.name));
        let _ = writeln!(text, " {} | {lacking} | {role} |", row.observer.name());
    }
    text
}

#[test]
fn the_docs_have_the_table_of_routers() {
    const PAGE: &str = "docs/reference/providers.md";
    let page = read(PAGE);
    let (before, rest) = page.split_once("<!-- providers -->\n").expect("the page has a table");
    let (_, after) = rest.split_once("<!-- end -->\n").expect("the table has an end");
    check(PAGE, &format!("{before}<!-- providers -->\n{}<!-- end -->\n{after}", table()));
}

#[test]
fn rows_are_told_apart_and_may_stand_in_a_canary() {
    let names: BTreeSet<&str> = rows().map(|row| row.name).collect();
    assert_eq!(names.len(), rows().count(), "each row has a name of its own");
    let definitions = burgee_api::crds();
    let versions = definitions[0]["spec"]["versions"].as_array().expect("a definition has versions");
    for row in rows() {
        assert!(!row.name.contains('/'), "{} stands before a / in the status", row.name);
        for version in versions {
            let known = &version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["provider"]["enum"];
            assert!(known.as_array().is_some_and(|known| known.iter().any(|name| name == row.name)), "{}", row.name);
        }
        assert!(row.targets == Targets::Knative || row.features.contains(&Feature::Weights) || row.role.is_none());
    }
}

/// What the row says of the lens, the lens does: it waits for the mesh or does not, has a route of its own kinds, and splits.
#[test]
fn rows_say_what_their_lenses_do() {
    for row in rows() {
        let (api_version, kind) = match row.targets {
            Targets::Workloads => ("apps/v1", "Deployment"),
            Targets::Knative => ("serving.knative.dev/v1", "Service"),
        };
        let canary = json!({"metadata": {"name": "podinfo", "namespace": "test"}, "spec": {
            "targetRef": {"apiVersion": api_version, "kind": kind, "name": "podinfo"}, "service": {"port": 80},
            "analysis": {"iterations": 1}}});
        let canary: Canary = serde_json::from_value(canary).expect("it is a Canary");
        let settings = Settings { mesh_provider: row.name.to_owned(), ..Settings::default() };
        let rollout = Rollout::parse(&canary, &settings).expect("it can be meant");
        assert_eq!(rollout.provider.row().name, row.name, "its own name means the row");
        let (lens, world) = (router::of(&rollout), World::new(canary));
        // Nothing has been read, so that whoever has to look at something does not know it.
        assert_eq!(
            lens.accepted(&rollout, &world).is_err(),
            row.features.contains(&Feature::Acceptance),
            "{}",
            row.name
        );
        assert_eq!(lens.read(&rollout, &world).is_err(), row.features.contains(&Feature::Weights), "{}", row.name);
        let kinds: BTreeSet<&RouteKind> = lens.reads(&rollout).iter().filter_map(|key| key.kind.route()).collect();
        assert_eq!(kinds, row.kinds.iter().copied().collect(), "{}", row.name);
        let is_ours = |key: ObjectKey| row.kinds.contains(&key.kind.route().expect("a route is of a kind for routes"));
        assert!(lens.route(&rollout).is_none_or(is_ours), "{}", row.name);
    }
}
