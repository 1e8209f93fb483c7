//! The lab itself, for real: as root, with its parts in the cache, `cargo test -p burgee-lab -- --ignored`.
//! It tests the apparatus, never the operator.
use anyhow::{Result, bail, ensure};
use burgee_lab::{Cluster, Component, Counters, Gateway, Lab, Load, Options, Request, Signal, query};
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

fn with_podinfo(name: &str) -> Result<Lab> {
    let options = Options::named(name);
    let lab = Lab::boot(&Lab::prepare(&options)?, &options)?;
    lab.apply(include_str!("app.yaml"))?;
    lab.kubectl(&["-n", "test", "rollout", "status", "deployment/podinfo", "--timeout=60s"])?;
    Ok(lab)
}

fn send(lab: &Lab, requests: u32) -> Result<u64> {
    let gateway = Gateway::of_lab();
    let request = Request {
        gateway: &gateway,
        host: "app.example.com",
        header: None,
        per_second: requests / 2,
        lasting: Duration::from_secs(2),
    };
    let answers = Load::begin(lab.cluster(), &request)?.finish()?;
    ensure!(answers.failed() == 0, "{answers:?}");
    Ok(answers.sent())
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn load_at_the_gateway_is_counted_by_envoy_and_by_prometheus() -> Result<()> {
    let lab = with_podinfo("counted")?;
    lab.cluster().wait("the route is open", LIMIT, |_| Ok(send(&lab, 10).is_ok()))?;
    let before = lab.gateway_counters()?;
    let sent = send(&lab, 400)?;
    let since = lab.gateway_counters()?.since(&before);
    ensure!(since.requests("test", "podinfo-canary", Some(200)) == sent, "{sent} sent, {since:?}");
    let expression = "sum(istio_requests_total{destination_workload=\"podinfo\",response_code=\"200\"})";
    let all = before.requests("test", "podinfo-canary", Some(200)) + sent;
    lab.cluster().wait("prometheus has seen all", LIMIT, |cluster| {
        Ok(query(cluster, expression)?.is_some_and(|seen| seen.to_string() == all.to_string()))
    })
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn a_cluster_that_exists_is_reached_by_its_kubeconfig_alone() -> Result<()> {
    let lab = with_podinfo("existing")?;
    let cluster = Cluster::existing(&lab.kubeconfig(), lab.parts());
    // A thread of its own: only it moves into the lab's network.
    let inside = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                lab.enter()?;
                ensure!(cluster.kubectl(&["get", "nodes", "-o", "name"])?.trim() == "node/lab", "another node");
                Counters::read(&cluster).map(drop)
            })
            .join()
    });
    inside.unwrap_or_else(|_| bail!("the thread panicked"))
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn a_killed_container_is_back_within_seconds_each_time() -> Result<()> {
    let lab = with_podinfo("killed")?;
    let pods = ["-n", "test", "get", "pods", "-o", "jsonpath={.items[0].metadata.name}"];
    let pod = lab.kubectl(&pods)?;
    for _ in 0..5 {
        let process = lab.container_process("test", &pod, "podinfod")?;
        ensure!(process.resident_bytes().is_some_and(|bytes| bytes > 1_000_000), "no memory is held");
        process.signal(Signal::SIGKILL);
        lab.cluster().wait("the container is back", Duration::from_secs(8), |_| {
            Ok(lab.container_process("test", &pod, "podinfod")? != process)
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn components_stop_pause_and_come_back() -> Result<()> {
    let lab = with_podinfo("disturbed")?;
    lab.stop_prometheus()?;
    ensure!(query(lab.cluster(), "up").is_err(), "a stopped prometheus answers");
    lab.start_prometheus()?;
    lab.cluster().wait("prometheus is back", LIMIT, |cluster| query(cluster, "up").map(|_| true))?;
    lab.stop_api_server()?;
    ensure!(lab.kubectl(&["get", "namespaces"]).is_err(), "a stopped API server answers");
    lab.start_api_server()?;
    lab.pause(Component::ControllerManager)?;
    lab.kubectl(&["-n", "test", "scale", "deployment/podinfo", "--replicas=3"])?;
    let replicas =
        |lab: &Lab| lab.kubectl(&["-n", "test", "get", "deployment", "podinfo", "-o", "jsonpath={.status.replicas}"]);
    std::thread::sleep(Duration::from_secs(1));
    ensure!(replicas(&lab)? == "2", "a paused controller manager acts");
    lab.resume(Component::ControllerManager)?;
    lab.cluster().wait("the deployment is scaled", LIMIT, |_| Ok(replicas(&lab)? == "3"))
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn service_accounts_are_audited_and_administrators_are_not() -> Result<()> {
    let lab = with_podinfo("audited")?;
    let token = lab.kubectl(&["-n", "test", "create", "token", "default"])?;
    let refused = lab.kubectl(&["--token", token.trim(), "--kubeconfig", "/dev/null", "get", "pods"]);
    ensure!(refused.is_err(), "a service account without a role reads pods");
    let script = "wget -qO- --no-check-certificate --header \"Authorization: Bearer $(cat /var/run/secrets/\
                  kubernetes.io/serviceaccount/token)\" https://kubernetes.default.svc/api/v1/namespaces/test/pods";
    let pod = "deployment/podinfo";
    let _ = lab.kubectl(&["-n", "test", "exec", pod, "--", "sh", "-c", script]);
    let log = fs::read_to_string(lab.audit_log())?;
    ensure!(log.contains("system:serviceaccount:test:default"), "the service account is not in the audit log");
    ensure!(!log.contains("\"username\":\"admin\""), "the administrator is in the audit log");
    Ok(())
}

#[test]
#[ignore = "needs root and a quarter of an hour when the parts are not built yet"]
fn two_instances_run_at_once_and_leave_nothing_behind() -> Result<()> {
    let one = with_podinfo("first")?;
    let two = with_podinfo("second")?;
    let (state_one, network_one) = (one.enter_script(), one.network());
    drop(one);
    ensure!(!state_one.exists() && !network_one.exists(), "the first instance left something");
    two.cluster().wait("the second still works", LIMIT, |_| Ok(send(&two, 10).is_ok()))?;
    drop(two);
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains("burgee-lab/first") && !mounts.contains("burgee-lab/second"), "mounts are left");
    ensure!(!Path::new("/sys/fs/cgroup/memory/burgee-first").exists(), "a cgroup is left");
    Ok(())
}
