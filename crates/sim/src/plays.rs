//! One seed, one play: a canary of some kind, faults for a while, then peace. No invariant may break, and in peace every
//! run comes to its end and rests.

use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::world::{Kind, ObjectKey};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::coverage::Coverage;
use crate::faults::Faults;
use crate::mutations::Mutation;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::trouble::{HOOK_TIMEOUT_SECONDS, ROLLBACK};

/// Where all plays are set.
pub(crate) const NAMESPACE: &str = "test";
/// What stands in the image of a revision that never gets ready.
pub(crate) const BROKEN: &str = "broken";
/// As the operator's own.
const DEBOUNCE: SignedDuration = SignedDuration::from_millis(200);
/// Seconds of disturbance.
const UNKIND_SECONDS: i64 = 400;
/// In peace a run ends within this time, in seconds: deadlines, gates, steps, and a clock that was set back.
const PEACE_SECONDS: i64 = 7_200;
/// How long nothing may happen once it rests.
const REST_SECONDS: i64 = 3_600;

/// A kind of canary that is played.
#[derive(Clone, Copy, Debug)]
pub struct Kindred {
    /// Its name.
    pub name: &'static str,
    spec: fn() -> Value,
    objects: fn() -> Vec<Value>,
}

/// Every kind of canary that is played.
pub const KINDS: [Kindred; 11] = [
    Kindred { name: "weights", spec: weights, objects: with_hpa },
    Kindred { name: "step weights", spec: step_weights, objects: plain },
    Kindred { name: "A/B testing", spec: ab_testing, objects: with_hpa },
    Kindred { name: "blue/green", spec: blue_green, objects: plain },
    Kindred { name: "blue/green with mirroring", spec: blue_green_mirror, objects: plain },
    Kindred { name: "weights with mirroring", spec: mirror, objects: plain },
    Kindred { name: "session affinity", spec: affinity, objects: plain },
    Kindred { name: "DaemonSet", spec: daemonset, objects: with_daemonset },
    Kindred { name: "KEDA", spec: keda, objects: with_keda },
    Kindred { name: "kubernetes provider", spec: kubernetes, objects: plain },
    Kindred { name: "revertOnDeletion", spec: revert, objects: with_service },
];

/// A canary whose routes are a `TrafficSplit`, played with seeds of its own.
pub const TRAFFIC_SPLIT: Kindred = Kindred { name: "TrafficSplit", spec: traffic_split, objects: with_hpa };

/// How a play ended.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was met in which phase.
    pub coverage: Coverage,
    /// What was wrong, if something was, with the film.
    pub failure: Option<String>,
}

/// Plays one seed of one kind.
pub fn play(kind: Kindred, seed: u64) -> Played {
    play_with(kind, Faults::new(seed), None)
}

/// Plays one kind with these faults, and with a rule that is broken on purpose, if there is one to break.
pub fn play_with(kind: Kindred, mut faults: Faults, mutation: Option<Mutation>) -> Played {
    let mut stage = match set_up(kind) {
        Ok(stage) => stage,
        Err(failure) => return Played { coverage: Coverage::default(), failure: Some(failure) },
    };
    stage.mutation = mutation;
    let outcome = disturbed(&mut stage, &mut faults).and_then(|()| in_peace(&mut stage, &mut faults));
    let broken = stage.broken.take().map_or(outcome, Err);
    Played { coverage: faults.coverage, failure: broken.err().map(|broken| report(&stage, &broken)) }
}

fn report(stage: &Stage, broken: &str) -> String {
    let film = &stage.film;
    if broken.contains('\n') { broken.to_owned() } else { format!("{broken}\n{film}\n{}", stage.aside.join("\n")) }
}

/// The kind's objects on a stage.
pub fn set_up(kind: Kindred) -> Result<Stage, String> {
    let mut objects = (kind.objects)();
    let canary = canary((kind.spec)());
    objects.push(canary.clone());
    let mut stage = Scenario::of(objects).set_up()?;
    stage.manifest = Some(canary);
    stage.debounce = DEBOUNCE;
    stage.scalers.are_at_work = true;
    stage.outside.set_hook(ROLLBACK, Err("no".to_owned()));
    for name in ["podinfo", "podinfo-primary"] {
        stage.workloads.behaviour.stuck.insert((name.to_owned(), BROKEN.to_owned()));
    }
    Ok(stage)
}

fn disturbed(stage: &mut Stage, faults: &mut Faults) -> Result<(), String> {
    let mut second = faults.chance.choice([0, 0, 30]).unwrap_or(0);
    if second > 0 {
        stage.play_until(second)?;
    }
    while second < UNKIND_SECONDS {
        faults.disturb(stage)?;
        second += faults.next_pause_seconds();
        stage.faults = Some(faults.clone());
        let played = stage.play_until(second);
        if let Some(met) = stage.faults.take() {
            *faults = met;
        }
        played?;
    }
    Ok(())
}

fn in_peace(stage: &mut Stage, faults: &mut Faults) -> Result<(), String> {
    faults.end(stage)?;
    let end = stage.second() + PEACE_SECONDS;
    let mut second = stage.second() + 1;
    stage.play_until(second)?;
    while !stage.rests() && second < end {
        second += 20;
        stage.play_until(second)?;
        if stage.cluster.get(&stage.canary).is_none() || stage.status()["run"]["pausedSince"].is_string() {
            // What was asked for before the peace was carried out in it.
            faults.end(stage)?;
        }
    }
    if !stage.rests() {
        return Err(format!("the run never ends, it is {}", stage.phase()));
    }
    rests_well(stage)
}

/// I5, I10, I18: nothing is left to do, no revision is lost, and nothing is written any more.
fn rests_well(stage: &mut Stage) -> Result<(), String> {
    let taken = stage.taken;
    stage.play_until(stage.second() + REST_SECONDS)?;
    if stage.taken != taken {
        return Err("something is written or told although nothing happens (I18)".to_owned());
    }
    let Some(reading) = stage.reading() else { return Ok(()) };
    let Ok(rollout) = &reading.rollout else { return Ok(()) };
    let status = reading.canary.status.clone().unwrap_or_default();
    debug_assert!(status.phase.is_terminal(), "whoever rests has come to an end");
    has_one_autoscaler(stage)?;
    let Some(target) = stage.cluster.get(&rollout.target_key()) else { return Ok(()) };
    let template = burgee_core::workload::template(rollout.target_kind, target);
    let revision = burgee_core::digest::digest(&template);
    let is_known = [&status.last_applied_spec, &status.last_promoted_spec].contains(&&revision);
    if !is_known && !is_foreign(&status.last_applied_spec) {
        return Err(format!("revision {revision} was never analysed (I10)"));
    }
    if stage.workloads.ready(&rollout.primary_key(), stage.now) == 0 && status.canary_weight == 0 {
        return Err("all traffic is on a primary without pods".to_owned());
    }
    Ok(())
}

/// Two autoscalers would fight over the primary's pods.
fn has_one_autoscaler(stage: &Stage) -> Result<(), String> {
    let kinds = [Kind::HorizontalPodAutoscaler, Kind::ScaledObject];
    let copies = kinds.map(|kind| stage.cluster.get(&ObjectKey::new(kind, NAMESPACE, "podinfo-primary")));
    if copies.iter().all(Option::is_some) {
        return Err("two autoscalers scale the primary".to_owned());
    }
    Ok(())
}

fn key_object(kind: Kind, name: &str) -> Value {
    let key = ObjectKey::new(kind, NAMESPACE, name);
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": key.name, "namespace": key.namespace},
    })
}

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "podinfo"}},
        "spec": {"containers": [{
            "name": "podinfod",
            "image": "podinfo:6.0.0",
            "ports": [{"containerPort": 9898, "name": "http"}],
            "envFrom": [
                {"configMapRef": {"name": "podinfo-config"}},
                {"secretRef": {"name": "podinfo-config"}},
            ],
        }]},
    })
}

fn workload(kind: Kind, spec: Value) -> Value {
    let mut workload = key_object(kind, "podinfo");
    workload["spec"] = spec;
    workload["spec"]["selector"] = json!({"matchLabels": {"app": "podinfo"}});
    workload["spec"]["template"] = template();
    workload
}

fn configs() -> [Value; 2] {
    [Kind::ConfigMap, Kind::Secret].map(|kind| {
        let mut config = key_object(kind, "podinfo-config");
        config["data"] = json!({"color": "Ymx1ZQ"});
        config
    })
}

fn plain() -> Vec<Value> {
    let deployment = workload(Kind::Deployment, json!({"replicas": 2, "progressDeadlineSeconds": 60}));
    [vec![deployment], configs().to_vec()].concat()
}

fn with_daemonset() -> Vec<Value> {
    [vec![workload(Kind::DaemonSet, json!({}))], configs().to_vec()].concat()
}

/// An HPA of the target.
pub(crate) fn hpa() -> Value {
    let mut hpa = key_object(Kind::HorizontalPodAutoscaler, "podinfo");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"});
    hpa["spec"] = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6});
    hpa
}

fn with_hpa() -> Vec<Value> {
    [vec![hpa()], plain()].concat()
}

/// A Service that the user had before, with more than the canary names.
fn with_service() -> Vec<Value> {
    let mut service = key_object(Kind::Service, "podinfo");
    let ports = json!([
        {"name": "web", "protocol": "TCP", "port": 9898, "targetPort": "http", "nodePort": 30429},
        {"name": "metrics", "protocol": "TCP", "port": 9100, "targetPort": 9100, "nodePort": 32474},
    ]);
    service["spec"] = json!({"type": "NodePort", "selector": {"app": "podinfo"}, "ports": ports});
    [vec![service], with_hpa()].concat()
}

/// A `ScaledObject` of the target.
pub(crate) fn scaled_object() -> Value {
    let mut scaler = key_object(Kind::ScaledObject, "podinfo");
    let trigger = json!({"type": "prometheus", "name": "load", "metadata": {"query": "sum(rate(requests{app=\"podinfo\"}[1m]))"}});
    scaler["spec"] = json!({
        "scaleTargetRef": {"name": "podinfo"}, "minReplicaCount": 2, "maxReplicaCount": 6, "triggers": [trigger],
    });
    scaler
}

fn with_keda() -> Vec<Value> {
    [vec![scaled_object()], plain()].concat()
}

fn canary(spec: Value) -> Value {
    let mut canary = key_object(Kind::Canary, "podinfo");
    canary["metadata"]["creationTimestamp"] = json!("2023-11-14T22:13:20Z");
    canary["spec"] = spec;
    canary
}

/// A spec with hooks of every type, and with these fields of the analysis.
fn spec(analysis: &Value) -> Value {
    let timeout = format!("{HOOK_TIMEOUT_SECONDS}s");
    let hook =
        |name: &str, kind: &str| json!({"name": name, "type": kind, "url": "http://tester.test/", "timeout": timeout});
    let mut spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
        "progressDeadlineSeconds": 60,
        "service": {"port": 9898},
        "analysis": {
            "interval": "10s",
            "threshold": 3,
            "metrics": [
                {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
                {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "30s"},
            ],
            "webhooks": [
                hook("start", "confirm-rollout"),
                hook("acceptance", "pre-rollout"),
                hook("load-test", "rollout"),
                hook("traffic", "confirm-traffic-increase"),
                hook("promote", "confirm-promotion"),
                hook(ROLLBACK, "rollback"),
                hook("after", "post-rollout"),
            ],
        },
    });
    for (field, value) in analysis.as_object().into_iter().flatten() {
        spec["analysis"][field] = value.clone();
    }
    spec
}

/// The reference to an autoscaler of the target.
pub(crate) fn autoscaler_ref(kind: Kind) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": "podinfo"})
}

fn scaled(mut spec: Value, kind: Kind) -> Value {
    spec["autoscalerRef"] = autoscaler_ref(kind);
    spec
}

fn weights() -> Value {
    scaled(spec(&json!({"stepWeight": 20, "maxWeight": 60})), Kind::HorizontalPodAutoscaler)
}

fn step_weights() -> Value {
    spec(&json!({"stepWeights": [1, 25, 80], "stepWeightPromotion": 40}))
}

fn ab_testing() -> Value {
    let matches = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
    scaled(spec(&json!({"iterations": 3, "match": matches})), Kind::HorizontalPodAutoscaler)
}

fn blue_green() -> Value {
    spec(&json!({"iterations": 3}))
}

fn blue_green_mirror() -> Value {
    spec(&json!({"iterations": 2, "mirror": true}))
}

fn mirror() -> Value {
    spec(&json!({"stepWeight": 30, "maxWeight": 60, "mirror": true}))
}

fn affinity() -> Value {
    spec(&json!({"stepWeight": 25, "maxWeight": 50, "sessionAffinity": {"cookieName": "canary", "maxAge": 3600}}))
}

fn daemonset() -> Value {
    let mut spec = spec(&json!({"stepWeight": 25, "maxWeight": 50}));
    spec["targetRef"]["kind"] = json!("DaemonSet");
    spec
}

fn keda() -> Value {
    scaled(spec(&json!({"stepWeight": 30, "maxWeight": 60})), Kind::ScaledObject)
}

fn kubernetes() -> Value {
    let mut spec = spec(&json!({"iterations": 3}));
    spec["provider"] = json!("kubernetes");
    spec
}

fn traffic_split() -> Value {
    let mut spec = weights();
    spec["provider"] = json!("smi:v1alpha2");
    spec
}

fn revert() -> Value {
    let mut spec = weights();
    spec["revertOnDeletion"] = json!(true);
    spec
}
