//! The controller from start to stop: clients, stores, lease, server, and the loop that starts ticks when they are due.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use burgee_api::Address;
use burgee_core::world::Kind;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::{Notifier, Options, VERSION};
use crate::ask;
use crate::brake;
use crate::cluster::{Cluster, connect};
use crate::crds::{self, Trouble};
use crate::http::Guard;
use crate::lead::Candidate;
use crate::observe;
use crate::operator::{Operator, Parts};
use crate::scheduler::Scheduler;
use crate::serve::{self, Health};
use crate::stores::{Progress, Stores};
use crate::supervise::supervise;

/// How often outdated definitions are looked at again.
const CRD_RETRY: Duration = Duration::from_secs(10);
/// How long notifications and post-rollout hooks may take after a stop, while somebody else leads already. Kubernetes kills
/// a pod that takes 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the controller until a signal ends it. What keeps it from running is logged like everything else.
pub async fn run(options: Options) -> Result<()> {
    crate::logs::start(&options.log_level, options.log_format);
    let ended = Box::pin(control(options)).await;
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    ended
}

async fn control(options: Options) -> Result<()> {
    tracing::info!(
        "Starting flagger version {VERSION} revision unknown mesh provider {}",
        options.settings.mesh_provider
    );
    let stop = CancellationToken::new();
    tokio::spawn(heed_signals(stop.clone()));
    let (cluster, lease_cluster, servers) = clusters(&options).await?;
    let (wishes, ticks_wanted) = mpsc::unbounded_channel();
    let (changes, changed_keys) = mpsc::unbounded_channel();
    let stores = Stores::new(options.namespaces.clone(), changes);
    let notifier = options.notifier.clone();
    let guard = Guard::new(&servers, options.exceptions.clone()).trusting_proxies(&|name| std::env::var(name).ok());
    let parts = Parts { cluster, stores, settings: options.settings.clone(), notifier, guard, wishes };
    let operator = Arc::new(Operator::new(parts).map_err(anyhow::Error::msg)?);
    let health = Arc::new(Health {
        telemetry: operator.telemetry.clone(),
        ready: AtomicBool::new(false),
        vitals: operator.stores.vitals.clone(),
    });
    show_info(&operator);
    let definitions = crds::check(&operator.cluster).await;
    if let Err(trouble @ Trouble::Unregistered(..)) = &definitions {
        bail!("{trouble}");
    }
    let listener = TcpListener::bind(("0.0.0.0", options.port)).await;
    let listener = listener.with_context(|| format!("port {} cannot be listened on", options.port))?;
    let (vitals, listener) = (operator.stores.vitals.clone(), Arc::new(listener));
    let server = {
        let (health, stop) = (health.clone(), stop.clone());
        move || serve::serve(listener.clone(), health.clone(), stop.clone())
    };
    tokio::spawn(supervise(vitals.clone(), "server", server));
    if wait_for_definitions(&operator, definitions.err(), &stop).await.is_break() {
        return Ok(());
    }
    let brake = {
        let (operator, namespace) = (operator.clone(), options.lease_namespace.clone());
        move || brake::follow::follow(operator.clone(), namespace.clone())
    };
    tokio::spawn(supervise(vitals.clone(), "brake", brake));
    sync(&operator).await;
    for canary in operator.stores.canaries() {
        observe::enter(&operator, &canary);
    }
    if tokio::time::timeout(brake::PATIENCE, operator.brake.known()).await.is_err() {
        tracing::warn!("ConfigMap {} could not be looked at yet; new runs wait until it can", brake::NAME);
    }
    brake::follow::show(&operator);
    let greeter = operator.clone();
    tokio::spawn(async move { ask::greet(&greeter).await });
    announce_notifier(&operator.notifier);
    health.ready.store(true, Ordering::Relaxed);
    let guard = {
        let (operator, health, stop) = (operator.clone(), health.clone(), stop.clone());
        move || guard_definitions(operator.clone(), health.clone(), stop.clone())
    };
    tokio::spawn(supervise(vitals.clone(), "definitions", guard));
    let leader = tokio::spawn(supervise(vitals, "lease", candidacy(&operator, lease_cluster, &options, &stop)));
    Box::pin(Scheduler::new(operator.clone()).go(changed_keys, ticks_wanted, &stop)).await;
    // Whatever became of the task, the process ends now.
    let _ = leader.await;
    if tokio::time::timeout(GRACE, delivered(&operator)).await.is_err() {
        tracing::warn!("stopping although not every notification and post-rollout hook was delivered");
    }
    Ok(())
}

fn show_info(operator: &Operator) {
    let provider = operator.settings.mesh_provider.as_str();
    operator.telemetry.set("flagger_info", &[("mesh_provider", provider), ("version", VERSION)], 1.0);
    operator.telemetry.set("burgee_crd_outdated", &[], 0.0);
    operator.telemetry.set("burgee_leader", &[], 0.0);
}

/// Clients for the work, and another one for the lease, so that a busy connection never costs the leadership. Also the
/// hosts of all API servers.
async fn clusters(options: &Options) -> Result<(Cluster, Cluster, Vec<String>)> {
    let config = config(&options.kubeconfig, &options.master).await.context("Kubernetes configuration")?;
    let mut servers = vec![config.cluster_url.host().unwrap_or_default().to_owned()];
    servers.extend(std::env::var("KUBERNETES_SERVICE_HOST"));
    let work = connect(config.clone()).context("Kubernetes client")?;
    let lease = connect(config).context("Kubernetes client of the lease")?;
    let mesh = if options.mesh_kubeconfig.is_empty() {
        work.clone()
    } else {
        let config = self::config(&options.mesh_kubeconfig, "").await.context("configuration of the mesh cluster")?;
        servers.push(config.cluster_url.host().unwrap_or_default().to_owned());
        connect(config).context("client of the mesh cluster")?
    };
    let cluster = Cluster::new(work, mesh);
    let lease = Cluster::new(lease.clone(), lease);
    let version = cluster.raw(http::Method::GET, "/version", None).await.context("error calling Kubernetes API")?;
    let version = version["gitVersion"].as_str().unwrap_or_default();
    if !is_supported(version) {
        bail!("unsupported Kubernetes API {version}, 1.11 or later is needed");
    }
    tracing::info!("Connected to Kubernetes API {version}");
    Ok((cluster, lease, servers))
}

/// Whether the contract allows a server's version (operations §2); one that cannot be read is taken as it is.
fn is_supported(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => major == 1 && minor >= 11,
        (None | Some(_), None | Some(_)) => true,
    }
}

/// The configuration of a kubeconfig, or of the cluster that this process runs in; with another API server if one is named.
pub async fn config(path: &str, master: &str) -> Result<Config> {
    let mut config = if path.is_empty() {
        Config::infer().await?
    } else {
        let kubeconfig = Kubeconfig::read_from(Path::new(path))?;
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
    };
    if !master.is_empty() {
        config.cluster_url = master.parse().with_context(|| format!("-master {}", Address::from(master)))?;
    }
    Ok(config)
}

/// Nothing is written, and `/readyz` fails, while the definitions would drop what has to be remembered.
async fn wait_for_definitions(
    operator: &Operator,
    mut trouble: Option<Trouble>,
    stop: &CancellationToken,
) -> std::ops::ControlFlow<()> {
    let mut said = None;
    while let Some(reason) = trouble {
        operator.telemetry.set("burgee_crd_outdated", &[], 1.0);
        if said.as_ref() != Some(&reason) {
            tracing::error!("{reason}");
            said = Some(reason);
        }
        tokio::select! {
            () = tokio::time::sleep(CRD_RETRY) => {}
            () = stop.cancelled() => return std::ops::ControlFlow::Break(()),
        }
        trouble = crds::check(&operator.cluster).await.err();
    }
    operator.telemetry.set("burgee_crd_outdated", &[], 0.0);
    std::ops::ControlFlow::Continue(())
}

/// Definitions that are replaced by older ones while we run are noticed at the next status write; then all writing stops.
async fn guard_definitions(operator: Arc<Operator>, health: Arc<Health>, stop: CancellationToken) {
    loop {
        operator.definitions.noticed().await;
        health.ready.store(false, Ordering::Relaxed);
        let trouble = Some(Trouble::Outdated);
        if wait_for_definitions(&operator, trouble, &stop).await.is_break() {
            return;
        }
        operator.definitions.settle();
        health.ready.store(true, Ordering::Relaxed);
    }
}

/// Competes for the lease, with the same identity however often it is started.
fn candidacy(
    operator: &Operator,
    cluster: Cluster,
    options: &Options,
    stop: &CancellationToken,
) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    let (leadership, vitals) = (operator.leadership.clone(), operator.stores.vitals.clone());
    let (namespace, identity, stop) = (options.lease_namespace.clone(), identity(), stop.clone());
    move || {
        let candidate = Candidate::new(cluster.clone(), namespace.clone(), identity.clone());
        Box::pin(candidate.run(leadership.clone(), vitals.clone(), stop.clone()))
    }
}

/// Starts the watches of our own kinds and waits for their first lists.
async fn sync(operator: &Operator) {
    let scopes = [Kind::Canary, Kind::MetricTemplate, Kind::AlertProvider].map(|kind| operator.stores.own_scopes(kind));
    let scopes = scopes.concat();
    for scope in &scopes {
        operator.stores.start(&operator.cluster, scope);
    }
    for scope in &scopes {
        operator.stores.listed(scope).await;
        if operator.stores.progress(scope) != Some(Progress::Synced) {
            let place = scope.namespace.as_ref().map(|namespace| format!(" of namespace {namespace}"));
            tracing::error!("{}{} cannot be watched", scope.kind.names().3, place.unwrap_or_default());
        }
    }
}

fn announce_notifier(notifier: &Notifier) {
    let url = if notifier.msteams_url.is_empty() { &notifier.slack_url } else { &notifier.msteams_url };
    if notifier.msteams_url.is_empty() && !url.is_empty() && notifier.slack_channel.is_empty() {
        tracing::error!("Notifier empty Slack channel");
    } else if url.written().len() > 30 {
        // The contract shows thirty letters, in which a chat's address may tell half of its secret.
        tracing::info!("Notifications enabled for {url}");
    }
}

/// The pod's uid, so that a restarted container resumes its lease at once; else something unique.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let unique = || format!("{}_{:016x}", host.trim(), fastrand::u64(..));
    std::env::var("POD_UID").ok().filter(|uid| !uid.is_empty()).unwrap_or_else(unique)
}

async fn delivered(operator: &Operator) {
    while !operator.is_delivered() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The first signal stops in an orderly way, the second one at once.
pub async fn heed_signals(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    tracing::info!("Shutting down");
    stop.cancel();
    next().await;
    std::process::exit(1);
}

/// Which canaries exist, by namespace, for `flagger_canary_total`.
pub(crate) fn totals(canaries: &BTreeSet<burgee_core::world::ObjectKey>) -> BTreeMap<String, usize> {
    let mut totals = BTreeMap::new();
    for canary in canaries {
        *totals.entry(canary.namespace.clone()).or_default() += 1;
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_older_than_the_contract_allows_are_refused() {
        let check = |version: &str, expected: bool| assert_eq!(is_supported(version), expected, "{version}");
        check("v1.34.1+k3s1", true);
        check("v1.11.0-alpha.1", true);
        check("v1.10.13", false);
        check("v2.0.0", false);
        check("", true);
    }
}
