//! After a failed promotion the primary has its last promoted template and the configs that it was promoted with, those
//! included that the new template no longer mentions (S3); after a good one nothing of that is left.

use std::path::Path;

use burgee_core::world::Kind;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::{Crash, Stage};
use serde_json::{Value, json};

fn config(kind: &str, name: &str, data: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "test"});
    json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data})
}

/// The scenario of a failed promotion, with a ConfigMap and a Secret of which the new version drops the Secret.
fn play(crash: Option<Crash>) -> Result<Stage, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/failed-promotion.txt");
    let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let mut stage = scenario.set_up()?;
    stage.crash = crash;
    for (kind, name, data) in [("ConfigMap", "env", json!({"a": "1"})), ("Secret", "token", json!({"b": "MQ=="}))] {
        stage.cluster.apply(config(kind, name, &data)).map_err(|refusal| refusal.to_string())?;
    }
    let sources = "/spec/template/spec/containers/0/envFrom";
    stage.edit(sources, &json!([{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "token"}}]))?;
    stage.play_until(30)?;
    stage.cluster.apply(config("ConfigMap", "env", &json!({"a": "2"}))).map_err(|refusal| refusal.to_string())?;
    stage.edit(sources, &json!([{"configMapRef": {"name": "env"}}]))?;
    stage.edit("/spec/template/spec/containers/0/image", &json!("podinfo:6.0.1"))?;
    Ok(stage)
}

/// What the primary reads.
fn read(stage: &Stage) -> [Value; 3] {
    let primary = stage.object(Kind::Deployment, "podinfo-primary");
    [
        primary["spec"]["template"]["spec"]["containers"][0]["envFrom"].clone(),
        stage.object(Kind::ConfigMap, "env-primary")["data"].clone(),
        stage.object(Kind::Secret, "token-primary")["data"].clone(),
    ]
}

fn check(crash: Option<Crash>) -> Result<Stage, String> {
    let mut stage = play(crash)?;
    let before = read(&stage);
    assert_eq!(before[0], json!([{"configMapRef": {"name": "env-primary"}}, {"secretRef": {"name": "token-primary"}}]));
    stage.play_until(80)?;
    stage.workloads.behaviour.stuck.insert(("podinfo-primary".to_owned(), "6.0.1".to_owned()));
    stage.play_until(130)?;
    assert_eq!(read(&stage)[1], json!({"a": "2"}), "{}", stage.film);
    assert!(stage.object(Kind::Secret, "podinfo-promoted-configs")["data"].is_object(), "nothing is kept");
    stage.play_until(300)?;
    assert_eq!(stage.status()["phase"], "Failed", "{crash:?}\n{}", stage.film);
    assert_eq!(read(&stage), before, "{crash:?}\n{}", stage.film);
    assert_eq!(stage.object(Kind::Secret, "podinfo-promoted-configs"), Value::Null, "{crash:?}");
    Ok(stage)
}

#[test]
fn a_failed_promotion_puts_the_configs_back_with_the_template() -> Result<(), String> {
    check(None).map(drop)
}

#[test]
fn the_configs_are_put_back_after_every_crash() -> Result<(), String> {
    let unbroken = check(None)?;
    for (plan, steps) in unbroken.plans.iter().enumerate() {
        for steps in 0..=*steps {
            check(Some(Crash { plan, steps }))?;
        }
    }
    Ok(())
}

#[test]
fn a_good_promotion_leaves_nothing_kept() -> Result<(), String> {
    let mut stage = play(None)?;
    stage.play_until(300)?;
    assert_eq!(stage.status()["phase"], "Succeeded", "{}", stage.film);
    assert_eq!(read(&stage)[1], json!({"a": "2"}));
    assert_eq!(stage.object(Kind::Secret, "podinfo-promoted-configs"), Value::Null);
    Ok(())
}
