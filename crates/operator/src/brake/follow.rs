//! Following the ConfigMap of the brake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burgee_core::world::Kind;

use super::{Brake, NAME, Position, pauses};
use crate::cluster::{ApiError, Resource};
use crate::feed::{Depth, Feed, Happened, Lost};
use crate::operator::Operator;
use crate::refusals::{DOUBT, DOUBT_RETRY, Refusals};
use crate::vitals::Vitals;

/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A missing permission is looked at again this often.
const FORBIDDEN_RETRY: Duration = Duration::from_mins(5);
/// A watch that ended sooner than this is not opened again at once.
const SHORT: Duration = Duration::from_secs(1);
/// What the watch is called among others.
const WATCH: &str = "ConfigMap burgee-brake";

/// Shows on `/metrics` whether new runs are paused, by whatever.
pub(crate) fn show(operator: &Operator) {
    let is_on = operator.settings_now().pause_new_runs;
    operator.telemetry.set("burgee_new_runs_paused", &[], f64::from(u8::from(is_on)));
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
