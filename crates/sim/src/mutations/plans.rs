//! Plans that do too much, too little, or in the wrong order. What the decision saw is not touched here.

use burgee_api::Phase;
use burgee_core::decide::Tick;
use burgee_core::digest::is_foreign;
use burgee_core::notice::Notice;
use burgee_core::object::items_mut;
use burgee_core::order;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::restoration;
use burgee_core::rollout::TargetKind;
use burgee_core::timetable::Wake;
use burgee_core::workload::{self, Readiness, Side};
use burgee_core::world::{Kind, ObjectKey, Observed};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{LateWrites, Mutation};

/// I1: a run begins without the floor under the primary.
pub const FLOOR_IS_LOST: Mutation = Mutation::of_plan("a run begins without the floor under the primary", |_, plan| {
    if next_phase(plan) == Some(Phase::Progressing) {
        plan.steps.retain(|step| !writes(step, Kind::HorizontalPodAutoscaler));
    }
});

/// I1: a primary that was deleted comes back with one pod.
pub const PRIMARY_COMES_BACK_SMALL: Mutation =
    Mutation::of_plan("a primary that was deleted comes back with one pod", |tick, plan| {
        for step in &mut plan.steps {
            if let Step::Create(object) = step
                && ObjectKey::of(object) == Some(tick.rollout.primary_key())
                && !phase(tick).is_bootstrap()
            {
                object["spec"]["replicas"] = json!(1);
            }
        }
    });

/// I2: after a drain the target goes to zero whatever the primary does.
pub const TARGET_GOES_ANYWAY: Mutation =
    Mutation::of_plan("after a drain the target goes to zero whatever the primary does", |tick, plan| {
        if tells(plan, |notice| matches!(notice, Notice::Problem(text) if text.ends_with("the canary is kept"))) {
            plan.steps = scale_down(tick);
        }
    });

/// I3: a canary that has lost its pods keeps its traffic.
pub const TRAFFIC_STAYS_WITHOUT_PODS: Mutation =
    Mutation::of_plan("a canary that has lost its pods keeps its traffic", |tick, plan| {
        let target = tick.world.present(&tick.rollout.target_key());
        let pods = target.map_or(0, |target| workload::ready_pods(tick.rollout.target_kind, target));
        let is_checking = phase(tick) == Phase::Progressing;
        if is_checking && pods == 0 && plan.steps.iter().any(|step| writes(step, Kind::VIRTUAL_SERVICE)) {
            wait(tick, plan, SignedDuration::from_secs(5));
        }
    });

/// I4: the rollback takes the target down with its route.
pub const TARGET_GOES_WITH_ITS_ROUTE: Mutation =
    Mutation::of_plan("the rollback takes the target down with its route", |tick, plan| {
        if next_phase(plan) == Some(Phase::Failed) {
            plan.steps.extend(scale_down(tick));
        }
    });

/// I6: a run without analysis waits for the primary all the same.
pub const FIX_WAITS_FOR_THE_PRIMARY: Mutation =
    Mutation::of_plan("a run without analysis waits for the primary all the same", |tick, plan| {
        let begins = phase(tick).is_terminal() && next_phase(plan) == Some(Phase::Progressing);
        if begins && !primary_is_ready(tick) {
            wait(tick, plan, tick.rollout.interval);
        }
    });

/// I7: the primary keeps all of its weight.
pub const WEIGHTS_DO_NOT_ADD_UP: Mutation = Mutation::of_plan("the primary keeps all of its weight", |_, plan| {
    for route in plan.steps.iter_mut().filter_map(|step| replaced(step, Kind::VIRTUAL_SERVICE)) {
        for entry in items_mut(route.pointer_mut("/spec/http")) {
            entry["route"][0]["weight"] = json!(100);
        }
    }
});

/// I7: the routes are written before the status.
pub const ROUTES_COME_FIRST: Mutation = Mutation::of_plan("the routes are written before the status", |_, plan| {
    if next_phase(plan) == Some(Phase::Progressing) {
        plan.steps.sort_by_key(|step| !writes(step, Kind::VIRTUAL_SERVICE));
    }
});

/// I7: annotations of others go with each write of the routes.
pub const OTHERS_ARE_OVERWRITTEN: Mutation =
    Mutation::of_plan("annotations of others go with each write of the routes", |_, plan| {
        for route in plan.steps.iter_mut().filter_map(|step| replaced(step, Kind::VIRTUAL_SERVICE)) {
            if let Some(annotations) = route["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|key, _| key.contains("toolkit.fluxcd.io"));
            }
        }
    });

/// I10: a revision is recorded as seen when its gate closes.
pub const SEEN_AT_THE_GATE: Mutation =
    Mutation::of_plan("a revision is recorded as seen when its gate closes", |_, plan| {
        if let Some(status) = plan.steps.iter_mut().find_map(written_status)
            && status.phase == Phase::Waiting
        {
            status.last_applied_spec = status.run.as_ref().map(|run| run.revision.clone()).unwrap_or_default();
        }
    });

/// I10: a new revision is looked at and forgotten.
pub const REVISION_IS_LOST: Mutation = Mutation::of_plan("a new revision is looked at and forgotten", |tick, plan| {
    if phase(tick).is_terminal() && next_phase(plan) == Some(Phase::Progressing) {
        *plan = Plan::idle();
    }
});

/// I12: a primary that was deleted is made from the target.
pub const PRIMARY_COMES_FROM_THE_TARGET: Mutation =
    Mutation::of_plan("a primary that was deleted is made from the target", |tick, plan| {
        let Some(target) = tick.world.present(&tick.rollout.target_key()) else { return };
        if workload::find_primary(tick.rollout, tick.world) != Ok(None) {
            return;
        }
        for primary in written(plan, &tick.rollout.primary_key()) {
            match tick.rollout.target_kind {
                TargetKind::Deployment | TargetKind::DaemonSet => {
                    primary["spec"]["template"]["spec"] = target["spec"]["template"]["spec"].clone();
                }
                TargetKind::Service => primary["spec"] = target["spec"].clone(),
                TargetKind::Knative => {
                    primary["metadata"]["annotations"][PRIMARY_REVISION] =
                        target["status"]["latestCreatedRevisionName"].clone();
                }
            }
        }
    });

/// I12: the promotion copies something that nobody looked at.
pub const LIVE_TEMPLATE_IS_PROMOTED: Mutation =
    Mutation::of_plan("the promotion copies something that nobody looked at", |tick, plan| {
        if phase(tick) != Phase::Promoting {
            return;
        }
        for primary in written(plan, &tick.rollout.primary_key()) {
            match tick.rollout.target_kind {
                TargetKind::Deployment | TargetKind::DaemonSet => {
                    primary["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:pushed-just-now");
                }
                TargetKind::Service => primary["spec"]["externalName"] = json!("pushed-just-now.example.com"),
                // The name of the latest revision is all that there is to copy.
                TargetKind::Knative => {}
            }
        }
    });

/// I13: a run that waits for its interval sets no alarm.
pub const NO_ALARM_IS_SET: Mutation =
    Mutation::of_plan("a run that waits for its interval sets no alarm", |tick, plan| {
        if phase(tick) == Phase::Progressing && plan.steps.is_empty() {
            plan.next = Wake::OnChange;
        }
    });

/// I13: whoever puts the primary back sets no alarm.
pub const HEALING_SETS_NO_ALARM: Mutation =
    Mutation::of_plan("whoever waits for a primary that is put back sets no alarm", |tick, plan| {
        if tick.world.canary.status.as_ref().is_some_and(restoration::is_due) && plan.status().is_none() {
            plan.next = Wake::OnChange;
        }
    });

/// I14: patches carry no tests.
pub const PATCHES_CARRY_NO_TESTS: Mutation = Mutation::of_plan("patches carry no tests", |_, plan| {
    for step in &mut plan.steps {
        if let Step::Patch { operations: Value::Array(operations), .. } = step {
            operations.retain(|operation| operation["op"] != "test");
        }
    }
});

/// I17: a status that was on its way when the lease was lost is written over the next holder's.
pub const LATE_WRITES_ARE_FORCED: Mutation = Mutation {
    late_writes: LateWrites::Forced,
    ..Mutation::named("a status that was on its way when the lease was lost is written all the same")
};

/// I18: a canary that rests writes its status at each look.
pub const STATUS_IS_ALWAYS_WRITTEN: Mutation =
    Mutation::of_plan("a canary that rests writes its status at each look", |tick, plan| {
        let status = tick.world.canary.status.clone().filter(|status| status.phase.is_terminal());
        if let Some(mut status) = status.filter(|_| plan.steps.is_empty()) {
            status.last_transition_time = Some(format!("{:.0}", tick.now));
            plan.steps.push(Step::Status(Box::new(status)));
        }
    });

/// I22: the rollback waits for something slow.
pub const ROLLBACK_IS_POSTPONED: Mutation = Mutation::of_plan("the rollback waits for something slow", |tick, plan| {
    let run = tick.world.canary.status.as_ref().and_then(|status| status.run.as_ref());
    let started = run.and_then(|run| run.step_started_at.as_ref()?.parse::<Timestamp>().ok());
    let is_early = started.is_some_and(|at| tick.now.duration_since(at) < tick.rollout.interval.saturating_mul(4));
    if next_phase(plan) == Some(Phase::Failed) && is_early {
        wait(tick, plan, SignedDuration::from_secs(5));
    }
});

/// I22: a rollback that waits for the primary tells nobody.
pub const WAITING_ROLLBACK_IS_SILENT: Mutation =
    Mutation::of_plan("a rollback that waits for the primary tells nobody", |tick, plan| {
        if tells(plan, |notice| matches!(notice, Notice::RollbackWaits)) {
            wait(tick, plan, SignedDuration::from_secs(5));
        }
    });

/// I23: what is told comes after the status write that makes it unrepeatable.
pub const EVENTS_COME_LAST: Mutation = Mutation::of_plan("events come after the status", |_, plan| {
    plan.steps.sort_by_key(|step| matches!(step, Step::Tell(_)));
});

/// I23: each event is told under two names.
pub const EVENTS_ARE_TOLD_TWICE: Mutation = Mutation::of_plan("each event is told under two names", |_, plan| {
    let steps = std::mem::take(&mut plan.steps);
    for step in steps {
        if let Step::Tell(telling) = &step {
            let mut again = telling.clone();
            again.event_suffix.push_str("again");
            plan.steps.push(Step::Tell(again));
        }
        plan.steps.push(step);
    }
});

/// I23: alerts are sent before the status that makes them unrepeatable.
pub const ALERTS_COME_FIRST: Mutation = Mutation::of_plan("alerts are sent before the status", |_, plan| {
    plan.steps.sort_by_key(|step| !matches!(step, Step::Deliver(_)));
});

/// I24: a deletion lets the primary go at once.
pub const PRIMARY_IS_RELEASED_AT_ONCE: Mutation =
    Mutation::of_plan("a deletion lets the primary go at once", |tick, plan| {
        let metadata = &tick.world.canary.metadata;
        if phase(tick) == Phase::Terminating {
            plan.steps = vec![Step::Patch {
                key: tick.rollout.key(Kind::Canary, &tick.rollout.name),
                operations: json!([
                    {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
                    {"op": "add", "path": "/metadata/finalizers", "value": []},
                ]),
            }];
        }
    });

/// I24: the user's Service keeps leading to the primary.
pub const APEX_IS_KEPT: Mutation =
    Mutation::of_plan("the user's Service keeps leading to the primary", |tick, plan| {
        if phase(tick) == Phase::Terminating {
            plan.steps.retain(|step| !writes(step, Kind::Service));
        }
    });

/// I28: an order waits for what cannot be read.
pub const ORDERS_WAIT_FOR_SIGHT: Mutation =
    Mutation::of_plan("an order waits for what cannot be read", |tick, plan| {
        let is_blind = tick.world.objects.iter().any(|(_, seen)| matches!(seen, Observed::Unknown(_)));
        if is_blind && order::pending(&tick.world.canary).is_some() {
            wait(tick, plan, SignedDuration::from_secs(1));
        }
    });

/// I28: a canary without pods waits for what cannot be read.
pub const RETREAT_WAITS_FOR_SIGHT: Mutation =
    Mutation::of_plan("a canary without pods waits for what cannot be read", |tick, plan| {
        let is_blind = tick.world.objects.iter().any(|(_, seen)| matches!(seen, Observed::Unknown(_)));
        if is_blind && workload::ready_on(tick.rollout, tick.world, Side::Canary) == 0 {
            wait(tick, plan, SignedDuration::from_secs(1));
        }
    });

/// I26: a takeover makes the primary anew.
pub const PRIMARY_IS_MADE_ANEW: Mutation = Mutation::of_plan("a takeover makes the primary anew", |tick, plan| {
    let is_foreign = tick.world.canary.status.as_ref().is_some_and(|status| is_foreign(&status.last_applied_spec));
    let is_adopted = plan.status().is_some_and(|status| status.last_applied_spec.starts_with("b1-"));
    let Some(mut primary) = tick.world.present(&tick.rollout.primary_key()).cloned() else { return };
    if !is_foreign || !is_adopted {
        return;
    }
    match tick.rollout.target_kind {
        TargetKind::Deployment | TargetKind::DaemonSet => {
            primary["spec"]["template"]["metadata"]["annotations"]["flagger-id"] = json!("another");
        }
        TargetKind::Service => primary["spec"]["externalName"] = json!("elsewhere.example.com"),
        TargetKind::Knative => {
            let first = format!("{}-00001", tick.rollout.target.name);
            primary["metadata"]["annotations"][PRIMARY_REVISION] = json!(first);
        }
    }
    plan.steps.insert(0, Step::Replace(primary));
});

/// The annotation by which a Knative Service names its primary revision.
const PRIMARY_REVISION: &str = "flagger.app/primary-revision";

fn phase(tick: &Tick) -> Phase {
    tick.world.canary.status.as_ref().map_or(Phase::Unset, |status| status.phase)
}

fn next_phase(plan: &Plan) -> Option<Phase> {
    plan.status().map(|status| status.phase)
}

fn tells(plan: &Plan, wanted: fn(&Notice) -> bool) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Tell(telling) if wanted(&telling.notice)))
}

fn writes(step: &Step, kind: Kind) -> bool {
    matches!(step, Step::Create(object) | Step::Replace(object) if Kind::of(object) == Some(kind))
}

fn replaced(step: &mut Step, kind: Kind) -> Option<&mut Value> {
    if let Step::Replace(object) = step { Some(object).filter(|object| Kind::of(object) == Some(kind)) } else { None }
}

/// The objects of this key that a plan writes.
fn written<'a>(plan: &'a mut Plan, key: &'a ObjectKey) -> impl Iterator<Item = &'a mut Value> {
    plan.steps.iter_mut().filter_map(move |step| match step {
        Step::Create(object) | Step::Replace(object) => {
            Some(object).filter(|object| ObjectKey::of(object).as_ref() == Some(key))
        }
        Step::Drop(_)
        | Step::Patch { .. }
        | Step::Keep(_)
        | Step::CopyConfig(_)
        | Step::KeepConfigs { .. }
        | Step::RestoreConfigs(_)
        | Step::Tell(_)
        | Step::Status(_)
        | Step::Deliver(_)
        | Step::Count(_) => None,
    })
}

fn written_status(step: &mut Step) -> Option<&mut burgee_api::CanaryStatus> {
    if let Step::Status(status) = step { Some(status) } else { None }
}

fn scale_down(tick: &Tick) -> Vec<Step> {
    let target = tick.world.present(&tick.rollout.target_key());
    target.and_then(|target| workload::scale_to_zero(tick.rollout, target)).into_iter().collect()
}

fn wait(tick: &Tick, plan: &mut Plan, duration: SignedDuration) {
    let next = tick.now.saturating_add(duration).unwrap_or(Timestamp::MAX);
    *plan = Plan { next: Wake::At(next), ..Plan::idle() };
}

fn primary_is_ready(tick: &Tick) -> bool {
    let patience = workload::Patience {
        ready_percent: 100,
        deadline_seconds: tick.rollout.progress_deadline_seconds,
        since: None,
        now: tick.now,
    };
    let primary = tick.world.present(&tick.rollout.primary_key());
    primary.is_some_and(|primary| workload::readiness(tick.rollout.target_kind, primary, &patience) == Readiness::Ready)
}
