//! A revision that waits for its run: since when, and, once that lasts longer than the progress deadline, why. It begins
//! nothing and ends nothing (S55).

use burgee_api::{Phase, Run};
use jiff::{SignedDuration, Timestamp};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::passes;
use super::recorded::{is_between_runs, is_healing_wanted};
use super::revision::{self, Change};
use super::stamp::{fraction, time};
use crate::notice::Notice;
use crate::plan::{Plan, Step};
use crate::timetable::Wake;

/// The plan, and with it what has to be noted or told of a revision that waits.
pub(super) fn watch(facts: &Facts, plan: Plan) -> Plan {
    let Some(run) = facts.run().filter(|_| is_between_runs(facts.phase())) else { return plan };
    let since = run.pending_since.as_deref().and_then(time);
    if !waits(facts, &plan) {
        return if since.is_some() { with(facts, plan, |builder| forget(builder.run())) } else { plan };
    }
    let begun = since.unwrap_or(facts.now);
    let deadline = SignedDuration::from_secs(facts.rollout.progress_deadline_seconds);
    let late = begun.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if since.is_none() {
        return with(facts, sooner(plan, late), |builder| builder.run().pending_since = Some(fraction(facts.now)));
    }
    if run.pending_told {
        return plan;
    }
    if facts.now < late {
        return sooner(plan, late);
    }
    let reason = reason(facts, &plan);
    with(facts, plan, |builder| {
        builder.run().pending_told = true;
        builder.tell_aside(Notice::RevisionPending(reason));
    })
}

fn sooner(plan: Plan, at: Timestamp) -> Plan {
    Plan { next: plan.next.sooner(Wake::At(at)), ..plan }
}

/// Whether the target runs what was neither promoted nor analysed, and goes on waiting.
fn waits(facts: &Facts, plan: &Plan) -> bool {
    if facts.world.canary.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Ok(workloads) = facts.workloads() else { return false };
    let (phase, seen) = match plan.status() {
        Some(status) => (status.phase, status.last_applied_spec.as_str()),
        None => (facts.phase(), facts.world.canary.status.as_ref().map_or("", |status| &status.last_applied_spec)),
    };
    is_between_runs(phase) && seen != workloads.revision && revision::change(facts, workloads) == Change::Revision
}

fn forget(run: &mut Run) {
    run.pending_since = None;
    run.pending_told = false;
}

/// Why no run begins.
fn reason(facts: &Facts, plan: &Plan) -> String {
    if facts.rollout.suspended {
        return "the canary is suspended".to_owned();
    }
    if facts.settings.pause_new_runs {
        return "new runs are paused".to_owned();
    }
    if facts.phase() == Phase::Waiting {
        return "a gate before the run is closed".to_owned();
    }
    if is_healing_wanted(facts) {
        return "the primary is put back first".to_owned();
    }
    let names = facts.rollout.names();
    let told = plan.steps.iter().rev().filter_map(Step::telling).map(|telling| telling.notice.text(&names)).next();
    let conditions = facts.world.canary.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let invalid = conditions.filter(|condition| condition.kind == "Invalid").find_map(|known| known.message.clone());
    told.or(invalid).unwrap_or_else(|| "the primary is not ready".to_owned())
}

/// A plan with more to tell, and with more in the status that it writes, or with one.
fn with(facts: &Facts, mut plan: Plan, change: impl FnOnce(&mut PlanBuilder)) -> Plan {
    let mut builder = PlanBuilder::behind(facts, &plan);
    let place = plan.steps.iter().position(|step| matches!(step, Step::Status(_)));
    change(&mut builder);
    let more = passes::plan(facts, builder.finish(plan.next)).steps;
    match place {
        Some(place) => plan.steps.splice(place..=place, more),
        None => plan.steps.splice(plan.steps.len().., more),
    };
    plan
}
