//! One watch: list, then follow, then list again when the thread was lost. It fills a store and decides nothing.

use std::time::{Duration, Instant};

use burgee_core::world::Kind;
use futures::TryStreamExt;
use http::{HeaderValue, Method};
use kube::core::WatchEvent;
use serde_json::Value;

use crate::cluster::{ApiError, Cluster, Resource, request, send};
use crate::refusals::{DOUBT, DOUBT_RETRY, Refusals};
use crate::stores::{Deletion, Progress, Scope, Stores};

/// Objects per page of a list. Each takes ten times its text while it is read, and what a page took for a moment is not
/// given back by the allocator.
const PAGE: usize = 100;
/// Watches re-open after 10 to 30 minutes, so that thousands of them do not do it together.
const REOPEN_SECONDS: std::ops::Range<u32> = 600..1800;
/// The API server sends a bookmark about once a minute; longer silence means a dead connection.
const SILENCE: Duration = Duration::from_mins(5);
/// A missing permission is looked at again this often.
const FORBIDDEN_RETRY: Duration = Duration::from_mins(5);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A kind that was known is looked for again after shorter waits than this before it counts as gone.
const UNKNOWN_KIND: Duration = Duration::from_secs(10);
/// Helm's releases and the tokens of service accounts are left out.
const NEVER_TRACKED: &str =
    "&fieldSelector=type!%3Dhelm.sh%2Frelease.v1%2Ctype!%3Dkubernetes.io%2Fservice-account-token";
/// Metadata only, for the kinds whose content must not be kept.
const METADATA: &str = "application/json;as=PartialObjectMetadata{LIST};g=meta.k8s.io;v=v1,application/json";

/// Follows a kind until the program ends.
pub(crate) async fn follow(cluster: Cluster, stores: std::sync::Arc<Stores>, scope: Scope) {
    let mut wait = BACKOFF.0;
    let mut refusals = Refusals::default();
    loop {
        let failure = match list(&cluster, &stores, &scope).await {
            Ok(version) => {
                wait = BACKOFF.0;
                stay(&cluster, &stores, &scope, version, &mut refusals).await
            }
            Err(error) => error,
        };
        let refused = refusals.lasted(&failure, Instant::now());
        let pause = report(&stores, &scope, &failure, wait, refused);
        wait = (wait * 2).min(BACKOFF.1);
        tokio::time::sleep(jittered(pause)).await;
    }
}

/// Says what is wrong and how long to wait. A store that was filled keeps its content over a failure of the network, and
/// over refusals that have not stood (`refused`) for long: until then they say nothing of permissions.
fn report(stores: &Stores, scope: &Scope, failure: &ApiError, wait: Duration, refused: Duration) -> Duration {
    let (group, _, kind, plural) = scope.kind.names();
    match failure {
        ApiError::Gone(_) => Duration::ZERO,
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
    let version = pages(cluster, scope, |object| objects.extend(stores.arrival(scope.kind, object))).await?;
    stores.listing(scope, version, objects);
    Ok(version)
}

/// Enters what is newer than the watch has shown it. The API server answers a list with no older state than
/// there was when it was asked; a watch may be behind.
pub(crate) async fn catch_up(cluster: &Cluster, stores: &Stores, scope: &Scope) -> Result<(), ApiError> {
    pages(cluster, scope, |object| stores.shown(scope, object)).await.map(|_| ())
}

/// All objects of a scope, page by page. Answers their version.
async fn pages(cluster: &Cluster, scope: &Scope, mut take: impl FnMut(Value)) -> Result<u64, ApiError> {
    let mut token = String::new();
    loop {
        let query = format!("limit={PAGE}&continue={}", escape(&token));
        let mut page: Value = send(cluster.client(scope.kind), prepared(scope, &query)?).await?;
        if let Value::Array(items) = page["items"].take() {
            items.into_iter().for_each(&mut take);
        }
        page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
        if token.is_empty() {
            return Ok(crate::stores::version_of(&page));
        }
    }
}

/// Watches from `version`, re-opening as long as the thread is not lost. Answers why it was.
async fn stay(
    cluster: &Cluster,
    stores: &Stores,
    scope: &Scope,
    mut version: u64,
    refusals: &mut Refusals,
) -> ApiError {
    let mut wait = BACKOFF.0;
    loop {
        match open(cluster, stores, scope, &mut version, refusals).await {
            Ok(()) => wait = BACKOFF.0,
            Err(error @ (ApiError::Gone(_) | ApiError::Forbidden(_) | ApiError::Missing(_))) => return error,
            Err(error) => {
                let refused = refusals.lasted(&error, Instant::now());
                report(stores, scope, &error, wait, refused);
                tokio::time::sleep(jittered(wait)).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}

/// One watch request, until the server or silence ends it.
async fn open(
    cluster: &Cluster,
    stores: &Stores,
    scope: &Scope,
    version: &mut u64,
    refusals: &mut Refusals,
) -> Result<(), ApiError> {
    let timeout = fastrand::u32(REOPEN_SECONDS);
    let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={timeout}&resourceVersion={version}");
    let events = cluster.client(scope.kind).request_events::<Value>(prepared(scope, &query)?).await?;
    // A list that is granted is not enough: whoever may list may still not watch.
    refusals.end();
    let mut events = std::pin::pin!(events);
    while let Ok(event) = tokio::time::timeout(SILENCE, events.try_next()).await {
        let Some(event) = event? else { break };
        take(stores, scope, event, version)?;
    }
    Ok(())
}

fn take(stores: &Stores, scope: &Scope, event: WatchEvent<Value>, version: &mut u64) -> Result<(), ApiError> {
    let (object, deletion) = match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, Deletion::No),
        WatchEvent::Deleted(object) => (object, Deletion::Yes),
        WatchEvent::Bookmark(bookmark) => {
            *version = bookmark.metadata.resource_version.parse().unwrap_or(*version);
            return Ok(());
        }
        WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
    };
    *version = stores.event(scope, object, deletion).max(*version);
    Ok(())
}

/// The list or watch request of a scope. Helm's releases and service account tokens are left out: they dominate
/// memory and are never tracked.
fn prepared(scope: &Scope, query: &str) -> Result<http::Request<Vec<u8>>, ApiError> {
    let collection = Resource::of(scope.kind).collection(scope.namespace.as_deref());
    let selector = if scope.kind == Kind::Secret { NEVER_TRACKED } else { "" };
    let mut request = request(Method::GET, &format!("{collection}?{query}{selector}"), None)?;
    if scope.kind.is_confidential() {
        let list = if query.starts_with("watch") { "" } else { "List" };
        let accept = METADATA.replace("{LIST}", list);
        let accept = HeaderValue::from_str(&accept).map_err(|error| ApiError::Failed(error.to_string()))?;
        request.headers_mut().insert(http::header::ACCEPT, accept);
    }
    Ok(request)
}

fn escape(token: &str) -> String {
    url::form_urlencoded::byte_serialize(token.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use burgee_core::world::ObjectKey;
    use serde_json::json;

    use super::*;
    use crate::cluster::connect;
    use crate::fixtures::{Fake, failure, object};
    use crate::stores::Look;

    /// The watch of canaries, and whom it wakes. Nothing answers it.
    fn watched() -> (std::sync::Arc<Stores>, Scope, tokio::sync::mpsc::UnboundedReceiver<ObjectKey>) {
        let (changes, woken) = tokio::sync::mpsc::unbounded_channel();
        let stores = Stores::new(std::collections::BTreeSet::new(), changes);
        let scope = Scope { kind: Kind::Canary, namespace: None };
        let client = connect(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        stores.start(&Cluster::new(client.clone(), client), &scope);
        (stores, scope, woken)
    }

    #[tokio::test]
    async fn a_kind_that_was_known_and_is_missing_for_a_moment_is_not_given_up() {
        let (stores, scope, _woken) = watched();
        stores.listing(&scope, 7, vec![]);
        let missing = ApiError::Missing("404 page not found".to_owned());
        let report = |wait| report(&stores, &scope, &missing, wait, Duration::ZERO);
        assert_eq!(report(BACKOFF.0), BACKOFF.0);
        assert_eq!(stores.progress(&scope), Some(Progress::Synced));
        assert_eq!(report(UNKNOWN_KIND), BACKOFF.1);
        assert!(matches!(stores.progress(&scope), Some(Progress::Failing(_))));
        assert_eq!(report(BACKOFF.0), BACKOFF.1, "it stays given up");
    }

    /// Refuses a kind that was at `before`, at these seconds. Answers how long to wait after the last one, and where the
    /// kind is then.
    fn check_refused(before: &Progress, at_seconds: &[u64], expected: (Duration, &Progress)) {
        let (stores, scope, mut woken) = watched();
        stores.report(&scope, before.clone());
        let _ = woken.try_recv();
        let (refusal, start) = (ApiError::Forbidden("no".to_owned()), Instant::now());
        let mut refusals = Refusals::default();
        let mut pause = Duration::ZERO;
        for seconds in at_seconds {
            let refused = refusals.lasted(&refusal, start + Duration::from_secs(*seconds));
            pause = report(&stores, &scope, &refusal, BACKOFF.0, refused);
        }
        let after = stores.progress(&scope).unwrap();
        assert_eq!(woken.try_recv().is_ok(), after != *before, "only news wakes");
        assert_eq!((pause, &after), expected);
    }

    #[tokio::test]
    async fn only_a_refusal_that_stands_for_ten_seconds_is_a_missing_permission() {
        let told = Progress::Forbidden("list and watch of canaries is not permitted: no".to_owned());
        for before in [Progress::Synced, Progress::Listing] {
            check_refused(&before, &[0, 1], (DOUBT_RETRY, &before));
            check_refused(&before, &[0, 1, 9], (DOUBT_RETRY, &before));
            check_refused(&before, &[0, 1, 10], (FORBIDDEN_RETRY, &told));
        }
        check_refused(&told, &[0, 300], (FORBIDDEN_RETRY, &told));
    }

    #[tokio::test]
    async fn a_server_that_refuses_twice_and_then_answers_is_a_synced_one() {
        let refusals_left = std::sync::atomic::AtomicUsize::new(2);
        let fake = Fake::start(move |_| {
            let take_one = |left: usize| left.checked_sub(1);
            match refusals_left.fetch_update(Relaxed, Relaxed, take_one) {
                Ok(_) => failure(403, "no"),
                Err(_) => object(&json!({"metadata": {"resourceVersion": "7"}, "items": []})),
            }
        })
        .await;
        let operator = fake.operator();
        let key = ObjectKey::new(Kind::Deployment, "test", "podinfo");
        let seen = operator.stores.look(&operator.cluster, &key).await;
        assert!(matches!(seen, Look::Absent), "{seen:?}");
        assert_eq!(operator.stores.forbidden(&key), None);
        assert!(fake.seen().len() >= 3, "two were refused");
    }
}
