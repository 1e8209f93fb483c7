//! What of a canary shows on `/metrics`, and when. It reads; it never decides (contract: metrics §7).

use burgee_api::{Canary, Phase};
use jiff::Timestamp;

use crate::telemetry::{Subject, Telemetry};

/// Whose series: the label `name` is the target's, as in the contract.
pub(crate) fn subject(canary: &Canary) -> Subject {
    Subject {
        target: canary.spec.target_ref.name.clone(),
        namespace: canary.metadata.namespace.clone().unwrap_or_default(),
    }
}

/// The contract's word for how the canary is tried out.
pub(crate) fn strategy(canary: &Canary) -> &'static str {
    match canary.analysis() {
        Some(analysis) if analysis.iterations.unwrap_or(0) > 0 && analysis.matches.is_empty() => "blue-green",
        Some(analysis) if analysis.iterations.unwrap_or(0) > 0 => "ab-testing",
        Some(_) | None => "canary",
    }
}

/// Shows a canary as it is after a tick.
pub(crate) fn show(telemetry: &Telemetry, canary: &Canary, now: Timestamp) {
    let subject = subject(canary);
    let status = canary.status.clone().unwrap_or_default();
    telemetry.status(&subject, value_of(status.phase));
    let weight = u8::try_from(status.canary_weight.clamp(0, 100)).unwrap_or(100);
    telemetry.weights(&subject, 100 - weight, weight);
    let holds = status.run.iter().flat_map(|run| [&run.held_since, &run.paused_since]).flatten();
    let since = holds.filter_map(|text| text.parse().ok()).min();
    let held: f64 = since.map_or(0.0, |since: Timestamp| now.duration_since(since).as_secs_f64().max(0.0));
    telemetry.held(&subject, held);
    let invalid = status.conditions.iter().flatten().find(|condition| condition.kind == "Invalid");
    let name = canary.metadata.name.as_deref().unwrap_or_default();
    telemetry.invalid(&subject, name, invalid.map(|condition| condition.reason.as_str()));
}

/// 0 progressing, 2 failed, 1 everything else.
const fn value_of(phase: Phase) -> u8 {
    match phase {
        Phase::Progressing => 0,
        Phase::Failed => 2,
        Phase::Unset
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Succeeded
        | Phase::Terminating
        | Phase::Terminated => 1,
    }
}
