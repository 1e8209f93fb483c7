//! The one binary: its subcommands. It must not do their work.

mod crds;

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
    /// Print the custom resource definitions.
    Crds(crds::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds(arguments) => crds::run(&arguments),
    }
}
