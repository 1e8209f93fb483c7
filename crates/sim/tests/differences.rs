//! Every row of `docs/differences.md` names the film or the test that shows it, and those exist.

use std::path::{Path, PathBuf};

use burgee_sim::scenario::Scenario;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The names in back-ticks that follow a word, such as in "film `a`, `b`".
fn named<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (place, _) in text.match_indices(&format!("{word} `")) {
        let mut rest = &text[place + word.len() + 1..];
        while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            names.push(name);
            rest = after.strip_prefix(", ").unwrap_or("");
        }
    }
    names
}

/// The text of every Rust file under some folders.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = entries.map(|path| match path.extension() {
        Some(ending) if ending == "rs" => std::fs::read_to_string(&path).unwrap_or_default(),
        Some(_) => String::new(),
        None => sources(&path),
    });
    texts.collect()
}

#[test]
fn what_the_page_of_differences_names_as_proof_exists() -> Result<(), String> {
    let page = read(&root().join("docs/differences.md"))?;
    let tests = sources(&root().join("crates"));
    let e2e = sources(&root().join("xtask"));
    let film = |name: &str| root().join(format!("crates/sim/scenarios/{name}.txt")).is_file();
    let missing_films = named(&page, "film").into_iter().filter(|name| !film(name));
    let missing_tests = named(&page, "test").into_iter().filter(|name| !tests.contains(&format!("fn {name}(")));
    let missing_e2e = named(&page, "e2e").into_iter().filter(|name| !e2e.contains(&format!("\"{name}\"")));
    let missing: Vec<&str> = missing_films.chain(missing_tests).chain(missing_e2e).collect();
    assert!(missing.is_empty(), "named as proof and not there: {missing:?}");
    Ok(())
}

#[test]
fn every_safer_row_names_its_proof() -> Result<(), String> {
    let page = read(&root().join("docs/differences.md"))?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| S")).collect();
    assert!(rows.len() >= 24, "{} rows", rows.len());
    let has_proof = |row: &str| ["film", "test", "e2e"].iter().any(|word| !named(row, word).is_empty());
    let bare: Vec<&&str> = rows.iter().filter(|row| !has_proof(row)).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    Ok(())
}

#[test]
fn the_status_is_true_while_a_promotion_waits() -> Result<(), String> {
    let check = |name: &str, second: i64, weight: i64, iterations: i64| -> Result<(), String> {
        let text = read(&root().join(format!("crates/sim/scenarios/{name}.txt")))?;
        let script: Vec<&str> = text.lines().filter(|line| !line.contains("hook promote passes")).collect();
        let mut stage = Scenario::parse(&script.join("\n"))?.play()?;
        stage.play_until(stage.second().max(second))?;
        let status = stage.status();
        assert_eq!(status["phase"], "WaitingPromotion", "{name}\n{}", stage.film);
        assert_eq!((&status["canaryWeight"], &status["iterations"]), (&weight.into(), &iterations.into()), "{name}");
        Ok(())
    };
    check("gates", 300, 50, 0)?;
    check("blue-green-gates", 200, 0, 2)
}
