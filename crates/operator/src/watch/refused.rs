//! How long a watch waits after which failure, and what is said of it.

use std::sync::atomic::Ordering::Relaxed;

use burgee_core::world::ObjectKey;
use serde_json::json;

use super::*;
use crate::cluster::connect;
use crate::fixtures::{Fake, failure, object};
use crate::stores::Look;

/// The watch of canaries, and whom it wakes. Nothing answers it.
fn watched() -> (Arc<Stores>, Scope, tokio::sync::mpsc::UnboundedReceiver<ObjectKey>) {
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
    operator.stores.want([&key]);
    let seen = operator.stores.look(&operator.cluster, &key).await;
    assert!(matches!(seen, Look::Absent), "{seen:?}");
    assert_eq!(operator.stores.forbidden(&key), None);
    assert!(fake.seen().len() >= 3, "two were refused");
}
