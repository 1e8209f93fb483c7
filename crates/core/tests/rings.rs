//! No more than two files import each other in a ring: what is read in no order is understood in none. It must not judge
//! who imports whom otherwise.
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test reads all of them")]
#![expect(clippy::expect_used, reason = "a test's helpers may fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, UseTree, Visibility};

/// The most files in a ring.
const LARGEST: usize = 2;

/// A module, by its path below the crate; the crate itself is the empty path.
type Module = Vec<String>;

/// Who imports whom in one crate.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_more_than_two_files_import_each_other_in_a_ring() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in a workspace");
    let crates = fs::read_dir(workspace.join("crates")).expect("there are crates").flatten().map(|entry| entry.path());
    let (mut looked_at, mut found) = (0, Vec::new());
    for package in crates.chain([workspace.join("xtask")]) {
        let imports = imports(&package.join("src"));
        looked_at += imports.values().map(BTreeSet::len).sum::<usize>();
        found.extend(rings(&imports).into_iter().map(|ring| format!("{}: {}", package.display(), shown(&ring))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(looked_at > 1000, "imports are seen: {looked_at}");
}

#[test]
fn a_ring_is_found_and_a_pair_or_a_line_is_none() {
    let module = |name: &str| vec![name.to_owned()];
    let of = |pairs: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            imports.entry(module(from)).or_default().insert(module(to));
            imports.entry(module(to)).or_default();
        }
        rings(&imports)
    };
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "c")]), BTreeSet::new());
    let ring = BTreeSet::from([module("a"), module("b"), module("c")]);
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]), BTreeSet::from([ring]));
}

#[test]
fn imports_are_seen_in_every_form_and_those_of_tests_are_not() {
    let text = "
        use crate::a::{self, b::Thing, c::{One, Two}};
        use super::d::Four;
        #[cfg(test)]
        mod tests { use crate::unseen::Five; }
        fn f() { crate::e::g(); self::inner::h(); std::mem::drop(1); }";
    let seen = named(&["x".to_owned(), "y".to_owned()], text);
    let seen: Vec<String> = seen.iter().map(|path| path.join("::")).collect();
    assert_eq!(seen, ["a", "a::b::Thing", "a::c::One", "a::c::Two", "e::g", "x::d::Four", "x::y::inner::h"]);
}

/// Every group of more than two modules that reach each other.
fn rings(imports: &Imports) -> BTreeSet<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reached_from(imports, module))).collect();
    let ring = |module: &Module| -> BTreeSet<Module> {
        reached[module].iter().filter(|other| reached[*other].contains(module)).map(|other| (*other).clone()).collect()
    };
    imports.keys().map(ring).filter(|ring| ring.len() > LARGEST).collect()
}

fn reached_from<'a>(imports: &'a Imports, module: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = imports[module].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&imports[module]);
        }
    }
    reached
}

fn imports(folder: &Path) -> Imports {
    let mut files = BTreeMap::new();
    collect(folder, &[], &mut files);
    let file_of =
        |path: &[String]| (0..=path.len()).rev().map(|end| path[..end].to_vec()).find(|path| files.contains_key(path));
    let of = |(module, text): (&Module, &String)| {
        let imported = named(module, text).into_iter().filter_map(|path| file_of(&path)).filter(|path| path != module);
        (module.clone(), imported.collect())
    };
    files.iter().map(of).collect()
}

/// The modules of a folder that are shipped, with their texts.
fn collect(folder: &Path, above: &[String], files: &mut BTreeMap<Module, String>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("it is a folder").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut module = above.to_vec();
        if !matches!(name.as_str(), "lib" | "main") {
            module.push(name.clone());
        }
        if path.is_dir() {
            collect(&path, &module, files);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests" {
            files.insert(module, fs::read_to_string(&path).expect("a source is text"));
        }
    }
}

/// The paths that a module names, from the crate on.
fn named(module: &[String], text: &str) -> BTreeSet<Module> {
    let mut seen = Seen { module: module.to_vec(), paths: BTreeSet::new() };
    seen.visit_file(&syn::parse_file(text).expect("a source is Rust"));
    seen.paths
}

struct Seen {
    module: Module,
    paths: BTreeSet<Module>,
}

impl Seen {
    /// Notes a path as it is written, if it leads into the crate.
    fn note(&mut self, written: &[String]) {
        let mut from = match written.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            Some(_) | None => return,
        };
        for name in written {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => drop(from.pop()),
                _ => from.push(name.clone()),
            }
        }
        self.paths.insert(from);
    }

    fn note_tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.note_tree(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) => self.note(&with(name.ident.to_string())),
            UseTree::Rename(rename) => self.note(&with(rename.ident.to_string())),
            UseTree::Glob(_) => self.note(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(tree, before)),
        }
    }
}

impl<'a> Visit<'a> for Seen {
    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !item.attrs.iter().any(is_of_tests) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !item.attrs.iter().any(is_of_tests) {
            self.note_tree(&item.tree, &[]);
        }
    }

    /// Who may see something imports nothing.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&names);
        }
        visit::visit_path(self, path);
    }
}

fn is_of_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
}

fn shown(ring: &BTreeSet<Module>) -> String {
    ring.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(", ")
}
