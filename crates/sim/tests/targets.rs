//! What becomes of the objects of targets other than Deployments.

use std::path::Path;

use burgee_core::world::Kind;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use serde_json::{Value, json};

/// Plays a scenario, at most until its line that begins with `stop`.
fn play(name: &str, stop: &str) -> Result<Stage, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("txt");
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with(stop)).collect();
    let mut stage = Scenario::parse(&lines.join("\n"))?.play()?;
    stage.play_until(stage.second() + 60)?;
    Ok(stage)
}

fn external_name(stage: &Stage, service: &str) -> Value {
    stage.object(Kind::Service, service)["spec"]["externalName"].clone()
}

#[test]
fn a_promoted_service_leads_where_the_target_led() -> Result<(), String> {
    let stage = play("service-target", "at 160s")?;
    for service in ["backend", "backend-primary", "backend-canary"] {
        assert_eq!(external_name(&stage, service), "two.example.com", "{service}");
    }
    Ok(())
}

#[test]
fn a_failed_service_never_reaches_the_primary() -> Result<(), String> {
    let stage = play("service-target", "at 220s")?;
    assert_eq!(external_name(&stage, "backend-primary"), "two.example.com");
    assert_eq!(external_name(&stage, "backend-canary"), "three.example.com");
    Ok(())
}

#[test]
fn a_service_outlives_its_canary_as_its_user_has_it() -> Result<(), String> {
    let stage = play("service-target", "at 260s")?;
    let target = stage.object(Kind::Service, "backend");
    assert_eq!(target["spec"], json!({"type": "ExternalName", "externalName": "three.example.com"}));
    assert_eq!(target["metadata"]["labels"], json!({"app": "backend"}));
    assert_eq!(target["metadata"].get("annotations"), None);
    let left: Vec<String> = stage.cluster.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(left, ["Service backend.test"]);
    Ok(())
}

/// The primary that a Knative Service names, and its traffic.
fn hello(stage: &Stage) -> (Value, Value) {
    let service = stage.object(Kind::KnativeService, "hello");
    (service["metadata"]["annotations"]["flagger.app/primary-revision"].clone(), service["spec"]["traffic"].clone())
}

fn all_to(primary: &str) -> (Value, Value) {
    let traffic = json!([{"latestRevision": true, "percent": 0}, {"revisionName": primary, "percent": 100}]);
    (json!(primary), traffic)
}

#[test]
fn a_promoted_knative_revision_gets_all_traffic_by_its_name() -> Result<(), String> {
    assert_eq!(hello(&play("knative", "at 90s")?), all_to("hello-00001"));
    assert_eq!(hello(&play("knative", "at 160s")?), all_to("hello-00002"));
    Ok(())
}

#[test]
fn knative_revisions_that_fail_leave_the_traffic_where_it_was() -> Result<(), String> {
    assert_eq!(hello(&play("knative", "at 210s")?), all_to("hello-00002"));
    assert_eq!(hello(&play("knative", "at 320s")?), all_to("hello-00002"));
    Ok(())
}

#[test]
fn a_knative_service_outlives_its_canary_as_its_user_has_it() -> Result<(), String> {
    let service = play("knative", "at 420s")?.object(Kind::KnativeService, "hello");
    assert_eq!(service["metadata"].get("annotations"), None);
    let containers = json!([{"name": "app", "image": "hello:2"}]);
    assert_eq!(service["spec"], json!({"template": {"metadata": {}, "spec": {"containers": containers}}}));
    Ok(())
}
