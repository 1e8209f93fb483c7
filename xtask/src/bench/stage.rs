//! What is measured: the operator as a plain process on a control plane with many canaries. It measures nothing.
use super::api::Connection;
use super::objects::{self, NAMESPACE};
use super::phases::Phases;
use super::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use burgee_lab::{Identity, Lab};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the operator's account lives, and by default its Lease.
const OWN: &str = "kube-system";
/// The operator's account, as the chart calls it.
const ACCOUNT: &str = "flagger";
/// Connections over which objects are created and changed.
const CONNECTIONS: usize = 8;
/// How long nothing at all may move before waiting is given up.
const STANDSTILL: Duration = Duration::from_mins(2);
/// How often is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(200);

/// The operator and its canaries.
pub(super) struct Stage<'a> {
    pub lab: &'a Lab,
    pub canaries: u32,
    pub phases: Phases,
    operator: Identity,
    log: PathBuf,
}

impl<'a> Stage<'a> {
    /// Installs what the operator needs and starts it; there is no canary yet.
    ///
    /// # Errors
    /// When something is refused.
    pub(super) fn set(lab: &'a Lab, binary: &Path, canaries: u32) -> Result<Self> {
        install(lab)?;
        let kubeconfig = write_kubeconfig(lab)?;
        let arguments = ["controller", "-kubeconfig", &kubeconfig.display().to_string()];
        let (operator, log) = lab.run_beside("operator", binary, &arguments).context("start the operator")?;
        Ok(Self { lab, canaries, phases: Phases::follow(), operator, log })
    }

    /// The operator's process.
    ///
    /// # Errors
    /// With the end of its log when it has ended.
    pub(super) fn operator(&self) -> Result<Identity> {
        if self.operator.alive() {
            return Ok(self.operator);
        }
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n");
        bail!("the operator has ended; the end of {}:\n{end}", self.log.display())
    }

    /// Creates all canaries and waits until they are initialized.
    ///
    /// # Errors
    /// When one is refused, or they come to a standstill.
    pub(super) fn create(&self) -> Result<()> {
        let begun = Instant::now();
        let progress = Progress::begin("creating the canaries");
        self.for_each(&progress, |connection, number| {
            objects::of(number)
                .iter()
                .try_for_each(|(collection, object)| connection.create(collection, object).map(drop))
        })?;
        progress.finish();
        self.wait_for("Initialized", begun)
    }

    /// Gives every Deployment a new revision; answers when each change was sent, by the canary's name.
    ///
    /// # Errors
    /// When one is refused.
    pub(super) fn release(&self) -> Result<Vec<(String, Instant)>> {
        let sent = std::sync::Mutex::new(Vec::new());
        let revision = objects::revision();
        let progress = Progress::begin("changing all deployments");
        self.for_each(&progress, |connection, number| {
            let (name, now) = (objects::name(number), Instant::now());
            connection.patch(&format!("{}/{name}", objects::DEPLOYMENTS), &revision)?;
            sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((name, now));
            Ok(())
        })?;
        progress.finish();
        sent.into_inner().context("a thread that changed deployments panicked")
    }

    /// Waits until every canary has reached a phase after a moment.
    ///
    /// # Errors
    /// With the phases of all canaries, when they come to a standstill or one fails.
    pub(super) fn wait_for(&self, phase: &'static str, after: Instant) -> Result<()> {
        let progress = Progress::begin(waiting_for(phase));
        let mut moved = (self.phases.now(), Instant::now());
        loop {
            self.operator()?;
            let reached = self.phases.reached(phase, after).len();
            if reached == self.count() {
                progress.finish();
                return Ok(());
            }
            let now = self.phases.now();
            progress.show(&format!("{reached} of {}", self.canaries));
            ensure!(!now.contains_key("Failed"), "a canary failed instead of becoming {phase}: {now:?}");
            if now != moved.0 {
                moved = (now, Instant::now());
            }
            let (seconds, phases) = (STANDSTILL.as_secs(), &moved.0);
            ensure!(
                moved.1.elapsed() < STANDSTILL,
                "not all became {phase}; nothing moves for {seconds} s: {phases:?}"
            );
            std::thread::sleep(LOOK);
        }
    }

    fn count(&self) -> usize {
        usize::try_from(self.canaries).unwrap_or(usize::MAX)
    }

    /// Does something for each canary, over several connections at once.
    fn for_each(&self, progress: &Progress, work: impl Fn(&mut Connection, u32) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicU32::new(0);
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.canaries);
        let serve = || -> Result<()> {
            let mut connection = Connection::open()?;
            std::iter::from_fn(take).try_for_each(|number| work(&mut connection, number))
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(serve)).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                let begun = next.load(Ordering::Relaxed).min(self.canaries);
                progress.show(&format!("{begun} of {}", self.canaries));
                std::thread::sleep(Duration::from_millis(20));
            }
            let mut ends = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            ends.try_for_each(|end| end.unwrap_or_else(|_| bail!("a thread of the benchmark panicked")))
        })
    }
}

fn waiting_for(phase: &str) -> &'static str {
    if phase == "Initialized" { "waiting until all canaries are initialized" } else { "waiting until all are promoted" }
}

/// The definitions, and the operator's account with the permissions of the chart.
fn install(lab: &Lab) -> Result<()> {
    let cluster = lab.cluster();
    let definitions = "charts/burgee/crds/crd.yaml";
    cluster.kubectl(&["apply", "--server-side", "-f", definitions])?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", definitions])?;
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    let mut helm = cluster.command("helm");
    helm.args(["template", ACCOUNT, "charts/burgee", "--namespace", OWN]);
    helm.args(["--show-only", "templates/account.yaml", "--show-only", "templates/rbac.yaml"]);
    let output = helm.output().context("run helm")?;
    ensure!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr).trim());
    cluster.apply(&String::from_utf8_lossy(&output.stdout)).context("install the operator's permissions")
}

/// A kubeconfig with a token of the operator's account, so that the audit log knows it from everybody else.
fn write_kubeconfig(lab: &Lab) -> Result<PathBuf> {
    let token = lab.kubectl(&["-n", OWN, "create", "token", ACCOUNT, "--duration=24h"])?;
    let own = fs::read_to_string(lab.kubeconfig()).context("read the administrator's kubeconfig")?;
    let mut config: serde_json::Value = yaml_serde::from_str(&own).context("parse the administrator's kubeconfig")?;
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    let path = lab.kubeconfig().with_file_name("operator");
    fs::write(&path, config.to_string()).context("write the operator's kubeconfig")?;
    Ok(path)
}
