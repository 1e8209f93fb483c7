//! The machine and the checkout that figures belong to. It only looks.
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// What figures cannot be read without.
pub(super) struct Machine {
    cores: usize,
    model: String,
    memory_bytes: u64,
    load: String,
    kernel: String,
    commit: String,
}

impl Machine {
    /// Looks at the machine as it is now.
    ///
    /// # Errors
    /// When the kernel does not tell it.
    pub(super) fn look() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let load = read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" ");
        Ok(Self {
            cores: std::thread::available_parallelism().context("count the cores")?.get(),
            model: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            memory_bytes: field(&read("/proc/meminfo")?, "MemTotal").as_deref().and_then(bytes).unwrap_or_default(),
            load,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            commit: commit(),
        })
    }

    /// In one sentence.
    pub(super) fn text(&self) -> String {
        let Self { cores, model, memory_bytes, load, kernel, commit } = self;
        let gibibytes = memory_bytes >> 30;
        format!(
            "{cores} cores ({model}), {gibibytes} GiB, Linux {kernel}, load average at the start {load}, commit {commit}"
        )
    }

    /// As an object.
    pub(super) fn json(&self) -> Value {
        let Self { cores, model, memory_bytes, load, kernel, commit } = self;
        let load: Vec<f64> = load.split(' ').filter_map(|load| load.parse().ok()).collect();
        json!({
            "cores": cores, "model": model, "memoryBytes": memory_bytes, "loadAverageAtStart": load, "kernel": kernel,
            "commit": commit,
        })
    }
}

/// The first value of a field in a file of `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `1234 kB`, in bytes.
fn bytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// The commit of the checkout, and whether there is more than that.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changes = git(&["status", "--porcelain"]).unwrap_or_default();
    if changes.is_empty() { commit } else { format!("{commit} with changes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nMemTotal:       2048 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "MemTotal").as_deref().and_then(bytes), Some(2_097_152));
        assert_eq!(field(text, "MemFree"), None);
    }
}
