//! Names that a canary needs and that others have (S28): nothing of others is written, a run under way goes on, and what was
//! the canary's before is its own again.

use burgee_core::order::Word;
use burgee_core::world::{Kind, ObjectKey};
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use serde_json::{Value, json};

fn apply(stage: &mut Stage, object: Value) -> Result<(), String> {
    stage.cluster.apply(object).map_err(|refusal| refusal.to_string())
}

fn stage() -> Result<Stage, String> {
    let mut stage = Scenario::parse("use podinfo\nat 1000s end")?.set_up()?;
    apply(
        &mut stage,
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                     "minReplicas": 2, "maxReplicas": 4},
        }),
    )?;
    apply(
        &mut stage,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
                             "metadata": {"name": "env", "namespace": "test"}}),
    )?;
    stage.edit("/spec/template/spec/containers/0/envFrom", &json!([{"configMapRef": {"name": "env"}}]))?;
    let mut canary = stage.canary();
    canary["spec"]["autoscalerRef"] =
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    apply(&mut stage, canary)?;
    Ok(stage)
}

/// An object of somebody else.
fn theirs(kind: Kind, name: &str, owners: &Value) -> Value {
    let spec = if kind == Kind::Deployment {
        json!({
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "db:1"}]}},
        })
    } else if kind == Kind::HorizontalPodAutoscaler {
        json!({"scaleTargetRef": {"kind": "Deployment", "name": name}, "maxReplicas": 9})
    } else {
        json!({"selector": {"app": name}, "host": name, "hosts": [name], "ports": [{"port": 1}]})
    };
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "data": {"a": "theirs"}, "spec": spec,
           "metadata": {"name": name, "namespace": "test", "ownerReferences": owners}})
}

fn invalid(stage: &Stage) -> Option<(String, String)> {
    let status = stage.status();
    let conditions = status["conditions"].as_array()?;
    let invalid = conditions.iter().find(|condition| condition["type"] == "Invalid")?;
    Some((invalid["reason"].as_str()?.to_owned(), invalid["message"].as_str()?.to_owned()))
}

/// Everything but the canary itself and what follows from it by itself.
fn objects(stage: &Stage) -> Vec<Value> {
    let others = stage.cluster.iter().filter(|(key, _)| key.kind != Kind::Canary);
    others.map(|(_, object)| object.clone()).collect()
}

/// The same, without what controllers report.
fn as_written(stage: &Stage) -> Vec<Value> {
    let mut objects = objects(stage);
    for object in &mut objects {
        object["metadata"]["resourceVersion"] = Value::Null;
        object["status"] = Value::Null;
    }
    objects
}

/// A canary finds this object; it is left alone as long as it is there, and goes to work when it has gone.
fn check_taken(kind: Kind, name: &str, owners: &Value, whose: &str) -> Result<(), String> {
    let mut stage = stage()?;
    apply(&mut stage, theirs(kind, name, owners))?;
    stage.play_until(1)?;
    let before = as_written(&stage);
    stage.play_until(60)?;
    let key = ObjectKey::new(kind, "test", name);
    let message = format!("{key} is not the canary's{whose}");
    assert_eq!(invalid(&stage), Some(("NameTaken".to_owned(), message.clone())), "{}", stage.film);
    assert_eq!(as_written(&stage), before, "something was written\n{}", stage.film);
    assert_eq!(stage.film.to_string().matches(&message).count(), 1, "{}", stage.film);
    stage.cluster.delete(&key);
    stage.play_until(120)?;
    assert_eq!((&stage.status()["phase"], invalid(&stage)), (&json!("Initialized"), None), "{}", stage.film);
    assert_eq!(stage.broken, None);
    Ok(())
}

fn web() -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "w", "controller": true}])
}

#[test]
fn nothing_is_written_while_a_name_that_the_canary_makes_is_somebody_elses() -> Result<(), String> {
    let nobodys = " and nobody's, remove it or hand it over with the annotation burgee.flagger.app/adopt: podinfo";
    for (kind, name) in [
        (Kind::Deployment, "podinfo-primary"),
        (Kind::Service, "podinfo-primary"),
        (Kind::Service, "podinfo-canary"),
        (Kind::HorizontalPodAutoscaler, "podinfo-primary"),
        (Kind::DESTINATION_RULE, "podinfo-primary"),
        (Kind::DESTINATION_RULE, "podinfo-canary"),
    ] {
        check_taken(kind, name, &Value::Null, nobodys)?;
    }
    for (kind, name) in
        [(Kind::Deployment, "podinfo-primary"), (Kind::Service, "podinfo"), (Kind::VIRTUAL_SERVICE, "podinfo")]
    {
        check_taken(kind, name, &web(), ", it belongs to Deployment web")?;
    }
    Ok(())
}

#[test]
fn what_another_canary_controls_is_not_adopted() -> Result<(), String> {
    let other = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "other", "uid": "o",
                        "controller": true}]);
    check_taken(Kind::VIRTUAL_SERVICE, "podinfo", &other, ", it belongs to Canary other")
}

/// Somebody takes a name from a canary whose run is under way.
fn taken_in_a_run(kind: Kind, name: &str) -> Result<(Stage, Value), String> {
    let mut stage = stage()?;
    stage.play_until(30)?;
    stage.edit("/spec/template/spec/containers/0/image", &json!("podinfo:6.0.1"))?;
    stage.play_until(45)?;
    assert_eq!(stage.status()["phase"], "Progressing", "{}", stage.film);
    let key = ObjectKey::new(kind, "test", name);
    stage.cluster.delete(&key);
    apply(&mut stage, theirs(kind, name, &web()))?;
    let theirs = stage.object(kind, name);
    Ok((stage, theirs))
}

#[test]
fn a_run_goes_on_without_what_was_taken_from_it_and_can_be_aborted() -> Result<(), String> {
    for (kind, name) in [(Kind::DESTINATION_RULE, "podinfo-canary"), (Kind::HorizontalPodAutoscaler, "podinfo-primary")]
    {
        let (mut stage, theirs) = taken_in_a_run(kind, name)?;
        stage.play_until(66)?;
        assert_eq!(invalid(&stage).map(|(reason, _)| reason).as_deref(), Some("NameTaken"), "{}", stage.film);
        let weight = stage.status()["canaryWeight"].as_i64().unwrap_or_default();
        assert!(weight > 20, "the analysis goes on\n{}", stage.film);
        stage.order(Word::Abort, "somebody")?;
        stage.play_until(120)?;
        assert_eq!(stage.status()["phase"], "Failed", "{}", stage.film);
        assert_eq!(stage.status()["canaryWeight"], 0, "{}", stage.film);
        assert_eq!(stage.object(kind, name)["spec"], theirs["spec"], "{}", stage.film);
        assert_eq!(stage.broken, None);
    }
    Ok(())
}

/// What a deletion of the canary with `--cascade=orphan` leaves, or a backup that is restored.
fn orphaned() -> Result<Stage, String> {
    let mut stage = stage()?;
    stage.play_until(30)?;
    let canary = stage.canary();
    for mut object in objects(&stage) {
        object["metadata"]["ownerReferences"] = Value::Null;
        apply(&mut stage, object)?;
    }
    stage.cluster.delete(&ObjectKey::new(Kind::Canary, "test", "podinfo"));
    let manifest = json!({
        "apiVersion": canary["apiVersion"], "kind": "Canary", "spec": canary["spec"],
        "metadata": {"name": "podinfo", "namespace": "test", "creationTimestamp": "2023-11-14T22:13:50Z"},
    });
    apply(&mut stage, manifest)?;
    stage.restart();
    Ok(stage)
}

#[test]
fn what_the_canary_had_made_before_it_was_orphaned_is_adopted_and_said() -> Result<(), String> {
    let mut stage = orphaned()?;
    let (primary, told) = (stage.object(Kind::Deployment, "podinfo-primary"), stage.film.to_string().len());
    stage.play_until(90)?;
    let film = stage.film.to_string();
    let uid = stage.canary()["metadata"]["uid"].clone();
    for (kind, name) in [
        (Kind::Deployment, "podinfo-primary"),
        (Kind::Service, "podinfo-primary"),
        (Kind::Service, "podinfo-canary"),
        (Kind::HorizontalPodAutoscaler, "podinfo-primary"),
        (Kind::DESTINATION_RULE, "podinfo-canary"),
    ] {
        let object = stage.object(kind, name);
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], uid, "{kind:?} {name}\n{film}");
        assert!(film.contains(&format!("Adopted {} {name}.test", kind.name())), "{kind:?} {name}\n{film}");
    }
    assert_eq!(stage.object(Kind::Deployment, "podinfo-primary")["spec"], primary["spec"], "no pod restarts");
    assert_eq!(stage.status()["phase"], "Initialized", "{told}\n{film}");
    assert_eq!(stage.broken, None);
    Ok(())
}

#[test]
fn an_object_is_handed_over_by_its_annotation_and_to_the_canary_that_it_names() -> Result<(), String> {
    for (canary, is_adopted) in [("podinfo", true), ("another", false)] {
        let mut stage = stage()?;
        let mut service = theirs(Kind::Service, "podinfo-primary", &Value::Null);
        service["metadata"]["annotations"] = json!({"burgee.flagger.app/adopt": canary});
        apply(&mut stage, service)?;
        stage.play_until(60)?;
        let expected = if is_adopted { "Initialized" } else { "" };
        assert_eq!(stage.status()["phase"].as_str().unwrap_or_default(), expected, "{}", stage.film);
        assert_eq!(stage.broken, None);
    }
    Ok(())
}

#[test]
fn what_is_on_its_way_out_is_waited_for() -> Result<(), String> {
    let mut stage = stage()?;
    let mut service = theirs(Kind::Service, "podinfo-primary", &Value::Null);
    service["metadata"]["finalizers"] = json!(["example.com/slow"]);
    apply(&mut stage, service)?;
    let key = ObjectKey::new(Kind::Service, "test", "podinfo-primary");
    stage.cluster.delete(&key);
    stage.play_until(30)?;
    let text = "waiting for Service podinfo-primary.test to go, it is being deleted";
    assert!(stage.film.to_string().contains(text), "{}", stage.film);
    assert_eq!(invalid(&stage), None);
    let mut gone = stage.object(Kind::Service, "podinfo-primary");
    gone["metadata"]["finalizers"] = json!([]);
    apply(&mut stage, gone)?;
    stage.play_until(90)?;
    assert_eq!(stage.status()["phase"], "Initialized", "{}", stage.film);
    Ok(())
}
