//! The processes of one task: its group, and whoever has left the group but still carries its mark. It ends them all.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use burgee_operator::lock::lock;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// The variable in the environment of a task's processes that says whose they are.
pub(super) const MARKER: &str = "BURGEE_LOADTESTER_TASK";
/// After SIGTERM so long, then SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether they are gone.
const LOOK: Duration = Duration::from_millis(20);
/// Where nothing tells of an exit, it is looked for so often.
const BLIND_LOOK: Duration = Duration::from_millis(100);
/// After SIGKILL a process is gone at once, unless the kernel holds it.
const HELD: Duration = Duration::from_secs(5);

/// The children that somebody waits for.
static KEPT: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());

/// Starts a child and notes it, so that it is never taken for an orphan.
pub(super) fn spawned<T>(start: impl FnOnce() -> std::io::Result<(T, Pid)>) -> std::io::Result<(T, Pid)> {
    let mut kept = lock(&KEPT);
    let (child, leader) = start()?;
    kept.insert(leader);
    Ok((child, leader))
}

/// Somebody has waited for it.
pub(super) fn forget(leader: Pid) {
    lock(&KEPT).remove(&leader);
}

/// A word that no other task of any load tester on this machine has.
pub(super) fn marker() -> String {
    format!("{}-{:016x}", std::process::id(), fastrand::u64(..))
}

/// The processes of a task.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The first one, which gives the group its number.
    pub(super) leader: Pid,
    pub(super) marker: String,
}

impl Group {
    /// Returns when the first process is over, and leaves it unreaped.
    pub(super) async fn leader_exits(&self) {
        let mut children = signal(SignalKind::child()).ok();
        while !self.has_exited() {
            match &mut children {
                // A signal may stand for several children, and is never lost for one that came after the look.
                Some(children) => drop(children.recv().await),
                None => tokio::time::sleep(BLIND_LOOK).await,
            }
        }
    }

    fn has_exited(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(self.leader), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }

    /// Ends all of them: asked first, then killed.
    pub(super) async fn end(&self) {
        if self.is_gone().await {
            return;
        }
        self.send(Signal::SIGTERM).await;
        if !self.is_gone_within(GRACE).await {
            self.send(Signal::SIGKILL).await;
            if !self.is_gone_within(HELD).await {
                tracing::error!("processes of group {} are killed and still there", self.leader);
            }
        }
    }

    async fn is_gone_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.is_gone().await {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    async fn is_gone(&self) -> bool {
        self.has_exited() && self.living().await.is_empty()
    }

    async fn send(&self, signal: Signal) {
        // Whoever is gone meanwhile needs no signal.
        let _ = killpg(self.leader, signal);
        for process in self.living().await {
            let _ = kill(process, signal);
        }
    }

    /// Those that live, and those that left the group but carry the mark.
    async fn living(&self) -> Vec<Pid> {
        let group = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            reap_orphans();
            processes().filter(|process| process.belongs_to(&group)).map(|process| process.pid).collect()
        });
        found.await.unwrap_or_default()
    }
}

/// A line of `/proc/PID/stat`.
struct Process {
    pid: Pid,
    parent: Pid,
    group: Pid,
    is_zombie: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
        Some(Self { pid: Pid::from_raw(pid), parent: number()?, group: number()?, is_zombie })
    }

    fn belongs_to(&self, group: &Group) -> bool {
        let is_marked = || {
            let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
            let entry = format!("{MARKER}={}", group.marker);
            environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
        };
        !self.is_zombie && (self.group == group.leader || is_marked())
    }
}

/// All processes that can be seen; none where there is no `/proc`.
fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
}

/// In a container this process is the first one: whoever loses its parent becomes its child, and stays as a zombie unless it
/// is waited for.
fn reap_orphans() {
    if std::process::id() != 1 {
        return;
    }
    let kept = lock(&KEPT);
    let is_orphan = |process: &Process| process.is_zombie && process.parent == Pid::this();
    for orphan in processes().filter(|process| is_orphan(process) && !kept.contains(&process.pid)) {
        let _ = waitpid(orphan.pid, Some(WaitPidFlag::WNOHANG));
    }
}
