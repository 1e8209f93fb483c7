//! The checkers can fail: no scenario breaks an invariant, and each rule that is broken on purpose is found by its own.

use std::path::Path;

use burgee_sim::scenario::Scenario;

fn scenarios() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scenario in {}", folder.display());
    paths
}

#[test]
fn no_scenario_breaks_an_invariant() {
    let mut found = Vec::new();
    for path in scenarios() {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match Scenario::parse(&text).and_then(|scenario| scenario.play()) {
            Ok(stage) => {
                found.extend(stage.broken.map(|broken| format!("{}: {broken}\n{}", path.display(), stage.film)));
            }
            Err(error) => found.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
