//! Every scenario is played, and its film compared with the golden beside it.

use std::path::{Path, PathBuf};

use burgee_sim::scenario::Scenario;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let mut paths: Vec<PathBuf> = entries.filter(is_scenario).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scenario in {}", folder.display());
    paths
}

fn film(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let stage = Scenario::parse(&text).and_then(|scenario| scenario.play());
    match stage {
        Ok(stage) => format!("{}\n{}\n", stage.film, stage.aside.join("\n")),
        Err(error) => format!("{error}\n"),
    }
}

#[test]
fn every_scenario_gives_its_film() {
    let mut differing = Vec::new();
    for path in scenarios() {
        let golden = path.with_extension("film");
        let played = film(&path);
        if std::env::var_os("BLESS").is_some() {
            assert!(std::fs::write(&golden, &played).is_ok(), "cannot write {}", golden.display());
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if played != expected {
            differing.push(format!("{}\nexpected\n{expected}\nplayed\n{played}", path.display()));
        }
    }
    assert!(differing.is_empty(), "`cargo xtask bless` accepts what is right\n{}", differing.join("\n"));
}
