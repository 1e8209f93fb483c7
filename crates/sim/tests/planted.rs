//! What somebody plants where the operator reads back what it has kept: it decides no key, and no content of it is used
//! that the status does not remember (I27).

use std::path::Path;

use burgee_core::tracked;
use burgee_core::world::{Kind, ObjectKey};
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use serde_json::{Value, json};

fn config(namespace: &str, name: &str, value: &str) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}})
}

fn apply(stage: &mut Stage, object: Value) -> Result<(), String> {
    stage.cluster.apply(object).map_err(|refusal| refusal.to_string())
}

/// A promotion that is going to fail, with a ConfigMap that has changed with the version.
fn play() -> Result<Stage, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/failed-promotion.txt");
    let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let mut stage = scenario.set_up()?;
    apply(&mut stage, config("test", "env", "1"))?;
    stage.edit("/spec/template/spec/containers/0/envFrom", &json!([{"configMapRef": {"name": "env"}}]))?;
    stage.play_until(30)?;
    apply(&mut stage, config("test", "env", "2"))?;
    stage.edit("/spec/template/spec/containers/0/image", &json!("podinfo:6.0.1"))?;
    stage.play_until(79)?;
    stage.workloads.behaviour.stuck.insert(("podinfo-primary".to_owned(), "6.0.1".to_owned()));
    Ok(stage)
}

/// An owner reference to the canary, as anybody may write one.
fn owner(stage: &Stage) -> Value {
    let uid = &stage.canary()["metadata"]["uid"];
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "podinfo", "uid": uid, "controller": true})
}

/// A Secret in place of the one with the promoted configs. It holds objects that no canary derives, and one that it does.
fn bundle(stage: &Stage) -> Result<Value, String> {
    let key = ObjectKey::new(Kind::Secret, "test", "podinfo-promoted-configs");
    let objects =
        [config("kube-system", "planted", "x"), config("test", "other", "x"), config("test", "env-primary", "x")];
    tracked::bundle(&key, &owner(stage), &objects).ok_or_else(|| "too large".to_owned())
}

/// Nothing of what was planted has been written, and the rollback has come to its end.
fn check_untouched(stage: &Stage, config: &str) {
    let foreign = stage.cluster.get(&ObjectKey::new(Kind::ConfigMap, "kube-system", "planted"));
    assert_eq!(foreign, None, "{}", stage.film);
    assert_eq!(stage.object(Kind::ConfigMap, "other"), Value::Null, "{}", stage.film);
    assert_eq!(stage.object(Kind::ConfigMap, "env-primary")["data"]["a"], config, "{}", stage.film);
    let image =
        &stage.object(Kind::Deployment, "podinfo-primary")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!((image, &stage.status()["phase"]), (&json!("podinfo:6.0.0"), &json!("Failed")), "{}", stage.film);
    assert_eq!(stage.broken, None);
}

#[test]
fn configs_that_were_planted_before_a_promotion_are_replaced_by_those_that_are_kept() -> Result<(), String> {
    let mut stage = play()?;
    let planted = bundle(&stage)?;
    apply(&mut stage, planted)?;
    stage.play_until(300)?;
    check_untouched(&stage, "1");
    Ok(())
}

#[test]
fn configs_that_were_planted_after_others_were_kept_are_not_put_back_and_hold_nothing_up() -> Result<(), String> {
    let mut stage = play()?;
    stage.play_until(130)?;
    assert!(stage.status()["run"]["keptConfigs"].is_string(), "{}", stage.film);
    let planted = bundle(&stage)?;
    apply(&mut stage, planted)?;
    stage.play_until(300)?;
    check_untouched(&stage, "2");
    Ok(())
}

#[test]
fn a_template_that_was_planted_never_becomes_the_primary() -> Result<(), String> {
    for is_owned in [true, false] {
        let mut stage = play()?;
        let revision = stage.status()["lastPromotedSpec"].as_str().unwrap_or_default().to_owned();
        let key = ObjectKey::new(Kind::ControllerRevision, "test", &format!("podinfo-{revision}"));
        let mut kept = stage.cluster.get(&key).cloned().ok_or("nothing is kept")?;
        if is_owned {
            kept["data"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:planted");
        } else {
            kept["metadata"]["ownerReferences"] = Value::Null;
        }
        apply(&mut stage, kept)?;
        stage.cluster.delete(&ObjectKey::new(Kind::Deployment, "test", "podinfo-primary"));
        stage.play_until(100)?;
        let primary = stage.object(Kind::Deployment, "podinfo-primary");
        let image = primary["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        assert!(image.starts_with("podinfo:6.0."), "{image}\n{}", stage.film);
        let text = stage.film.to_string();
        assert!(text.contains("is not what was kept of the promoted revision and is not used"), "{text}");
    }
    Ok(())
}
