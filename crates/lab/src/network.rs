//! The network namespace of one instance. Addresses repeat between instances; nothing leads out of it.
use crate::command::run;
use crate::instance::Instance;
use crate::process::Processes;
use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;

/// The node's address, where the API server, cluster DNS, istiod and Prometheus listen.
pub const NODE_ADDRESS: &str = "10.99.0.1";
/// The address of the gateway's Service.
pub const GATEWAY_ADDRESS: &str = "10.96.100.98";

/// The address that stands in for the gateway's load balancer.
pub(crate) const BALANCER_ADDRESS: &str = "10.99.0.100";

/// Makes the namespace: loopback, a bridge with the node's address, a default route, forwarding.
pub(crate) fn create(instance: &Instance, processes: &Processes) -> Result<()> {
    let mut add = std::process::Command::new("unshare");
    let path = instance.network();
    std::fs::create_dir_all("/run/netns").context("create /run/netns")?;
    File::create(&path).with_context(|| format!("create {}", path.display()))?;
    add.arg(format!("--net={}", path.display())).arg("true");
    run(&mut add).context("create the network namespace")?;
    let ip = Path::new("ip");
    let node = format!("{NODE_ADDRESS}/24");
    for arguments in [
        "link set lo up",
        "link add lab0 type bridge",
        &format!("address add {node} dev lab0"),
        "link set lab0 up",
        "route add default dev lab0",
    ] {
        run(processes.command(ip).args(arguments.split(' '))).context("set up the network namespace")?;
    }
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    run(processes.command(Path::new("sh")).args(["-c", forward])).context("turn on forwarding")?;
    Ok(())
}

/// Moves the calling thread into a namespace; threads and processes that it starts later are inside as well.
///
/// # Errors
/// When the namespace is gone, or the caller is not root.
pub(crate) fn enter(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("open network namespace {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter network namespace {}", path.display()))
}
