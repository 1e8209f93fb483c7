//! How far a canary is, as stored. It must not know which phase follows which.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Severity;
use crate::lenient;

/// The status of a canary (contract: api §1.6). Texts are empty when absent, as the peer stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Phase of the canary.
    #[serde(deserialize_with = "lenient::or_default")]
    pub phase: Phase,
    /// Failed checks of this run.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub failed_checks: i64,
    /// Weight of the canary in percent.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub canary_weight: i64,
    /// Passed checks of an A/B or blue/green run.
    #[serde(deserialize_with = "lenient::count")]
    #[schemars(with = "f64")]
    pub iterations: i64,
    /// Tracked ConfigMap or Secret to its checksum; absent when tracking is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    /// Digest of the revision that was last acted on.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_applied_spec: String,
    /// What the peer's releases after 1.45 note of the target; kept as it is.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_tracked_revision: String,
    /// Digest of the revision that runs as primary.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub last_promoted_spec: String,
    /// When the status last changed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Canary cookie of this run.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub session_affinity_cookie: String,
    /// Canary cookie of the last run.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub previous_session_affinity_cookie: String,
    /// Primary cookie.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub primary_session_affinity_cookie: String,
    /// Conditions; Promoted is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// The run under way or last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// One condition of a canary (contract: api §1.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Promoted, Held or Invalid.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word; of Promoted the phase.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was last written (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: Option<String>,
    /// When its status last changed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
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
    /// How the canary is tried out in this run: `canary`, `ab-testing` or `blue-green`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Weights in percent that the canary has had of `stepWeights`, one for each step of this run.
    #[serde(deserialize_with = "lenient::integers", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<f64>")]
    pub weights: Vec<i64>,
    /// Who splits the traffic, and the Service that the routes are made for, as PROVIDER/NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed: Option<String>,
    /// Autoscalers of which the primary may have copies, as KIND/NAME, the newest last, with commas in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<String>,
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
    /// Hooks that passed and are not asked again.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub hooks_passed: Vec<String>,
    /// Since when a metrics provider has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// What the metrics provider said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_reason: Option<String>,
    /// Since when a revision after this run has been waiting for its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<String>,
    /// Until when a set without traffic keeps its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<String>,
    /// Why the last check of the run that failed did: the text of its event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What was ordered and is still to be done: `promote` or `retry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<String>,
    /// Since when the analysis is paused by order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<String>,
    /// The last orders that were answered; none of them is taken again.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<AnsweredOrder>,
    /// What may not have reached everybody yet, the newest last.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
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
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "AlertDetail::is_least")]
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

impl AlertDetail {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
    pub(crate) fn is_least(&self) -> bool {
        *self == Self::Cluster
    }
}

/// An order of a person, as it was answered; an addition to the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AnsweredOrder {
    /// What tells the order from all others.
    #[serde(deserialize_with = "lenient::or_default")]
    pub id: String,
    /// `obeyed` or `refused`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub result: String,
    /// The answer, as it stands in the event.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Where a canary stands (contract: api §1.7). [`fmt::Display`] gives the contract's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// Nothing was written yet.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// The primary is being made.
    Initializing,
    /// Primary, services and route exist.
    Initialized,
    /// The gate before a run is closed.
    Waiting,
    /// The analysis runs.
    Progressing,
    /// The gate before promotion is closed.
    WaitingPromotion,
    /// The primary runs the new revision and takes traffic back.
    Promoting,
    /// All traffic is on the primary.
    Finalising,
    /// The run ended well.
    Succeeded,
    /// The run was rolled back.
    Failed,
    /// The canary is being deleted.
    Terminating,
    /// The canary was deleted.
    Terminated,
}

impl Phase {
    /// The contract's name of the phase; empty for [`Phase::Unset`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Initializing => "Initializing",
            Self::Initialized => "Initialized",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::WaitingPromotion => "WaitingPromotion",
            Self::Promoting => "Promoting",
            Self::Finalising => "Finalising",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
