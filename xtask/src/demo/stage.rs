//! Where the demo plays: the lab's own cluster or one that exists, with the operator and podinfo in it. It shows nothing.
use super::Arguments;
use super::build::Build;
use crate::guest;
use anyhow::{Context, Result, bail, ensure};
use burgee_lab::{
    Cluster, Gateway, Installation, Lab, Load, NODE_ADDRESS, Options, PROMETHEUS_ADDRESS, Request, install, say,
    seconds, start_no_more,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Requests per second that the users send.
const REQUESTS_PER_SECOND: u32 = 100;
/// Longest load.
const LONG: Duration = Duration::from_hours(1);
/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// The cluster that the demo uses.
pub(super) struct Stage {
    // Dropped first: the objects go while the cluster is there.
    _guest: Option<Guest>,
    cluster: Cluster,
    lab: Option<Lab>,
    gateway: Gateway,
    podinfo: String,
    /// How long the cluster took.
    pub cluster_took: Duration,
    /// How long the operator took.
    pub operator_took: Duration,
}

/// The operator's binary.
enum Binary {
    Built(PathBuf),
    Building(Build),
}

/// The demo's objects in a cluster that is not the lab's; dropped, they are removed.
struct Guest {
    cluster: Cluster,
}

impl Stage {
    /// Boots or finds the cluster and installs the operator.
    ///
    /// # Errors
    /// With what is missing and what to do about it.
    pub(super) fn set(arguments: &Arguments) -> Result<Self> {
        let mut options = Options::named(&arguments.name);
        options.audited_groups.clear();
        match &arguments.kubeconfig {
            None => Self::boot(arguments, &options),
            Some(file) => Self::visit(arguments, file),
        }
    }

    fn boot(arguments: &Arguments, options: &Options) -> Result<Self> {
        // Before anything is built: what is missing on this machine is told first.
        Lab::check_prerequisites()?;
        let workspace = workspace();
        let build = match &arguments.burgee {
            Some(binary) => {
                ensure!(binary.is_file(), "{} is no file", binary.display());
                Binary::Built(binary.clone())
            }
            None => Binary::Building(Build::begin(&workspace)?),
        };
        let parts = Lab::prepare(options)?;
        let binary = match build {
            Binary::Built(binary) => binary,
            Binary::Building(build) => build.finish()?,
        };
        let started = Instant::now();
        let lab = Lab::boot(&parts, options)?;
        let cluster_took = started.elapsed();
        say("operator: installing it with its chart");
        let started = Instant::now();
        lab.install_operator(&binary, &workspace.join("charts/burgee"), &[]).context("install the operator")?;
        let operator_took = started.elapsed();
        say(&format!("operator: ready after {}", seconds(operator_took)));
        Ok(Self {
            _guest: None,
            cluster: lab.cluster().clone(),
            lab: Some(lab),
            gateway: Gateway::of_lab(),
            podinfo: "lab.local/podinfo".to_owned(),
            cluster_took,
            operator_took,
        })
    }

    fn visit(arguments: &Arguments, kubeconfig: &Path) -> Result<Self> {
        let started = Instant::now();
        let cluster = guest::cluster(kubeconfig)?;
        let gateway = guest::look(&cluster, arguments.gateway.as_ref())?;
        if cluster.kubectl(&["get", "namespace", "test"]).is_ok() {
            bail!("namespace test exists already; the demo wants its own: kubectl delete namespace test");
        }
        let cluster_took = started.elapsed();
        let started = Instant::now();
        if let Some(image) = &arguments.image {
            let chart = workspace().join("charts/burgee");
            let metrics_server = PROMETHEUS_ADDRESS;
            install(&cluster, &Installation { chart: &chart, image, metrics_server, values: &[], note: None })?;
        }
        let rollout = ["-n", "istio-system", "rollout", "status", "deployment/flagger", "--timeout=60s"];
        let advice = "no operator in istio-system; push its image and name it with --image";
        cluster.kubectl(&rollout).context(advice)?;
        let guest = Guest::of(&cluster)?;
        let podinfo = arguments.podinfo.clone();
        let operator_took = started.elapsed();
        Ok(Self { _guest: Some(guest), cluster, lab: None, gateway, podinfo, cluster_took, operator_took })
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Creates podinfo and its Canary.
    ///
    /// # Errors
    /// With what the API server says.
    pub(super) fn deploy(&self, version: &str) -> Result<()> {
        let yaml = include_str!("app.yaml").replace("{image}", &self.podinfo).replace("{version}", version);
        self.cluster.apply(&yaml.replace("{program}", self.program())).context("deploy podinfo")
    }

    /// Gives podinfo another image and other variables, as a user's pipeline would.
    ///
    /// # Errors
    /// With what the API server says.
    pub(super) fn release(&self, version: &str, variables: &[(&str, &str)]) -> Result<()> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let image = format!("{}:{version}", self.podinfo);
        let container = json!({"name": "podinfod", "image": image, "env": variables});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string();
        let line = ["-n", "test", "patch", "deployment", "podinfo", "--patch", &patch];
        self.cluster.kubectl(&line).map(drop).with_context(|| format!("release podinfo {version}"))
    }

    /// Begins steady load at the gateway.
    ///
    /// # Errors
    /// When hey cannot be started.
    pub(super) fn load(&self) -> Result<Load> {
        Load::begin(&self.cluster, &self.request(REQUESTS_PER_SECOND, LONG))
    }

    /// Waits until the gateway knows the route, which Istio tells it a moment after the operator has written it.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub(super) fn wait_for_route(&self) -> Result<()> {
        let waited = self.cluster.wait("an answer from podinfo", Duration::from_secs(30), |cluster| {
            let answers = Load::begin(cluster, &self.request(10, Duration::from_secs(1)))?.finish()?;
            Ok(answers.sent() > 0 && answers.failed() == 0)
        });
        waited
            .with_context(|| format!("{} does not lead to podinfo; is another gateway meant? --gateway", self.gateway))
    }

    /// The end of the operator's log, to go with a failure.
    pub(super) fn operator_log(&self) -> String {
        let logs = self.cluster.kubectl(&["-n", "istio-system", "logs", "deployment/flagger", "--tail=20"]);
        format!("the end of the operator's log:\n{}", logs.unwrap_or_else(|error| format!("{error:#}")).trim_end())
    }

    /// How to look around, line by line.
    pub(super) fn directions(&self) -> Vec<String> {
        let podinfo = &self.podinfo;
        let mut lines = match &self.lab {
            None => vec![format!("export KUBECONFIG={}", self.cluster.kubeconfig().display())],
            Some(lab) => vec![format!("{}   # a shell inside the cluster's network", lab.enter_script().display())],
        };
        lines.extend([
            "kubectl -n test get canary podinfo --watch".to_owned(),
            "kubectl -n test describe canary podinfo".to_owned(),
            "kubectl -n test set env deployment/podinfo PODINFO_RANDOM_ERROR-     # good".to_owned(),
            "kubectl -n test set env deployment/podinfo PODINFO_RANDOM_ERROR=true # bad".to_owned(),
            format!("kubectl -n test set image deployment/podinfo podinfod={podinfo}:6.0.3"),
            "kubectl -n istio-system logs deployment/flagger --follow".to_owned(),
        ]);
        if self.lab.is_some() {
            lines.push(format!("promtool query instant http://{NODE_ADDRESS}:9090 istio_requests_total"));
        }
        lines
    }

    /// Where the cluster's own logs and kubeconfig are, if it is the lab's.
    pub(super) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let of = |lab: &Lab| vec![("kubeconfig", lab.kubeconfig()), ("logs", lab.logs())];
        self.lab.as_ref().map(of).unwrap_or_default()
    }

    fn request(&self, per_second: u32, lasting: Duration) -> Request<'_> {
        Request { gateway: &self.gateway, host: "app.example.com", header: None, per_second, lasting }
    }

    /// The lab's image has podinfo on its path; the published one in its working directory.
    fn program(&self) -> &'static str {
        if self.podinfo.starts_with("lab.local/") { "podinfo" } else { "./podinfo" }
    }
}

impl Guest {
    fn of(cluster: &Cluster) -> Result<Self> {
        let to_remove = cluster.clone();
        let set = ctrlc::set_handler(move || {
            start_no_more();
            to_remove.disconnect();
            say("interrupted; removing the demo's namespace");
            remove(&to_remove);
            std::process::exit(INTERRUPTED)
        });
        set.context("handle ctrl-C")?;
        Ok(Self { cluster: cluster.clone() })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        remove(&self.cluster);
    }
}

fn remove(cluster: &Cluster) {
    let removed = cluster.kubectl(&["delete", "namespace", "test", "--ignore-not-found", "--timeout=60s"]);
    if let Err(error) = removed {
        say(&format!("could not remove namespace test: {error:#}"));
    }
}

/// The workspace that cargo runs this from.
fn workspace() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    own.and_then(|own| own.parent().map(Path::to_path_buf)).unwrap_or_else(|| PathBuf::from("."))
}
