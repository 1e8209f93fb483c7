//! One bad object never harms another canary (I15): whatever stands in an object, a decision about it ends and does not
//! panic. What a panic would do is the operator's business.

use burgee_core::world::{Kind, ObjectKey};
use burgee_sim::scenario::Scenario;
use serde_json::{Value, json};

/// Plays that every test run does, each with an odd value in another place.
const PLAYS: u64 = 100;

const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo, namespace: test, annotations: {team: blue}}
spec:
  replicas: 2
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}, annotations: {}}
    spec:
      containers: [{name: podinfod, image: "podinfo:6.0.0", envFrom: [{configMapRef: {name: colors}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: colors, namespace: test}
data: {color: blue}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: podinfo, namespace: test}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}, minReplicas: 1, maxReplicas: 5}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test, creationTimestamp: "2023-11-14T22:13:20Z"}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}
  service: {port: 9898, portDiscovery: true, retries: {attempts: 3}}
  analysis:
    interval: 10s
    threshold: 2
    stepWeight: 10
    sessionAffinity: {cookieName: canary}
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}]
    webhooks: [{name: acceptance, type: pre-rollout, url: "http://tester.test/", metadata: {cmd: x}}]
"#;

/// The kinds of objects that users and others write.
const KINDS: [Kind; 6] = [
    Kind::Canary,
    Kind::Deployment,
    Kind::Service,
    Kind::ConfigMap,
    Kind::HorizontalPodAutoscaler,
    Kind::VirtualService,
];

/// Another value of the same type, as the API server admits it, or none at all.
fn odd(chance: &mut fastrand::Rng, value: &Value) -> Value {
    let texts = ["", "2023-99-99T99:99:99Z", "\u{0}\u{7f}ü{{ .x }}", "-1", "1e300", "a/b~c", "podinfo-primary"];
    let numbers = [json!(-1), json!(0), json!(1.5), json!(40)];
    let odd = match value {
        Value::Null => None,
        Value::Bool(value) => Some(json!(!value)),
        Value::Number(_) => chance.choice(numbers),
        Value::String(_) => chance.choice(texts).map(|text| json!(text)),
        Value::Array(_) => Some(json!([])),
        Value::Object(_) => Some(json!({})),
    };
    odd.filter(|_| chance.u32(..4) > 0).unwrap_or_default()
}

/// The pointer to a place somewhere in a value.
fn place(chance: &mut fastrand::Rng, value: &Value, depth: u32) -> String {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), field)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let stays = depth > 1 && chance.u32(..8) == 0;
    match chance.choice(children).filter(|_| !stays) {
        Some((key, child)) => {
            let key = key.replace('~', "~0").replace('/', "~1");
            format!("/{key}{}", place(chance, child, depth + 1))
        }
        None => String::new(),
    }
}

/// Puts an odd value somewhere into the spec, the status or the annotations of some object.
fn spoil(chance: &mut fastrand::Rng, objects: &[(ObjectKey, Value)]) -> Option<(ObjectKey, Value)> {
    let kind = chance.choice(KINDS)?;
    let ours: Vec<&(ObjectKey, Value)> = objects.iter().filter(|(key, _)| key.kind == kind).collect();
    let (key, object) = chance.choice(ours)?;
    let part = chance.choice(["spec", "spec", "status", "data"])?;
    let mut object = object.clone();
    let pointer = place(chance, object.get(part)?, 0);
    let place = object[part].pointer_mut(&pointer)?;
    *place = odd(chance, place);
    Some((key.clone(), json!([{"op": "add", "path": format!("/{part}"), "value": object[part]}])))
}

#[test]
fn no_odd_object_makes_a_decision_panic() -> Result<(), String> {
    let scenario = Scenario::parse(OBJECTS)?;
    for seed in 0..PLAYS {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut stage = scenario.set_up()?;
        for round in 1..5 {
            // Going round in circles about an object that makes no sense is no harm to others.
            let _ = stage.play_until(round * 20);
            let objects: Vec<(ObjectKey, Value)> =
                stage.cluster.iter().map(|(key, object)| (key.clone(), object.clone())).collect();
            if let Some((key, operations)) = spoil(&mut chance, &objects) {
                let _ = stage.cluster.patch(&key, &operations);
            }
            if round == 2 {
                let _ = stage.new_revision();
            }
        }
        let _ = stage.play_until(100);
    }
    Ok(())
}
