//! Which canary, in which cluster: the flags that every command on a live canary has, as kubectl has them.

use burgee_core::world::ObjectKey;
use burgee_operator::visit::{Address, Visit};

/// What happened, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Refused.
    Refused,
    /// Nobody answered in time.
    Unanswered,
}

impl Outcome {
    /// The exit code; 1 is also any failure, and 2 a wrong command line.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Unanswered => 3,
        }
    }
}

/// Which canary.
#[derive(clap::Args, Debug)]
pub(crate) struct Place {
    /// Name of the Canary.
    canary: String,
    /// Its namespace; the context's when left out.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Path of the kubeconfig; what kubectl would take when left out.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
}

impl Place {
    /// Connects, and names the canary.
    pub(crate) async fn visit(&self) -> anyhow::Result<(Visit, ObjectKey)> {
        let Self { canary, namespace, kubeconfig, context } = self;
        let address =
            Address { kubeconfig: kubeconfig.clone(), context: context.clone(), namespace: namespace.clone() };
        let visit = Visit::begin(&address).await?;
        let key = visit.key(canary);
        Ok((visit, key))
    }
}

/// Runs a command that talks to a cluster, and ends the process with its code.
pub(crate) fn run(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(work)?.code() {
        0 => Ok(()),
        code => std::process::exit(code),
    }
}
