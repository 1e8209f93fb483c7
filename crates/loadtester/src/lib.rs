//! The load tester: gates and tasks that canaries call with webhooks (contract: webhooks §5). It knows no canary, and must not
//! be needed by the operator.
//!
//! Read [`routes`] first, then [`task`], [`runner`] and [`process`]. The built-in generator is [`hey`].

mod gates;
mod hey;
mod job;
mod numbers;
mod options;
mod output;
mod payload;
mod process;
mod remote;
mod routes;
mod runner;
mod serve;
mod task;
#[cfg(test)]
mod testing;
mod words;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use burgee_operator::args::VERSION;
use tokio_util::sync::CancellationToken;

pub use crate::hey::command as hey;
use crate::job::Jobs;
use crate::options::{Enabled, Options};
use crate::routes::Desk;

/// Runs the load tester with Go-style flags until a signal ends it.
pub fn run(flags: &[String]) -> anyhow::Result<()> {
    let Some(options) = options::read(flags).settle() else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(start(options))
}

async fn start(options: Options) -> anyhow::Result<()> {
    burgee_operator::logs::start(options.log_level, options.log_format);
    let port = options.port;
    let stop = CancellationToken::new();
    tokio::spawn(burgee_operator::run::heed_signals(stop.clone()));
    let listener = serve::listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let listener = listener.with_context(|| format!("port {port} cannot be listened on"))?;
    let jobs = match options.jobs {
        Enabled::Yes => Some(Jobs::connect(&options.kubeconfig).await.context("-enable-run-job")?),
        Enabled::No => None,
    };
    let desk = Desk::new(options, jobs)?;
    tracing::info!("Starting load tester v{VERSION} API on port {port}");
    attend(listener, Arc::new(desk), stop).await;
    Ok(())
}

/// Serves until `stop`, and leaves no task behind.
async fn attend(listener: tokio::net::TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let runner = desk.runner.clone();
    let ending = async {
        stop.cancelled().await;
        runner.end().await;
    };
    tokio::join!(serve::serve(listener, desk, stop.clone()), ending);
}
