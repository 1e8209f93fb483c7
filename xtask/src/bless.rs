//! `cargo xtask bless`: writes every generated file anew from what the code does now. Look at the difference afterwards.
use crate::film;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The definitions that the chart carries.
const DEFINITIONS: &str = "charts/burgee/crds/crd.yaml";

/// Writes goldens, films and their pictures, the tables of fields and the chart's CRDs anew.
///
/// What tests compare with is overwritten by what the code does now; `git diff` shows what changed.
#[derive(Args)]
pub(crate) struct Arguments {}

/// Writes everything anew.
///
/// # Errors
/// When a test fails for another reason than a golden, or the definitions cannot be written.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    film::write_all(Path::new("."))?;
    let printed = cargo(&["run", "--quiet", "-p", "burgee", "--", "crds"]).output().context("run burgee crds")?;
    if !printed.status.success() {
        bail!("burgee crds: {}", String::from_utf8_lossy(&printed.stderr).trim());
    }
    fs::write(DEFINITIONS, printed.stdout).with_context(|| format!("write {DEFINITIONS}"))?;
    println!("wrote {DEFINITIONS}");
    let mut tests =
        cargo(&["test", "--quiet", "--no-fail-fast", "-p", "burgee-core", "-p", "burgee-sim", "-p", "burgee"]);
    let status = tests.env("BLESS", "1").env("INSTA_UPDATE", "always").status().context("run cargo test")?;
    if !status.success() {
        bail!("a test fails for another reason than a golden");
    }
    println!("wrote the goldens; look at git diff");
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}
