//! What a canary names and is not there: each mistake has its event and its condition while it lasts, costs one write of
//! the status when it comes and one when it goes, and holds up nothing afterwards (S14, I18).

use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use serde_json::{Value, json};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {
                "metadata": {"labels": {"app": "podinfo"}},
                "spec": {"containers": [{"name": "podinfod", "image": "podinfo:6.0.0"}]},
            },
        },
    })
}

fn canary(spec: &Value) -> Value {
    let mut canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 9898},
            "analysis": {"interval": "10s", "threshold": 2, "stepWeight": 50},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        canary["spec"][field] = value.clone();
    }
    canary
}

fn invalid(stage: &Stage) -> Option<(String, String)> {
    let conditions = stage.status()["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions.into_iter().find(|condition| condition["type"] == "Invalid")?;
    assert_eq!(condition["status"], "True");
    Some((condition["reason"].as_str()?.to_owned(), condition["message"].as_str()?.to_owned()))
}

/// A mistake in these objects shows `expected`, is told, and moves nothing for a minute; with `mending` the canary is
/// initialized and shows none.
fn check(objects: Vec<Value>, expected: (&str, &str), mending: Value) -> Result<(), String> {
    let (reason, message) = expected;
    let mut stage = Scenario::of(objects).set_up()?;
    stage.play_until(10)?;
    assert_eq!(invalid(&stage), Some((reason.to_owned(), message.to_owned())));
    assert_eq!(stage.film.texts().iter().filter(|text| **text == message).count(), 1, "{}", stage.film);
    let version = stage.cluster.version();
    stage.play_until(70)?;
    assert_eq!(stage.cluster.version(), version, "something was written while nothing changed");
    stage.cluster.apply(mending).map_err(|refusal| refusal.to_string())?;
    stage.play_until(130)?;
    assert_eq!((invalid(&stage), stage.status()["phase"].as_str()), (None, Some("Initialized")), "{}", stage.film);
    Ok(())
}

#[test]
fn a_missing_target_is_shown_until_it_comes() -> Result<(), String> {
    let text = "deployment podinfo.test get query error: deployments.apps \"podinfo\" not found";
    check(vec![canary(&json!({}))], ("TargetMissing", text), deployment())
}

#[test]
fn a_selector_without_a_usable_label_is_shown_until_it_has_one() -> Result<(), String> {
    let mut unlabelled = deployment();
    unlabelled["spec"]["selector"] = json!({"matchLabels": {"tier": "web"}});
    let text = "getSelectorLabel failed: deployment podinfo.test spec.selector.matchLabels must contain one of \
                [app name app.kubernetes.io/name]";
    check(vec![unlabelled, canary(&json!({}))], ("SelectorUnusable", text), deployment())
}

#[test]
fn a_missing_autoscaler_is_shown_until_it_comes() -> Result<(), String> {
    let reference = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"});
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
        },
    });
    let text = "HorizontalPodAutoscaler podinfo.test get query error: horizontalpodautoscalers.autoscaling \"podinfo\" \
                not found";
    let canary = canary(&json!({"autoscalerRef": reference}));
    check(vec![deployment(), canary], ("ScalerMissing", text), scaler)
}

#[test]
fn a_missing_config_is_shown_until_it_comes() -> Result<(), String> {
    let mut configured = deployment();
    configured["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "env"}}]);
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env", "namespace": "test"}, "data": {"a": "b"},
    });
    let text = "configmap env.test get query error: configmaps \"env\" not found";
    check(vec![configured, canary(&json!({}))], ("ConfigMissing", text), config)
}

/// A canary with a metric that names a template, which may be there.
fn templated(objects: Vec<Value>) -> Vec<Value> {
    let metric = json!({"name": "orders", "templateRef": {"name": "orders"}, "thresholdRange": {"min": 1}});
    let analysis = json!({"interval": "10s", "threshold": 2, "stepWeight": 50, "metrics": [metric]});
    [vec![deployment(), canary(&json!({"analysis": analysis}))], objects].concat()
}

fn template() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "orders", "namespace": "test"},
        "spec": {"provider": {"type": "prometheus", "address": "http://orders"}, "query": "orders"},
    })
}

const NO_TEMPLATE: &str = "Metric template orders.test error: metrictemplates.flagger.app \"orders\" not found";

#[test]
fn a_missing_template_is_shown_from_the_start_to_the_failed_checks_and_stops_nothing() -> Result<(), String> {
    let mut stage = Scenario::of(templated(vec![])).set_up()?;
    stage.play_until(60)?;
    assert_eq!(stage.status()["phase"], "Initialized", "{}", stage.film);
    let shown = Some(("TemplateMissing".to_owned(), NO_TEMPLATE.to_owned()));
    assert_eq!(invalid(&stage), shown);
    let small = NO_TEMPLATE.replacen('M', "m", 1);
    assert!(stage.film.texts().contains(&format!("Error checking metric providers: {small}").as_str()));
    stage.new_revision()?;
    stage.play_until(200)?;
    assert_eq!(stage.status()["phase"], "Failed", "{}", stage.film);
    assert_eq!(stage.status()["run"]["lastFailure"], NO_TEMPLATE);
    assert_eq!(invalid(&stage), shown);
    stage.cluster.apply(template()).map_err(|refusal| refusal.to_string())?;
    stage.play_until(230)?;
    assert_eq!(invalid(&stage), None);
    Ok(())
}

#[test]
fn a_template_that_goes_between_runs_is_told_once() -> Result<(), String> {
    let mut stage = Scenario::of(templated(vec![template()])).set_up()?;
    stage.play_until(60)?;
    assert_eq!(invalid(&stage), None);
    let template = stage.cluster.iter().map(|(key, _)| key).find(|key| key.name == "orders").cloned();
    stage.cluster.delete(&template.ok_or("no template")?);
    stage.play_until(200)?;
    assert_eq!(invalid(&stage).map(|(reason, _)| reason).as_deref(), Some("TemplateMissing"));
    assert_eq!(stage.film.texts().iter().filter(|text| **text == NO_TEMPLATE).count(), 1, "{}", stage.film);
    Ok(())
}

/// A canary that asks one hook of a type, initialized, and then with a new revision.
fn hooked(kind: &str) -> Result<Stage, String> {
    let hook = json!({"name": "acceptance", "type": kind, "url": "http://tester.test/"});
    let analysis = json!({"interval": "10s", "threshold": 3, "stepWeight": 50, "maxWeight": 50, "webhooks": [hook]});
    let mut stage = Scenario::of(vec![deployment(), canary(&json!({"analysis": analysis}))]).set_up()?;
    stage.play_until(60)?;
    stage.outside.silence_hook("acceptance");
    stage.new_revision()?;
    Ok(stage)
}

fn silent(kind: &str) -> (String, String) {
    let message = format!("{kind} webhook acceptance: request failed: timeout");
    ("WebhookNotAnswering".to_owned(), message)
}

/// A hook of this type that does not answer is shown within ten seconds, costs no write of its own afterwards, and is not
/// shown any more once it answers.
fn check_hook(kind: &str) -> Result<(), String> {
    let mut stage = hooked(kind)?;
    stage.play_until(75)?;
    assert_eq!(invalid(&stage), Some(silent(kind)), "{}", stage.film);
    stage.outside.set_hook("acceptance", Ok(()));
    stage.play_until(150)?;
    assert_eq!((invalid(&stage), stage.status()["phase"].as_str()), (None, Some("Succeeded")), "{}", stage.film);
    Ok(())
}

#[test]
fn a_webhook_that_does_not_answer_is_shown_until_it_does() -> Result<(), String> {
    ["pre-rollout", "rollout", "confirm-rollout", "confirm-traffic-increase", "confirm-promotion"]
        .into_iter()
        .try_for_each(check_hook)
}

#[test]
fn a_gate_that_does_not_answer_costs_one_write_however_long_it_is_closed() -> Result<(), String> {
    for kind in ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion"] {
        let mut stage = hooked(kind)?;
        stage.play_until(100)?;
        assert_eq!(invalid(&stage), Some(silent(kind)), "{}", stage.film);
        let version = stage.cluster.version();
        stage.play_until(160)?;
        assert_eq!(stage.cluster.version(), version, "{kind}: something was written while nothing changed");
    }
    Ok(())
}

#[test]
fn a_webhook_that_ended_a_run_by_its_silence_is_shown_until_the_next_one() -> Result<(), String> {
    let mut stage = hooked("pre-rollout")?;
    stage.play_until(120)?;
    assert_eq!((invalid(&stage), stage.status()["phase"].as_str()), (Some(silent("pre-rollout")), Some("Failed")));
    let version = stage.cluster.version();
    stage.play_until(180)?;
    assert_eq!(stage.cluster.version(), version, "something was written while nothing changed");
    stage.outside.set_hook("acceptance", Err("no".to_owned()));
    stage.new_revision()?;
    stage.play_until(182)?;
    assert_eq!((invalid(&stage), stage.status()["phase"].as_str()), (None, Some("Progressing")), "{}", stage.film);
    Ok(())
}

#[test]
fn a_webhook_that_refuses_is_no_mistake() -> Result<(), String> {
    let mut stage = hooked("pre-rollout")?;
    stage.outside.set_hook("acceptance", Err("no token".to_owned()));
    stage.play_until(75)?;
    assert_eq!(stage.status()["failedChecks"], 2, "{}", stage.film);
    assert_eq!(invalid(&stage), None);
    Ok(())
}

#[test]
fn providers_of_templates_that_do_not_answer_are_named() -> Result<(), String> {
    let mut stage = Scenario::of(templated(vec![template()])).set_up()?;
    stage.outside.silence();
    stage.play_until(30)?;
    let text =
        "Error checking metric providers: prometheus in metric template orders.test not avaiable: connection refused";
    assert!(stage.film.texts().contains(&text), "{}", stage.film);
    Ok(())
}
