//! One watch: list, then follow, then list again when the thread was lost. It fills a store and decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burgee_core::world::Kind;

use crate::cluster::{ApiError, Cluster, Resource};
use crate::feed::{Depth, Feed, Happened, Lost};
use crate::refusals::{DOUBT, DOUBT_RETRY, Refusals};
use crate::stores::{Deletion, Progress, Scope, Stores};

/// A missing permission is looked at again this often.
const FORBIDDEN_RETRY: Duration = Duration::from_mins(5);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A watch that went well for so long begins with the first wait again.
const STEADY: Duration = Duration::from_secs(20);
/// A kind that was known is looked for again after shorter waits than this before it counts as gone.
const UNKNOWN_KIND: Duration = Duration::from_secs(10);
/// Helm's releases and the tokens of service accounts are left out.
const NEVER_TRACKED: &str =
    "&fieldSelector=type!%3Dhelm.sh%2Frelease.v1%2Ctype!%3Dkubernetes.io%2Fservice-account-token";

/// Follows a kind as long as somebody needs it.
pub(crate) async fn follow(cluster: Cluster, stores: Arc<Stores>, scope: Scope) {
    let name = scope.to_string();
    stores.vitals.begin(&name, scope.kind.name());
    let (mut wait, mut refusals) = (BACKOFF.0, Refusals::default());
    loop {
        let begun = Instant::now();
        let failure = match list(&cluster, &stores, &scope).await {
            Ok(version) => stay(&cluster, &stores, &scope, version, &mut refusals).await,
            Err(error) => Some(error),
        };
        let Some(failure) = failure.filter(|_| !stores.retire(&scope)) else { return };
        if begun.elapsed() > STEADY {
            wait = BACKOFF.0;
        }
        let refused = refusals.lasted(&failure, Instant::now());
        let pause = jittered(report(&stores, &scope, &failure, wait, refused));
        if !matches!(failure, ApiError::Failed(_)) {
            stores.vitals.rests(&name, pause);
        }
        wait = (wait * 2).min(BACKOFF.1);
        tokio::time::sleep(pause).await;
    }
}

/// Says what is wrong and how long to wait. A store that was filled keeps its content over a failure of the network, and
/// over refusals that have not stood (`refused`) for long: until then they say nothing of permissions.
fn report(stores: &Stores, scope: &Scope, failure: &ApiError, wait: Duration, refused: Duration) -> Duration {
    let (group, _, kind, plural) = scope.kind.names();
    match failure {
        ApiError::Gone(_) => wait,
        ApiError::Forbidden(message) if refused < DOUBT => {
            tracing::warn!("watch of {plural} was refused, trying again: {message}");
            DOUBT_RETRY
        }
        ApiError::Forbidden(message) => {
            let missing = format!("list and watch of {plural} is not permitted: {message}");
            tracing::warn!("{missing}; reading single objects at each tick instead");
            stores.report(scope, Progress::Forbidden(missing));
            FORBIDDEN_RETRY
        }
        // An API server that has just started does not know the kinds of custom resources yet.
        ApiError::Missing(_) if wait < UNKNOWN_KIND && stores.progress(scope) == Some(Progress::Synced) => wait,
        ApiError::Missing(_) => {
            stores.report(scope, Progress::Failing(format!("the cluster knows no {kind} ({group})")));
            BACKOFF.1
        }
        ApiError::Conflict(message) | ApiError::Refused(message) | ApiError::Failed(message) => {
            tracing::warn!("watch of {plural} failed: {message}");
            if stores.progress(scope) != Some(Progress::Synced) {
                stores.report(scope, Progress::Failing(format!("{plural} cannot be listed: {message}")));
            }
            wait
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75))
}

/// Lists everything, page by page, and answers the version to watch from.
async fn list(cluster: &Cluster, stores: &Stores, scope: &Scope) -> Result<u64, ApiError> {
    let mut objects = Vec::new();
    let version = feed(scope).list(cluster, |item| objects.extend(stores.incoming(scope.kind, item))).await?;
    stores.listing(scope, version, objects);
    stores.vitals.heard(&scope.to_string(), scope.kind.name());
    Ok(version)
}

/// Enters what is newer than the watch has shown it. The API server answers a list with no older state than
/// there was when it was asked; a watch may be behind.
pub(crate) async fn catch_up(cluster: &Cluster, stores: &Stores, scope: &Scope) -> Result<(), ApiError> {
    feed(scope).list(cluster, |item| stores.listed_anew(scope, item)).await.map(|_| ())
}

/// Watches from `version`, re-opening as long as the thread is not lost. Answers why it was; nothing if nobody needs the
/// watch any more.
async fn stay(
    cluster: &Cluster,
    stores: &Stores,
    scope: &Scope,
    mut version: u64,
    refusals: &mut Refusals,
) -> Option<ApiError> {
    let (name, feed) = (scope.to_string(), feed(scope));
    let mut wait = BACKOFF.0;
    loop {
        let begun = Instant::now();
        let ended = feed.follow(cluster, &mut version, |happened| {
            // A list that is granted is not enough: whoever may list may still not watch.
            refusals.end();
            stores.vitals.heard(&name, scope.kind.name());
            enter(stores, scope, happened);
        });
        let ended = ended.await;
        if stores.retire(scope) {
            return None;
        }
        if begun.elapsed() > STEADY {
            wait = BACKOFF.0;
        }
        match ended {
            Ok(()) if begun.elapsed() > BACKOFF.0 => continue,
            Ok(()) => {}
            Err(Lost::Thread(error)) => return Some(error),
            Err(Lost::Connection(error)) => {
                let refused = refusals.lasted(&error, Instant::now());
                report(stores, scope, &error, wait, refused);
            }
        }
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

fn enter(stores: &Stores, scope: &Scope, happened: Happened) {
    match happened {
        Happened::Present(item) => stores.happened(scope, item, Deletion::No),
        Happened::Gone(item) => stores.happened(scope, item, Deletion::Yes),
        Happened::Nothing => {}
    }
}

/// What is followed of a scope. Helm's releases and service account tokens are left out: they dominate memory and are
/// never tracked.
fn feed(scope: &Scope) -> Feed {
    Feed {
        kind: scope.kind,
        path: Resource::of(scope.kind).collection(scope.namespace.as_deref()),
        selector: if scope.kind == Kind::Secret { NEVER_TRACKED } else { "" },
        depth: if scope.kind.is_confidential() { Depth::Metadata } else { Depth::Whole },
    }
}

#[cfg(test)]
mod refused;
#[cfg(test)]
mod tests;
