//! What of a canary shows on `/metrics`, and when. It reads; it never decides (contract: metrics §7).

use burgee_api::{Canary, Phase, RunOutcome};
use burgee_core::plan::Count;
use jiff::{SignedDuration, Timestamp};

use crate::telemetry::{Subject, Telemetry};

/// Whose series: the label `name` is the target's, as in the contract.
pub(crate) fn subject(canary: &Canary) -> Subject {
    Subject {
        canary: canary.metadata.name.clone().unwrap_or_default(),
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
    telemetry.phase(&subject, status.phase.as_str());
    let pending = status.run.as_ref().and_then(|run| run.pending_since.as_deref()?.parse().ok());
    telemetry.pending(&subject, pending);
    let invalid = status.conditions.iter().flatten().find(|condition| condition.kind == "Invalid");
    telemetry.invalid(&subject, invalid.map(|condition| condition.reason.as_str()));
}

/// How a run ended that a plan has just counted, and how many seconds it took: `promoted`, `skipped`, `aborted`, `failed` or
/// `superseded`. Nothing of a run of which nobody knows when it began.
pub(crate) fn ended(canary: &Canary, count: Count, now: Timestamp) -> Option<(&'static str, f64)> {
    let run = canary.status.as_ref()?.run.as_ref()?;
    let outcome = match count {
        Count::Superseded(seconds) => {
            return Some(("superseded", SignedDuration::from_secs(i64::try_from(seconds).ok()?).as_secs_f64()));
        }
        Count::Completed => "promoted",
        Count::Skipped => "skipped",
        Count::Failed if run.outcome == Some(RunOutcome::Aborted) => "aborted",
        Count::Failed => "failed",
    };
    let started: Timestamp = run.started_at.as_deref()?.parse().ok()?;
    Some((outcome, now.duration_since(started).as_secs_f64().max(0.0)))
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

#[cfg(test)]
mod tests {
    use burgee_api::{CanaryStatus, Run, RunOutcome};

    use super::*;

    fn check(count: Count, outcome: Option<RunOutcome>, expected: (&str, f64)) {
        let run = Run { started_at: Some("2026-11-30T10:00:00.000000Z".to_owned()), outcome, ..Run::default() };
        let status = Some(CanaryStatus { run: Some(run), ..CanaryStatus::default() });
        let canary = Canary { status, ..Canary::default() };
        let now = "2026-11-30T10:05:00Z".parse().unwrap();
        assert_eq!(ended(&canary, count, now), Some(expected));
    }

    #[test]
    fn a_run_ends_in_one_of_five_ways() {
        check(Count::Completed, Some(RunOutcome::Promoted), ("promoted", 300.0));
        check(Count::Skipped, Some(RunOutcome::Promoted), ("skipped", 300.0));
        check(Count::Failed, Some(RunOutcome::FailedChecks), ("failed", 300.0));
        check(Count::Failed, Some(RunOutcome::Aborted), ("aborted", 300.0));
        check(Count::Superseded(20), None, ("superseded", 20.0));
    }
}
