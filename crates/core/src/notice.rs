//! Every sentence of the rollout that a user can read: its text, its type, and whether it is also an alert.
//! The texts are the contract's, to the letter (lifecycle §2–6, webhooks §2 and §4), or Burgee's own
//! (docs/reference/events.md).

use burgee_api::{AlertDetail, Severity};
use serde::{Deserialize, Serialize};

use crate::order::Word;
use crate::plain::plain;

/// Whom a notice is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Name of the canary.
    pub canary: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Kind of the target, such as `Deployment`.
    pub target_kind: String,
}

/// Type of a Kubernetes event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// Things go as they should.
    Normal,
    /// Something wants attention.
    Warning,
}

impl EventType {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What a notice says to the alert providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertText {
    /// The message.
    pub text: String,
    /// Its severity.
    pub severity: Severity,
    /// Which fields go with it.
    pub detail: AlertDetail,
}

/// Whether a waiting notice is also sent as an alert (`muteAlert` of its hook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voice {
    /// Also an alert.
    Loud,
    /// An event only.
    Muted,
}

/// The kinds of hooks that announce that they passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// `confirm-rollout`
    ConfirmRollout,
    /// `pre-rollout`
    PreRollout,
    /// `confirm-traffic-increase`
    ConfirmTrafficIncrease,
    /// `confirm-promotion`
    ConfirmPromotion,
    /// `post-rollout`
    PostRollout,
    /// `rollback`
    Rollback,
}

impl Gate {
    const fn title(self) -> &'static str {
        match self {
            Self::ConfirmRollout => "Confirm-rollout",
            Self::PreRollout => "Pre-rollout",
            Self::ConfirmTrafficIncrease => "Confirm-traffic-increase",
            Self::ConfirmPromotion => "Confirm-promotion",
            Self::PostRollout => "Post-rollout",
            Self::Rollback => "Rollback",
        }
    }
}

/// What was edited, so that routes of before are left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// `service.name`
    Service,
    /// `provider`
    Provider,
}

impl Left {
    const fn words(self) -> &'static str {
        match self {
            Self::Service => "service name",
            Self::Provider => "provider",
        }
    }
}

/// Longest message of an event, in bytes: what the API server takes.
const LONGEST: usize = 1024;

/// The beginning of a text, as far as an event or a status has room for it.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// Every sentence of the rollout that a user can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the texts below are the documentation")]
pub enum Notice {
    Suspended,
    NewRunsPaused,
    ProvidersAvailable,
    ProvidersUnavailable(String),
    Problem(String),
    OperatorFault(String),
    NotPermitted(String),
    InitializationDone,
    GatePassed(Gate, String),
    WaitingForApproval(String, Voice),
    WaitingForTrafficIncrease(String, Voice),
    WaitingForPromotion(String, Voice),
    NewRevision,
    RestartingAnalysis,
    StrategyChanged,
    RoutesLeft(Left, String, String),
    StartingAnalysis,
    PreRolloutFailed(String, String),
    ExternalCheckFailed(String, String),
    MetricHalt(String),
    RoutesFought,
    ProviderSilent(String),
    ProviderAnswersAgain,
    WindowUnclean(String),
    RevisionPending(String),
    CanaryAdvanced(u8),
    CanaryAdvancedAgain(u8, usize, usize),
    IterationAdvanced(u32, u32),
    PrimaryAdvanced(u8),
    Copying,
    RoutingToPrimary,
    RoutingToCanary,
    MirroringStopped,
    WaitingForCapacity(i64, i64),
    RollbackWaits,
    RestoringOverdue(String),
    PromotionCompleted,
    AnalysisSkipped,
    RollbackNotSignaled(String),
    ManualRollback,
    ThresholdReached(u32),
    DeadlineExceeded(String),
    CanaryFailed,
    PromotionFailed(String),
    PostRolloutFailed(String, String),
    RestoringPrimary,
    PrimaryRecreatedFromTarget,
    /// An object that was the canary's before, or was handed over to it, is its own again.
    Adopted(String),
    Invalid(String),
    Doubtful(String),
    Ordered(Word, String),
    OrderRefused(String, String),
    Terminating,
    Terminated,
}

impl Notice {
    /// The sentence, as it stands in the event and the log.
    pub fn text(&self, names: &Names) -> String {
        let Names { canary, namespace, target, .. } = names;
        let title = format!("{canary}.{namespace}");
        let (workload, primary) = (format!("{target}.{namespace}"), format!("{target}-primary.{namespace}"));
        let halt = format!("Halt {title} advancement");
        match self {
            Self::Suspended => "skipping canary run as object is suspended".to_owned(),
            Self::NewRunsPaused => format!("New runs are paused, {title} waits"),
            Self::ProvidersAvailable => "all the metrics providers are available!".to_owned(),
            Self::ProvidersUnavailable(error) => format!("Error checking metric providers: {error}"),
            Self::Problem(error) | Self::OperatorFault(error) => error.clone(),
            Self::NotPermitted(what) => format!("{what}; reading single objects at each tick instead"),
            Self::InitializationDone => format!("Initialization done! {title}"),
            Self::GatePassed(gate, hook) => format!("{} check {hook} passed", gate.title()),
            Self::WaitingForApproval(hook, _) => format!("{halt} waiting for approval {hook}"),
            Self::WaitingForTrafficIncrease(hook, _) => format!("{halt} waiting for traffic increase approval {hook}"),
            Self::WaitingForPromotion(hook, _) => format!("{halt} waiting for promotion approval {hook}"),
            Self::NewRevision => format!("New revision detected! Scaling up {workload}"),
            Self::RestartingAnalysis => format!("New revision detected! Restarting analysis for {workload}"),
            Self::StrategyChanged => format!("Analysis strategy changed! Restarting analysis for {workload}"),
            Self::RoutesLeft(what, new, old) => routes_left(what.words(), new, old),
            Self::StartingAnalysis => format!("Starting canary analysis for {workload}"),
            Self::PreRolloutFailed(hook, error) => format!("{halt} pre-rollout check {hook} failed {error}"),
            Self::ExternalCheckFailed(hook, error) => format!("{halt} external check {hook} failed {error}"),
            Self::MetricHalt(text) | Self::ProviderSilent(text) => text.clone(),
            Self::RoutesFought => format!("{halt} its routes are changed by somebody else"),
            Self::ProviderAnswersAgain => format!("Metrics provider answers again, resuming {title}"),
            Self::WindowUnclean(metric) => {
                format!("Holding {title}, metric {metric} still looks back on requests of before this run")
            }
            Self::RevisionPending(reason) => {
                format!("The new revision of {workload} waits longer than the progress deadline: {reason}")
            }
            Self::CanaryAdvanced(weight) => format!("Advance {title} canary weight {weight}"),
            Self::CanaryAdvancedAgain(weight, step, total) => {
                format!("Advance {title} canary weight {weight}, step {step} of {total}")
            }
            Self::IterationAdvanced(done, of) => format!("Advance {title} canary iteration {done}/{of}"),
            Self::PrimaryAdvanced(weight) => format!("Advance {title} primary weight {weight}"),
            Self::Copying => format!("Copying {workload} template spec to {primary}"),
            Self::RoutingToPrimary => "Routing all traffic to primary".to_owned(),
            Self::RoutingToCanary => "Routing all traffic to canary".to_owned(),
            Self::MirroringStopped => "Stop traffic mirroring and route all traffic to canary".to_owned(),
            Self::WaitingForCapacity(ready, needed) => {
                format!("Waiting for {ready} of {needed} primary replicas before routing traffic back to {title}")
            }
            Self::RollbackWaits => format!("Rolling back {title} waits, {primary} has no ready pod"),
            Self::RestoringOverdue(reason) => {
                format!("Restoring {title} takes longer than its progress deadline: {reason}")
            }
            Self::PromotionCompleted => format!("Promotion completed! Scaling down {workload}"),
            Self::AnalysisSkipped => format!("Promotion completed! Canary analysis was skipped for {workload}"),
            Self::RollbackNotSignaled(hook) => format!("Rollback hook {hook} not signaling a rollback"),
            Self::ManualRollback => format!("Rolling back {title} manual webhook invoked"),
            Self::ThresholdReached(checks) => format!("Rolling back {title} failed checks threshold reached {checks}"),
            Self::DeadlineExceeded(error) => format!("Rolling back {title} progress deadline exceeded {error}"),
            Self::CanaryFailed => format!("Canary failed! Scaling down {title}"),
            Self::PromotionFailed(error) => format!("Promotion of {workload} failed, primary not ready: {error}"),
            Self::PostRolloutFailed(hook, error) => format!("Post-rollout hook {hook} failed {error}"),
            Self::RestoringPrimary => format!("Restoring {title} to the last promoted revision"),
            Self::PrimaryRecreatedFromTarget => recreated(&primary, &workload),
            Self::Adopted(object) => format!("Adopted {object}, which nobody controlled"),
            Self::Invalid(reason) => format!("Invalid canary spec: {reason}"),
            Self::Doubtful(reason) => format!("Doubtful canary spec: {reason}"),
            Self::Ordered(word, by) => ordered(*word, by, names),
            Self::OrderRefused(order, reason) => format!("Order {order} refused for {title}: {reason}"),
            Self::Terminating => format!("Terminating canary {title}"),
            Self::Terminated => format!("Terminated canary {title}"),
        }
    }

    /// The sentence, as far as an event or a status has room for it, with what others wrote in it escaped.
    pub fn event_text(&self, names: &Names) -> String {
        cut(&plain(&self.text(names))).to_owned()
    }

    /// The event's type.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::Suspended
            | Self::ProvidersAvailable
            | Self::InitializationDone
            | Self::NewRevision
            | Self::RestartingAnalysis
            | Self::StrategyChanged
            | Self::StartingAnalysis
            | Self::ProviderAnswersAgain
            | Self::WindowUnclean(_)
            | Self::CanaryAdvanced(_)
            | Self::CanaryAdvancedAgain(..)
            | Self::IterationAdvanced(..)
            | Self::PrimaryAdvanced(_)
            | Self::Copying
            | Self::RoutingToPrimary
            | Self::RoutingToCanary
            | Self::MirroringStopped
            | Self::PromotionCompleted
            | Self::AnalysisSkipped
            | Self::RollbackNotSignaled(_)
            | Self::Ordered(Word::Promote | Word::Retry | Word::Pause | Word::Resume, _)
            | Self::GatePassed(
                Gate::ConfirmRollout
                | Gate::PreRollout
                | Gate::ConfirmTrafficIncrease
                | Gate::ConfirmPromotion
                | Gate::PostRollout,
                _,
            )
            | Self::Adopted(_)
            | Self::Terminating
            | Self::Terminated => EventType::Normal,
            Self::NewRunsPaused
            | Self::ProvidersUnavailable(_)
            | Self::Problem(_)
            | Self::OperatorFault(_)
            | Self::NotPermitted(_)
            | Self::GatePassed(Gate::Rollback, _)
            | Self::WaitingForApproval(..)
            | Self::WaitingForTrafficIncrease(..)
            | Self::WaitingForPromotion(..)
            | Self::PreRolloutFailed(..)
            | Self::ExternalCheckFailed(..)
            | Self::MetricHalt(_)
            | Self::RoutesFought
            | Self::RoutesLeft(..)
            | Self::ProviderSilent(_)
            | Self::RevisionPending(_)
            | Self::WaitingForCapacity(..)
            | Self::RollbackWaits
            | Self::RestoringOverdue(_)
            | Self::ManualRollback
            | Self::ThresholdReached(_)
            | Self::DeadlineExceeded(_)
            | Self::CanaryFailed
            | Self::PromotionFailed(_)
            | Self::PostRolloutFailed(..)
            | Self::RestoringPrimary
            | Self::PrimaryRecreatedFromTarget
            | Self::Ordered(Word::Abort, _)
            | Self::OrderRefused(..)
            | Self::Invalid(_)
            | Self::Doubtful(_) => EventType::Warning,
        }
    }

    /// Whether it says that the run takes a turn, and not how things are.
    pub const fn is_turn(&self) -> bool {
        matches!(
            self,
            Self::InitializationDone
                | Self::NewRevision
                | Self::RestartingAnalysis
                | Self::StrategyChanged
                | Self::CanaryAdvanced(_)
                | Self::CanaryAdvancedAgain(..)
                | Self::IterationAdvanced(..)
                | Self::PrimaryAdvanced(_)
                | Self::Copying
                | Self::RoutingToPrimary
                | Self::RoutingToCanary
                | Self::MirroringStopped
                | Self::PromotionCompleted
                | Self::AnalysisSkipped
                | Self::ManualRollback
                | Self::ThresholdReached(_)
                | Self::DeadlineExceeded(_)
                | Self::CanaryFailed
                | Self::PromotionFailed(_)
                | Self::RestoringPrimary
                | Self::Terminating
                | Self::Terminated
        )
    }

    /// Whether it is logged as an error. What a rollout comes to is logged at info, warnings included (contract: operations
    /// §4); what the operator itself could not do is not.
    pub const fn is_logged_as_error(&self) -> bool {
        matches!(self, Self::OperatorFault(_))
    }

    /// What goes to the alert providers, if anything does (contract: webhooks §4).
    pub fn alert(&self, names: &Names) -> Option<AlertText> {
        let kind = &names.target_kind;
        let (text, severity, detail) = match self {
            Self::InitializationDone => {
                (format!("New {kind} detected, initialization completed."), Severity::Info, AlertDetail::Full)
            }
            Self::NewRevision => {
                ("New revision detected, progressing canary analysis.".to_owned(), Severity::Info, AlertDetail::Full)
            }
            Self::PromotionCompleted => finished("completed successfully"),
            Self::AnalysisSkipped => finished("was skipped"),
            Self::WaitingForApproval(_, Voice::Loud) => waiting("Canary"),
            Self::WaitingForTrafficIncrease(_, Voice::Loud) => waiting("Canary traffic increase"),
            Self::WaitingForPromotion(_, Voice::Loud) => waiting("Canary promotion"),
            Self::ManualRollback => warning("Rolling back manual webhook invoked".to_owned()),
            Self::Ordered(Word::Abort, by) => warning(format!("Rolling back ordered by {by}")),
            Self::ThresholdReached(checks) => failure(format!("Failed checks threshold reached {checks}")),
            Self::PromotionFailed(error) => failure(format!("Promotion failed, primary not ready: {error}")),
            Self::RollbackWaits => failure("Rollback waits, the primary has no ready pod".to_owned()),
            Self::RestoringOverdue(reason) => failure(format!("Primary not restored within its deadline: {reason}")),
            Self::DeadlineExceeded(error) => failure(format!("Progress deadline exceeded {error}")),
            Self::ProviderSilent(error) => {
                warning(format!("Canary analysis on hold, metrics provider not answering: {error}"))
            }
            Self::RestoringPrimary => warning("Primary restored to the last promoted revision".to_owned()),
            Self::Suspended
            | Self::NewRunsPaused
            | Self::ProvidersAvailable
            | Self::ProvidersUnavailable(_)
            | Self::Problem(_)
            | Self::OperatorFault(_)
            | Self::NotPermitted(_)
            | Self::GatePassed(..)
            | Self::WaitingForApproval(_, Voice::Muted)
            | Self::WaitingForTrafficIncrease(_, Voice::Muted)
            | Self::WaitingForPromotion(_, Voice::Muted)
            | Self::RestartingAnalysis
            | Self::StrategyChanged
            | Self::RoutesLeft(..)
            | Self::StartingAnalysis
            | Self::PreRolloutFailed(..)
            | Self::ExternalCheckFailed(..)
            | Self::MetricHalt(_)
            | Self::RoutesFought
            | Self::ProviderAnswersAgain
            | Self::WindowUnclean(_)
            | Self::RevisionPending(_)
            | Self::CanaryAdvanced(_)
            | Self::CanaryAdvancedAgain(..)
            | Self::IterationAdvanced(..)
            | Self::PrimaryAdvanced(_)
            | Self::Copying
            | Self::RoutingToPrimary
            | Self::RoutingToCanary
            | Self::MirroringStopped
            | Self::WaitingForCapacity(..)
            | Self::RollbackNotSignaled(_)
            | Self::CanaryFailed
            | Self::PostRolloutFailed(..)
            | Self::PrimaryRecreatedFromTarget
            | Self::Ordered(Word::Promote | Word::Retry | Word::Pause | Word::Resume, _)
            | Self::OrderRefused(..)
            | Self::Invalid(_)
            | Self::Adopted(_)
            | Self::Doubtful(_)
            | Self::Terminating
            | Self::Terminated => return None,
        };
        Some(AlertText { text: plain(&text).into_owned(), severity, detail })
    }

    /// Whether it is said once and not again while the phase and the text stay the same.
    pub const fn is_said_once(&self) -> bool {
        matches!(
            self,
            Self::Suspended
                | Self::NewRunsPaused
                | Self::WaitingForApproval(..)
                | Self::WaitingForPromotion(..)
                | Self::Invalid(_)
                | Self::Doubtful(_)
                | Self::NotPermitted(_)
                | Self::ProvidersAvailable
        )
    }
}

/// What is said when an order is obeyed; `by` is who gave it, and its id.
fn ordered(word: Word, by: &str, names: &Names) -> String {
    let Names { canary, namespace, target, .. } = names;
    match word {
        Word::Abort => format!("Rolling back {canary}.{namespace} ordered by {by}"),
        Word::Promote => format!("Promoting {target}.{namespace} without further analysis, ordered by {by}"),
        Word::Retry => format!("Restarting analysis for {target}.{namespace}, ordered by {by}"),
        Word::Pause => format!("Pausing analysis for {target}.{namespace}, ordered by {by}"),
        Word::Resume => format!("Resuming analysis for {target}.{namespace}, ordered by {by}"),
    }
}

fn routes_left(what: &str, new: &str, old: &str) -> String {
    format!("The {what} changed to {new}, remove {old} objects to avoid routing conflicts")
}

fn recreated(primary: &str, workload: &str) -> String {
    format!("Primary {primary} was missing and no promoted revision is kept, recreating it from {workload}")
}

fn failure(text: String) -> (String, Severity, AlertDetail) {
    (text, Severity::Error, AlertDetail::Cluster)
}

fn warning(text: String) -> (String, Severity, AlertDetail) {
    (text, Severity::Warn, AlertDetail::Cluster)
}

fn finished(how: &str) -> (String, Severity, AlertDetail) {
    (format!("Canary analysis {how}, promotion finished."), Severity::Info, AlertDetail::Cluster)
}

fn waiting(what: &str) -> (String, Severity, AlertDetail) {
    warning(format!("{what} is waiting for approval."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_commands_no_terminal() {
        let names = Names::default();
        let error = "no\u{202e}\u{1b}]0;x\u{7} line\nadmin: all is well".to_owned();
        let escaped = "no\\u{202e}\\u{1b}]0;x\\u{7} line\\nadmin: all is well";
        assert_eq!(Notice::Problem(error.clone()).event_text(&names), escaped);
        let alert = Notice::PromotionFailed(error).alert(&names).expect("an alert");
        assert_eq!(alert.text, format!("Promotion failed, primary not ready: {escaped}"));
    }

    #[test]
    fn events_are_cut_between_characters() {
        let check = |text: &str, length: usize| {
            let names = Names {
                canary: String::new(),
                namespace: String::new(),
                target: String::new(),
                target_kind: String::new(),
            };
            assert_eq!(Notice::Problem(text.to_owned()).event_text(&names).len(), length);
        };
        check("abc", 3);
        check(&"é".repeat(600), LONGEST);
        check(&format!("a{}", "é".repeat(600)), LONGEST - 1);
    }
}
