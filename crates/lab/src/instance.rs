//! The names and directories of one instance, and the lock that makes it one. It starts nothing.
use crate::options::Options;
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

/// One instance of the lab by name; everything of it on this machine carries that name.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    name: String,
    root: PathBuf,
    cache: PathBuf,
}

/// Refuses a name that could not be part of a path and of a cgroup.
///
/// # Errors
/// With what a name must look like.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    // Containerd's socket lies below the state directory, and a socket's path has 107 bytes at most.
    if name.is_empty() || name.len() > 20 || !name.chars().all(plain) {
        bail!("instance name {name:?} must be 1 to 20 of a-z, 0-9 and -");
    }
    Ok(())
}

impl Instance {
    /// The instance that the options name.
    ///
    /// # Errors
    /// When the name could not be part of a path and of a cgroup.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        check_name(&options.name)?;
        Ok(Self { name: options.name.clone(), root: options.state_root.clone(), cache: options.cache.clone() })
    }

    /// The instance's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Directory of the running instance; gone when it is down.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// Directory of the logs; kept until the next start.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join(format!("{}.logs", self.name))
    }

    /// Record of every process that the instance started.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.state().join("processes")
    }

    /// Directory of the built parts, whose programs are the lab's own.
    pub(crate) fn parts(&self) -> PathBuf {
        crate::parts::root_of(&self.cache)
    }

    /// Name of the network namespace, the cgroup and the pod network.
    pub(crate) fn mark(&self) -> String {
        format!("burgee-{}", self.name)
    }

    /// File of the network namespace.
    pub(crate) fn network(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(self.mark())
    }

    /// Takes the instance for this process.
    ///
    /// # Errors
    /// When another process holds it; the message names that process.
    pub(crate) fn lock(&self) -> Result<Flock<File>> {
        fs::create_dir_all(&self.root).with_context(|| format!("create {}", self.root.display()))?;
        let path = self.root.join(format!("{}.lock", self.name));
        let file = fs::OpenOptions::new().create(true).append(true).open(&path).context("open the instance's lock")?;
        let Ok(mut held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            bail!("lab {:?} is in use by process {}; choose another with --name", self.name, holder.trim());
        };
        held.set_len(0).context("write the instance's lock")?;
        writeln!(held, "{}", std::process::id()).context("write the instance's lock")?;
        Ok(held)
    }

    /// Names of all instances that left a state directory.
    pub(crate) fn all(options: &Options) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&options.state_root) else { return Vec::new() };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.contains('.')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_the_state_directory_is_refused() {
        for bad in ["", "..", "a/b", "a b", "a-name-that-is-much-too-long"] {
            assert!(Instance::new(&Options::named(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(Instance::new(&Options::named("two")).unwrap().mark(), "burgee-two");
    }
}
