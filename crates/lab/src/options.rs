//! What a lab is asked to be. Holds values only; it does not touch the machine.
use std::path::PathBuf;

/// A part that a lab has only when asked for, because it takes long to build.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extra {
    /// KEDA's controller and its definitions.
    Keda,
    /// metrics-server, which tells autoscalers what pods use.
    MetricsServer,
}

impl Extra {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Keda, Self::MetricsServer];
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
    /// What it has beside what every lab has.
    pub extras: Vec<Extra>,
}

impl Default for Options {
    /// The instance `lab`; parts in `$BURGEE_LAB_CACHE` or `~/.cache/burgee-lab`; every service account audited;
    /// nothing extra.
    fn default() -> Self {
        Self {
            name: "lab".to_owned(),
            cache: default_cache(),
            state_root: PathBuf::from("/var/lib/burgee-lab"),
            audited_groups: vec!["system:serviceaccounts".to_owned()],
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
