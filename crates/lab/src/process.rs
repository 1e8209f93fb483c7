//! Starts, stops and pauses the lab's own processes. It never signals a process that it cannot identify.
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A program of the lab that runs as a process beside the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Component {
    /// The cluster's store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers of Kubernetes.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The container runtime.
    Containerd,
    /// The node's agent.
    Kubelet,
    /// Service addresses.
    KubeProxy,
    /// Cluster DNS.
    CoreDns,
    /// Istio's control plane.
    Istiod,
    /// Metrics.
    Prometheus,
    /// KEDA's controller, where it was asked for.
    Keda,
    /// What pods use, where it was asked for.
    MetricsServer,
    /// Nodes and pods that do not exist, where they were asked for.
    Kwok,
}

impl Component {
    /// The component's name, also the name of its log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::CoreDns => "coredns",
            Self::Istiod => "istiod",
            Self::Prometheus => "prometheus",
            Self::Keda => "keda",
            Self::MetricsServer => "metrics-server",
            Self::Kwok => "kwok",
        }
    }
}

/// A process by its id and start time, so that a reused id is never mistaken for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot, from `/proc/PID/stat`.
    pub started: u64,
}

impl Identity {
    /// The process that has this id now, unless there is none or it has ended and waits to be collected.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        start_time(&stat).map(|started| Self { pid, started })
    }

    /// Whether the same process still runs.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal if the same process still runs.
    pub fn signal(self, signal: Signal) -> bool {
        self.alive() && kill(Pid::from_raw(self.pid), signal).is_ok()
    }

    /// Memory that the process holds, in bytes; nothing when it has ended.
    pub fn resident_bytes(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok().filter(|_| self.alive())?;
        resident(&status)
    }

    /// Processor time that the process has used in user and kernel mode, in clock ticks; nothing when it has ended.
    pub fn processor_ticks(self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok().filter(|_| self.alive())?;
        processor_ticks(&stat)
    }

    /// Waits until the process is gone, at most `limit`.
    pub fn wait_gone(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        !self.alive()
    }
}

/// Field 22 of `/proc/PID/stat`; nothing for a zombie. The name may hold blanks and brackets, so it is cut off first.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Fields 14 and 15 of `/proc/PID/stat`, which count all threads of the process, also those that have ended.
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

/// The line `VmRSS: 1234 kB` of `/proc/PID/status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How one component is run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Which component.
    pub component: Component,
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Extra environment.
    pub environment: Vec<(&'static str, String)>,
}

/// Where components run and write.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// File of the network namespace.
    pub network: PathBuf,
    /// File in which every started process is recorded.
    pub ledger: PathBuf,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// Search path for programs.
    pub search_path: String,
    /// Search path for shared libraries.
    pub library_path: String,
}

/// The components of one lab.
#[derive(Debug)]
pub struct Processes {
    surroundings: Surroundings,
    specs: Mutex<BTreeMap<Component, Spec>>,
    running: Mutex<BTreeMap<Component, (Child, Identity)>>,
}

impl Processes {
    /// No process yet.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, specs: Mutex::default(), running: Mutex::default() }
    }

    /// Starts a component and remembers how, so that it can be started again.
    pub fn start(&self, spec: Spec) -> Result<()> {
        let component = spec.component;
        lock(&self.specs).insert(component, spec);
        self.restart(component)
    }

    /// Starts a component again, the way it was started first.
    pub fn restart(&self, component: Component) -> Result<()> {
        let name = component.name();
        let spec = lock(&self.specs).get(&component).cloned().with_context(|| format!("{name} was never started"))?;
        if self.identity(component).is_some_and(Identity::alive) {
            bail!("{name} already runs");
        }
        let (child, identity) = self.spawn(&spec).with_context(|| format!("start {name}"))?;
        lock(&self.running).insert(component, (child, identity));
        Ok(())
    }

    /// Kills a component (SIGKILL) and waits for its end.
    pub fn stop(&self, component: Component) -> Result<()> {
        let Some((mut child, _)) = lock(&self.running).remove(&component) else {
            return Ok(());
        };
        child.kill().with_context(|| format!("kill {}", component.name()))?;
        child.wait().with_context(|| format!("wait for {}", component.name()))?;
        Ok(())
    }

    /// Sends a signal to a component, such as SIGSTOP or SIGCONT.
    pub fn signal(&self, component: Component, signal: Signal) -> Result<()> {
        let sent = self.identity(component).is_some_and(|identity| identity.signal(signal));
        if sent { Ok(()) } else { bail!("{} does not run", component.name()) }
    }

    /// The process of a component that was started and not stopped.
    pub fn identity(&self, component: Component) -> Option<Identity> {
        lock(&self.running).get(&component).map(|(_, identity)| *identity)
    }

    /// Fails, with the end of the log, when a component has ended by itself.
    pub fn check(&self) -> Result<()> {
        for (component, (child, _)) in lock(&self.running).iter_mut() {
            if let Some(status) = child.try_wait().context("look after the components")? {
                let log = self.log(*component);
                let text = fs::read_to_string(&log).unwrap_or_default();
                let end = crate::fetch::last_lines(&text, 30);
                bail!("{} ended ({status}); the end of {}:\n{end}", component.name(), log.display());
            }
        }
        Ok(())
    }

    /// Collects the components that were killed from outside.
    pub fn collect(&self) {
        for (child, _) in lock(&self.running).values_mut() {
            let _ = child.try_wait();
        }
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.surroundings.logs.join(format!("{}.log", component.name()))
    }

    /// A command that will run inside the lab's network namespace with the lab's programs on its path.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let mut network = OsString::from("--net=");
        network.push(&self.surroundings.network);
        command.arg(network).arg("--").arg(program);
        command.env("PATH", &self.surroundings.search_path).env("LD_LIBRARY_PATH", &self.surroundings.library_path);
        command
    }

    fn spawn(&self, spec: &Spec) -> Result<(Child, Identity)> {
        let log = self.log(spec.component);
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).context("open the log")?;
        let errors = output.try_clone().context("open the log")?;
        let mut command = self.command(&spec.program);
        command.args(&spec.arguments).envs(spec.environment.iter().map(|(name, value)| (*name, value)));
        // A group of its own, or ctrl-C would end it before the lab has taken things down in order.
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        spawn_recorded(&mut command, &self.surroundings.ledger, spec.component.name())
    }
}

/// Writes a process into a ledger, so that a later run can end it when this one cannot.
pub(crate) fn record(ledger: &Path, name: &str, identity: Identity) -> Result<()> {
    let mut file =
        fs::OpenOptions::new().create(true).append(true).open(ledger).context("open the ledger of processes")?;
    let line = format!("{name} {} {}\n", identity.pid, identity.started);
    file.write_all(line.as_bytes()).context("write the ledger of processes")
}

/// Starts a process and records it, unless the lab is being taken down: what starts after the takedown has looked
/// would stay.
///
/// # Errors
/// When the lab is being taken down, or the process cannot be started or ends at once.
pub(crate) fn spawn_recorded(command: &mut Command, ledger: &Path, name: &str) -> Result<(Child, Identity)> {
    let ending = lock(&ENDING);
    if *ending {
        bail!("the lab is being taken down");
    }
    let child = command.spawn().with_context(|| format!("run {name}"))?;
    let pid = i32::try_from(child.id()).context("process id out of range")?;
    let identity = Identity::of(pid).with_context(|| format!("{name} ended at once"))?;
    record(ledger, name, identity)?;
    Ok((child, identity))
}

/// From now on no process is started any more.
pub fn start_no_more() {
    *lock(&ENDING) = true;
}

/// When the process was interrupted, waits for the interrupt handler, which takes everything down and ends the process.
pub fn wait_if_interrupted() {
    while *lock(&ENDING) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

static ENDING: Mutex<bool> = Mutex::new(false);

/// The processes that a ledger records.
pub(crate) fn recorded(ledger: &str) -> Vec<Identity> {
    let parse = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        Some(Identity { pid: fields.next()?.parse().ok()?, started: fields.next()?.parse().ok()? })
    };
    ledger.lines().filter_map(parse).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: &str, started: u64) -> String {
        format!("42 ({name}) {state} 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {started} 9 9 9")
    }

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        assert_eq!(start_time(&stat("etcd", "S", 77)), Some(77));
        assert_eq!(start_time(&stat("a ) b (c", "R", 78)), Some(78));
    }

    #[test]
    fn processor_time_is_that_of_user_and_kernel_mode() {
        assert_eq!(processor_ticks("42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 500 67 7 8 20 0 1 0 9"), Some(567));
        assert_eq!(processor_ticks("42 (etcd) S 1 42"), None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\tetcd\nVmRSS:\t    2048 kB\nThreads:\t3\n"), Some(2_097_152));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_zombie_counts_as_gone() {
        assert_eq!(start_time(&stat("etcd", "Z", 77)), None);
    }

    #[test]
    fn a_process_is_identified_by_its_id_and_start_time() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.alive());
        assert!(!Identity { started: own.started + 1, ..own }.alive());
    }

    #[test]
    fn a_ledger_gives_back_what_was_recorded_and_skips_broken_lines() {
        let found = recorded("etcd 12 345\nkubelet 13\nkube-proxy 14 346\n");
        assert_eq!(found, vec![Identity { pid: 12, started: 345 }, Identity { pid: 14, started: 346 }]);
    }
}
