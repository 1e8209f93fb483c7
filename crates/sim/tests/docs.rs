//! The pages under `docs` show the films that are played now. `BLESS=1` writes them anew.
//!
//! `<!-- film: NAME -->` and `<!-- scenarios -->` begin what is generated, `<!-- end -->` ends it.

use std::path::{Path, PathBuf};

use burgee_sim::scenario::Scenario;

const END: &str = "<!-- end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn scenario_text(name: &str) -> Result<String, String> {
    read(&root().join("crates/sim/scenarios").join(name).with_extension("txt"))
}

/// Names of all scenarios, in order.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("crates/sim/scenarios")).into_iter().flatten().flatten();
    let texts = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    let mut names: Vec<String> =
        texts.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned())).collect();
    names.sort();
    assert!(!names.is_empty(), "there are scenarios");
    names
}

/// What a page shows of a scenario: its prose, what is special about its objects, and its film.
fn shown(name: &str) -> Result<String, String> {
    let text = scenario_text(name)?;
    let scenario = Scenario::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    let film = scenario.play().map_err(|error| format!("{name}: {error}"))?.film;
    let is_object = |line: &&str| !line.starts_with('#') && !line.starts_with("at ") && !line.starts_with("use ");
    let objects: Vec<&str> = text.lines().filter(is_object).skip_while(|line| *line == "---").collect();
    let objects = if objects.is_empty() { String::new() } else { format!("\n```yaml\n{}\n```\n", objects.join("\n")) };
    Ok(format!("{}{objects}\n```text\n{film}```\n", scenario.prose))
}

/// A table of all scenarios.
fn index() -> Result<String, String> {
    let mut table = "| scenario | what it shows |\n|---|---|\n".to_owned();
    for name in names() {
        let prose = Scenario::parse(&scenario_text(&name)?)?.prose.replace('\n', " ");
        let row = format!("| [{name}](../../crates/sim/scenarios/{name}.film) | {} |\n", prose.trim());
        table.push_str(&row);
    }
    Ok(table)
}

/// The page with everything between its markers made anew.
fn renewed(page: &str) -> Result<String, String> {
    let mut renewed = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        renewed.push_str(line);
        renewed.push('\n');
        let film = line.strip_prefix("<!-- film: ").and_then(|rest| rest.strip_suffix(" -->"));
        let made = match film {
            Some(name) => shown(name)?,
            None if line == "<!-- scenarios -->" => index()?,
            None => continue,
        };
        if !lines.any(|line| line == END) {
            return Err(format!("{line} has no {END}"));
        }
        renewed.push_str(&made);
        renewed.push_str(END);
        renewed.push('\n');
    }
    Ok(renewed)
}

fn check(page: &str) -> Result<(), String> {
    let path = root().join(page);
    let text = read(&path)?;
    let expected = renewed(&text)?;
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(&path, expected).map_err(|error| format!("{}: {error}", path.display()));
    }
    assert!(text == expected, "{page} shows other films than are played: run `cargo xtask bless`");
    Ok(())
}

#[test]
fn the_page_of_the_lifecycle_shows_the_films_that_are_played() -> Result<(), String> {
    check("docs/lifecycle.md")
}

#[test]
fn the_index_names_every_scenario() -> Result<(), String> {
    check("docs/reference/scenarios.md")
}
