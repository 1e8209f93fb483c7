//! What the machine must have before a lab can run. It only looks; it changes nothing.
use std::path::Path;

/// One thing that is missing and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// How to get it.
    pub fix: String,
}

impl Missing {
    /// A thing that is missing and its fix.
    pub fn new(what: &str, fix: &str) -> Self {
        Self { what: what.to_owned(), fix: fix.to_owned() }
    }
}

/// The error of a machine or a cluster that lacks something: one message that tells it all.
#[derive(Clone, Debug)]
pub struct Unmet {
    /// What lacks it, such as `this machine`.
    pub place: String,
    /// All that it lacks.
    pub missing: Vec<Missing>,
}

impl Unmet {
    /// Fails if anything is missing.
    ///
    /// # Errors
    /// With all of it.
    pub fn check(place: &str, missing: Vec<Missing>) -> Result<(), Self> {
        if missing.is_empty() { Ok(()) } else { Err(Self { place: place.to_owned(), missing }) }
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.missing.iter().map(|item| format!("  {:16} {}", item.what, item.fix)).collect();
        write!(to, "{} lacks:\n{}", self.place, lines.join("\n"))
    }
}

impl std::error::Error for Unmet {}

/// What a message about this machine calls it.
const MACHINE: &str = "this machine";

/// Programs that must be on the search path, and how to get each.
const PROGRAMS: &[(&str, &str)] = &[
    ("apt-get", "use Debian or Ubuntu; the lab takes containerd, runc and nftables from their packages"),
    ("cargo", "install Rust: https://rustup.rs"),
    ("dpkg-deb", "apt-get install dpkg"),
    ("git", "apt-get install git"),
    ("go", "install Go 1.26 or newer: https://go.dev/doc/install"),
    ("mount", "apt-get install mount"),
    ("nsenter", "apt-get install util-linux"),
    ("python3", "apt-get install python3 python3-pip"),
];

/// Programs with which a cluster that exists is talked to, and how to get each.
const CLIENTS: &[(&str, &str)] = &[
    ("kubectl", "https://kubernetes.io/docs/tasks/tools"),
    ("helm", "https://helm.sh/docs/intro/install"),
    ("hey", "go install github.com/rakyll/hey@v0.1.5, and ~/go/bin on the PATH"),
];

/// Looks for what a cluster that exists is talked to with.
///
/// # Errors
/// With everything that is missing on this machine.
pub(crate) fn check_clients() -> Result<(), Unmet> {
    let missing = CLIENTS.iter().filter(|(name, _)| !on_search_path(name)).map(|(name, fix)| Missing::new(name, fix));
    Unmet::check(MACHINE, missing.collect())
}

/// Looks for what a lab needs.
///
/// # Errors
/// With everything that is missing on this machine.
pub(crate) fn check() -> Result<(), Unmet> {
    Unmet::check(MACHINE, missing())
}

fn missing() -> Vec<Missing> {
    let mut found = Vec::new();
    if !cfg!(target_os = "linux") {
        return vec![Missing::new("Linux", "run on Linux, or use --kubeconfig FILE with a cluster that exists")];
    }
    if !nix::unistd::geteuid().is_root() {
        found.push(Missing::new("root", "run as root (sudo -E); the lab makes network namespaces, mounts and cgroups"));
    }
    found.extend(PROGRAMS.iter().filter(|(name, _)| !on_search_path(name)).map(|(name, fix)| Missing::new(name, fix)));
    if on_search_path("python3") && !has_pip() {
        found.push(Missing::new("pip for python3", "apt-get install python3-pip"));
    }
    if on_search_path("go") && !go_is_new_enough(&go_version()) {
        found.push(Missing::new("go 1.26", &format!("{} is too old: https://go.dev/doc/install", go_version())));
    }
    found.extend(kernel());
    found
}

/// What `go env GOVERSION` says, such as `go1.26.8`; an old Go that may fetch a newer one names that one.
fn go_version() -> String {
    let output = std::process::Command::new("go").args(["env", "GOVERSION"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn go_is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("go").split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    (number(), number()) >= (1, 26)
}

fn kernel() -> Vec<Missing> {
    let mut found = Vec::new();
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.contains("overlay") {
        found.push(Missing::new("overlayfs", "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS"));
    }
    if !Path::new("/proc/self/ns/net").exists() {
        found.push(Missing::new("network namespaces", "a kernel with CONFIG_NET_NS"));
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() && !Path::new("/sys/fs/cgroup/memory").exists() {
        found.push(Missing::new("cgroups", "mount the cgroup filesystem at /sys/fs/cgroup"));
    }
    found
}

fn has_pip() -> bool {
    let output = std::process::Command::new("python3").args(["-m", "pip", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn on_search_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(name).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_cannot_build_istiod_is_too_old() {
        for (version, expected) in [("go1.26.8", true), ("go1.27rc1", true), ("go1.25.9", false), ("", false)] {
            assert_eq!(go_is_new_enough(version), expected, "{version}");
        }
    }

    #[test]
    fn one_message_names_every_missing_thing_with_its_fix() {
        let missing = vec![Missing::new("root", "run as root"), Missing::new("go", "install Go")];
        let text = Unmet::check("this machine", missing).unwrap_err().to_string();
        assert!(text.starts_with("this machine lacks:\n  root "), "{text}");
        assert!(text.contains("root             run as root\n"), "{text}");
        assert!(text.ends_with("go               install Go"), "{text}");
    }
}
