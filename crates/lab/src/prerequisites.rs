//! What the machine must have before a lab can run. It only looks; it changes nothing.
use crate::recipe;
use std::path::{Path, PathBuf};

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
    ("bash", "apt-get install bash"),
    ("cargo", "install Rust: https://rustup.rs"),
    ("curl", "apt-get install curl"),
    ("dpkg-deb", "apt-get install dpkg"),
    ("git", "apt-get install git"),
    ("jq", "apt-get install jq"),
    ("mount", "apt-get install mount"),
    ("nsenter", "apt-get install util-linux"),
    ("python3", "apt-get install python3 python3-pip"),
];

/// How to get a Go.
const INSTALL_GO: &str = "https://go.dev/doc/install";

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
    found.extend(lack_of_go(on_search_path("go").then(go_version).as_deref()));
    found.extend(kernel());
    found
}

/// What is wrong with the Go that is there, if there is one: it must be as new as the modules of the lab ask for, because a
/// Go that may fetch no other one (`GOTOOLCHAIN=local`) refuses them otherwise.
fn lack_of_go(version: Option<&str>) -> Option<Missing> {
    let needed = needed_go();
    match version {
        None => Some(Missing::new("go", &format!("install Go {needed} or newer: {INSTALL_GO}"))),
        Some(version) if numbers(version) < numbers(needed) => {
            Some(Missing::new(&format!("go {needed}"), &format!("{version} is too old: {INSTALL_GO}")))
        }
        Some(_) => None,
    }
}

/// The Go that all modules of the lab can be built with, such as `1.26.4`.
fn needed_go() -> &'static str {
    recipe::go_versions().max_by_key(|version| numbers(version)).unwrap_or_default()
}

/// What `go env GOVERSION` says, such as `go1.26.8`.
fn go_version() -> String {
    let output = std::process::Command::new("go").args(["env", "GOVERSION"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The three numbers of a version of Go; what is not there, or is a candidate's, counts as 0.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.trim_start_matches("go").split(|letter: char| !letter.is_ascii_digit());
    std::array::from_fn(|_| numbers.next().and_then(|text| text.parse().ok()).unwrap_or_default())
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
    found(name).is_some()
}

/// Where a program of this machine is.
pub(crate) fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_is_older_than_the_lab_asks_for_is_too_old() {
        let [major, minor, patch] = numbers(needed_go());
        let asked = include_str!("../parts/tools/go.mod").lines().find_map(|line| line.strip_prefix("go ")).unwrap();
        assert!([major, minor, patch] >= numbers(asked) && minor > 0, "{asked}");
        let check =
            |version: String, expected: bool| assert_eq!(lack_of_go(Some(&version)).is_none(), expected, "{version}");
        check(format!("go{major}.{minor}.{patch}"), true);
        check(format!("go{major}.{minor}.{}", patch + 1), true);
        check(format!("go{major}.{}rc1", minor + 1), true);
        check(format!("go{major}.{}.99", minor - 1), false);
        check(String::new(), false);
        if let Some(older) = patch.checked_sub(1) {
            check(format!("go{major}.{minor}.{older}"), false);
            check(format!("go{major}.{minor}rc9"), false);
        }
        let text = lack_of_go(None).unwrap().fix;
        assert!(text.starts_with(&format!("install Go {major}.{minor}.{patch} or newer: ")), "{text}");
    }

    #[test]
    fn the_readme_names_the_go_that_the_lab_asks_for() {
        let asks = format!("Go {} or newer,", needed_go());
        assert!(include_str!("../../../README.md").contains(&asks), "README.md does not say {asks:?}");
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
