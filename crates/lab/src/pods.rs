//! What of a pod can be seen on the node itself: its processes and its logs. It asks no API server.
use crate::process::Identity;
use crate::teardown::cgroups;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest process of a program in a pod; the pod's uid names its cgroup.
pub(crate) fn pod_process(mark: &str, uid: &str, program: &str) -> Option<Identity> {
    let own = format!("pod{uid}");
    let directories = cgroups(mark).into_iter().filter(|directory| directory.iter().any(|part| part == own.as_str()));
    let lists = directories.filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
    let ids: Vec<i32> =
        lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect();
    let named = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == program);
    ids.into_iter().filter(named).filter_map(Identity::of).min_by_key(|process| process.started)
}

/// The lines of each container's log, oldest first, in the directory whose name begins so.
pub(crate) fn container_logs(root: &Path, pod: &str, container: &str) -> Result<Vec<Vec<String>>> {
    let pods = fs::read_dir(root).with_context(|| format!("list {}", root.display()))?.flatten();
    let own = pods.filter(|entry| entry.file_name().to_string_lossy().starts_with(pod));
    let mut files: Vec<(u32, PathBuf)> = own
        .flat_map(|entry| fs::read_dir(entry.path().join(container)).into_iter().flatten().flatten())
        .filter_map(|entry| Some((entry.path().file_stem()?.to_str()?.parse().ok()?, entry.path())))
        .collect();
    files.sort();
    let read = |(_, path): &(u32, PathBuf)| {
        fs::read_to_string(path).map(|text| lines(&text)).with_context(|| format!("read {}", path.display()))
    };
    files.iter().map(read).collect()
}

/// The text of each line: the runtime puts time, stream and whether the line is whole in front, each before a blank.
fn lines(log: &str) -> Vec<String> {
    log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_the_program_wrote() {
        let log = "2026-01-02T03:04:05.6Z stderr F {\"msg\":\"a b\"}\n2026-01-02T03:04:06Z stdout F two\nbroken";
        assert_eq!(lines(log), ["{\"msg\":\"a b\"}", "two"]);
    }
}
