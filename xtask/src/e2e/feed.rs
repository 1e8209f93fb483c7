//! What the cluster tells by itself: every change of a canary, and every line of the operator's log. It polls nothing.
use anyhow::{Context, Result};
use burgee_lab::Cluster;
use serde_json::{Deserializer, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a stream that ended is left alone before it is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// Lines of the operator's log that are kept.
const KEPT_LINES: usize = 200_000;

#[derive(Default)]
struct Shared {
    canaries: BTreeMap<(String, String), Value>,
    lines: Vec<Value>,
}

/// The streams of one cluster; they last as long as the process.
#[derive(Clone)]
pub(crate) struct Feed {
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl Feed {
    /// Opens the streams.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let feed = Self { shared: Arc::default() };
        let (canaries, log) = (feed.clone(), feed.clone());
        let (first, second) = (cluster.clone(), cluster.clone());
        std::thread::spawn(move || {
            loop {
                let _ = canaries.follow_canaries(&first);
                std::thread::sleep(PAUSE);
            }
        });
        std::thread::spawn(move || {
            let mut last = String::new();
            loop {
                let _ = log.follow_log(&second, &mut last);
                std::thread::sleep(PAUSE);
            }
        });
        feed
    }

    /// The canary as last seen.
    pub(crate) fn canary(&self, namespace: &str, name: &str) -> Option<Value> {
        self.lock().canaries.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Lines of the operator's log for which `wanted` is true, oldest first.
    pub(crate) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.lock().lines.iter().filter(|line| wanted(line)).cloned().collect()
    }

    /// Waits until something changes, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        let (_, changed) = &*self.shared;
        let _ = changed.wait_timeout(self.lock(), limit);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow_canaries(&self, cluster: &Cluster) -> Result<()> {
        let arguments = ["get", "canaries.flagger.app", "-A", "--watch", "--output-watch-events", "-o", "json"];
        let mut child = open(cluster, &arguments)?;
        let output = child.stdout.take().context("the stream has no output")?;
        for change in Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>() {
            self.take_canary(&change.context("read a change")?);
        }
        child.wait().map(drop).context("wait for kubectl")
    }

    fn take_canary(&self, change: &Value) {
        let object = &change["object"];
        let name = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (name("namespace"), name("name"));
        let mut shared = self.lock();
        if change["type"] == "DELETED" {
            shared.canaries.remove(&key);
        } else {
            shared.canaries.insert(key, object.clone());
        }
        drop(shared);
        self.shared.1.notify_all();
    }

    /// Lines carry the kubelet's time in front, to the nanosecond: a stream that is opened again repeats none.
    fn follow_log(&self, cluster: &Cluster, last: &mut String) -> Result<()> {
        let operator = ["-n", "istio-system", "logs", "-f", "--timestamps", "deployment/flagger", "-c", "flagger"];
        let mut child = open(cluster, &operator)?;
        let output = child.stdout.take().context("the stream has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line.context("read a line")?;
            let Some((time, text)) = line.split_once(' ').filter(|(time, _)| *time > last.as_str()) else { continue };
            time.clone_into(last);
            let mut shared = self.lock();
            if shared.lines.len() < KEPT_LINES {
                shared.lines.push(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())));
            }
            drop(shared);
            self.shared.1.notify_all();
        }
        child.wait().map(drop).context("wait for kubectl")
    }
}

fn open(cluster: &Cluster, arguments: &[&str]) -> Result<Child> {
    let mut command = cluster.command("kubectl");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().context("run kubectl")
}
