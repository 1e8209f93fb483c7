//! The project's own commands. Each lives in a file of its own; this one only chooses and sets the exit code.
mod audit;
mod bench;
mod bless;
mod demo;
mod docs;
mod e2e;
mod film;
mod guest;
mod lab;
mod output;
mod soak;
mod test;

use burgee_lab::Unmet;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code when the work failed.
const FAILED: u8 = 1;
/// Exit code when the command or the machine is not as it must be.
const NOT_POSSIBLE: u8 = 2;

/// The project's own commands.
///
/// Start with `cargo xtask demo`: a version is promoted and another rolled back, on a real cluster.
/// `cargo xtask test --hermetic` is what to run before every commit.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or something missing on this machine, 130 interrupted.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A good version of podinfo is promoted, a bad one rolled back, on a real cluster under load (Linux, root).
    Demo(demo::Arguments),
    /// A real one-node Kubernetes with real Istio on this machine (Linux, root).
    Lab(lab::Arguments),
    /// Formatting, lints, every hermetic test and the end-to-end suite (Linux, root).
    Test(test::Arguments),
    /// The end-to-end suite alone, on a release build of this tree (Linux, root).
    E2e(e2e::Selection),
    /// How much the operator asks and uses with hundreds of canaries, against its budgets (Linux, root).
    Bench(bench::Arguments),
    /// The simulator with as many seeds as time allows: faults, crashes, edits, and every invariant.
    Soak(soak::Arguments),
    /// The pages under docs as a site, with mdbook.
    Docs(docs::Arguments),
    /// Write goldens, films, tables and the chart's CRDs anew from what the code does now.
    Bless(bless::Arguments),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Lab(arguments) => lab::run(arguments).map(|()| true),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::E2e(arguments) => e2e::alone(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
        Command::Bless(arguments) => bless::run(&arguments).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("error: {error:#}");
            let possible = error.downcast_ref::<Unmet>().is_none();
            ExitCode::from(if possible { FAILED } else { NOT_POSSIBLE })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{CommandFactory as _, Parser as _};
    use std::path::{Path, PathBuf};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The commands of a page, each on a line of its own and with a comment behind it.
    fn commands(page: &str) -> Vec<String> {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("    cargo xtask "));
        lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
    }

    /// The rows of the tables of CONTRIBUTING that say where to do what: a file, and the words in code that follow.
    fn places() -> Vec<(String, Vec<String>)> {
        let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| `crates/"));
        rows.map(|row| {
            let mut words = row.split('`').skip(1).step_by(2).map(str::to_owned);
            (words.next().unwrap_or_default(), words.collect())
        })
        .collect()
    }

    #[test]
    fn what_contributing_says_of_a_file_is_in_it() {
        assert!(places().len() > 8);
        for (file, words) in places() {
            let text = std::fs::read_to_string(root().join(&file)).unwrap_or_else(|_| panic!("{file} is not there"));
            // Names alone: not commands, and not files.
            let is_name = |word: &&String| !word.contains([' ', '.', '/']);
            for word in words.iter().filter(is_name) {
                assert!(text.contains(word.as_str()), "{file} has no {word}");
            }
        }
    }

    #[test]
    fn every_command_that_a_page_shows_can_be_typed_so() {
        for page in ["README.md", "CONTRIBUTING.md", "docs/performance.md"] {
            let commands = commands(page);
            assert!(!commands.is_empty(), "{page} shows commands");
            for command in commands {
                let words = ["cargo xtask"].into_iter().chain(command.split_whitespace());
                let parsed = Arguments::try_parse_from(words).map(drop);
                assert!(parsed.is_ok(), "{page}: cargo xtask {command}: {parsed:?}");
            }
        }
    }
}
