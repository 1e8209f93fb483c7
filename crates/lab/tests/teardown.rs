//! What a lab leaves on the machine when its process is told to end, and when it is killed: nothing, at the latest after the
//! next start. It looks only at what carries the instance's own name. `cargo xtask test` runs it, as root.
use anyhow::{Context, Result, bail, ensure};
use burgee_lab::{Identity, Lab, Options};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The instance; no other test uses this name.
const NAME: &str = "teardown";
/// Set in the process that holds the lab.
const HOLD: &str = "BURGEE_LAB_HOLD";
/// What that process prints when everything runs.
const UP: &str = "the lab is up";
/// How long a process may take to end, with everything that it takes down.
const LIMIT: Duration = Duration::from_mins(1);
/// Exit code of an interrupted process.
const INTERRUPTED: i32 = 130;

#[test]
#[ignore = "needs root and the lab's parts"]
fn a_crashed_lab_is_cleaned_by_the_next_start_and_an_interrupted_one_leaves_nothing() -> Result<()> {
    Lab::prepare(&Options::named(NAME))?;
    let mut crashed = Holder::start()?;
    let first = Traces::look()?;
    first.ensure_all_kinds().context("of a lab that runs")?;
    crashed.end("KILL")?;
    Traces::look()?.ensure_all_kinds().context("of a lab whose process was killed")?;
    let mut interrupted = Holder::start()?;
    let left: Vec<&Identity> = first.processes.keys().filter(|process| process.alive()).collect();
    ensure!(left.is_empty(), "the next start did not end processes of the crashed lab: {left:?}");
    let second = Traces::look()?;
    second.ensure_all_kinds().context("of a lab that was started after a crash")?;
    let status = interrupted.end("INT")?;
    ensure!(status.code() == Some(INTERRUPTED), "an interrupted lab ended with {status}");
    let left: Vec<&String> =
        second.processes.iter().filter(|(process, _)| process.alive()).map(|(_, name)| name).collect();
    ensure!(left.is_empty(), "processes are left: {left:?}");
    let rest = Traces::look()?;
    ensure!(rest == Traces::default(), "something is left: {rest:#?}");
    Ok(())
}

/// The process that holds the lab, when the test above starts this file's program again. By itself it does nothing.
#[test]
#[ignore = "is started by the test above"]
fn holds_a_lab() -> Result<()> {
    if std::env::var_os(HOLD).is_none() {
        return Ok(());
    }
    let options = Options::named(NAME);
    let _lab = Lab::boot(&Lab::prepare(&options)?, &options)?;
    println!("{UP}");
    loop {
        std::thread::park();
    }
}

/// A process that holds the lab.
struct Holder(Child);

impl Holder {
    /// Starts it and waits until the lab is up.
    fn start() -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args(["--ignored", "--exact", "--nocapture", "holds_a_lab"]).env(HOLD, "1");
        let mut holder = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start a process")?);
        let output = holder.0.stdout.take().context("the process has no output")?;
        for line in BufReader::new(output).lines() {
            if line.context("read what the process says")?.contains(UP) {
                return Ok(holder);
            }
        }
        bail!("the lab did not come up: {}", holder.0.wait().context("wait for the process")?)
    }

    /// Sends a signal and waits until the process has ended.
    fn end(&mut self, signal: &str) -> Result<ExitStatus> {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().context("run kill")?;
        ensure!(sent.success(), "the process cannot be signalled");
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().context("wait for the process")? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the process did not end within {} s", LIMIT.as_secs())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // After a failure; the lab is taken down, so that the next run does not meet it.
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.end("INT");
        }
    }
}

/// What of the instance is on the machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    /// Its processes, with their names.
    processes: BTreeMap<Identity, String>,
    /// The number of its network namespace; 0 for none. Without a process in it and a mount it is gone, with its interfaces,
    /// and the kernel gives the number to the next one.
    network: u64,
    /// Network interfaces in that.
    interfaces: Vec<String>,
    /// Mount points.
    mounts: Vec<String>,
    /// Directories of cgroups.
    cgroups: Vec<PathBuf>,
    /// Files and directories at fixed places, logs aside.
    files: Vec<PathBuf>,
}

impl Traces {
    fn look() -> Result<Self> {
        let state = Path::new("/var/lib/burgee-lab").join(NAME);
        let namespace = PathBuf::from(format!("/run/netns/burgee-{NAME}"));
        let network = fs::metadata(&namespace).map(|data| data.ino()).unwrap_or_default();
        let table = fs::read_to_string("/proc/self/mounts").context("read the table of mounts")?;
        let points = table.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        let is_own = |point: &Path| point.starts_with(&state) || point == namespace;
        let results = fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten().map(|entry| entry.path());
        let of_pods = |path: &PathBuf| path.to_string_lossy().contains(&format!("/burgee-{NAME}-"));
        let files = [state.clone(), namespace.clone()].into_iter().filter(|path| path.exists());
        let processes = processes(&state, network)?;
        Ok(Self {
            interfaces: processes.keys().next().map_or_else(Vec::new, |_| interfaces(&processes, network)),
            processes,
            network,
            mounts: points.filter(|point| is_own(point)).map(|point| point.display().to_string()).collect(),
            cgroups: cgroups(Path::new("/sys/fs/cgroup"))?,
            files: files.chain(results.filter(of_pods)).collect(),
        })
    }

    /// Of a lab that runs there is something of every kind, or nothing could be missed later.
    fn ensure_all_kinds(&self) -> Result<()> {
        let names: Vec<&str> = self.processes.values().map(String::as_str).collect();
        for expected in ["etcd", "kube-apiserver", "kubelet", "containerd", "containerd-shim", "istiod", "envoy"] {
            ensure!(
                names.iter().any(|name| name.starts_with(&expected[..expected.len().min(15)])),
                "no {expected}: {names:?}"
            );
        }
        ensure!(self.network != 0, "no network namespace");
        ensure!(self.interfaces.iter().any(|name| name == "lab0"), "no interface lab0 in {:?}", self.interfaces);
        ensure!(!self.mounts.is_empty() && !self.cgroups.is_empty() && !self.files.is_empty(), "{self:?}");
        Ok(())
    }
}

/// Processes in the instance's network or cgroup, and those that name its state directory.
fn processes(state: &Path, network: u64) -> Result<BTreeMap<Identity, String>> {
    let mark = format!("/burgee-{NAME}");
    let prefix = format!("{}/", state.display());
    let ids = fs::read_dir("/proc").context("list processes")?.flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let read = |pid: i32, name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let is_own = |pid: i32| {
        let own = fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|data| data.ino() == network);
        let groups = String::from_utf8_lossy(&read(pid, "cgroup")).lines().any(|line| line.contains(&mark));
        own || groups || String::from_utf8_lossy(&read(pid, "cmdline")).contains(&prefix)
    };
    let name = |pid: i32| String::from_utf8_lossy(&read(pid, "comm")).trim().to_owned();
    Ok(ids.filter(|pid| is_own(*pid)).filter_map(|pid| Some((Identity::of(pid)?, name(pid)))).collect())
}

/// The interfaces of the network, by one of the processes in it.
fn interfaces(processes: &BTreeMap<Identity, String>, network: u64) -> Vec<String> {
    let inside = |process: &&Identity| {
        fs::metadata(format!("/proc/{}/ns/net", process.pid)).is_ok_and(|data| data.ino() == network)
    };
    let table =
        processes.keys().find(inside).and_then(|one| fs::read_to_string(format!("/proc/{}/net/dev", one.pid)).ok());
    let table = table.unwrap_or_default();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// The instance's directory in each hierarchy of cgroups.
fn cgroups(root: &Path) -> Result<Vec<PathBuf>> {
    let hierarchies = fs::read_dir(root).context("list hierarchies of cgroups")?.flatten().map(|entry| entry.path());
    let places = hierarchies.filter(|path| !path.is_symlink()).chain([root.to_path_buf()]);
    Ok(places.map(|place| place.join(format!("burgee-{NAME}"))).filter(|path| path.is_dir()).collect())
}
