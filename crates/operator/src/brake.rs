//! The incident brake: a flag, or a ConfigMap that is watched, keeps new runs from beginning. It holds no run up that has
//! traffic, and decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burgee_core::world::Kind;
use futures::TryStreamExt;
use http::Method;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::watch;

use crate::cluster::{ApiError, Cluster, Resource, request, send};
use crate::operator::Operator;
use crate::refusals::{DOUBT, DOUBT_RETRY, Refusals};
use crate::stores::version_of;

/// Name of the ConfigMap, in the namespace of the Lease.
pub const NAME: &str = "burgee-brake";
/// Its key; `"true"` is on.
pub const KEY: &str = "pause-new-runs";
/// How long a start waits for the first look at it: longer than a refusal is doubted. Until then the brake counts as on.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A missing permission is looked at again this often.
const FORBIDDEN_RETRY: Duration = Duration::from_mins(5);
/// The watch re-opens this often, in seconds.
const REOPEN_SECONDS: u32 = 600;
/// The API server sends a bookmark about once a minute; longer silence means a dead connection.
const SILENCE: Duration = Duration::from_mins(5);

/// Where the brake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// New runs wait.
    On,
    /// New runs begin.
    Off,
}

/// What the ConfigMap says; none before it was looked at.
#[derive(Debug)]
pub struct Brake {
    said: watch::Sender<Option<Position>>,
}

impl Default for Brake {
    fn default() -> Self {
        Self { said: watch::Sender::new(None) }
    }
}

impl Brake {
    /// Whether new runs wait for the ConfigMap. What is not known yet counts as on.
    pub fn is_on(&self) -> bool {
        *self.said.borrow() != Some(Position::Off)
    }

    /// Tells whenever it goes on or off.
    pub fn changes(&self) -> watch::Receiver<Option<Position>> {
        self.said.subscribe()
    }

    /// Returns when the ConfigMap was looked at for the first time.
    pub async fn known(&self) {
        // The sender lives as long as self.
        let _ = self.changes().wait_for(Option::is_some).await;
    }

    fn set(&self, position: Position) {
        let moved = self.said.send_if_modified(|said| said.replace(position) != Some(position));
        match position {
            Position::On if moved => tracing::warn!("new runs are paused by ConfigMap {NAME}"),
            Position::Off if moved => tracing::info!("new runs are not paused by ConfigMap {NAME}"),
            Position::On | Position::Off => {}
        }
    }
}

/// Shows on `/metrics` whether new runs are paused, by whatever.
pub(crate) fn show(operator: &Operator) {
    let is_on = operator.settings_now().pause_new_runs;
    operator.telemetry.set("burgee_new_runs_paused", &[], f64::from(u8::from(is_on)));
}

/// Whether a ConfigMap says that new runs are paused.
pub fn pauses(object: &Value) -> bool {
    object["metadata"]["name"] == NAME && object["data"][KEY].as_str().is_some_and(|text| text.trim() == "true")
}

fn position<'a>(mut objects: impl Iterator<Item = &'a Value>) -> Position {
    if objects.any(pauses) { Position::On } else { Position::Off }
}

/// Follows the ConfigMap until the program ends.
pub(crate) async fn follow(operator: Arc<Operator>, namespace: String) {
    let mut wait = BACKOFF.0;
    let mut refusals = Refusals::default();
    loop {
        match look(&operator.cluster, &operator.brake, &namespace, &mut refusals).await {
            Ok(()) | Err(ApiError::Gone(_)) => wait = BACKOFF.0,
            Err(error) => {
                let refused = refusals.lasted(&error, Instant::now());
                wait = report(&operator.brake, &error, wait, refused);
            }
        }
        tokio::time::sleep(wait).await;
    }
}

/// Says what is wrong and how long to wait. The brake stays where it is, unless it has been refused for so long that a
/// permission must be missing.
fn report(brake: &Brake, failure: &ApiError, wait: Duration, refused: Duration) -> Duration {
    if !matches!(failure, ApiError::Forbidden(_)) {
        tracing::warn!("watch of ConfigMap {NAME} failed: {failure}");
        return (wait * 2).min(BACKOFF.1);
    }
    if refused < DOUBT {
        tracing::warn!("watch of ConfigMap {NAME} was refused, trying again: {failure}");
        return DOUBT_RETRY;
    }
    tracing::warn!("ConfigMap {NAME} cannot be watched, only -pause-new-runs pauses runs: {failure}");
    brake.set(Position::Off);
    FORBIDDEN_RETRY
}

/// One list and the watch after it.
async fn look(cluster: &Cluster, brake: &Brake, namespace: &str, refusals: &mut Refusals) -> Result<(), ApiError> {
    let path = Resource::of(Kind::ConfigMap).collection(Some(namespace));
    let path = format!("{path}?fieldSelector=metadata.name%3D{NAME}");
    let client = cluster.client(Kind::ConfigMap);
    let list: Value = send(client, request(Method::GET, &path, None)?).await?;
    brake.set(position(list["items"].as_array().into_iter().flatten()));
    let version = version_of(&list);
    let options = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={REOPEN_SECONDS}&resourceVersion={version}");
    let events = client.request_events::<Value>(request(Method::GET, &format!("{path}&{options}"), None)?).await?;
    refusals.end();
    let mut events = std::pin::pin!(events);
    while let Ok(event) = tokio::time::timeout(SILENCE, events.try_next()).await {
        match event? {
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                brake.set(position([&object].into_iter()));
            }
            Some(WatchEvent::Deleted(_)) => brake.set(Position::Off),
            Some(WatchEvent::Bookmark(_)) => {}
            Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status).into()),
            None => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_word_true_under_its_key_pauses_new_runs() {
        let config = |data: Value| json!({"metadata": {"name": NAME}, "data": data});
        assert!(pauses(&config(json!({KEY: "true"}))));
        assert!(pauses(&config(json!({KEY: "true\n"}))));
        for data in [json!({KEY: "false"}), json!({KEY: ""}), json!({"other": "true"}), json!(null)] {
            assert!(!pauses(&config(data)));
        }
        assert!(!pauses(&json!({"metadata": {"name": "other"}, "data": {KEY: "true"}})));
    }

    #[tokio::test]
    async fn what_is_not_known_counts_as_on_and_only_a_change_is_told() {
        let brake = Brake::default();
        let mut changes = brake.changes();
        assert!(brake.is_on());
        brake.set(Position::Off);
        brake.known().await;
        assert!(!brake.is_on());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        brake.set(Position::Off);
        assert!(!changes.has_changed().unwrap());
        brake.set(Position::On);
        assert!(changes.has_changed().unwrap() && brake.is_on());
    }
    #[test]
    fn a_brake_that_is_on_is_not_released_by_a_refusal_that_does_not_stand() {
        let brake = Brake::default();
        brake.set(Position::On);
        let refusal = ApiError::Forbidden("no".to_owned());
        assert_eq!(report(&brake, &refusal, BACKOFF.0, DOUBT / 2), DOUBT_RETRY);
        assert!(brake.is_on());
        assert_eq!(report(&brake, &refusal, BACKOFF.0, DOUBT), FORBIDDEN_RETRY);
        assert!(!brake.is_on(), "without the permission it counts as off");
    }
}
