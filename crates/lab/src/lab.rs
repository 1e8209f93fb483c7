//! One running lab: boots the parts in order and takes everything down when dropped. It knows no test and no demo.
use crate::cluster::Cluster;
use crate::command::run;
use crate::counters::Counters;
use crate::image::Image;
use crate::install::{Installation, install};
use crate::instance::Instance;
use crate::kubernetes::{self, Programs};
use crate::options::{Extent, Extra, Options};
use crate::parts::Parts;
use crate::pods::{container_logs, pod_process};
use crate::process::{Component, Identity, Processes, Surroundings, spawn_recorded, wait_if_interrupted};
use crate::progress::{Task, say, seconds};
use crate::teardown::{container_process, take_down};
use crate::{images, interrupt, keda, kwok, mesh, metrics_server, network, prerequisites, prometheus};
use anyhow::{Context, Result};
use nix::fcntl::Flock;
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A one-node Kubernetes with Istio, alive until this value is dropped or the process is told to end.
pub struct Lab {
    instance: Instance,
    parts: Parts,
    processes: Processes,
    cluster: Cluster,
    _held: Flock<File>,
}

impl Lab {
    /// Looks for what a lab needs of this machine, and changes nothing.
    ///
    /// # Errors
    /// With one message that tells everything that is missing.
    pub fn check_prerequisites() -> Result<()> {
        Ok(prerequisites::check()?)
    }

    /// Looks for prerequisites and makes the parts that the cache lacks.
    ///
    /// # Errors
    /// With one message that tells everything that is missing, or with the log of the part that could not be made.
    pub fn prepare(options: &Options) -> Result<Parts> {
        Self::check_prerequisites()?;
        Parts::prepare(options)
    }

    /// Boots the cluster, after taking down what an earlier run of the same name left.
    ///
    /// # Errors
    /// When the instance is in use, or a component does not come up; everything is taken down again then.
    pub fn boot(parts: &Parts, options: &Options) -> Result<Self> {
        let started = Instant::now();
        let instance = Instance::new(options)?;
        let held = instance.lock()?;
        take_down(&instance).context("take down what an earlier run left")?;
        interrupt::take_down_when_interrupted(&instance);
        let lab = Self::lay_out(parts, options, (instance, held))?;
        let task = Task::begin("cluster", "booting", 30);
        let booted = lab.start_everything(options, &|| task.tick());
        match booted {
            Ok(()) => task.finish(),
            Err(error) => {
                task.abandon();
                // An interrupted boot fails for want of what the handler has ended; that is no error to show.
                wait_if_interrupted();
                return Err(error);
            }
        }
        say(&format!("cluster {} is up after {}", lab.instance.name(), seconds(started.elapsed())));
        Ok(lab)
    }

    /// Removes everything that instances left which no process holds any more; returns their names.
    ///
    /// # Errors
    /// When something of a left instance cannot be removed.
    pub fn clean(options: &Options) -> Result<Vec<String>> {
        let mut cleaned = Vec::new();
        for name in Instance::all(options) {
            let instance = Instance::new(&Options { name: name.clone(), ..options.clone() })?;
            match instance.lock() {
                Ok(_held) => take_down(&instance).with_context(|| format!("take down {name}"))?,
                Err(error) => {
                    say(&format!("{error:#}"));
                    continue;
                }
            }
            cleaned.push(name);
        }
        Ok(cleaned)
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        self.instance.name()
    }

    /// The cluster, to talk to with kubectl and helm.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The administrator's kubeconfig; it works inside the lab's network only.
    pub fn kubeconfig(&self) -> PathBuf {
        kubernetes::admin_kubeconfig(&self.instance)
    }

    /// File of the lab's network namespace.
    pub fn network(&self) -> PathBuf {
        self.instance.network()
    }

    /// A script that runs a command, or a shell, inside the lab with kubectl, helm and hey on its path.
    pub fn enter_script(&self) -> PathBuf {
        self.instance.state().join("enter")
    }

    /// Directory of the components' logs.
    pub fn logs(&self) -> PathBuf {
        self.instance.logs()
    }

    /// The built parts.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The lab's processes, to stop, start and pause one by one.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Moves the calling thread into the lab's network. Call it on the main thread before starting a runtime: threads
    /// and processes started later are inside as well, and reach the API server, Services and pods by address.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter(&self) -> Result<()> {
        network::enter(&self.instance.network())
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(arguments)
    }

    /// Applies objects, written as YAML.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.cluster.apply(yaml)
    }

    /// Assembles an image and gives it to the container runtime.
    ///
    /// # Errors
    /// When it cannot be assembled or containerd refuses it.
    pub fn import_image(&self, image: &Image) -> Result<()> {
        let archive = image.archive(&self.parts.images())?;
        let mut command = self.processes.command(&self.parts.program("ctr"));
        command.args(["-a", &self.programs().containerd_socket(), "-n", "k8s.io", "images", "import"]).arg(&archive);
        run(&mut command).map(drop).with_context(|| format!("import image {}", image.reference()))
    }

    /// Installs the operator from its released binary with the chart, and returns the name of its image.
    ///
    /// # Errors
    /// With helm's own message, or the state of the operator's pods when they do not become ready.
    pub fn install_operator(&self, binary: &Path, chart: &Path, values: &[&str]) -> Result<String> {
        let image = images::operator(&self.parts, binary)?;
        self.import_image(&image)?;
        let reference = image.reference();
        let metrics_server = prometheus::ADDRESS;
        let installation = Installation { chart, image: reference, metrics_server, values, note: None };
        install(&self.cluster, &installation)?;
        Ok(reference.to_owned())
    }

    /// Runs a program inside the lab's network, beside its components; it ends with the lab. What it prints goes to a log
    /// of that name, whose path is returned with the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_beside(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<(Identity, PathBuf)> {
        let log = self.logs().join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("create the log of {name}"))?;
        let errors = output.try_clone().with_context(|| format!("open the log of {name}"))?;
        let mut command = self.processes.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let (_, identity) = spawn_recorded(&mut command, &self.instance.ledger(), name)?;
        Ok((identity, log))
    }

    /// Kills a component and waits for its end.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.processes.stop(component)
    }

    /// Starts a stopped component as it was started first; returns when it answers, if it is the API server.
    ///
    /// # Errors
    /// When it already runs or does not come up.
    pub fn start(&self, component: Component) -> Result<()> {
        self.processes.restart(component)?;
        if component == Component::ApiServer {
            self.wait_for_api_server(&|| ())?;
        }
        Ok(())
    }

    /// The first process of a pod's container, to signal or to measure.
    ///
    /// # Errors
    /// When the pod does not run that container.
    pub fn container_process(&self, namespace: &str, pod: &str, container: &str) -> Result<Identity> {
        let path = format!("jsonpath={{.status.containerStatuses[?(@.name=='{container}')].containerID}}");
        let id = self.kubectl(&["-n", namespace, "get", "pod", pod, "-o", &path])?;
        let found = id.strip_prefix("containerd://").and_then(|id| container_process(&self.instance.mark(), id));
        found.with_context(|| format!("container {container} of pod {namespace}/{pod} does not run"))
    }

    /// The oldest process of a program in a pod, by the pod's uid and the program's name: known as soon as it runs, long
    /// before the API server hears of it.
    pub fn pod_process(&self, uid: &str, program: &str) -> Option<Identity> {
        pod_process(&self.instance.mark(), uid, program)
    }

    /// What the containers of a pod have logged, oldest first: those that the kubelet still keeps.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn container_logs(&self, namespace: &str, pod: &str, container: &str) -> Result<Vec<Vec<String>>> {
        container_logs(&self.instance.state().join("pod-logs"), &format!("{namespace}_{pod}_"), container)
    }

    /// Stops a component in its tracks (SIGSTOP) until [`Lab::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.processes.signal(component, Signal::SIGSTOP)
    }

    /// Lets a paused component go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.processes.signal(component, Signal::SIGCONT)
    }

    /// Prometheus is gone until [`Lab::start_prometheus`].
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn stop_prometheus(&self) -> Result<()> {
        self.stop(Component::Prometheus)
    }

    /// Prometheus is back, with what it had stored.
    ///
    /// # Errors
    /// When it already runs.
    pub fn start_prometheus(&self) -> Result<()> {
        self.start(Component::Prometheus)
    }

    /// The API server is gone until [`Lab::start_api_server`].
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn stop_api_server(&self) -> Result<()> {
        self.stop(Component::ApiServer)
    }

    /// The API server is back and answers.
    ///
    /// # Errors
    /// When it already runs or does not come up.
    pub fn start_api_server(&self) -> Result<()> {
        self.start(Component::ApiServer)
    }

    /// The API server's audit log: one JSON object per line, for the audited groups only.
    pub fn audit_log(&self) -> PathBuf {
        self.instance.state().join("audit.log")
    }

    /// The gateway's counters since its Envoy started.
    ///
    /// # Errors
    /// When the API server or the gateway does not answer.
    pub fn gateway_counters(&self) -> Result<Counters> {
        Counters::read(&self.cluster)
    }

    fn programs(&self) -> Programs<'_> {
        Programs { parts: &self.parts, state: self.instance.state() }
    }

    fn lay_out(parts: &Parts, options: &Options, own: (Instance, Flock<File>)) -> Result<Self> {
        let (instance, held) = own;
        let _ = fs::remove_dir_all(instance.logs());
        fs::create_dir_all(instance.logs()).context("create the directory of logs")?;
        kubernetes::write_files(&instance, parts, options)?;
        let surroundings = Surroundings {
            network: instance.network(),
            ledger: instance.ledger(),
            logs: instance.logs(),
            search_path: parts.search_path(),
            library_path: parts.library_path(),
        };
        let cluster = Cluster::of(&instance, parts);
        Ok(Self { processes: Processes::new(surroundings), parts: parts.clone(), cluster, instance, _held: held })
    }

    fn start_everything(&self, options: &Options, waiting: &dyn Fn()) -> Result<()> {
        network::create(&self.instance, &self.processes)?;
        self.write_enter_script()?;
        match options.extent {
            Extent::Whole => self.start_whole(waiting)?,
            Extent::ControlPlane => self.start_control_plane(waiting)?,
        }
        options.extras.iter().try_for_each(|extra| match extra {
            Extra::Keda => self.start_keda(waiting),
            Extra::MetricsServer => self.start_metrics_server(waiting),
            Extra::Kwok => self.start_kwok(waiting),
        })
    }

    fn start_control_plane(&self, waiting: &dyn Fn()) -> Result<()> {
        let programs = self.programs();
        self.processes.start(programs.etcd())?;
        self.processes.start(programs.api_server())?;
        self.wait_for_api_server(waiting)?;
        self.processes.start(programs.quick_controller_manager())?;
        mesh::define(&self.cluster, &self.parts)
    }

    fn start_whole(&self, waiting: &dyn Fn()) -> Result<()> {
        kubernetes::create_cgroup(&self.instance)?;
        let programs = self.programs();
        for spec in [programs.etcd(), programs.api_server(), programs.containerd()] {
            self.processes.start(spec)?;
        }
        self.import_base_images(waiting)?;
        self.wait_for_api_server(waiting)?;
        let state = self.instance.state();
        let prometheus = prometheus::spec(&self.parts, &state);
        let rest = [
            programs.controller_manager(),
            programs.scheduler(),
            programs.kubelet(),
            programs.kube_proxy(),
            programs.core_dns(),
            prometheus,
        ];
        for spec in rest {
            self.processes.start(spec)?;
        }
        mesh::start(&self.cluster, &self.processes, &self.parts, &state)?;
        mesh::open_gateway(&self.cluster)?;
        self.wait_for_node("lab", waiting)?;
        self.wait_for_gateway(waiting)
    }

    fn start_kwok(&self, waiting: &dyn Fn()) -> Result<()> {
        kwok::start(&self.cluster, &self.processes, &self.parts, &self.instance.state())?;
        self.wait_for_node(kwok::NODE, waiting)
    }

    fn start_keda(&self, waiting: &dyn Fn()) -> Result<()> {
        keda::start(&self.cluster, &self.processes, &self.parts, &self.instance.state())?;
        self.wait("KEDA is ready", 60, waiting, |lab| {
            let mut ask = lab.processes.command(&lab.parts.program("busybox"));
            Ok(run(ask.args(["wget", "-qO-", keda::READY])).is_ok())
        })
    }

    fn start_metrics_server(&self, waiting: &dyn Fn()) -> Result<()> {
        metrics_server::start(&self.cluster, &self.processes, &self.parts, &self.instance.state())?;
        self.wait("metrics-server is available", 60, waiting, |lab| {
            let path = "jsonpath={.status.conditions[?(@.type=='Available')].status}";
            lab.kubectl(&["get", "apiservice", metrics_server::API, "-o", path]).map(|status| status == "True")
        })
    }

    fn import_base_images(&self, waiting: &dyn Fn()) -> Result<()> {
        let socket = self.programs().containerd_socket();
        self.wait("containerd answers", 30, waiting, |lab| {
            let mut version = lab.processes.command(&lab.parts.program("ctr"));
            Ok(run(version.args(["-a", &socket, "version"])).is_ok())
        })?;
        for image in images::base(&self.parts)? {
            waiting();
            self.import_image(&image)?;
        }
        Ok(())
    }

    fn wait_for_api_server(&self, waiting: &dyn Fn()) -> Result<()> {
        self.wait("the API server is ready", 60, waiting, |lab| {
            lab.kubectl(&["get", "--raw", "/readyz"]).map(|answer| answer.trim() == "ok")
        })
    }

    fn wait_for_node(&self, name: &str, waiting: &dyn Fn()) -> Result<()> {
        self.wait("the node is ready", 60, waiting, |lab| {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            lab.kubectl(&["get", "node", name, "-o", path]).map(|status| status == "True")
        })
    }

    fn wait_for_gateway(&self, waiting: &dyn Fn()) -> Result<()> {
        self.wait("the gateway is ready", 90, waiting, |lab| {
            let path = "jsonpath={.status.readyReplicas}";
            let deployment = ["-n", "istio-system", "get", "deployment", "istio-ingressgateway", "-o", path];
            lab.kubectl(&deployment).map(|replicas| replicas == "1")
        })
    }

    fn wait(
        &self,
        what: &str,
        limit_seconds: u64,
        waiting: &dyn Fn(),
        mut ready: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let mut broken = None;
        let waited = self.cluster.wait(what, Duration::from_secs(limit_seconds), |_| {
            waiting();
            // A component that has ended will not come back: stop waiting and say so.
            broken = self.processes.check().err();
            if broken.is_some() { Ok(true) } else { ready(self) }
        });
        broken.map_or(waited, Err)
    }

    fn write_enter_script(&self) -> Result<()> {
        let text = format!(
            "#!/bin/sh\n# Runs a command, or a shell, inside the lab's network.\n\
             export KUBECONFIG='{}' KUBECACHEDIR='{}' PATH='{}' LD_LIBRARY_PATH='{}'\n\
             [ $# -gt 0 ] || set -- \"${{SHELL:-sh}}\"\nexec nsenter --net='{}' -- \"$@\"\n",
            self.kubeconfig().display(),
            self.instance.state().join("client-cache").display(),
            self.parts.search_path(),
            self.parts.library_path(),
            self.instance.network().display()
        );
        let path = self.enter_script();
        fs::write(&path, text).context("write the script to enter")?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).context("make the script to enter executable")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        wait_if_interrupted();
        let taken = take_down(&self.instance);
        self.processes.collect();
        if let Err(error) = taken {
            say(&format!("could not take everything down: {error:#}; `cargo xtask lab down` tries again"));
        }
    }
}
