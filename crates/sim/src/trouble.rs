//! What goes wrong without anybody's doing: with the operator's view and clock, with whom it asks, with the pods.

use burgee_core::world::Kind;
use jiff::SignedDuration;

use crate::fault::Fault;
use crate::faults::Faults;
use crate::kinds::{CHECKS, GATES, HOOK_TIMEOUT_SECONDS, ROLLBACK};
use crate::outside::Reply;
use crate::process::{Blur, later};
use crate::stage::Stage;

/// Kinds that are watched, and can be seen late.
const WATCHED: [Kind; 10] = [
    Kind::Canary,
    Kind::Deployment,
    Kind::DaemonSet,
    Kind::Service,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::HorizontalPodAutoscaler,
    Kind::ScaledObject,
    Kind::VIRTUAL_SERVICE,
    Kind::DESTINATION_RULE,
];
/// The builtin metrics, as [`crate::outside::Outside::set_metric`] knows them, each with a value that is bad: percent and
/// milliseconds, whatever the provider's own unit is.
const METRICS: [(&str, f64); 2] = [("success-rate", 69.0), ("latency", 690.0)];

/// Brings one of these faults, or ends it if it lasts already.
pub(crate) fn bring(faults: &mut Faults, stage: &mut Stage, fault: Fault) {
    let lasts = faults.lasting.contains(&fault);
    match fault {
        Fault::StaleStore | Fault::Blindness => blur(faults, stage, fault),
        Fault::ClockJump => jump(faults, stage),
        Fault::BadMetric | Fault::NoValues => measure(faults, stage, fault),
        Fault::Outage if lasts => stage.outside.speak(),
        Fault::Outage => stage.outside.silence(),
        Fault::HookFails | Fault::HookHangs | Fault::GateClosed | Fault::RollbackSignal => hook(faults, stage, fault),
        Fault::SlowPods => {
            stage.workloads.behaviour.ready_after_seconds = if lasts { 3 } else { faults.chance.i64(5..50) }
        }
        Fault::SlowController => {
            stage.workloads.behaviour.notice_after_seconds = if lasts { 0 } else { faults.chance.i64(1..15) };
        }
        Fault::StuckPods | Fault::Flapping | Fault::CrashLoop => pods(faults, stage, fault),
        Fault::Autoscaling => autoscale(faults, stage),
        // Of steps, of wakes, or somebody's doing.
        Fault::Refused
        | Fault::LostAnswer
        | Fault::Crash
        | Fault::Standstill
        | Fault::SlowWrite
        | Fault::LateWatch
        | Fault::NewRevision
        | Fault::BadRevision
        | Fault::Revert
        | Fault::ConfigEdit
        | Fault::Suspend
        | Fault::SkipAnalysis
        | Fault::CanaryDeleted
        | Fault::Reapplied
        | Fault::PrimaryDeleted
        | Fault::OwnedDeleted
        | Fault::RouteEdit
        | Fault::Interval
        | Fault::Threshold
        | Fault::Steps
        | Fault::Service
        | Fault::Strategy
        | Fault::Metrics
        | Fault::ServiceName
        | Fault::AutoscalerRef
        | Fault::TargetScaler
        | Fault::PrimaryScaler
        | Fault::Order
        | Fault::Brake => {}
    }
    if is_lasting(fault) {
        if lasts {
            faults.lasting.remove(&fault)
        } else {
            faults.lasting.insert(fault)
        };
    }
    stage.look_anew();
}

fn is_lasting(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Outage
            | Fault::BadMetric
            | Fault::NoValues
            | Fault::HookFails
            | Fault::HookHangs
            | Fault::GateClosed
            | Fault::RollbackSignal
            | Fault::SlowPods
            | Fault::SlowController
            | Fault::StuckPods
    )
}

/// One kind is seen as it is now for a while, or not at all.
fn blur(faults: &mut Faults, stage: &mut Stage, fault: Fault) {
    let Some(kind) = faults.chance.choice(WATCHED) else { return };
    let until = later(stage.now, SignedDuration::from_secs(faults.chance.i64(1..90)));
    let seen = || stage.cluster.of_kind(kind).map(|(key, object)| (key.clone(), object.clone())).collect();
    let blur = if fault == Fault::StaleStore { Blur::Stale(seen()) } else { Blur::Blind };
    // A canary that cannot be read is not even ticked.
    if kind != Kind::Canary || fault == Fault::StaleStore {
        stage.processes[stage.leader].blur(kind, blur, until);
    }
}

/// The wall's clock jumps by seconds or minutes. Timers go on by the steady one.
fn jump(faults: &mut Faults, stage: &mut Stage) {
    let most = faults.chance.choice([5, 60, 600]).unwrap_or(60);
    let by = SignedDuration::from_secs(faults.chance.i64(-most..most));
    stage.processes[stage.leader].skew += by;
}

fn measure(faults: &mut Faults, stage: &mut Stage, fault: Fault) {
    let (metric, bad) = faults.chance.choice(METRICS).unwrap_or(METRICS[0]);
    if faults.lasting.contains(&fault) {
        good_metrics(stage);
    } else {
        let reply = if fault == Fault::NoValues { Reply::NoValues } else { Reply::Value(bad) };
        stage.outside.set_metric(metric, reply);
    }
}

fn good_metrics(stage: &mut Stage) {
    for (metric, _) in METRICS {
        stage.outside.set_metric(metric, Reply::Usual);
    }
}

fn hook(faults: &mut Faults, stage: &mut Stage, fault: Fault) {
    let lasts = faults.lasting.contains(&fault);
    let names: &[&str] = if fault == Fault::GateClosed {
        &GATES
    } else if fault == Fault::RollbackSignal {
        &[ROLLBACK]
    } else {
        &CHECKS
    };
    let all = [&GATES[..], &CHECKS, &[ROLLBACK]].concat();
    let name = *faults.chance.choice(if fault == Fault::HookHangs { &all[..] } else { names }).unwrap_or(&names[0]);
    let fails = || Err("no token".to_owned());
    match (fault, lasts) {
        (Fault::HookHangs, false) => {
            let delay = SignedDuration::from_secs(faults.chance.i64(5..=HOOK_TIMEOUT_SECONDS));
            stage.outside.slow_down(name, delay);
        }
        (Fault::HookHangs, true) => all.iter().for_each(|name| stage.outside.slow_down(name, SignedDuration::ZERO)),
        (Fault::RollbackSignal, true) => stage.outside.set_hook(name, fails()),
        (Fault::RollbackSignal, false) => stage.outside.set_hook(name, Ok(())),
        (_, true) => names.iter().for_each(|name| stage.outside.set_hook(name, Ok(()))),
        (_, false) => stage.outside.set_hook(name, fails()),
    }
}

/// Pods of the target or of the primary: kept from getting ready, one of them crashing, or all unready for a moment.
fn pods(faults: &mut Faults, stage: &mut Stage, fault: Fault) {
    let Some(name) = faults.chance.choice(["podinfo", "podinfo-primary"]) else { return };
    let behaviour = &mut stage.workloads.behaviour;
    if fault == Fault::Flapping {
        let until = later(stage.now, SignedDuration::from_secs(faults.chance.i64(1..20)));
        behaviour.outages.insert(name.to_owned(), until);
    } else if fault == Fault::CrashLoop {
        let until = later(stage.now, SignedDuration::from_secs(faults.chance.i64(1..40)));
        behaviour.crashing.insert(name.to_owned(), (1, Some(until)));
    } else if faults.lasting.contains(&fault) {
        behaviour.stuck.retain(|(_, mention)| !mention.is_empty());
    } else {
        behaviour.stuck.insert((name.to_owned(), String::new()));
    }
}

/// The load wants another number of pods.
fn autoscale(faults: &mut Faults, stage: &mut Stage) {
    let Some(name) = faults.chance.choice(["podinfo", "podinfo-primary"]) else { return };
    let wanted = faults.chance.i64(1..8);
    stage.scalers.wanted.insert(name.to_owned(), wanted);
}

/// All of it ends. What is late still comes late.
pub(crate) fn end(stage: &mut Stage) {
    stage.outside.speak();
    good_metrics(stage);
    for name in GATES.into_iter().chain(CHECKS) {
        stage.outside.set_hook(name, Ok(()));
        stage.outside.slow_down(name, SignedDuration::ZERO);
    }
    stage.outside.slow_down(ROLLBACK, SignedDuration::ZERO);
    stage.outside.set_hook(ROLLBACK, Err("no".to_owned()));
    stage.scalers.wanted.clear();
    stage.processes.iter_mut().for_each(|process| process.skew = SignedDuration::ZERO);
    let behaviour = &mut stage.workloads.behaviour;
    behaviour.stuck.retain(|(_, mention)| !mention.is_empty());
    behaviour.crashing.clear();
    behaviour.ready_after_seconds = 3;
    behaviour.notice_after_seconds = 0;
    stage.look_anew();
}
