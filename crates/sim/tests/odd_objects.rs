//! One bad object never harms another canary (I15): whatever stands in an object, a decision about it ends and does not
//! panic, and a canary beside it has the film that it would have alone. What a panic would do is the operator's business.

use burgee_core::order;
use burgee_core::world::{Kind, ObjectKey};
use burgee_sim::neighbours::Neighbours;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
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

/// A canary beside it, which shares nothing with it but the cluster and the namespace.
const BYSTANDER: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: test}
spec:
  replicas: 2
  selector: {matchLabels: {app: bystander}}
  template:
    metadata: {labels: {app: bystander}, annotations: {}}
    spec: {containers: [{name: app, image: "bystander:1", envFrom: [{configMapRef: {name: bystander}}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: bystander, namespace: test}
data: {color: green}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: bystander, namespace: test}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: bystander}, minReplicas: 2, maxReplicas: 5}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: bystander, namespace: test, creationTimestamp: "2023-11-14T22:13:10Z"}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: bystander}
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: bystander}
  service: {port: 80}
  analysis:
    interval: 10s
    threshold: 2
    stepWeight: 25
    maxWeight: 50
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}]
    webhooks: [{name: gate, type: confirm-promotion, url: "http://tester.test/"}]
"#;

/// A text that is too long for anything but an annotation.
const LONG: usize = 100_000;

/// The kinds of objects that users and others write.
const KINDS: [Kind; 6] = [
    Kind::Canary,
    Kind::Deployment,
    Kind::Service,
    Kind::ConfigMap,
    Kind::HorizontalPodAutoscaler,
    Kind::VIRTUAL_SERVICE,
];

/// Another value of the same type, as the API server admits it, or none at all.
fn odd(chance: &mut fastrand::Rng, value: &Value) -> Value {
    let long = "x".repeat(LONG);
    let texts = [
        "",
        "2023-99-99T99:99:99Z",
        "\u{0}\u{7f}ü{{ .x }}",
        "-1",
        "1e300",
        "a/b~c",
        "podinfo-primary",
        "bystander",
        &long,
    ];
    let numbers = [json!(-1), json!(0), json!(1.5), json!(40)];
    let odd = match value {
        Value::Null => None,
        Value::Bool(value) => Some(json!(!value)),
        Value::Number(_) => chance.choice(numbers),
        Value::String(_) => chance.choice(texts).map(|text| json!(text)),
        Value::Array(_) if chance.bool() => Some(json!([])),
        Value::Array(items) => Some(items.iter().cycle().take(1_000).cloned().collect()),
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

/// Annotations that mean something, with values that do not; or a canary's spec that is of another type.
fn garbage(chance: &mut fastrand::Rng, kind: Kind) -> Value {
    let names = [
        "flagger.app/config-tracking",
        "kubectl.kubernetes.io/last-applied-configuration",
        order::ANNOTATION,
        "flagger.app/copied-min-replicas",
        "flagger.kubernetes.io/original-configuration",
    ];
    let annotations: Vec<(&str, String)> = names.into_iter().map(|name| (name, "{\"spec\":".repeat(50))).collect();
    let annotations: Value = annotations
        .into_iter()
        .map(|(name, text)| (name.to_owned(), json!(text)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let spec = chance.choice([json!("none"), json!([1, 2]), json!(7), Value::Null]).unwrap_or_default();
    let annotates = json!({"op": "add", "path": "/metadata/annotations", "value": annotations});
    if kind != Kind::Canary || chance.bool() {
        json!([annotates])
    } else {
        json!([{"op": "add", "path": "/spec", "value": spec}])
    }
}

/// Puts an odd value somewhere into the spec, the status or the annotations of some object.
fn spoil(chance: &mut fastrand::Rng, objects: &[(ObjectKey, Value)]) -> Option<(ObjectKey, Value)> {
    let kind = chance.choice(KINDS)?;
    let is_ours = |key: &ObjectKey| key.kind == kind && !key.name.starts_with("bystander");
    let ours: Vec<&(ObjectKey, Value)> = objects.iter().filter(|(key, _)| is_ours(key)).collect();
    let (key, object) = chance.choice(ours)?;
    if chance.u32(..8) == 0 {
        return Some((key.clone(), garbage(chance, kind)));
    }
    let part = chance.choice(["spec", "spec", "status", "data"])?;
    let mut object = object.clone();
    let pointer = place(chance, object.get(part)?, 0);
    let place = object[part].pointer_mut(&pointer)?;
    *place = odd(chance, place);
    Some((key.clone(), json!([{"op": "add", "path": format!("/{part}"), "value": object[part]}])))
}

/// The objects of a cluster, to choose among.
fn listed(stage: &Stage) -> Vec<(ObjectKey, Value)> {
    stage.cluster.iter().map(|(key, object)| (key.clone(), object.clone())).collect()
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
            if let Some((key, operations)) = spoil(&mut chance, &listed(&stage)) {
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

/// When something is spoiled, in seconds, and when the bystander gets its next version.
const SPOILING: [i64; 6] = [5, 35, 45, 55, 65, 80];
const PUSHED_AT: i64 = 40;
const END: i64 = 150;

/// What is pushed to the bystander.
fn push(stage: &mut Stage) -> Result<(), String> {
    let key = ObjectKey::new(Kind::Deployment, "test", "bystander");
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "bystander:2"}]);
    stage.cluster.patch(&key, &image).map_err(|refusal| refusal.to_string())
}

/// The bystander as it is played alone.
fn alone() -> Result<Stage, String> {
    let mut stage = Scenario::parse(BYSTANDER)?.set_up()?;
    stage.play_until(PUSHED_AT)?;
    push(&mut stage)?;
    stage.play_until(END)?;
    Ok(stage)
}

/// What the bystander has. A config may be shared, and its copy have two owners.
fn belongings(stage: &Stage) -> Vec<Value> {
    let its =
        listed(stage).into_iter().filter(|(key, _)| key.name.starts_with("bystander") && key.kind != Kind::Canary);
    let its = its.map(|(key, object)| {
        let metadata = &object["metadata"];
        json!({"key": key.to_string(), "spec": object["spec"], "data": object["data"], "labels": metadata["labels"],
            "annotations": metadata["annotations"]})
    });
    its.collect()
}

/// The bystander as it is played beside a canary of which odd things are said, and what was said.
fn beside(seed: u64) -> Result<(Neighbours, Vec<String>), String> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let odd = Scenario::parse(&[BYSTANDER, OBJECTS].join("\n---\n"))?.set_up()?;
    let mut both = Neighbours::new(odd, ObjectKey::new(Kind::Canary, "test", "bystander"));
    let mut said = Vec::new();
    let mut is_pushed = false;
    for second in SPOILING.into_iter().chain([END]) {
        if second > PUSHED_AT && !is_pushed {
            is_pushed = true;
            both.play_until(PUSHED_AT)?;
            push(&mut both.odd)?;
            let _ = both.odd.new_revision();
        }
        both.play_until(second)?;
        if let Some((key, operations)) = spoil(&mut chance, &listed(&both.odd)).filter(|_| second < END) {
            said.push(format!("{second}s {key}: {:.300}", operations.to_string()));
            let _ = both.odd.cluster.patch(&key, &operations);
        }
    }
    Ok((both, said))
}

/// The film, but for the sentence that a Service leads to the odd canary's pods too: those may have got the bystander's
/// labels, and its user has to know.
fn without_neighbours(stage: &Stage) -> String {
    let is_said = |line: &&str| line.contains(" leads to the pods of Deployment podinfo");
    stage.film.to_string().split_inclusive('\n').filter(|line| !is_said(line)).collect()
}

#[test]
fn no_odd_object_changes_what_becomes_of_another_canary() -> Result<(), String> {
    let alone = alone()?;
    assert_eq!(alone.status()["phase"], "Succeeded", "{}", alone.film);
    for seed in 0..PLAYS {
        let (both, said) = beside(seed)?;
        let what = || format!("seed {seed}\n{}\n{}", said.join("\n"), both.odd.film);
        assert_eq!(without_neighbours(&both.bystander), alone.film.to_string(), "{}", what());
        assert_eq!(both.bystander.aside, alone.aside, "{}", what());
        assert_eq!(belongings(&both.odd), belongings(&alone), "{}", what());
        assert_eq!(both.bystander.broken, None, "{}", what());
        let harm = both.odd.broken.as_ref().filter(|broken| broken.starts_with("I15"));
        assert_eq!(harm, None, "{}", what());
    }
    Ok(())
}
