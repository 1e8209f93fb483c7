//! Every scenario is played, and its film compared with the golden beside it.

use std::path::{Path, PathBuf};

use burgee_sim::scenario::Scenario;
use serde_json::{Value, json};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let mut paths: Vec<PathBuf> = entries.filter(is_scenario).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scenario in {}", folder.display());
    paths
}

fn film(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Scenario::parse(&text)?.film()
}

/// What differs from the golden; an invariant that broke is never blessed.
fn difference(path: &Path) -> Option<String> {
    let golden = path.with_extension("film");
    let played = match film(path) {
        Ok(played) => played,
        Err(error) => return Some(format!("{}: {error}", path.display())),
    };
    if std::env::var_os("BLESS").is_some() {
        assert!(std::fs::write(&golden, &played).is_ok(), "cannot write {}", golden.display());
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    (played != expected).then(|| format!("{}\nexpected\n{expected}\nplayed\n{played}", path.display()))
}

#[test]
fn every_scenario_gives_its_film() {
    let differing: Vec<String> = scenarios().iter().filter_map(|path| difference(path)).collect();
    assert!(differing.is_empty(), "`cargo xtask bless` accepts what is right\n{}", differing.join("\n"));
}

/// An object without what the API server and controllers write.
fn as_written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove(field);
        }
    }
    object
}

#[test]
fn the_users_objects_are_after_the_deletion_what_they_were_before() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/adopt-and-give-back.txt");
    let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let stage = scenario.play()?;
    let users: Vec<&Value> = scenario.objects().iter().filter(|object| object["kind"] != "Canary").collect();
    let left: Vec<Value> = stage.cluster.iter().map(|(_, object)| as_written(object)).collect();
    for before in &users {
        let mut before = as_written(before);
        if before["kind"] == "Deployment" {
            // The version that was rolled out in between stays.
            before["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:6.0.1");
        }
        assert!(left.contains(&before), "{before}\nis not among\n{left:#?}");
    }
    assert_eq!(left.len(), users.len(), "nothing else is left: {left:#?}");
    Ok(())
}
