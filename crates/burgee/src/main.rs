//! The one binary: its subcommands. It must not do their work.

mod controller;
mod crds;
mod order;
mod place;
mod simulate;
mod smi_adapter;
mod status;
mod why;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::LazyLock;

use burgee_core::order::Word;
use burgee_core::plain::plain_lines;
use clap::{Parser, Subcommand};

/// The version, with the commit if the build was told which it is (`BURGEE_COMMIT`, as the Dockerfile and the release do).
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("BURGEE_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("no commit known");
    format!("{} ({commit})", env!("CARGO_PKG_VERSION"))
});

/// Progressive delivery for Kubernetes.
#[derive(Parser)]
#[command(name = "burgee", version = VERSION.as_str())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller; its flags are Flagger's, see `burgee controller -help`.
    #[command(disable_help_flag = true)]
    Controller {
        /// Go-style flags.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Run the load tester; its flags are Flagger's, see `burgee loadtester -help`.
    #[command(disable_help_flag = true)]
    Loadtester {
        /// Go-style flags.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Send load to a URL, as `hey` does; also what a link `hey` to this program does.
    #[command(disable_help_flag = true)]
    Hey {
        /// The arguments of `hey`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Make Istio's routes of the TrafficSplits of a cluster.
    SmiAdapter(smi_adapter::Arguments),
    /// Print the custom resource definitions.
    Crds(crds::Arguments),
    /// Show where a live canary is.
    Status(status::Arguments),
    /// Roll the run under way back now.
    Abort(order::Arguments),
    /// Promote the revision under way without further analysis.
    Promote(order::Arguments),
    /// Analyse again: the revision that failed, or the one under way from the start.
    Retry(order::Arguments),
    /// Hold the weight until `resume`.
    Pause(order::Arguments),
    /// Go on after `pause`.
    Resume(order::Arguments),
    /// Show what the controller would do with a live canary now, and why, without doing it.
    Why(why::Arguments),
    /// Show what a canary would do, step by step, in virtual time and without a cluster.
    Simulate(simulate::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough, as with `| head`.
        Err(error) if is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", plain_lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn is_unread(error: &anyhow::Error) -> bool {
    error.root_cause().downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run() -> anyhow::Result<()> {
    if let Some(arguments) = controller::called("hey", std::env::args()) {
        return burgee_loadtester::hey(&arguments);
    }
    if let Some(flags) = controller::called("loadtester", std::env::args()) {
        return burgee_loadtester::run(&flags);
    }
    if let Some(flags) = controller::implied(std::env::args()) {
        return controller::run(&flags);
    }
    match Arguments::parse().command {
        Command::Controller { flags } => controller::run(&flags),
        Command::Loadtester { flags } => burgee_loadtester::run(&flags),
        Command::Hey { arguments } => burgee_loadtester::hey(&arguments),
        Command::SmiAdapter(arguments) => smi_adapter::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Status(arguments) => place::run(status::run(&arguments)),
        Command::Abort(arguments) => place::run(order::run(Word::Abort, &arguments)),
        Command::Promote(arguments) => place::run(order::run(Word::Promote, &arguments)),
        Command::Retry(arguments) => place::run(order::run(Word::Retry, &arguments)),
        Command::Pause(arguments) => place::run(order::run(Word::Pause, &arguments)),
        Command::Resume(arguments) => place::run(order::run(Word::Resume, &arguments)),
        Command::Why(arguments) => place::run(why::run(&arguments)),
    }
}
