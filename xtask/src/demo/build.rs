//! The operator's release binary, built by cargo beside the lab's parts. It builds nothing else.
use anyhow::{Context, Result, bail};
use burgee_lab::{say, seconds};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A build under way; dropped, it ends.
pub(super) struct Build {
    child: Child,
    log: PathBuf,
    binary: PathBuf,
    started: Instant,
}

impl Build {
    /// Begins to build.
    ///
    /// # Errors
    /// When cargo cannot be run.
    pub(super) fn begin(workspace: &Path) -> Result<Self> {
        let target = target_directory(workspace)?;
        fs::create_dir_all(&target).with_context(|| format!("create {}", target.display()))?;
        let log = target.join("demo-build.log");
        let errors = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = cargo(workspace)
            .args(["build", "--release", "--locked", "-p", "burgee", "--bin", "burgee"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .context("run cargo build")?;
        Ok(Self { child, log, binary: target.join("release/burgee"), started: Instant::now() })
    }

    /// Waits for the end and returns the binary's path.
    ///
    /// # Errors
    /// With the last lines of cargo's output.
    pub(super) fn finish(mut self) -> Result<PathBuf> {
        let mut has_told = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().context("wait for cargo build")? {
                break status;
            }
            if !has_told && self.started.elapsed() > Duration::from_secs(2) {
                has_told = true;
                say(&format!("operator: building the release binary (usually about 240 s); {}", self.log.display()));
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if !status.success() {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("cargo build --release -p burgee failed; the end of {}:\n{}", self.log.display(), end(&text));
        }
        say(&format!("operator: release binary is built after {}", seconds(self.started.elapsed())));
        Ok(self.binary.clone())
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn target_directory(workspace: &Path) -> Result<PathBuf> {
    let output = cargo(workspace)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("parse what cargo metadata says")?;
    let directory = metadata.pointer("/target_directory").and_then(Value::as_str);
    directory.map(PathBuf::from).context("cargo metadata names no target directory")
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

fn end(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}
