//! The end of a canary with `revertOnDeletion`: the target serves again before anything of ours goes (I24). What is
//! missing never hangs a deletion (I25). Without the finalizer, garbage collection does it all, and nothing happens here.

use burgee_api::{Canary, FINALIZER, Phase};
use serde_json::{Value, json};

use super::autoscaler;
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::look::look;
use super::mistake::Seen;
use super::proposal::Proposal;
use super::stamp::{fraction, time};
use crate::notice::Notice;
use crate::plan::{Plan, Step};
use crate::reconcile::settle as settle_object;
use crate::router;
use crate::services::{self, Role};
use crate::timetable::Wake;
use crate::workload::{self, Readiness, Selector, Side};
use crate::world::{Kind, ObjectKey};

/// The step that puts the finalizer on or takes it off, if the spec wants it otherwise than it is.
pub(super) fn finalizer(facts: &Facts) -> Option<Step> {
    match (facts.rollout.revert_on_deletion, has_finalizer(&facts.world.canary)) {
        (true, false) => Some(write_finalizers(&facts.world.canary, |finalizers| finalizers.push(json!(FINALIZER)))),
        (false, true) => release(&facts.world.canary),
        (true, true) | (false, false) => None,
    }
}

/// One tick of a canary that is being deleted.
pub(super) fn terminate(facts: &Facts) -> Seen<Proposal> {
    if !has_finalizer(&facts.world.canary) {
        return Ok(Plan::idle().into());
    }
    let mut builder = PlanBuilder::new(facts);
    if facts.phase() != Phase::Terminating {
        builder.enter(Phase::Terminating);
        builder.tell(Notice::Terminating);
        (builder.run().drain_until, builder.run().fought_since) = (None, None);
        return Ok(builder.finish(Wake::At(facts.now)));
    }
    let Some(workloads) = facts.find_scene()? else {
        // Nobody serves any more. What is the user's own is his again all the same.
        let apex = facts.world.present(&Role::Apex.key(facts.rollout));
        builder.steps(user_objects(facts, None, apex));
        return Ok(end(facts, builder));
    };
    builder.steps(autoscaler::resume_target(facts));
    builder.steps(workload::scale_like_primary(facts.rollout, workloads.target, workloads.primary));
    if let Some(reason) = unready(facts) {
        builder.tell(Notice::Problem(format!("canary not ready during finalizing: {reason}")));
        return Ok(builder.finish(Wake::At(facts.after(facts.rollout.interval))));
    }
    let apex = match workloads.selector {
        Some(_) => look(facts, &Role::Apex.key(facts.rollout))?,
        None => facts.world.present(&Role::Apex.key(facts.rollout)),
    };
    let objects = user_objects(facts, workloads.selector.as_ref(), apex);
    let known = builder.run().drain_until.as_deref().and_then(time);
    let Some(until) = known.filter(|_| objects.is_empty() || is_fought(facts)) else {
        return Ok(drain(facts, builder, objects));
    };
    builder.steps(objects);
    if facts.now < until {
        return Ok(builder.finish(Wake::At(until)));
    }
    Ok(end(facts, builder))
}

/// Gives the traffic back, and begins to drain the primary: anew, if somebody moved the traffic meanwhile. The time first:
/// routes that are back before it could be noted would be drained too early.
fn drain(facts: &Facts, mut builder: PlanBuilder, objects: Vec<Step>) -> Proposal {
    let until = facts.drained_at();
    let run = builder.run();
    if run.drain_until.replace(fraction(until)).is_some() {
        run.fought_since.get_or_insert_with(|| fraction(facts.now));
    }
    builder.intend(objects);
    builder.finish(Wake::At(until))
}

/// Whether somebody has moved the traffic again and again for longer than a workload may take to get ready: whoever fights
/// for it holds up no deletion for ever (I25).
fn is_fought(facts: &Facts) -> bool {
    let since = facts.run().and_then(|run| time(run.fought_since.as_deref()?));
    let allowed = jiff::SignedDuration::from_secs(facts.rollout.progress_deadline_seconds);
    since.is_some_and(|since| facts.now.duration_since(since) > allowed)
}

/// Why the target cannot take the traffic yet; nothing if the primary has no ready pod either, for then nobody loses
/// anything by the deletion.
fn unready(facts: &Facts) -> Option<String> {
    if facts.ready_pods(Side::Primary) == 0 {
        return None;
    }
    match facts.canary_readiness() {
        Readiness::Waiting { reason, .. } | Readiness::Failed(reason) => Some(reason),
        Readiness::Ready if facts.ready_pods(Side::Canary) == 0 => Some("it has no ready pod".to_owned()),
        Readiness::Ready => None,
    }
}

/// The user's own Service and routes as they were before. Routes whose former state nobody knows stay as they are.
fn user_objects(facts: &Facts, selector: Option<&Selector>, apex: Option<&Value>) -> Vec<Step> {
    let apex = apex.filter(|_| facts.rollout.target_kind.has_pods());
    let reverted = apex.and_then(|apex| services::reverted(facts.rollout, selector, apex));
    let routes = router::of(facts.rollout).finalize(facts.rollout, facts.world).unwrap_or_default();
    let steps = reverted.into_iter().chain(routes).filter_map(|object| {
        let seen = ObjectKey::of(&object).and_then(|key| facts.world.present(&key));
        settle_object(object, seen)
    });
    steps.collect()
}

fn end(facts: &Facts, mut builder: PlanBuilder) -> Proposal {
    builder.tell(Notice::Terminated);
    builder.release(release(&facts.world.canary))
}

fn has_finalizer(canary: &Canary) -> bool {
    let finalizers = canary.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

/// The step that lets a canary go, if our finalizer holds it.
pub(super) fn release(canary: &Canary) -> Option<Step> {
    has_finalizer(canary)
        .then(|| write_finalizers(canary, |finalizers| finalizers.retain(|finalizer| finalizer != FINALIZER)))
}

/// Others keep their finalizers, and a concurrent writer is noticed.
fn write_finalizers(canary: &Canary, change: impl FnOnce(&mut Vec<Value>)) -> Step {
    let metadata = &canary.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let mut finalizers: Vec<Value> = metadata.finalizers.iter().flatten().map(|finalizer| json!(finalizer)).collect();
    change(&mut finalizers);
    Step::Patch {
        key: ObjectKey::new(Kind::Canary, namespace.unwrap_or_default(), name.unwrap_or_default()),
        operations: json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]),
    }
}
