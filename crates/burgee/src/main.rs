//! The one binary: its subcommands. It must not do their work.

mod controller;
mod crds;
mod simulate;

use clap::{Parser, Subcommand};

/// Progressive delivery for Kubernetes.
#[derive(Parser)]
#[command(name = "burgee", version)]
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
    /// Print the custom resource definitions.
    Crds(crds::Arguments),
    /// Show what a canary would do, step by step, in virtual time and without a cluster.
    Simulate(simulate::Arguments),
}

fn main() -> anyhow::Result<()> {
    if let Some(flags) = controller::implied(std::env::args()) {
        return controller::run(&flags);
    }
    match Arguments::parse().command {
        Command::Controller { flags } => controller::run(&flags),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    }
}
