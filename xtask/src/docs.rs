//! `cargo xtask docs`: the pages under `docs` as a site. It checks nothing: the hermetic tests do.
use anyhow::{Context, Result};
use burgee_lab::{Missing, Unmet};
use clap::Args;
use std::io::ErrorKind;
use std::process::Command;

/// Where the site is built, as `book.toml` says.
const SITE: &str = "target/book";

/// Builds the site of the documentation with mdbook.
///
/// Links, anchors, the table of contents and the examples are checked by `cargo test -p burgee-sim --test pages`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Serve it at <http://localhost:3000> and build it anew with each change.
    #[arg(long)]
    serve: bool,
}

/// Builds it; answers whether mdbook did.
///
/// # Errors
/// When there is no mdbook.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let word = if arguments.serve { "serve" } else { "build" };
    match Command::new("mdbook").arg(word).status() {
        Ok(status) if status.success() => {
            println!("{SITE}/index.html");
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(missing().into()),
        Err(error) => Err(error).context("run mdbook"),
    }
}

fn missing() -> Unmet {
    let fix = "cargo install mdbook --locked (some minutes); the pages can be read without it, under docs/";
    Unmet { place: "this machine".to_owned(), missing: vec![Missing::new("mdbook", fix)] }
}
