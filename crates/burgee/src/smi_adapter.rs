//! `burgee smi-adapter`: its flags, then the bridge at work.

use burgee_operator::adapter::{self, Options};
use clap::ValueEnum;

/// How the adapter runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Path of a kubeconfig, when not running in a cluster.
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    kubeconfig: String,
    /// The only namespace that is looked at; all when left out.
    #[arg(short, long)]
    namespace: Option<String>,
    /// From which level on is logged.
    #[arg(long, value_enum, default_value_t = Level::Info)]
    log_level: Level,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// There is no way to the API server.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { kubeconfig, namespace, log_level } = arguments;
    let options = Options {
        kubeconfig: kubeconfig.clone(),
        namespace: namespace.clone().filter(|namespace| !namespace.is_empty()),
        log_level: log_level.word().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(adapter::run(options))
}
