//! Decisions that see or hear something else than there is. Nothing of the plan is touched here.

use std::sync::Arc;

use burgee_core::decide::template_key;
use burgee_core::digest::is_foreign;
use burgee_core::metric::error::MeasureError;
use burgee_core::phase::PhaseRules;
use burgee_core::question::Answer;
use burgee_core::rollout::Rollout;
use burgee_core::world::{ObjectKey, Observed, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Mutation;

/// I1: the canary counts as ready as soon as it is scaled up.
pub const CANARY_COUNTS_AS_READY: Mutation =
    Mutation::of_world("the canary counts as ready as soon as it is scaled up", |world, rollout| {
        edit(world, &rollout.target_key(), claim_readiness);
    });

/// I1: a primary that somebody scales down in a run counts as whole.
pub const PRIMARY_COUNTS_AS_WHOLE: Mutation =
    Mutation::of_world("a primary that is scaled down in a run counts as whole", |world, rollout| {
        let status = world.canary.status.as_ref().filter(|status| status.phase.is_run());
        let Some(least) = status.and_then(|status| status.run.as_ref()?.primary_ready_at_start) else { return };
        let key = rollout.primary_key();
        if let Some((_, Observed::Present(primary))) = world.objects.iter_mut().find(|(known, _)| *known == key) {
            Arc::make_mut(primary)["spec"]["replicas"] = json!(least);
        }
    });

/// I1: during a run the primary counts as ready whatever becomes of its pods.
pub const PRIMARY_COUNTS_AS_READY_IN_RUNS: Mutation =
    Mutation::of_world("during a run the primary counts as ready whatever becomes of its pods", |world, rollout| {
        if world.canary.status.as_ref().is_some_and(|status| status.phase.is_run()) {
            edit(world, &rollout.primary_key(), claim_readiness);
        }
    });

/// I29: nobody asks about a canary while a pod of it is missing.
pub const UNREADY_IS_NOT_JUDGED: Mutation =
    Mutation::of_world("nobody asks about a canary while a pod of it is missing", |world, rollout| {
        let target = world.present(&rollout.target_key()).cloned().unwrap_or_default();
        let is_whole = target["status"]["readyReplicas"] == target["spec"]["replicas"];
        let status = Arc::make_mut(&mut world.canary).status.as_mut();
        if let Some(run) = status.and_then(|status| status.run.as_mut()).filter(|_| !is_whole) {
            run.step_started_at = run.step_started_at.take().map(|_| "2100-01-01T00:00:00Z".to_owned());
        }
    });

/// I3: the primary counts as ready as soon as it is made.
pub const PRIMARY_COUNTS_AS_READY: Mutation =
    Mutation::of_world("the primary counts as ready as soon as it is made", |world, rollout| {
        edit(world, &rollout.primary_key(), claim_readiness);
    });

/// I5: between runs, the revision that was acted on is forgotten.
pub const ENDED_RUN_IS_FORGOTTEN: Mutation =
    Mutation::of_world("between runs the revision that was acted on is forgotten", |world, _| {
        if let Some(status) =
            Arc::make_mut(&mut world.canary).status.as_mut().filter(|status| status.phase.is_terminal())
        {
            status.last_applied_spec.clear();
        }
    });

/// I9: the number of replicas is part of the revision.
pub const REPLICAS_COUNT: Mutation =
    Mutation::of_world("the number of replicas is part of the revision", |world, rollout| {
        edit(world, &rollout.target_key(), |target| {
            let replicas = target["spec"]["replicas"].to_string();
            target["spec"]["template"]["metadata"]["annotations"]["replicas"] = json!(replicas);
        });
    });

/// I11: what cannot be read is taken to be gone.
pub const UNKNOWN_IS_ABSENT: Mutation = Mutation::of_world("what cannot be read is taken to be gone", |world, _| {
    for (_, observed) in &mut world.objects {
        if matches!(observed, Observed::Unknown(_)) {
            *observed = Observed::Absent;
        }
    }
});

/// I15: a canary that claims what is another's goes to work all the same.
pub const RIVALS_ARE_OVERLOOKED: Mutation =
    Mutation::of_world("a canary that claims what is another's goes to work all the same", |world, _| {
        world.rival = None;
    });

/// I16: the hooks that passed are forgotten.
pub const PASSED_HOOKS_ARE_FORGOTTEN: Mutation =
    Mutation::of_world("the hooks that passed are forgotten", |world, _| {
        let status = Arc::make_mut(&mut world.canary).status.as_mut().filter(|status| status.phase.is_run());
        if let Some(run) = status.and_then(|status| status.run.as_mut()) {
            run.hooks_passed.clear();
        }
    });

/// I21: metrics whose template is missing are left out.
pub const LOST_METRICS_ARE_LEFT_OUT: Mutation =
    Mutation { rollout: leave_out_lost_metrics, ..Mutation::named("metrics whose template is missing are left out") };

/// I23: every step counts as an hour old.
pub const STEPS_COUNT_AS_OLD: Mutation = Mutation::of_world("every step counts as an hour old", |world, _| {
    let run = Arc::make_mut(&mut world.canary).status.as_mut().and_then(|status| status.run.as_mut());
    let Some(run) = run else { return };
    let started = run.step_started_at.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    run.step_started_at =
        started.and_then(|at| at.checked_sub(SignedDuration::from_hours(1)).ok()).map(|at| at.to_string());
});

/// S25: what had requests before the run is forgotten.
pub const FOREIGN_REQUESTS_ARE_FORGOTTEN: Mutation =
    Mutation::of_world("what had requests before the run is forgotten", |world, _| {
        let run = Arc::make_mut(&mut world.canary).status.as_mut().and_then(|status| status.run.as_mut());
        if let Some(run) = run {
            run.foreign_until = None;
        }
    });

/// I25: a missing target of a canary that is being deleted cannot be read.
pub const MISSING_TARGET_IS_WAITED_FOR: Mutation =
    Mutation::of_world("a deletion waits for a target that is missing", |world, rollout| {
        let key = rollout.target_key();
        if world.canary.metadata.deletion_timestamp.is_some() && world.seen(&key) == Observed::Absent {
            world.insert(key, Observed::Unknown("it may come back".to_owned()));
        }
    });

/// I26: the peer's digest of a revision is compared with ours.
pub const FOREIGN_DIGEST_IS_COMPARED: Mutation =
    Mutation::of_world("the peer's digest is compared with ours", |world, _| {
        if let Some(status) =
            Arc::make_mut(&mut world.canary).status.as_mut().filter(|status| is_foreign(&status.last_applied_spec))
        {
            "b1-0000000000000000".clone_into(&mut status.last_applied_spec);
            "b1-0000000000000000".clone_into(&mut status.last_promoted_spec);
        }
    });

/// I8: no values are a good value.
pub const NO_VALUES_PASS: Mutation = Mutation::of_answer("no values are a good value", |answer| {
    if let Answer::Measured(Err(MeasureError::NoValues(_))) = answer {
        *answer = Answer::Measured(Ok(100.0));
    }
});

/// I19: a provider that does not answer has said no.
pub const SILENCE_FAILS: Mutation = Mutation::of_answer("a provider that does not answer has said no", |answer| {
    if let Answer::Measured(Err(MeasureError::Unavailable(text))) = answer {
        *answer = Answer::Measured(Err(MeasureError::Wrong(text.clone())));
    }
});

/// I20: a value that is too high is no answer, if another metric passes.
pub const HIGH_VALUES_ARE_SILENCE: Mutation = Mutation::of_answer("a value that is too high is no answer", |answer| {
    if matches!(answer, Answer::Measured(Ok(value)) if *value > 500.0) {
        *answer = Answer::Measured(Err(MeasureError::Unavailable("implausible".to_owned())));
    }
});

fn edit(world: &mut World, key: &ObjectKey, change: fn(&mut Value)) {
    if let Some((_, Observed::Present(object))) = world.objects.iter_mut().find(|(known, _)| known == key) {
        change(Arc::make_mut(object));
    }
}

fn claim_readiness(workload: &mut Value) {
    let replicas = workload["spec"]["replicas"].clone();
    workload["status"] = json!({
        "observedGeneration": workload["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
    });
}

fn leave_out_lost_metrics(rollout: &mut Rollout, world: &World) {
    let meant = rollout.clone();
    if let Some(analysis) = &mut rollout.analysis {
        let is_lost = |key: ObjectKey| world.seen(&key) == Observed::Absent;
        analysis.metrics.retain(|metric| !template_key(&meant, metric).is_some_and(is_lost));
    }
}
