//! The incident brake: a flag, or a ConfigMap that is watched, keeps new runs from beginning. It holds no run up that has
//! traffic, and decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burgee_core::world::Kind;
use serde_json::Value;
use tokio::sync::watch;

use crate::cluster::{ApiError, Resource};
use crate::feed::{Depth, Feed, Happened, Lost};
use crate::operator::Operator;
use crate::refusals::{DOUBT, DOUBT_RETRY, Refusals};
use crate::vitals::Vitals;

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
/// A watch that ended sooner than this is not opened again at once.
const SHORT: Duration = Duration::from_secs(1);
/// What the watch is called among others.
const WATCH: &str = "ConfigMap burgee-brake";

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

/// Follows the ConfigMap until the program ends.
pub(crate) async fn follow(operator: Arc<Operator>, namespace: String) {
    let vitals = &operator.stores.vitals;
    vitals.begin(WATCH, WATCH);
    let mut wait = BACKOFF.0;
    let mut refusals = Refusals::default();
    loop {
        let begun = Instant::now();
        let failure = look(&operator, &namespace, &mut refusals).await;
        if begun.elapsed() > BACKOFF.1 {
            wait = BACKOFF.0;
        }
        let refused = refusals.lasted(&failure, Instant::now());
        wait = report(&operator.brake, &failure, wait, refused);
        if !matches!(failure, ApiError::Failed(_)) {
            vitals.rests(WATCH, wait);
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

/// One list and the watch after it, opened again as long as the thread is not lost. Answers why it was.
async fn look(operator: &Operator, namespace: &str, refusals: &mut Refusals) -> ApiError {
    let Operator { cluster, brake, stores, .. } = operator;
    let path = Resource::of(Kind::ConfigMap).collection(Some(namespace));
    let selector = "&fieldSelector=metadata.name%3Dburgee-brake";
    let feed = Feed { kind: Kind::ConfigMap, path, selector, depth: Depth::Whole };
    let mut found = Position::Off;
    let listed = feed.list(cluster, |item| {
        if pauses(&item.whole()) {
            found = Position::On;
        }
    });
    let mut version = match listed.await {
        Ok(version) => version,
        Err(error) => return error,
    };
    heard(&stores.vitals);
    brake.set(found);
    loop {
        let begun = Instant::now();
        let ended = feed.follow(cluster, &mut version, |happened| {
            refusals.end();
            heard(&stores.vitals);
            match happened {
                Happened::Present(item) => brake.set(if pauses(&item.whole()) { Position::On } else { Position::Off }),
                Happened::Gone(_) => brake.set(Position::Off),
                Happened::Nothing => {}
            }
        });
        match ended.await {
            Ok(()) if begun.elapsed() > SHORT => {}
            Ok(()) => return ApiError::Failed("the API server ended it at once".to_owned()),
            Err(Lost::Connection(error) | Lost::Thread(error)) => return error,
        }
    }
}

fn heard(vitals: &Vitals) {
    vitals.heard(WATCH, WATCH);
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
