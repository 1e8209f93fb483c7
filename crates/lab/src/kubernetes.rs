//! The configuration and command lines of Kubernetes' own programs. It starts nothing.
use crate::instance::Instance;
use crate::network::NODE_ADDRESS;
use crate::options::Options;
use crate::parts::Parts;
use crate::process::{Component, Spec};
use crate::template::fill;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Users of the cluster's own programs; each has a token and a kubeconfig.
const USERS: &[&str] = &[
    "admin",
    "controllers",
    "scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "istiod",
    "keda",
    "metrics-server",
    "kwok",
];

/// Writes every file that the programs read.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_files(instance: &Instance, parts: &Parts, options: &Options) -> Result<()> {
    let state = instance.state();
    for directory in ["pki", "kubeconfigs", "ctr", "cni", "kubelet"] {
        fs::create_dir_all(state.join(directory)).with_context(|| format!("create {directory}"))?;
    }
    let state_text = state.display().to_string();
    let debian = parts.debian().display().to_string();
    let mark = instance.mark();
    let groups = options.audited_groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>().join(", ");
    let values = [
        ("state", state_text.as_str()),
        ("debian", &debian),
        ("cgroup", &mark),
        ("network", &mark),
        ("groups", &groups),
    ];
    for (name, template) in [
        ("kubelet.yaml", include_str!("../manifests/kubelet.yaml")),
        ("containerd.toml", include_str!("../manifests/containerd.toml")),
        ("cni/10-lab.conflist", include_str!("../manifests/cni.json")),
        ("Corefile", include_str!("../manifests/Corefile")),
        ("audit-policy.yaml", include_str!("../manifests/audit-policy.yaml")),
        ("prometheus.yaml", include_str!("../manifests/prometheus.yaml")),
    ] {
        fs::write(state.join(name), fill(template, &values)).with_context(|| format!("write {name}"))?;
    }
    let key = rcgen::KeyPair::generate().context("make the service account key")?;
    fs::write(state.join("pki/accounts.key"), key.serialize_pem()).context("write the service account key")?;
    fs::write(state.join("pki/accounts.pub"), key.public_key_pem()).context("write the service account key")?;
    write_users(&state)
}

/// The administrator's kubeconfig.
pub(crate) fn admin_kubeconfig(instance: &Instance) -> PathBuf {
    kubeconfig(&instance.state(), "admin")
}

fn kubeconfig(state: &Path, user: &str) -> PathBuf {
    state.join("kubeconfigs").join(user)
}

fn write_users(state: &Path) -> Result<()> {
    let mut tokens = String::new();
    for user in USERS {
        let token = random_token()?;
        let _ = writeln!(tokens, "{token},{user},{user},\"system:masters\"");
        let authority = state.join("pki/apiserver.crt");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: admin\n\
             clusters: [{{name: lab, cluster: {{server: 'https://{NODE_ADDRESS}:6443', certificate-authority: '{}'}}}}]\n\
             users: [{{name: {user}, user: {{token: {token}}}}}]\n\
             contexts: [{{name: admin, context: {{cluster: lab, user: {user}}}}}]\n",
            authority.display()
        );
        fs::write(kubeconfig(state, user), text).with_context(|| format!("write kubeconfig of {user}"))?;
    }
    fs::write(state.join("pki/tokens.csv"), tokens).context("write tokens")
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("read random bytes")?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Makes the cgroup below which the kubelet keeps its pods, so that two instances never meet.
///
/// # Errors
/// When no hierarchy takes it.
pub(crate) fn create_cgroup(instance: &Instance) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = root.join("cgroup.controllers");
    if controllers.exists() {
        return create_unified_cgroup(root, &instance.mark());
    }
    for hierarchy in fs::read_dir(root).context("list cgroup hierarchies")?.flatten() {
        if hierarchy.path().is_dir() && !hierarchy.path().is_symlink() {
            let directory = hierarchy.path().join(instance.mark());
            fs::create_dir_all(&directory).with_context(|| format!("create cgroup {}", directory.display()))?;
            let cpus = hierarchy.path().join("cpuset.cpus");
            if cpus.exists() {
                copy_cpuset(&hierarchy.path(), &directory)?;
            }
        }
    }
    Ok(())
}

/// A new cpuset is empty and takes no process until it has processors and memory.
fn copy_cpuset(from: &Path, to: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(from.join(file)).with_context(|| format!("read {file}"))?;
        fs::write(to.join(file), value).with_context(|| format!("write {file}"))?;
    }
    Ok(())
}

fn create_unified_cgroup(root: &Path, mark: &str) -> Result<()> {
    let directory = root.join(mark);
    fs::create_dir_all(&directory).with_context(|| format!("create cgroup {}", directory.display()))?;
    let available = fs::read_to_string(root.join("cgroup.controllers")).context("read cgroup controllers")?;
    for controller in available.split_whitespace() {
        for place in [root, &directory] {
            // Not every controller can be handed down on every machine; the kubelet says which one it misses.
            let _ = fs::write(place.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// How each of Kubernetes' programs is started.
pub(crate) struct Programs<'a> {
    /// The built parts.
    pub parts: &'a Parts,
    /// The instance's state directory.
    pub state: PathBuf,
}

impl Programs<'_> {
    /// The store; it never waits for the disk, because nothing of a lab outlives it.
    pub(crate) fn etcd(&self) -> Spec {
        let data = self.path("etcd");
        self.spec(
            Component::Etcd,
            &[
                &format!("--data-dir={data}"),
                "--unsafe-no-fsync",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--initial-advertise-peer-urls=http://127.0.0.1:2380",
                "--initial-cluster=default=http://127.0.0.1:2380",
                "--log-level=warn",
            ],
        )
    }

    /// The API server, with tokens, RBAC and an audit log.
    pub(crate) fn api_server(&self) -> Spec {
        self.spec(
            Component::ApiServer,
            &[
                "--etcd-servers=http://127.0.0.1:2379",
                "--secure-port=6443",
                &format!("--advertise-address={NODE_ADDRESS}"),
                &format!("--cert-dir={}", self.path("pki")),
                &format!("--service-account-key-file={}", self.path("pki/accounts.pub")),
                &format!("--service-account-signing-key-file={}", self.path("pki/accounts.key")),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                &format!("--token-auth-file={}", self.path("pki/tokens.csv")),
                "--authorization-mode=Node,RBAC",
                // As on clusters where whoever makes an object may not block the deletion of what he may not finalize.
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
                "--allow-privileged",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--kubelet-preferred-address-types=InternalIP",
                &format!("--audit-policy-file={}", self.path("audit-policy.yaml")),
                &format!("--audit-log-path={}", self.path("audit.log")),
                "--audit-log-mode=blocking",
                // One file, however long: whoever counts requests goes on reading where it stopped.
                "--audit-log-maxsize=100000",
                "--max-requests-inflight=1000",
                "--max-mutating-requests-inflight=500",
            ],
        )
    }

    /// The controllers, allowed to work for many namespaces at once.
    pub(crate) fn controller_manager(&self) -> Spec {
        self.spec(
            Component::ControllerManager,
            &[
                &self.kubeconfig("controllers"),
                "--leader-elect=false",
                &format!("--service-account-private-key-file={}", self.path("pki/accounts.key")),
                &format!("--root-ca-file={}", self.path("pki/apiserver.crt")),
                "--service-cluster-ip-range=10.96.0.0/16",
                "--kube-api-qps=300",
                "--kube-api-burst=600",
                "--concurrent-deployment-syncs=20",
                "--concurrent-replicaset-syncs=20",
                "--concurrent-namespace-syncs=20",
                "--horizontal-pod-autoscaler-sync-period=5s",
                // Pods of a test are younger than the five minutes in which their use is not believed.
                "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
                "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            ],
        )
    }

    /// The controllers for thousands of pods that change at once: what is measured there is not to wait for them.
    pub(crate) fn quick_controller_manager(&self) -> Spec {
        let mut spec = self.controller_manager();
        let quick = [
            // Of a flag that is given twice the last counts.
            "--kube-api-qps=3000",
            "--kube-api-burst=6000",
            // Nothing measures the use of such pods, and each vain look of an autoscaler costs three requests.
            "--horizontal-pod-autoscaler-sync-period=1h",
            // A node that does not exist sends no heartbeat, and without one all its pods would count as unready.
            "--controllers=*,-node-lifecycle-controller",
        ];
        spec.arguments.extend(quick.map(str::to_owned));
        spec
    }

    /// The scheduler.
    pub(crate) fn scheduler(&self) -> Spec {
        self.spec(
            Component::Scheduler,
            &[&self.kubeconfig("scheduler"), "--leader-elect=false", "--kube-api-qps=200", "--kube-api-burst=400"],
        )
    }

    /// The container runtime, with its own socket and roots.
    pub(crate) fn containerd(&self) -> Spec {
        self.spec(Component::Containerd, &["--config", &self.path("containerd.toml"), "--log-level", "warn"])
    }

    /// The node.
    pub(crate) fn kubelet(&self) -> Spec {
        self.spec(
            Component::Kubelet,
            &[
                &self.kubeconfig("kubelet"),
                &format!("--config={}", self.path("kubelet.yaml")),
                &format!("--root-dir={}", self.path("kubelet")),
                &format!("--cert-dir={}", self.path("kubelet/pki")),
                // Without it cAdvisor does not know which cgroup is which pod's.
                &format!("--containerd={}", self.path("ctr/containerd.sock")),
                "--hostname-override=lab",
                &format!("--node-ip={NODE_ADDRESS}"),
            ],
        )
    }

    /// Service addresses, by nftables.
    pub(crate) fn kube_proxy(&self) -> Spec {
        self.spec(
            Component::KubeProxy,
            &[
                &self.kubeconfig("kube-proxy"),
                "--proxy-mode=nftables",
                "--conntrack-max-per-core=0",
                "--hostname-override=lab",
            ],
        )
    }

    /// Cluster DNS on the node's address.
    pub(crate) fn core_dns(&self) -> Spec {
        self.spec(Component::CoreDns, &["-conf", &self.path("Corefile")])
    }

    /// The container runtime's socket.
    pub(crate) fn containerd_socket(&self) -> String {
        self.path("ctr/containerd.sock")
    }

    fn path(&self, name: &str) -> String {
        self.state.join(name).display().to_string()
    }

    fn kubeconfig(&self, user: &str) -> String {
        format!("--kubeconfig={}", kubeconfig(&self.state, user).display())
    }

    fn spec(&self, component: Component, arguments: &[&str]) -> Spec {
        Spec {
            component,
            program: self.parts.program(component.name()),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: Vec::new(),
        }
    }
}
