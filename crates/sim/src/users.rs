//! What people and their tools do at bad moments: push, revert, edit, suspend, delete. Each edit is one that the API
//! server takes.

use burgee_core::order::Word;
use burgee_core::rollout::Rollout;
use burgee_core::router;
use burgee_core::router::row::Holding;
use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::edits;
use crate::fault::Fault;
use crate::faults::Faults;
use crate::kinds::{BROKEN, NAMESPACE};
use crate::stage::{Brake, Stage};
use crate::writing::{Done, patch, rollout};

/// Whether this is something that somebody does.
pub(crate) fn is_users(fault: Fault) -> bool {
    fault >= Fault::NewRevision
}

/// Does it. False if there was nothing to do it to.
pub(crate) fn act(faults: &mut Faults, stage: &mut Stage, fault: Fault) -> Done {
    if stage.cluster.get(&stage.canary).is_none() {
        // Whoever finds the canary gone puts it back sooner or later.
        let applies = fault == Fault::Reapplied || faults.chance.bool();
        return if applies { reapply(faults, stage) } else { Ok(false) };
    }
    match fault {
        Fault::NewRevision => push(stage, &format!("podinfo:6.0.{}", faults.chance.u32(0..4))),
        Fault::BadRevision => push(stage, &format!("podinfo:{BROKEN}-{}", faults.chance.u32(0..4))),
        Fault::Revert => revert(stage),
        Fault::ConfigEdit => config(faults, stage),
        Fault::Suspend => toggle(stage, "suspend"),
        Fault::SkipAnalysis => toggle(stage, "skipAnalysis"),
        Fault::CanaryDeleted => {
            let key = stage.canary.clone();
            stage.cluster.delete(&key);
            Ok(true)
        }
        Fault::PrimaryDeleted => Ok(delete(stage, |rollout| vec![rollout.primary_key()], 0)),
        Fault::OwnedDeleted => Ok(delete(stage, owned, faults.chance.usize(..6))),
        Fault::RouteEdit => route(faults, stage),
        Fault::Interval => edits::analysis(stage, "interval", &json!(faults.chance.choice(["10s", "20s", "45s"]))),
        Fault::Threshold => edits::analysis(stage, "threshold", &json!(faults.chance.i64(1..5))),
        Fault::Steps => edits::steps(faults, stage),
        Fault::Service => edits::service(faults, stage),
        Fault::Strategy => edits::strategy(faults, stage),
        Fault::Metrics => edits::metrics(faults, stage),
        Fault::ServiceName => edits::service_name(faults, stage),
        Fault::AutoscalerRef => edits::autoscaler(faults, stage),
        Fault::TargetScaler => scaler(faults, stage, "podinfo"),
        Fault::PrimaryScaler => scaler(faults, stage, "podinfo-primary"),
        Fault::Order => {
            let word = faults.chance.choice(Word::ALL).unwrap_or(Word::Abort);
            stage.order(word, "somebody").map(|()| true)
        }
        Fault::Brake => {
            stage.brake(if stage.settings.pause_new_runs { Brake::Off } else { Brake::On });
            Ok(true)
        }
        // Nobody does these, or the canary is there already.
        Fault::Refused
        | Fault::LostAnswer
        | Fault::Crash
        | Fault::Standstill
        | Fault::SlowWrite
        | Fault::StaleStore
        | Fault::LateWatch
        | Fault::Blindness
        | Fault::ClockJump
        | Fault::BadMetric
        | Fault::NoValues
        | Fault::Outage
        | Fault::HookFails
        | Fault::HookHangs
        | Fault::GateClosed
        | Fault::RollbackSignal
        | Fault::SlowPods
        | Fault::StuckPods
        | Fault::CrashLoop
        | Fault::Flapping
        | Fault::SlowController
        | Fault::Autoscaling
        | Fault::Reapplied => Ok(false),
    }
}

fn push(stage: &mut Stage, image: &str) -> Done {
    let Some(key) = rollout(stage).map(|rollout| rollout.target_key()) else { return Ok(false) };
    patch(stage, &key, "/spec/template/spec/containers/0/image", &json!(image))
}

/// Back to the image that the primary runs.
fn revert(stage: &mut Stage) -> Done {
    let Some(key) = rollout(stage).map(|rollout| rollout.primary_key()) else { return Ok(false) };
    let primary = stage.cluster.get(&key);
    let image = primary.and_then(|primary| primary.pointer("/spec/template/spec/containers/0/image")).cloned();
    match image.as_ref().and_then(Value::as_str) {
        Some(image) => push(stage, image),
        None => Ok(false),
    }
}

fn config(faults: &mut Faults, stage: &mut Stage) -> Done {
    let kind = faults.chance.choice([Kind::ConfigMap, Kind::Secret]).unwrap_or(Kind::ConfigMap);
    let value = json!(format!("Y29sb3I{}", faults.chance.u32(0..3)));
    patch(stage, &ObjectKey::new(kind, NAMESPACE, "podinfo-config"), "/data/color", &value)
}

fn toggle(stage: &mut Stage, field: &str) -> Done {
    let key = stage.canary.clone();
    let is_on = stage.canary()["spec"][field] == true;
    patch(stage, &key, &format!("/spec/{field}"), &json!(!is_on))
}

/// Deletes one of these objects, if it is there.
fn delete(stage: &mut Stage, keys: fn(&Rollout) -> Vec<ObjectKey>, place: usize) -> bool {
    let keys = rollout(stage).map(|rollout| keys(&rollout)).unwrap_or_default();
    let Some(key) = keys.get(place).filter(|key| stage.cluster.get(key).is_some()) else { return false };
    stage.cluster.delete(key);
    true
}

fn owned(rollout: &Rollout) -> Vec<ObjectKey> {
    let mut keys = vec![
        rollout.key(Kind::Service, &rollout.canary_service()),
        rollout.key(Kind::Service, &rollout.primary_service()),
        rollout.key(Kind::Service, &rollout.apex),
    ];
    keys.extend(router::of(rollout).route(rollout));
    let is_made = |key: &ObjectKey| key.kind.route().is_some_and(|route| route.holding == Holding::Made);
    keys.extend(router::of(rollout).reads(rollout).into_iter().find(is_made));
    keys.extend(burgee_core::scaler::primary_key(rollout));
    keys
}

/// Where the weights of the primary and the canary stand: in a `VirtualService` and in a `TrafficSplit`.
const WEIGHTS: [[&str; 2]; 2] = [
    ["/spec/http/0/route/0/weight", "/spec/http/0/route/1/weight"],
    ["/spec/backends/1/weight", "/spec/backends/0/weight"],
];

/// Somebody shifts the traffic by hand, or deletes the routes.
fn route(faults: &mut Faults, stage: &mut Stage) -> Done {
    let Some(rollout) = rollout(stage) else { return Ok(false) };
    let Some(key) = router::of(&rollout).route(&rollout) else { return Ok(false) };
    let Some(seen) = stage.cluster.get(&key) else { return Ok(false) };
    if faults.chance.u32(..4) == 0 {
        stage.cluster.delete(&key);
        return Ok(true);
    }
    let is_there = |[_, canary]: &[&str; 2]| seen.pointer(canary).is_some_and(Value::is_number);
    let Some([primary, canary]) = WEIGHTS.into_iter().find(is_there) else { return Ok(false) };
    let weight = faults.chance.i64(0..=100);
    patch(stage, &key, primary, &json!(100 - weight))?;
    patch(stage, &key, canary, &json!(weight))
}

/// Another number of replicas, by hand or by the limits of the autoscaler.
fn scaler(faults: &mut Faults, stage: &mut Stage, name: &str) -> Done {
    let (least, most) = (faults.chance.i64(1..4), faults.chance.i64(4..8));
    for (kind, fields) in [
        (Kind::HorizontalPodAutoscaler, ["minReplicas", "maxReplicas"]),
        (Kind::ScaledObject, ["minReplicaCount", "maxReplicaCount"]),
    ] {
        let key = ObjectKey::new(kind, NAMESPACE, name);
        if patch(stage, &key, &format!("/spec/{}", fields[0]), &json!(least))? {
            return patch(stage, &key, &format!("/spec/{}", fields[1]), &json!(most));
        }
    }
    let key = ObjectKey::new(Kind::Deployment, NAMESPACE, name);
    let is_up = stage.cluster.get(&key).is_some_and(|workload| workload["spec"]["replicas"] != 0);
    if is_up { patch(stage, &key, "/spec/replicas", &json!(least)) } else { Ok(false) }
}

/// Applies the canary anew, and with it the target as it stands in Git.
fn reapply(faults: &mut Faults, stage: &mut Stage) -> Done {
    let Some(manifest) = stage.manifest.clone() else { return Ok(false) };
    stage.cluster.apply(manifest).map_err(|refusal| refusal.to_string())?;
    edits::scale_as_named(stage)?;
    if faults.chance.bool() {
        scale_up(stage)?;
    }
    Ok(true)
}

fn scale_up(stage: &mut Stage) -> Done {
    let key = ObjectKey::new(Kind::Deployment, NAMESPACE, "podinfo");
    patch(stage, &key, "/spec/replicas", &json!(2))
}

/// Everybody undoes what would keep a run from ending: the brake is off, the canary is there, nothing is suspended,
/// and a first revision that never starts is mended.
pub(crate) fn make_peace(stage: &mut Stage) -> Result<(), String> {
    if stage.settings.pause_new_runs {
        stage.brake(Brake::Off);
    }
    if stage.cluster.get(&stage.canary).is_none() {
        let Some(manifest) = stage.manifest.clone() else { return Ok(()) };
        stage.cluster.apply(manifest).map_err(|refusal| refusal.to_string())?;
        edits::scale_as_named(stage)?;
        scale_up(stage)?;
    }
    let canary = stage.canary();
    if canary["metadata"]["deletionTimestamp"].is_string() {
        // The target takes the traffic back, so it must be able to start.
        return push(stage, "podinfo:6.0.9").map(|_| ());
    }
    if canary["spec"]["suspend"] == true {
        toggle(stage, "suspend")?;
    }
    if canary["status"]["run"]["pausedSince"].is_string() {
        stage.order(Word::Resume, "somebody")?;
    }
    let phase = canary["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "" | "Initializing") {
        push(stage, "podinfo:6.0.9")?;
    }
    let is_unknown = canary["status"]["lastPromotedSpec"].as_str().is_none_or(str::is_empty);
    if !matches!(phase, "" | "Initializing") && is_unknown {
        // A primary of which nobody knows the revision may have been made anew from one that never starts (I12). Nothing
        // can put it back, so somebody ships a fix without a look at it (I6).
        push(stage, "podinfo:6.0.9")?;
        if canary["spec"]["skipAnalysis"] != true {
            toggle(stage, "skipAnalysis")?;
        }
    }
    Ok(())
}
