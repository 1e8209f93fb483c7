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
pub(super) fn watch(tick: &Facts, plan: Plan) -> Plan {
    let Some(run) = tick.run().filter(|_| is_between_runs(tick.phase())) else { return plan };
    let since = run.pending_since.as_deref().and_then(time);
    if !waits(tick, &plan) {
        return if since.is_some() { with(tick, plan, |draft| forget(draft.run())) } else { plan };
    }
    let begun = since.unwrap_or(tick.now);
    let deadline = SignedDuration::from_secs(tick.rollout.progress_deadline_seconds);
    let late = begun.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if since.is_none() {
        return with(tick, sooner(plan, late), |draft| draft.run().pending_since = Some(fraction(tick.now)));
    }
    if run.pending_told {
        return plan;
    }
    if tick.now < late {
        return sooner(plan, late);
    }
    let reason = reason(tick, &plan);
    with(tick, plan, |draft| {
        draft.run().pending_told = true;
        draft.tell_aside(Notice::RevisionPending(reason));
    })
}

fn sooner(plan: Plan, at: Timestamp) -> Plan {
    Plan { next: plan.next.sooner(Wake::At(at)), ..plan }
}

/// Whether the target runs what was neither promoted nor analysed, and goes on waiting.
fn waits(tick: &Facts, plan: &Plan) -> bool {
    if tick.world.canary.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Ok(scene) = tick.scene() else { return false };
    let (phase, seen) = match plan.status() {
        Some(status) => (status.phase, status.last_applied_spec.as_str()),
        None => (tick.phase(), tick.world.canary.status.as_ref().map_or("", |status| &status.last_applied_spec)),
    };
    is_between_runs(phase) && seen != scene.revision && revision::change(tick, scene) == Change::Revision
}

fn forget(run: &mut Run) {
    run.pending_since = None;
    run.pending_told = false;
}

/// Why no run begins.
fn reason(tick: &Facts, plan: &Plan) -> String {
    if tick.rollout.suspended {
        return "the canary is suspended".to_owned();
    }
    if tick.settings.pause_new_runs {
        return "new runs are paused".to_owned();
    }
    if tick.phase() == Phase::Waiting {
        return "a gate before the run is closed".to_owned();
    }
    if is_healing_wanted(tick) {
        return "the primary is put back first".to_owned();
    }
    let names = tick.rollout.names();
    let told = plan.steps.iter().rev().filter_map(Step::telling).map(|telling| telling.notice.text(&names)).next();
    let conditions = tick.world.canary.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let invalid = conditions.filter(|condition| condition.kind == "Invalid").find_map(|known| known.message.clone());
    told.or(invalid).unwrap_or_else(|| "the primary is not ready".to_owned())
}

/// A plan with more to tell, and with more in the status that it writes, or with one.
fn with(tick: &Facts, mut plan: Plan, change: impl FnOnce(&mut PlanBuilder)) -> Plan {
    let mut draft = PlanBuilder::behind(tick, &plan);
    let place = plan.steps.iter().position(|step| matches!(step, Step::Status(_)));
    change(&mut draft);
    let more = passes::plan(tick, draft.finish(plan.next)).steps;
    match place {
        Some(place) => plan.steps.splice(place..=place, more),
        None => plan.steps.splice(plan.steps.len().., more),
    };
    plan
}
