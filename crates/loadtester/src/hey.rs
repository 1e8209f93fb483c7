//! `hey` without a `hey` binary: its arguments, its load, its output. Built on hyper. What it does not know, it says, so that
//! an installed `hey` can do it.

mod args;
mod client;
mod report;
mod run;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

pub(crate) use self::args::{Load, Request, read};
pub(crate) use self::run::run;

/// An installed `hey` that is not this program under that name.
pub(crate) fn installed() -> Option<PathBuf> {
    let own = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders).map(|folder| folder.join("hey"));
    let is_other = |file: &PathBuf| file.is_file() && file.canonicalize().ok() != own;
    found.into_iter().find(is_other)
}

/// Runs as the command `hey`, which scripts with pipes call: the link `hey` to this program. Arguments that it does not take
/// end the process with 1, as in `hey`.
pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    let refused = match read(arguments) {
        Request::Load(load) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            return runtime.block_on(run::print(&load));
        }
        Request::Usage(usage) => usage,
        Request::Unknown(reason) => format!("hey: {reason}\n"),
    };
    eprint!("{refused}");
    std::process::exit(1)
}
