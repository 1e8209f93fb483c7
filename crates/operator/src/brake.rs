//! The incident brake: a flag, or a ConfigMap that is watched, keeps new runs from beginning. It holds no run up that has
//! traffic, and decides nothing.

pub(crate) mod follow;

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

/// Name of the ConfigMap, in the namespace of the Lease.
pub const NAME: &str = "burgee-brake";
/// Its key; `"true"` is on.
pub const KEY: &str = "pause-new-runs";
/// How long a start waits for the first look at it: longer than a refusal is doubted. Until then the brake counts as on.
pub const PATIENCE: Duration = Duration::from_secs(15);
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

/// Whether a ConfigMap says that new runs are paused.
pub fn pauses(object: &Value) -> bool {
    object["metadata"]["name"] == NAME && object["data"][KEY].as_str().is_some_and(|text| text.trim() == "true")
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
}
