//! Takes an instance down from what it left on the machine, running or crashed. It ends only the lab's own processes:
//! those in its ledger, in its cgroup, and runtime shims of its own socket; and it removes only its own state.
use crate::instance::Instance;
use crate::process::{Identity, recorded};
use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static ALONE: Mutex<()> = Mutex::new(());

/// Ends and removes everything of an instance; doing it twice is doing it once.
///
/// # Errors
/// When something of it cannot be removed; what could be removed is gone then.
pub(crate) fn take_down(instance: &Instance) -> Result<()> {
    // The interrupt handler may begin while a dropped lab is being taken down.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let state = instance.state();
    end_processes(instance);
    remove_traces(instance);
    release_mounts(&state)?;
    remove_cgroups(&instance.mark());
    remove_network(instance)?;
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("remove {}", state.display()))?;
    }
    Ok(())
}

/// The components first, so that nothing starts a container again; then the containers; then their shims.
fn end_processes(instance: &Instance) {
    let ledger = fs::read_to_string(instance.ledger()).unwrap_or_default();
    kill_all(&recorded(&ledger));
    for _ in 0..50 {
        let members = members(&instance.mark());
        if members.is_empty() {
            break;
        }
        kill_all(&members);
    }
    kill_all(&shims(instance));
}

fn kill_all(processes: &[Identity]) {
    for process in processes {
        process.signal(Signal::SIGKILL);
    }
    for process in processes {
        process.wait_gone(Duration::from_secs(5));
    }
}

/// Processes in the instance's own cgroup.
fn members(mark: &str) -> Vec<Identity> {
    let directories = cgroups(mark);
    let lists = directories.iter().filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
    let mut ids: Vec<i32> =
        lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().filter(|pid| *pid > 0).filter_map(Identity::of).collect()
}

/// Shims that run from the lab's parts and serve the instance's own containerd.
fn shims(instance: &Instance) -> Vec<Identity> {
    let socket = instance.state().join("ctr/containerd.sock").display().to_string();
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = |pid: &i32| {
        let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        executable.starts_with(instance.parts())
            && arguments.split(|byte| *byte == 0).any(|argument| argument == socket.as_bytes())
    };
    ids.filter(own).filter_map(Identity::of).collect()
}

/// The first process of a container, by the container's id, which names its cgroup.
pub(crate) fn container_process(mark: &str, id: &str) -> Option<Identity> {
    let own = cgroups(mark).into_iter().find(|directory| directory.ends_with(id))?;
    let list = fs::read_to_string(own.join("cgroup.procs")).ok()?;
    // Ids can wrap around, so the first is the one that started first.
    list.lines().filter_map(|line| Identity::of(line.parse().ok()?)).min_by_key(|process| process.started)
}

/// Every directory of the instance's cgroup, in each hierarchy, children before parents.
pub(crate) fn cgroups(mark: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut roots = vec![root.join(mark)];
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    roots.extend(hierarchies.map(|entry| entry.path()).filter(|path| !path.is_symlink()).map(|path| path.join(mark)));
    let mut found = Vec::new();
    for directory in roots.into_iter().filter(|directory| directory.is_dir()) {
        collect_children_first(&directory, &mut found);
    }
    found
}

fn collect_children_first(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect_children_first(&entry.path(), found);
    }
    found.push(directory.to_path_buf());
}

fn remove_cgroups(mark: &str) {
    for directory in cgroups(mark) {
        let _ = fs::remove_dir(directory);
    }
}

/// What Kubernetes and containerd leave at fixed places: shim sockets, links to logs, results of the pod network.
fn remove_traces(instance: &Instance) {
    let state = instance.state();
    let tasks =
        fs::read_dir(state.join("ctr/run/io.containerd.runtime.v2.task/k8s.io")).into_iter().flatten().flatten();
    for address in tasks.filter_map(|task| fs::read_to_string(task.path().join("address")).ok()) {
        if let Some(path) = address.trim().strip_prefix("unix://").filter(|path| path.starts_with("/run/containerd/s/"))
        {
            let _ = fs::remove_file(path);
        }
    }
    let links = fs::read_dir("/var/log/containers").into_iter().flatten().flatten();
    for link in links.filter(|link| fs::read_link(link.path()).is_ok_and(|target| target.starts_with(&state))) {
        let _ = fs::remove_file(link.path());
    }
    let sandboxes =
        fs::read_dir(state.join("ctr/root/io.containerd.grpc.v1.cri/sandboxes")).into_iter().flatten().flatten();
    for sandbox in sandboxes.filter_map(|sandbox| sandbox.file_name().into_string().ok()) {
        let pod = format!("{}-{sandbox}-eth0", instance.mark());
        for result in [pod, format!("cni-loopback-{sandbox}-lo")] {
            let _ = fs::remove_file(Path::new("/var/lib/cni/results").join(result));
        }
    }
}

fn release_mounts(state: &Path) -> Result<()> {
    for _ in 0..5 {
        let table = fs::read_to_string("/proc/self/mounts").context("read the table of mounts")?;
        let below = mounts_below(&table, state);
        if below.is_empty() {
            return Ok(());
        }
        for point in below.iter().rev() {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
    bail!("something is still mounted below {}", state.display())
}

/// Mount points below a directory, in the order in which they were mounted.
fn mounts_below(table: &str, directory: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(directory))
        .collect()
}

fn remove_network(instance: &Instance) -> Result<()> {
    let path = instance.network();
    if !path.exists() {
        return Ok(());
    }
    // The same as `ip netns del`, which needs the parts.
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    fs::remove_file(&path).with_context(|| format!("remove network namespace {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directory_are_released() {
        let table =
            "a / ext4 rw 0 0\nb /var/lib/burgee-lab/lab/x overlay rw 0 0\nc /var/lib/burgee-lab/lab2/y tmpfs rw 0 0\n";
        let found = mounts_below(table, Path::new("/var/lib/burgee-lab/lab"));
        assert_eq!(found, vec![PathBuf::from("/var/lib/burgee-lab/lab/x")]);
    }
}
