//! Comments cite only what a reader of the repository has: parts of the contract that `CONTRIBUTING.md` lists, rows of the
//! pages of differences and invariants, and files that are there. It judges no sentence.
#![expect(clippy::disallowed_methods, reason = "the core may not read files; this test reads the repository")]
#![expect(clippy::expect_used, reason = "a test's helpers may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages of the contract.
const PAGES: [&str; 6] = ["api", "lifecycle", "routers", "metrics", "webhooks", "operations"];

/// What an author may know and a reader does not have.
const UNKNOWN: [&str; 4] = ["rules: ", "product: ", "details: ", "articles: "];

fn workspace() -> PathBuf {
    let core = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    Path::new(&core).join("../..").canonicalize().expect("the workspace is above this crate")
}

fn page(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).expect("the page can be read")
}

/// The first cells of the rows of a page.
fn rows(name: &str) -> BTreeSet<String> {
    let cells = |line: &str| line.strip_prefix("| ").and_then(|rest| rest.split(" | ").next()).map(str::to_owned);
    page(name).lines().filter_map(cells).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The comments of a file, each line with its number; a sentence that goes on in the next line is one with it.
fn comments(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim());
        match (comment, blocks.last_mut()) {
            (Some(comment), Some((_, block))) if goes_on => *block = format!("{block} {comment}"),
            (Some(comment), _) => blocks.push((number, comment.to_owned())),
            (None, _) => {}
        }
        goes_on = comment.is_some();
    }
    blocks
}

/// The parts of the contract in a comment: `lifecycle §7` of "lifecycle §7.2", and what follows "contract: ".
fn parts(comment: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for page in PAGES {
        for (place, _) in comment.match_indices(&format!("{page} §")) {
            let number: String = comment[place + page.len() + 3..].chars().take_while(char::is_ascii_digit).collect();
            found.insert(format!("{page} §{number}"));
        }
    }
    for (place, _) in comment.match_indices("(contract: ") {
        let rest = &comment[place + "(contract: ".len()..];
        let page: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        found.extend((!rest[page.len()..].starts_with(" §")).then_some(page));
    }
    found
}

/// Numbers such as `S12` and `I3`, that stand alone.
fn numbers(comment: &str, letter: char) -> BTreeSet<String> {
    let words = comment.split(|character: char| !character.is_alphanumeric());
    let is_number = |word: &&str| {
        word.strip_prefix(letter)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|digit| digit.is_ascii_digit()))
    };
    words.filter(is_number).map(str::to_owned).collect()
}

/// Pages that a comment names, such as `docs/differences.md`.
fn pages(comment: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_alphanumeric() || "._/-".contains(character);
    let words = comment.split(|character: char| !is_name(character)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| Path::new(word).extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn comments_cite_only_what_is_in_the_repository() {
    let contract = rows("CONTRIBUTING.md");
    let (differences, invariants) = (rows("docs/differences.md"), rows("docs/reference/invariants.md"));
    assert!(contract.contains("lifecycle §7") && differences.contains("S24") && invariants.contains("I26"));
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        sources(&workspace().join(folder), &mut files);
    }
    let mut wrong = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source can be read");
        for (number, comment) in comments(&text) {
            let known = parts(&comment).difference(&contract).cloned().collect::<Vec<_>>();
            let safer = numbers(&comment, 'S').difference(&differences).cloned().collect::<Vec<_>>();
            let never = numbers(&comment, 'I').difference(&invariants).cloned().collect::<Vec<_>>();
            let unknown =
                UNKNOWN.iter().filter(|word| comment.contains(&format!("({word}"))).map(|word| (*word).to_owned());
            let absent =
                pages(&comment).into_iter().filter(|page| !workspace().join(page).is_file()).map(str::to_owned);
            let cited: Vec<String> = [known, safer, never].concat().into_iter().chain(unknown).chain(absent).collect();
            wrong.extend((!cited.is_empty()).then(|| format!("{}:{number}: {cited:?}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{} comments cite what is not there:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn citations_are_found_as_they_are_written() {
    let found = |text: &str| parts(text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("A tick (contract: lifecycle §2, 16, and §9.1; metrics §1)."), ["lifecycle §2", "metrics §1"]);
    assert_eq!(found("The kinds (contract: api)."), ["api"]);
    assert_eq!(found("As it is (contract: somewhere)."), ["somewhere"]);
    assert_eq!(numbers("Drained (S12, I4); not S3x or XS4.", 'S').into_iter().collect::<Vec<_>>(), ["S12"]);
    assert_eq!(pages("See docs/differences.md, and product.md."), ["docs/differences.md", "product.md"]);
    assert_eq!(
        comments("/// One (rules:\n/// Pace).\nlet a = 1;\n// Two."),
        [(1, "One (rules: Pace).".to_owned()), (4, "Two.".to_owned())]
    );
}
