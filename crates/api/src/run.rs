//! What is remembered of a run, as stored. It decides nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::analysis::Severity;
use crate::hook::WebhookType;
use crate::lenient;
use crate::phase::Phase;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What must survive a crash of the controller; an addition to the contract. Times are RFC 3339 with a fraction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Run {
    /// Digest of the revision that is analysed.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Uid of the target when it was read.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub target_uid: String,
    /// Generation of the target when it was read.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub target_generation: Option<i64>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Ready replicas of the primary when the run began; a primary that was deleted gets as many again.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub primary_ready_at_start: Option<i64>,
    /// When the weight or iteration of the current step was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_started_at: Option<String>,
    /// How the canary is tried out in this run, once it has been given anything to do.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RunStrategy>,
    /// Where the traffic is, beside what the weight says.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "is_default")]
    pub traffic: Traffic,
    /// What the primary runs.
    #[serde(deserialize_with = "primary_state", skip_serializing_if = "is_default")]
    pub primary: PrimaryState,
    /// Weights in percent that the canary has had of `stepWeights`, one for each step of this run.
    #[serde(deserialize_with = "lenient::integers", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<f64>")]
    pub weights: Vec<i64>,
    /// Who splits the traffic, and the Service that the routes are made for.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
    /// Autoscalers of which the primary may have copies, the newest last.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Vec::is_empty")]
    pub scalers: Vec<CopiedScaler>,
    /// Digest of what the primary's autoscaler follows: of the target's, and of what the canary says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler_digest: Option<String>,
    /// Until when the canary's workload had requests of before this run; metrics that look back further wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_until: Option<String>,
    /// Since when somebody else has kept changing the routes of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fought_since: Option<String>,
    /// Since when a set of the run has not been ready, without a moment in which all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready_since: Option<String>,
    /// What the Secret with the configs of the promoted revision is recognised by, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_configs: Option<String>,
    /// Whether somebody was told that metrics wait until then.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub foreign_told: bool,
    /// Whether the metrics providers have answered before the first primary was made.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub providers_checked: bool,
    /// Hooks that passed and are not asked again.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Vec::is_empty")]
    pub hooks_passed: Vec<PassedHook>,
    /// Names of the gates before a weight that somebody was told are closed.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Vec::is_empty")]
    pub gates_closed: Vec<String>,
    /// Since when a metrics provider has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// What the metrics provider said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_reason: Option<String>,
    /// Since when the metrics provider has answered again, but has not all of the data yet.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Option::is_none")]
    pub catching_up: Option<CatchingUp>,
    /// Since when a rollback has waited for a pod of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_waits_since: Option<String>,
    /// Since when a revision after this run has been waiting for its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<String>,
    /// Whether somebody was told that it waits longer than it should.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub pending_told: bool,
    /// Until when a set without traffic keeps its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<String>,
    /// Why the last check of the run that failed did: the text of its event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// How the run ended.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
    /// What was ordered and is still to be done.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Ordered>,
    /// Since when the analysis is paused by order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<String>,
    /// The last orders that were answered; none of them is taken again.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<AnsweredOrder>,
    /// What may not have reached everybody yet, the newest last.
    #[serde(deserialize_with = "lenient::if_readable", skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<Delivery>,
    /// Number of events told in this run.
    #[serde(deserialize_with = "lenient::count")]
    pub told: i64,
}

/// What is to be delivered after a status write, and from what it is made again after a restart; an addition to the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivery {
    /// When it arose. No two of a canary are the same in time, kind and text.
    #[serde(deserialize_with = "lenient::or_default")]
    pub at: String,
    /// What it is.
    #[serde(deserialize_with = "lenient::or_default")]
    pub kind: DeliveryKind,
    /// The phase that it tells of.
    #[serde(deserialize_with = "lenient::or_default")]
    pub phase: Phase,
    /// The text of an alert.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The severity of an alert.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Severity::is_unset")]
    pub severity: Severity,
    /// How much of the canary an alert shows.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "is_default")]
    pub detail: AlertDetail,
}

/// What is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryKind {
    /// An alert, to the alert providers.
    #[default]
    Alert,
    /// The calls of the post-rollout hooks.
    PostRollout,
}

/// How much of the canary an alert shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AlertDetail {
    /// Only the cluster's name.
    #[default]
    Cluster,
    /// The cluster, the target, threshold, deadline and routing.
    Full,
}

/// An order of a person, as it was answered; an addition to the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AnsweredOrder {
    /// What tells the order from all others.
    #[serde(deserialize_with = "lenient::or_default")]
    pub id: String,
    /// What became of it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub result: OrderResult,
    /// The answer, as it stands in the event.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How a canary is tried out in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunStrategy {
    /// Weights, step by step.
    Canary,
    /// A number of checks, then all at once.
    BlueGreen,
    /// A number of checks on matching requests.
    AbTesting,
}

/// Where the traffic of a run is, beside what the weight says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// As the weight says.
    #[default]
    Weighted,
    /// All on the primary, and the canary gets copies.
    Mirrored,
    /// The revision has some only because the primary had no pod to take it back.
    Stranded,
    /// On its way back to the promoted primary, step by step.
    Returning,
}

/// What the primary runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrimaryState {
    /// What was promoted last.
    #[default]
    Promoted,
    /// What another operator copied to it in the promotion that was taken over.
    Copied,
    /// What a promotion that failed has made of it; it is not put back yet.
    Changed,
    /// The same, and it cannot be put back: nobody waits for it before the fix is promoted to it.
    Broken,
}

/// What another version of us has left of the primary and cannot be read is nothing that was promoted, for that is not
/// written: it is put back.
fn primary_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PrimaryState, D::Error> {
    let written = Option::<Value>::deserialize(deserializer)?;
    Ok(written
        .map_or(PrimaryState::Promoted, |state| PrimaryState::deserialize(state).unwrap_or(PrimaryState::Changed)))
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// The revision is the primary's.
    Promoted,
    /// Too many checks failed.
    FailedChecks,
    /// A workload was not ready in time.
    Deadline,
    /// A rollback hook asked for it.
    Manual,
    /// A person ordered it.
    Aborted,
    /// The target was deleted.
    TargetMissing,
    /// The primary could not start with the new revision.
    PromotionFailed,
}

impl RunOutcome {
    /// Its name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::FailedChecks => "failed-checks",
            Self::Deadline => "deadline",
            Self::Manual => "manual",
            Self::Aborted => "aborted",
            Self::TargetMissing => "target-missing",
            Self::PromotionFailed => "promotion-failed",
        }
    }
}

/// What a person ordered of a run, and is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ordered {
    /// To promote it without further analysis.
    Promote,
    /// To analyse the revision that failed again.
    Retry,
}

impl Ordered {
    /// Its name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Retry => "retry",
        }
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderResult {
    /// It was done.
    Obeyed,
    /// It could not be done.
    #[default]
    Refused,
}

impl OrderResult {
    /// Its name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Obeyed => "obeyed",
            Self::Refused => "refused",
        }
    }
}

/// For whom routes were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Routed {
    /// Who splits the traffic.
    #[serde(deserialize_with = "lenient::or_default")]
    pub provider: String,
    /// The Service.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// An autoscaler of which the primary may have a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CopiedScaler {
    /// `HorizontalPodAutoscaler` or `ScaledObject`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub kind: String,
    /// The target's autoscaler.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// A hook that passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PassedHook {
    /// When it is asked.
    #[serde(rename = "type", deserialize_with = "lenient::or_default")]
    pub kind: WebhookType,
    /// Its name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// A metrics provider that answers again, and has not all of the data yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CatchingUp {
    /// Since when (RFC 3339).
    #[serde(deserialize_with = "lenient::or_default")]
    pub since: String,
    /// Whether some metrics have a value.
    #[serde(deserialize_with = "lenient::or_default")]
    pub in_part: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::canary_status::CanaryStatus;

    #[test]
    fn what_another_version_has_left_makes_no_canary_unreadable_and_hides_nothing_that_can_be_read() {
        let left = json!({"phase": "Progressing", "canaryWeight": 50, "run": {
            "startedAt": "2026-01-31T12:00:00Z", "strategy": "spiral", "routed": "istio/podinfo", "traffic": "lost",
            "primary": 7, "scalers": "HorizontalPodAutoscaler/podinfo", "hooksPassed": ["load test"],
            "gatesClosed": [{}], "catchingUp": "since noon", "outcome": "tired", "ordered": "pizza", "orders": [1],
            "due": [{"kind": "letter"}], "told": 3,
        }});
        let status: CanaryStatus = from_value(left).unwrap();
        let started_at = Some("2026-01-31T12:00:00Z".to_owned());
        let run = Run { started_at, primary: PrimaryState::Changed, told: 3, ..Run::default() };
        assert_eq!((status.canary_weight, status.run), (50, Some(run)));
    }
}
