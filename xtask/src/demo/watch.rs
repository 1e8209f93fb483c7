//! Watches the release: kubectl's watches, Prometheus and the gateway's counters become reports. It judges nothing.
use super::scene::{Health, Report, Role};
use anyhow::{Context, Result};
use burgee_lab::{Cluster, Counters, query};
use serde_json::{Deserializer, Value};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often Prometheus and the gateway are asked.
const PACE: Duration = Duration::from_secs(1);
/// How long a watch that has ended rests before it begins again.
const REST: Duration = Duration::from_secs(1);

/// The watches under way; dropped, they end.
pub(super) struct Watches {
    reports: Receiver<Report>,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    children: BTreeMap<&'static str, Child>,
    has_ended: bool,
}

/// One of kubectl's watches, and how its objects are read.
struct Source {
    kind: &'static str,
    read: fn(&Value) -> Option<Report>,
}

impl Watches {
    /// Begins to watch the namespace `test`.
    pub(super) fn begin(cluster: &Cluster) -> Self {
        let (sender, reports) = channel();
        let running = Arc::new(Mutex::new(Running::default()));
        let sources = [
            Source { kind: "canaries", read: canary },
            Source { kind: "deployments", read: workload },
            Source { kind: "events", read: event },
        ];
        for source in sources {
            let (cluster, running, sender) = (cluster.clone(), running.clone(), sender.clone());
            std::thread::spawn(move || follow(&cluster, &source, &running, &sender));
        }
        let (cluster, ended) = (cluster.clone(), running.clone());
        std::thread::spawn(move || measure(&cluster, &ended, &sender));
        Self { reports, running }
    }

    /// The next report, if one comes within `limit`.
    pub(super) fn next(&self, limit: Duration) -> Option<Report> {
        self.reports.recv_timeout(limit).ok()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        running.has_ended = true;
        for child in running.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Watches one kind until the end; a watch that breaks off begins again, and the scene knows what it has seen.
fn follow(cluster: &Cluster, source: &Source, running: &Mutex<Running>, sender: &Sender<Report>) {
    while !lock(running).has_ended {
        // The kind may not be known yet, or the API server away: tried again.
        let _ = stream(cluster, source, running, sender);
        std::thread::sleep(REST);
    }
}

fn stream(cluster: &Cluster, source: &Source, running: &Mutex<Running>, sender: &Sender<Report>) -> Result<()> {
    let mut command = cluster.command("kubectl");
    command.args(["-n", "test", "get", source.kind, "--watch", "-o", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = {
        let mut running = lock(running);
        if running.has_ended {
            return Ok(());
        }
        let mut child = command.spawn().context("run kubectl")?;
        let output = child.stdout.take().context("read kubectl")?;
        if let Some(mut earlier) = running.children.insert(source.kind, child) {
            let _ = earlier.kill();
            let _ = earlier.wait();
        }
        output
    };
    for object in Deserializer::from_reader(output).into_iter::<Value>() {
        if let Some(report) = (source.read)(&object.context("parse what kubectl says")?) {
            sender.send(report).context("nobody listens")?;
        }
    }
    Ok(())
}

fn measure(cluster: &Cluster, running: &Mutex<Running>, sender: &Sender<Report>) {
    while !lock(running).has_ended {
        let health = Report::Health { primary: health(cluster, "podinfo-primary"), canary: health(cluster, "podinfo") };
        let traffic = Counters::read(cluster).ok().map(Report::Traffic);
        if std::iter::once(health).chain(traffic).any(|report| sender.send(report).is_err()) {
            return;
        }
        std::thread::sleep(PACE);
    }
}

/// What the operator's builtin queries ask, over ten seconds so that the panel follows quickly.
fn health(cluster: &Cluster, workload: &str) -> Health {
    let labels =
        format!("reporter=\"destination\",destination_workload_namespace=\"test\",destination_workload=\"{workload}\"");
    let total = format!("sum(rate(istio_requests_total{{{labels}}}[10s]))");
    let good = format!("sum(rate(istio_requests_total{{{labels},response_code!~\"5.*\"}}[10s]))");
    let buckets = format!("sum(rate(istio_request_duration_milliseconds_bucket{{{labels}}}[10s])) by (le)");
    // A Prometheus that does not answer leaves a gap in the panel; the analysis is the operator's.
    let ask = |expression: &str| query(cluster, expression).ok().flatten().filter(|value| value.is_finite());
    Health {
        success_percent: ask(&format!("100 * {good} / {total}")),
        p99_milliseconds: ask(&format!("histogram_quantile(0.99, {buckets})")),
    }
}

fn canary(object: &Value) -> Option<Report> {
    let phase = text(object, "/status/phase")?;
    Some(Report::Canary { phase, weight: number(object, "/status/canaryWeight") })
}

fn workload(object: &Value) -> Option<Report> {
    let role = match object.pointer("/metadata/name")?.as_str()? {
        "podinfo" => Role::Canary,
        "podinfo-primary" => Role::Primary,
        _ => return None,
    };
    let image = text(object, "/spec/template/spec/containers/0/image")?;
    let version = image.rsplit_once(':').map_or_else(|| image.clone(), |(_, tag)| tag.to_owned());
    Some(Report::Workload {
        role,
        version,
        pods: (number(object, "/status/readyReplicas"), number(object, "/spec/replicas")),
    })
}

fn event(object: &Value) -> Option<Report> {
    if text(object, "/involvedObject/kind")? != "Canary" {
        return None;
    }
    Some(Report::Event {
        id: (text(object, "/metadata/name")?, number(object, "/count")),
        text: text(object, "/message")?,
        is_warning: text(object, "/type")? == "Warning",
    })
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_of_the_release_become_reports_and_others_do_not() {
        let deployment = |name: &str| {
            json!({"metadata": {"name": name}, "spec": {"replicas": 2, "template": {"spec": {"containers":
                [{"image": "lab.local/podinfo:6.0.1"}]}}}, "status": {"readyReplicas": 1}})
        };
        let found = workload(&deployment("podinfo-primary"));
        let Some(Report::Workload { role: Role::Primary, version, pods: (1, 2) }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(version, "6.0.1");
        assert!(workload(&deployment("other")).is_none());
        assert!(event(&json!({"involvedObject": {"kind": "Pod"}})).is_none());
        assert!(canary(&json!({"metadata": {"name": "podinfo"}})).is_none());
    }

    #[test]
    fn an_event_that_happens_again_has_another_identity() {
        let event = |count: u64| {
            event(&json!({"involvedObject": {"kind": "Canary"}, "metadata": {"name": "e"}, "count": count,
                "message": "Halt", "type": "Warning"}))
        };
        let (Some(Report::Event { id: first, .. }), Some(Report::Event { id: second, .. })) = (event(1), event(2))
        else {
            panic!("an event is not read");
        };
        assert_ne!(first, second);
    }
}
