//! `cargo xtask test`: formatting, lints, every hermetic test, the lab's teardown, the release build, the end-to-end suite.
//! It tests nothing itself.
use crate::e2e::{self, End, Outcome};
use anyhow::{Context, Result};
use burgee_lab::seconds;
use clap::Args;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Everything that the project is tested with.
///
/// In this order: licenses and sources of dependencies, formatting, lints, every hermetic test, what a lab leaves behind when it ends or is killed, the release
/// build, and the end-to-end suite on a real cluster of its own, for which Linux and root are needed. The last line says how many tests passed and failed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Stop after the hermetic tests; needs only Rust.
    #[arg(long)]
    hermetic: bool,
    #[command(flatten)]
    e2e: e2e::Selection,
}

/// Tests of one step, by how they ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Runs everything; answers whether all of it passed.
///
/// # Errors
/// When something is missing on this machine, or a step cannot be run at all.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.e2e.list {
        e2e::list(&arguments.e2e);
        return Ok(true);
    }
    if !arguments.e2e.only.is_empty() {
        return e2e::alone(&arguments.e2e);
    }
    let started = Instant::now();
    let mut outcomes = Vec::new();
    if !arguments.hermetic {
        heading("prerequisites");
        let parts = e2e::prepare(&arguments.e2e)?;
        if e2e::boots_labs(&arguments.e2e) {
            outcomes.push(dependencies(&parts.program("cargo-deny"))?);
        }
    }
    outcomes.extend([
        step("formatting", &["fmt", "--check"])?,
        step("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?,
    ]);
    let (hermetic, tally) = hermetic_tests()?;
    outcomes.push(hermetic);
    if !arguments.hermetic {
        if e2e::boots_labs(&arguments.e2e) {
            outcomes.push(step("teardown of a lab", TEARDOWN)?);
        }
        if e2e::needs_binary(&arguments.e2e) {
            outcomes.push(step("release build", &["build", "--release", "-p", "burgee"])?);
        }
        heading("end-to-end suite");
        outcomes.extend(end_to_end(&arguments.e2e, &outcomes)?);
    }
    Ok(conclude_all(&outcomes, tally, started))
}

/// Runs the suite if everything before it passed: else it would take its time to show what is known.
fn end_to_end(selection: &e2e::Selection, before: &[Outcome]) -> Result<Vec<Outcome>> {
    if before.iter().all(|outcome| outcome.end == End::Passed) {
        return e2e::run(selection);
    }
    let why = "a step before it failed";
    println!("skipped: {why}");
    Ok(e2e::chosen(selection).iter().map(|test| Outcome::skipped(test.name, why)).collect())
}

/// Prints the timing table, the time since the command was started and the last line; answers whether everything passed.
pub(crate) fn conclude(outcomes: &[Outcome], started: Instant) -> bool {
    conclude_all(outcomes, Tally::default(), started)
}

fn conclude_all(outcomes: &[Outcome], hermetic: Tally, started: Instant) -> bool {
    println!("\n--- timing");
    let width = outcomes.iter().map(|outcome| outcome.lab.len()).max().unwrap_or_default();
    for Outcome { name, lab, took, end } in outcomes {
        let (took, mark) = match end {
            End::Passed => (seconds(*took), "ok"),
            End::Failed(_) => (seconds(*took), "FAILED"),
            End::Skipped(_) => (String::new(), "skip"),
        };
        let why = if let End::Skipped(why) = end { format!(": {why}") } else { String::new() };
        println!("{took:>14}  {mark:6}  {lab:width$}  {name}{why}");
    }
    println!("{:>14}  in all", seconds(started.elapsed()));
    for outcome in outcomes {
        if let End::Failed(why) = &outcome.end {
            println!("\nFAILED {}: {why}", outcome.name);
        }
    }
    let tally = total(outcomes, hermetic);
    println!("{}", last_line(tally));
    tally.failed == 0
}

/// The hermetic tests are counted one by one, so the step that ran them counts only when it failed without a failed test.
fn total(outcomes: &[Outcome], hermetic: Tally) -> Tally {
    let mut tally = hermetic;
    for outcome in outcomes {
        let is_counted = outcome.name == HERMETIC && hermetic.passed + hermetic.failed > 0;
        match outcome.end {
            End::Passed if !is_counted => tally.passed += 1,
            End::Failed(_) if !is_counted || hermetic.failed == 0 => tally.failed += 1,
            End::Skipped(_) => tally.skipped += 1,
            End::Passed | End::Failed(_) => {}
        }
    }
    tally
}

fn last_line(tally: Tally) -> String {
    let Tally { passed, failed, skipped } = tally;
    let rest = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    format!("{passed} passed, {failed} failed{rest}")
}

/// A lab is killed, started again and interrupted; it needs none of the operator.
const TEARDOWN: &[&str] = &[
    "test",
    "-p",
    "burgee-lab",
    "--test",
    "teardown",
    "--",
    "--ignored",
    "a_crashed_lab_is_cleaned_by_the_next_start",
];
const HERMETIC: &str = "hermetic tests";
const DEPENDENCIES: &str = "licenses and sources of dependencies";

fn heading(what: &str) {
    println!("\n--- {what}");
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn step(name: &str, arguments: &[&str]) -> Result<Outcome> {
    heading(name);
    let started = Instant::now();
    let status = cargo(arguments).status().with_context(|| format!("run cargo {}", arguments.join(" ")))?;
    Ok(outcome(name, started, (!status.success()).then(|| format!("cargo {}: {status}", arguments.join(" ")))))
}

/// Whether every dependency has a license that deny.toml allows, comes from where it says, and is none that it bans.
/// Advisories are asked for by the workflow: their database is not on every machine.
fn dependencies(program: &Path) -> Result<Outcome> {
    heading(DEPENDENCIES);
    let started = Instant::now();
    let arguments = ["--log-level", "error", "check", "bans", "licenses", "sources"];
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("run {}", program.display()))?;
    Ok(outcome(DEPENDENCIES, started, (!status.success()).then(|| format!("cargo deny: {status}"))))
}

fn outcome(name: &str, started: Instant, failure: Option<String>) -> Outcome {
    let took = started.elapsed();
    println!("{name}: {} in {}", if failure.is_some() { "failed" } else { "passed" }, seconds(took));
    Outcome::of(name, took, failure.map_or(End::Passed, End::Failed))
}

/// Runs `cargo test`, shows what it prints and counts the tests.
fn hermetic_tests() -> Result<(Outcome, Tally)> {
    heading(HERMETIC);
    let started = Instant::now();
    let mut child =
        cargo(&["test", "--workspace", "--no-fail-fast"]).stdout(Stdio::piped()).spawn().context("run cargo test")?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("read what cargo test prints")?;
            println!("{line}");
            count(&mut tally, &line);
        }
    }
    let status = child.wait().context("wait for cargo test")?;
    // The ignored ones try the lab by itself; CONTRIBUTING says how to run them.
    tally.skipped = 0;
    let failure = (!status.success()).then(|| format!("cargo test: {status}"));
    Ok((outcome(HERMETIC, started, failure), tally))
}

/// Adds a line like `test result: ok. 12 passed; 0 failed; 6 ignored; …`.
fn count(tally: &mut Tally, line: &str) {
    let Some(results) = line.strip_prefix("test result: ") else { return };
    for part in results.split([';', '.']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(word)) = (words.next().and_then(|word| word.parse::<usize>().ok()), words.next())
        else {
            continue;
        };
        match word {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" => tally.skipped += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ended(name: &str, failure: Option<&str>) -> Outcome {
        let end = failure.map_or(End::Passed, |why| End::Failed(why.to_owned()));
        Outcome::of(name, Duration::ZERO, end)
    }

    #[test]
    fn tests_are_counted_from_what_cargo_prints() {
        let mut tally = Tally::default();
        count(
            &mut tally,
            "test result: ok. 12 passed; 0 failed; 6 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        count(&mut tally, "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        count(&mut tally, "test tests::x ... ok");
        assert_eq!(tally, Tally { passed: 15, failed: 2, skipped: 6 });
    }

    #[test]
    fn the_last_line_counts_every_test_once() {
        let hermetic = Tally { passed: 100, failed: 0, skipped: 0 };
        let outcomes = [ended("formatting", None), ended(HERMETIC, None), ended("an e2e test", Some("why"))];
        assert_eq!(last_line(total(&outcomes, hermetic)), "101 passed, 1 failed");
        let broken = [ended(HERMETIC, Some("does not compile"))];
        assert_eq!(
            last_line(total(&broken, Tally { skipped: 3, ..Tally::default() })),
            "0 passed, 1 failed, 3 skipped"
        );
        let red = [ended(HERMETIC, Some("exit status: 101"))];
        assert_eq!(last_line(total(&red, Tally { passed: 5, failed: 2, skipped: 0 })), "5 passed, 2 failed");
    }
}
