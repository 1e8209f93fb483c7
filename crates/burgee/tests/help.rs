//! Every command and option of the program's help is named in its reference. What the words say there is not judged.
#![expect(clippy::expect_used, reason = "a test may stop where it cannot go on")]

use std::path::Path;
use std::process::Command;

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee")).args(words).output().expect("the binary runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).expect("the page is there")
}

/// The words behind `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// The options that begin a line, long and short; with one dash for those that are written as in Go.
fn options(help: &str) -> Vec<String> {
    let lines = help.lines().filter(|line| line.starts_with(' ') && line.trim_start().starts_with('-'));
    let words = lines.flat_map(|line| line.trim_start().split("  ").next().unwrap_or_default().split([' ', ',']));
    words.filter(|word| word.starts_with('-') && word.len() > 1).map(str::to_owned).collect()
}

/// Whether a page has a word that stands alone.
fn names(page: &str, word: &str) -> bool {
    page.match_indices(word).any(|(place, _)| {
        let ends = |neighbour: Option<char>| neighbour.is_none_or(|letter| !letter.is_alphanumeric() && letter != '-');
        ends(page[..place].chars().next_back()) && ends(page[place + word.len()..].chars().next())
    })
}

#[test]
fn the_reference_names_every_command_and_option() {
    let reference = page("reference/commands.md");
    let commands = commands(&help(&["--help"]));
    assert!(commands.len() > 10, "{commands:?}");
    let mut missing: Vec<String> = commands.iter().filter(|name| !names(&reference, name)).cloned().collect();
    for command in commands.iter().filter(|name| !matches!(&name[..], "controller" | "loadtester" | "hey" | "help")) {
        let options = options(&help(&[command, "--help"]));
        assert!(!options.is_empty(), "{command} has options");
        let unnamed = options.into_iter().filter(|option| !names(&reference, option));
        missing.extend(unnamed.map(|option| format!("{command} {option}")));
    }
    assert!(missing.is_empty(), "docs/reference/commands.md lacks {missing:?}");
}

#[test]
fn the_flags_of_controller_and_load_tester_are_named() {
    for (command, name) in [("controller", "reference/flags.md"), ("loadtester", "loadtester.md")] {
        let page = page(name);
        let help = help(&[command, "-help"]);
        let own = help.lines().take_while(|line| !line.starts_with("Accepted for compatibility"));
        let flags = options(&own.collect::<Vec<_>>().join("\n"));
        assert!(flags.len() > 5, "{help}");
        let missing: Vec<&String> = flags.iter().filter(|flag| !names(&page, flag)).collect();
        assert!(missing.is_empty(), "docs/{name} lacks {missing:?}");
    }
}

#[test]
fn the_version_says_which_commit_was_built_if_anybody_told() {
    let expected = format!("burgee {} (", env!("CARGO_PKG_VERSION"));
    assert!(help(&["--version"]).starts_with(&expected), "{}", help(&["--version"]));
}
