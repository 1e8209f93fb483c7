//! What a lab is asked to be. Holds values only; it does not touch the machine.
use std::path::PathBuf;

/// How much of a cluster a lab is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// A node that runs pods, with Istio and Prometheus.
    Whole,
    /// etcd, the API server and the controllers, with Istio's definitions. Nothing runs a pod and nothing schedules one.
    ControlPlane,
}

/// A part that a lab has only when asked for, because it takes long to build.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extra {
    /// KEDA's controller and its definitions.
    Keda,
    /// metrics-server, which tells autoscalers what pods use.
    MetricsServer,
    /// kwok, which answers for nodes that do not exist, and for pods by the thousand.
    Kwok,
}

impl Extra {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Keda, Self::MetricsServer, Self::Kwok];
}

/// How one lab is to be set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the instance; two instances with different names can run at the same time.
    pub name: String,
    /// Directory of the built parts, shared by all instances and kept between runs.
    pub cache: PathBuf,
    /// Directory under which each running instance keeps its state.
    pub state_root: PathBuf,
    /// Groups whose requests the API server's audit log records, at Metadata level.
    pub audited_groups: Vec<String>,
    /// How much of a cluster it is.
    pub extent: Extent,
    /// What it has beside what every lab of its extent has.
    pub extras: Vec<Extra>,
}

impl Default for Options {
    /// The instance `lab`; parts in `$BURGEE_LAB_CACHE` or `~/.cache/burgee-lab`; every service account audited;
    /// a whole cluster, nothing extra.
    fn default() -> Self {
        Self {
            name: "lab".to_owned(),
            cache: default_cache(),
            state_root: PathBuf::from("/var/lib/burgee-lab"),
            audited_groups: vec!["system:serviceaccounts".to_owned()],
            extent: Extent::Whole,
            extras: Vec::new(),
        }
    }
}

impl Options {
    /// The default options for an instance of another name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

fn default_cache() -> PathBuf {
    if let Some(chosen) = std::env::var_os("BURGEE_LAB_CACHE") {
        return PathBuf::from(chosen);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/burgee-lab")
}
