//! What people change in the spec of a canary while it runs, each time to one that can be meant.

use burgee_core::rollout::{Strategy, TargetKind};
use burgee_core::router::row::{Feature, Lacking};
use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::kinds::{self, NAMESPACE};
use crate::stage::Stage;
use crate::writing::{Done, patch, rollout};

/// What of an analysis makes its strategy.
const OF_STRATEGY: [&str; 8] = [
    "stepWeight",
    "stepWeights",
    "stepWeightPromotion",
    "maxWeight",
    "iterations",
    "match",
    "mirror",
    "sessionAffinity",
];

/// Kinds of autoscalers.
const SCALERS: [Kind; 2] = [Kind::HorizontalPodAutoscaler, Kind::ScaledObject];

/// Sets a field of the analysis.
pub(crate) fn analysis(stage: &mut Stage, field: &str, value: &Value) -> Done {
    let key = stage.canary.clone();
    patch(stage, &key, &format!("/spec/analysis/{field}"), value)
}

/// Other steps of the same strategy.
pub(crate) fn steps(faults: &mut Faults, stage: &mut Stage) -> Done {
    let Some(rollout) = rollout(stage) else { return Ok(false) };
    match rollout.strategy {
        Strategy::BlueGreen(_) | Strategy::AbTesting(_) => {
            let spec = &stage.canary()["spec"]["analysis"];
            let field = if spec["iterations"].is_number() { "iterations" } else { "stepWeight" };
            analysis(stage, field, &json!(faults.chance.i64(1..6)))
        }
        Strategy::Canary(_) if faults.chance.bool() => {
            let weights = faults.chance.choice([json!([5, 20, 60]), json!([30])]);
            analysis(stage, "stepWeights", &weights.unwrap_or_default())
        }
        Strategy::Canary(_) => {
            let (field, choices) =
                if faults.chance.bool() { ("stepWeight", [10, 25]) } else { ("maxWeight", [30, 60]) };
            analysis(stage, field, &json!(faults.chance.choice(choices)))
        }
    }
}

/// Other ports, timeouts or retries.
pub(crate) fn service(faults: &mut Faults, stage: &mut Stage) -> Done {
    let key = stage.canary.clone();
    match faults.chance.u32(..3) {
        0 => patch(stage, &key, "/spec/service/port", &json!(faults.chance.choice([9898, 80]))),
        1 => patch(stage, &key, "/spec/service/timeout", &json!(faults.chance.choice(["5s", "15s"]))),
        _ => patch(stage, &key, "/spec/service/retries", &json!({"attempts": faults.chance.i64(1..4)})),
    }
}

/// Another strategy, or back to the one that stands in Git. What a provider lacks it leaves out
/// by itself; one that refuses it is not asked for it.
pub(crate) fn strategy(faults: &mut Faults, stage: &mut Stage) -> Done {
    let mut analysis = stage.canary()["spec"]["analysis"].clone();
    let Some(fields) = analysis.as_object_mut() else { return Ok(false) };
    fields.retain(|field, _| !OF_STRATEGY.contains(&field.as_str()));
    let wanted = match faults.chance.u32(..9) {
        0 | 1 => in_git(stage),
        2 => json!({"stepWeight": 20, "maxWeight": 60}),
        3 => json!({"stepWeights": [10, 50], "stepWeightPromotion": 50}),
        4 => json!({"stepWeight": 30, "maxWeight": 60, "mirror": true}),
        5 => json!({"stepWeight": 25, "maxWeight": 50, "sessionAffinity": {"cookieName": "visitor"}}),
        6 => json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]}),
        7 => json!({"iterations": 3}),
        _ => json!({"iterations": 2, "mirror": true}),
    };
    let wanted = if is_refused(stage, &wanted) { in_git(stage) } else { wanted };
    let wanted = wanted.as_object().into_iter().flatten();
    fields.extend(wanted.map(|(field, value)| (field.clone(), value.clone())));
    let key = stage.canary.clone();
    patch(stage, &key, "/spec/analysis", &analysis)
}

/// Whether the provider refuses a strategy.
fn is_refused(stage: &mut Stage, wanted: &Value) -> bool {
    let Some(provider) = rollout(stage).map(|rollout| rollout.provider) else { return false };
    let asked = [("match", Feature::Matches), ("sessionAffinity", Feature::Affinity), ("mirror", Feature::Mirroring)];
    let is_lacked = |(field, feature): (&str, Feature)| !wanted[field].is_null() && !provider.can(feature);
    provider.row().lacking == Lacking::Refused && asked.into_iter().any(is_lacked)
}

/// The strategy that stands in Git.
fn in_git(stage: &Stage) -> Value {
    let mut analysis = stage.manifest.as_ref().map(|canary| canary["spec"]["analysis"].clone()).unwrap_or_default();
    if let Some(fields) = analysis.as_object_mut() {
        fields.retain(|field, _| OF_STRATEGY.contains(&field.as_str()));
    }
    analysis
}

/// A metric more or less, other bounds, another window, or back to those that stand in Git.
pub(crate) fn metrics(faults: &mut Faults, stage: &mut Stage) -> Done {
    let canary = stage.canary();
    let mut metrics = canary["spec"]["analysis"]["metrics"].as_array().cloned().unwrap_or_default();
    let place = faults.chance.usize(..metrics.len().max(1));
    match (faults.chance.u32(..5), metrics.get_mut(place)) {
        (0, Some(_)) => drop(metrics.remove(place)),
        (1, _) => {
            let metric = another(faults);
            metrics.retain(|known| known["name"] != metric["name"]);
            metrics.push(metric);
        }
        (2, Some(metric)) => metric["thresholdRange"] = bounds(faults),
        (3, Some(metric)) => metric["interval"] = json!(faults.chance.choice(["20s", "2m"])),
        _ => {
            let known = stage.manifest.as_ref().and_then(|canary| canary["spec"]["analysis"]["metrics"].as_array());
            metrics = known.cloned().unwrap_or_default();
        }
    }
    analysis(stage, "metrics", &json!(metrics))
}

/// A metric that is well, one that never is, and one that nobody can resolve.
fn another(faults: &mut Faults) -> Value {
    match faults.chance.u32(..3) {
        0 => json!({"name": "answers", "query": "answers", "thresholdRange": {"min": 50}, "interval": "30s"}),
        1 => json!({"name": "errors", "query": "errors", "thresholdRange": {"max": 50}, "interval": "30s"}),
        _ => json!({"name": "orders", "templateRef": {"name": "orders"}, "interval": "30s"}),
    }
}

/// Bounds that everything keeps, and such as nothing does, whatever is measured.
fn bounds(faults: &mut Faults) -> Value {
    let is_kept = faults.chance.u32(..3) > 0;
    if is_kept { json!({"min": 0.5, "max": 1000}) } else { json!({"min": 2000}) }
}

/// Another name for the Service, or back.
pub(crate) fn service_name(faults: &mut Faults, stage: &mut Stage) -> Done {
    let key = stage.canary.clone();
    patch(stage, &key, "/spec/service/name", &json!(faults.chance.choice(["podinfo", "frontend", "web"])))
}

/// Another kind of autoscaler, or none. The one of before goes: two of them would fight over the target.
pub(crate) fn autoscaler(faults: &mut Faults, stage: &mut Stage) -> Done {
    if rollout(stage).is_none_or(|rollout| rollout.target_kind != TargetKind::Deployment) {
        return Ok(false);
    }
    let wanted = faults.chance.choice([Some(SCALERS[0]), Some(SCALERS[1]), None]).flatten();
    let reference = wanted.map_or(Value::Null, kinds::autoscaler_ref);
    let key = stage.canary.clone();
    patch(stage, &key, "/spec/autoscalerRef", &reference)?;
    scale_as_named(stage)
}

/// The target has the autoscaler that the canary names, and no other one.
pub(crate) fn scale_as_named(stage: &mut Stage) -> Done {
    let named = stage.canary()["spec"]["autoscalerRef"]["kind"].clone();
    for (kind, scaler) in SCALERS.into_iter().zip([kinds::hpa(), kinds::scaled_object()]) {
        let key = ObjectKey::new(kind, NAMESPACE, "podinfo");
        if named != kind.name() {
            stage.cluster.delete(&key);
        } else if stage.cluster.get(&key).is_none() {
            stage.cluster.apply(scaler).map_err(|refusal| refusal.to_string())?;
        }
    }
    Ok(true)
}
