//! A cluster by its kubeconfig: the lab's own or one that exists already. It owns no process.
use crate::command::run;
use crate::gateway::Ways;
use crate::instance::Instance;
use crate::kubernetes::admin_kubeconfig;
use crate::network::NODE_ADDRESS;
use crate::parts::Parts;
use crate::process::spawn_recorded;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A cluster that can be talked to with kubectl and helm.
#[derive(Clone, Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    programs: Parts,
    network: Option<PathBuf>,
    scratch: PathBuf,
    ledger: PathBuf,
    ways: Arc<Mutex<Ways>>,
}

impl Cluster {
    /// A cluster that exists already, reached from where this process runs.
    pub fn existing(kubeconfig: &Path, parts: &Parts) -> Self {
        let scratch = std::env::temp_dir().join(format!("burgee-cluster-{}", std::process::id()));
        let ledger = scratch.join("processes");
        Self {
            kubeconfig: kubeconfig.to_path_buf(),
            programs: parts.clone(),
            network: None,
            scratch,
            ledger,
            ways: Arc::default(),
        }
    }

    /// The cluster of a lab's instance. Kubectl's caches go by address and would be mixed up between instances, so each
    /// keeps its own.
    pub(crate) fn of(instance: &Instance, parts: &Parts) -> Self {
        Self {
            kubeconfig: admin_kubeconfig(instance),
            programs: parts.clone(),
            network: Some(instance.network()),
            scratch: instance.state().join("client-cache"),
            ledger: instance.ledger(),
            ways: Arc::default(),
        }
    }

    /// Starts a program that goes on beside this process, and records it so that it ends with the lab.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(&self, command: &mut Command, name: &str) -> Result<Child> {
        if let Some(directory) = self.ledger.parent() {
            std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        }
        spawn_recorded(command, &self.ledger, name).map(|(child, _)| child)
    }

    /// The kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A command that reaches the cluster, with the kubeconfig in its environment.
    pub fn command(&self, program: &str) -> Command {
        let path = self.programs.program(program);
        let mut command = match &self.network {
            None => Command::new(path),
            Some(network) => {
                let mut argument = OsString::from("--net=");
                argument.push(network);
                let mut command = Command::new("nsenter");
                command.arg(argument).arg("--").arg(path);
                command
            }
        };
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", &self.scratch);
        command
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.command("kubectl").args(arguments))
    }

    /// Runs kubectl with `-o json` and returns the object or list.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = run(self.command("kubectl").args(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&text).with_context(|| format!("parse the answer to kubectl {}", arguments.join(" ")))
    }

    /// Ends the programs that keep ways into the cluster open. A process that exits without dropping them calls it.
    pub fn disconnect(&self) {
        self.ways().close();
    }

    /// The ways to its gateway's pods.
    pub(crate) fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is a lab's own cluster, whose network the lab's programs can enter.
    pub(crate) fn is_of_lab(&self) -> bool {
        self.network.is_some()
    }

    /// Reads a page of Prometheus: directly in the lab, through the API server's proxy elsewhere (the proxy reaches pods
    /// only, and the lab's Prometheus is none).
    ///
    /// # Errors
    /// When the page does not answer with 200.
    pub(crate) fn read_prometheus(&self, path: &str) -> Result<String> {
        if self.is_of_lab() {
            let url = format!("http://{NODE_ADDRESS}:9090{path}");
            return run(self.command("busybox").args(["wget", "-qO-", &url]));
        }
        self.kubectl(&[
            "get",
            "--raw",
            &format!("/api/v1/namespaces/istio-system/services/prometheus:9090/proxy{path}"),
        ])
    }

    /// Applies objects, written as YAML.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.feed(&["apply", "-f", "-"], yaml)
    }

    /// Runs kubectl with a text on its standard input.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn feed(&self, arguments: &[&str], text: &str) -> Result<()> {
        let mut command = self.command("kubectl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("run kubectl")?;
        // Taken, so that the pipe closes and kubectl sees the end of the text.
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes()).context("write to kubectl")?;
        }
        let output = child.wait_with_output().context("wait for kubectl")?;
        if output.status.success() {
            return Ok(());
        }
        bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())
    }

    /// Asks until `ready` says yes, at most `limit`; `what` names it in the error, with the last failure.
    ///
    /// # Errors
    /// When the time is over.
    pub fn wait(&self, what: &str, limit: Duration, mut ready: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let answer = ready(self);
            if matches!(answer, Ok(true)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let reason = answer.err().map_or_else(String::new, |error| format!(": {error:#}"));
                bail!("{what} did not happen within {} s{reason}", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
