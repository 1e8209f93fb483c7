//! A run that begins again from nothing, and what of the one before it goes on.

use burgee_api::{Phase, PrimaryState, Run, Traffic};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::recorded::{is_fix, is_paused};
use super::revision::record_revision;
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{foreign, routes};
use crate::kept;
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::timetable::Wake;

/// Another revision came: the analysis begins again from nothing, with the traffic on the primary.
pub(super) fn restart(tick: &Facts, scene: &Scene) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    draft.enter(Phase::Progressing);
    draft.tell(Notice::RestartingAnalysis);
    draft.count(Count::Superseded(seconds_so_far(tick)));
    begin_again(tick, scene, &mut draft);
    if !is_paused(tick) {
        draft.drop_condition("Held");
    }
    draft.finish(Wake::At(tick.now))
}

/// For how long the run has lasted.
fn seconds_so_far(tick: &Facts) -> u64 {
    let started = tick.run().and_then(|run| time(run.started_at.as_deref()?));
    let lasted = started.map_or(0, |started| tick.now.duration_since(started).as_secs());
    u64::try_from(lasted).unwrap_or(0)
}

/// The run begins again. A pause outlives it: whoever ordered it has not said that anything may go on.
pub(super) fn begin_again(tick: &Facts, scene: &Scene, draft: &mut PlanBuilder) {
    draft.clear_webhooks();
    let is_stuck = matches!(placement(Wanted::HOME, tick.pods), Placement::Stuck(_));
    if !is_stuck {
        draft.intend(routes::home(tick));
        draft.status.canary_weight = 0;
    }
    if tick.phase() == Phase::Promoting && tick.settings.config_tracking {
        // The copies may have been begun; the primary still runs what was promoted last.
        draft.step(Step::RestoreConfigs(kept::configs_key(tick.rollout)));
        draft.step(Step::Drop(kept::configs_key(tick.rollout)));
        draft.run().kept_configs = None;
    }
    draft.quiet_until(tick.now);
    let before = draft.run().clone();
    let run = Run {
        started_at: Some(fraction(tick.now)),
        primary_ready_at_start: before.primary_ready_at_start,
        paused_since: before.paused_since,
        foreign_until: foreign::before_another_try(tick),
        primary: if is_fix(tick) { PrimaryState::Broken } else { PrimaryState::Promoted },
        ..Run::default()
    };
    draft.status.run = Some(carry_over(draft, run));
    if is_stuck && draft.status.canary_weight > 0 {
        draft.run().traffic = Traffic::Stranded;
    }
    draft.reset_counters();
    record_revision(draft, scene, 0);
}

/// What is left of a run when the next one begins: an order is never taken twice, and what an edit has left behind is not
/// forgotten.
pub(super) fn carry_over(draft: &PlanBuilder, next: Run) -> Run {
    let Run { orders, routed, scalers, kept_configs, .. } = draft.status.run.clone().unwrap_or_default();
    Run { orders, routed, scalers, kept_configs, ..next }
}
