//! `burgee simulate` as its user sees it: the film of the example, and errors that say where.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Result<Output, std::io::Error> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Command::new(env!("CARGO_BIN_EXE_burgee")).arg("simulate").args(arguments).current_dir(root).output()
}

#[test]
fn the_example_is_promoted_step_by_step() -> Result<(), std::io::Error> {
    let output = simulate(&["-f", "crates/burgee/tests/canary.yaml"])?;
    let film = String::from_utf8_lossy(&output.stdout);
    for weight in [10, 20, 30, 40, 50] {
        assert!(film.contains(&format!("Advance podinfo.test canary weight {weight}")), "{film}");
    }
    assert!(film.contains("Promotion completed! Scaling down podinfo.test"), "{film}");
    assert!(film.contains("Succeeded after"), "{film}");
    Ok(())
}

#[test]
fn a_script_that_is_not_understood_is_named_with_its_line() -> Result<(), std::io::Error> {
    let script = std::env::temp_dir().join(format!("burgee-script-{}", std::process::id()));
    std::fs::write(&script, "at 60s new-revision\nat 70s dance\n")?;
    let output = simulate(&["-f", "crates/burgee/tests/canary.yaml", "--script", &script.to_string_lossy()])?;
    std::fs::remove_file(&script)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("dance") && errors.contains("not a command"), "{errors}");
    Ok(())
}

#[test]
fn a_file_that_is_no_yaml_is_named_with_its_document() -> Result<(), std::io::Error> {
    let file = std::env::temp_dir().join(format!("burgee-canary-{}", std::process::id()));
    std::fs::write(&file, "kind: Canary\nmetadata: {name: x}\n---\n{ not yaml")?;
    let output = simulate(&["-f", &file.to_string_lossy()])?;
    std::fs::remove_file(&file)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("document 2"), "{errors}");
    Ok(())
}
