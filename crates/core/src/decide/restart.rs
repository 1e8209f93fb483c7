//! A run that begins again from nothing, and what of the one before it goes on.

use burgee_api::{Phase, PrimaryState, Run, Traffic};

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::placement::{Placement, Wanted, placement};
use super::proposal::Proposal;
use super::recorded::{is_fix, is_paused};
use super::revision::record_revision;
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{foreign, routes};
use crate::notice::Notice;
use crate::plan::{Count, Step};
use crate::snapshot;
use crate::timetable::Wake;

/// Another revision came: the analysis begins again from nothing, with the traffic on the primary.
pub(super) fn restart(facts: &Facts, workloads: &Workloads) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    builder.enter(Phase::Progressing);
    builder.tell(Notice::RestartingAnalysis);
    builder.count(Count::Superseded(seconds_so_far(facts)));
    begin_again(facts, workloads, &mut builder);
    if !is_paused(facts) {
        builder.drop_condition("Held");
    }
    builder.finish(Wake::At(facts.now))
}

/// For how long the run has lasted.
fn seconds_so_far(facts: &Facts) -> u64 {
    let started = facts.run().and_then(|run| time(run.started_at.as_deref()?));
    let lasted = started.map_or(0, |started| facts.now.duration_since(started).as_secs());
    u64::try_from(lasted).unwrap_or(0)
}

/// The run begins again. A pause outlives it: whoever ordered it has not said that anything may go on.
pub(super) fn begin_again(facts: &Facts, workloads: &Workloads, builder: &mut PlanBuilder) {
    builder.clear_webhooks();
    let is_stuck = matches!(placement(Wanted::HOME, facts.pods), Placement::Stuck(_));
    if !is_stuck {
        builder.intend(routes::home(facts));
        builder.status.canary_weight = 0;
    }
    if facts.phase() == Phase::Promoting && facts.settings.config_tracking {
        // The copies may have been begun; the primary still runs what was promoted last.
        builder.step(Step::RestoreConfigs(snapshot::configs_key(facts.rollout)));
        builder.step(Step::Drop(snapshot::configs_key(facts.rollout)));
        builder.run().kept_configs = None;
    }
    builder.quiet_until(facts.now);
    let before = builder.run().clone();
    let run = Run {
        started_at: Some(fraction(facts.now)),
        primary_ready_at_start: before.primary_ready_at_start,
        paused_since: before.paused_since,
        foreign_until: foreign::before_another_try(facts),
        primary: if is_fix(facts) { PrimaryState::Broken } else { PrimaryState::Promoted },
        ..Run::default()
    };
    builder.status.run = Some(carry_over(builder, run));
    if is_stuck && builder.status.canary_weight > 0 {
        builder.run().traffic = Traffic::Stranded;
    }
    builder.reset_counters();
    record_revision(builder, workloads, 0);
}

/// What is left of a run when the next one begins: an order is never taken twice, and what an edit has left behind is not
/// forgotten.
pub(super) fn carry_over(builder: &PlanBuilder, next: Run) -> Run {
    let Run { orders, routed, scalers, kept_configs, .. } = builder.status.run.clone().unwrap_or_default();
    Run { orders, routed, scalers, kept_configs, ..next }
}
