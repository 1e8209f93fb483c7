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
    assert!(film.contains("promoted after 5m16s at best; needs 2 + 2 pods (primary + canary)"), "{film}");
    assert!(film.contains("assumed: Deployment podinfo with 2 replicas"), "{film}");
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
    assert!(errors.contains("document 2 at line 4"), "{errors}");
    Ok(())
}

/// The commands of a page, each with what it prints: lines after `$ burgee simulate …` in a `console` block.
fn renewed(page: &str) -> Result<String, std::io::Error> {
    let mut renewed = String::new();
    let mut is_output = false;
    for line in page.lines() {
        if line == "```" {
            is_output = false;
        }
        if is_output {
            continue;
        }
        renewed.push_str(line);
        renewed.push('\n');
        if let Some(command) = line.strip_prefix("$ burgee simulate ") {
            let arguments: Vec<&str> = command.split_whitespace().collect();
            renewed.push_str(&String::from_utf8_lossy(&simulate(&arguments)?.stdout));
            is_output = true;
        }
    }
    Ok(renewed)
}

#[test]
fn the_commands_of_the_page_print_what_it_shows() -> Result<(), std::io::Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/simulate.md");
    let page = std::fs::read_to_string(path)?;
    let expected = renewed(&page)?;
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, expected);
    }
    assert!(page == expected, "docs/reference/simulate.md shows something else: run `cargo xtask bless`");
    Ok(())
}

#[test]
fn a_refused_canary_fails_the_command() -> Result<(), std::io::Error> {
    let file = std::env::temp_dir().join(format!("burgee-refused-{}.yaml", std::process::id()));
    std::fs::write(
        &file,
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: x}\nspec:\n  targetRef: {apiVersion: apps/v1, \
         kind: Deployment, name: x}\n  service: {port: 80}\n  analysis: {interval: 10s, threshold: 1, stepWeight: 10, \
         sessionAffinity: {cookieName: a, primaryCookieName: a}}\n",
    )?;
    let output = simulate(&["-f", &file.to_string_lossy()])?;
    std::fs::remove_file(&file)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("the canary would be refused: can't use the same cookie name"), "{errors}");
    Ok(())
}
