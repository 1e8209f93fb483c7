//! What starts a run, what does not, and what starts it again.
use super::delivery::{image, target_has};
use super::edits::{self, refer_to_autoscaler, settings, unmeasured};
use super::objects::{AUTOSCALER, SHORT, revision, set};
use super::stage::Stage;
use super::story::{BEGUN, INITIALIZED, PROMOTED, promotion};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_new_revision_during_a_run_restarts_its_analysis",
        space: "restarted",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: restarted,
    },
    Test {
        name: "a_changed_config_map_or_secret_alone_starts_a_run_and_changed_scale_does_not",
        space: "configured",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: configured,
    },
    Test {
        name: "routes_and_services_that_others_change_during_a_run_are_put_back_with_its_weights",
        space: "drifting",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: drifting,
    },
    Test {
        name: "listed_weights_lead_to_the_canary_and_promotion_weights_lead_back",
        space: "stepped",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: stepped,
    },
    Test {
        name: "a_deleted_canary_takes_its_objects_and_numbers_along_and_can_come_back",
        space: "deleted",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: deleted,
    },
];

fn restarted(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&unmeasured(stage, 20, 40)?)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 20", 60)?;
    stage.patch_target(&revision("6.0.2", &[]))?;
    stage.until_told("New revision detected! Restarting analysis for podinfo.test", 10)?;
    stage.until_promoted(120)?;
    let steps = [
        "Advance podinfo.test canary weight 20",
        "New revision detected! Restarting analysis for podinfo.test",
        "Starting canary analysis for podinfo.test",
        "Advance podinfo.test canary weight 20",
        "Advance podinfo.test canary weight 40",
    ];
    stage.expect_told(&promotion(&steps))?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.2", "the primary has another version");
    target_has(stage, 0)
}

fn configured(stage: &Stage<'_>) -> Result<()> {
    stage.apply(&unchangeable("red"))?;
    stage.apply(&keys(RED))?;
    stage.apply(&greeting("red"))?;
    stage.apply(&stage.object(AUTOSCALER)?)?;
    let mut target = edits::configured(stage)?;
    let greeting_ref = json!({"configMapRef": {"name": "greeting"}});
    let from = json!([{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}, greeting_ref]);
    set(&mut target, "/spec/template/spec/containers/0/envFrom", from);
    stage.apply(&target)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    refer_to_autoscaler(&mut canary);
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 90)?;
    let check_copies = |color: &str, key: &str| -> Result<()> {
        check_copy(stage, "configmap/settings-primary", &json!({"PODINFO_UI_COLOR": color}))?;
        check_copy(stage, "secret/keys-primary", &json!({"PODINFO_TOKEN": key}))
    };
    check_copies("red", RED)?;
    let used = stage.get("deployment", "podinfo-primary")?;
    let references = used.pointer("/spec/template/spec/containers/0/envFrom").cloned().unwrap_or_default();
    let own = [&references[0]["configMapRef"]["name"], &references[1]["secretRef"]["name"]];
    ensure!(own == ["settings-primary", "keys-primary"], "the primary uses {references}");
    stage.patch("hpa/podinfo", &json!({"spec": {"maxReplicas": 3}}))?;
    stage.patch_target(&json!({"spec": {"replicas": 1}}))?;
    stage.never("a run starts for a changed scale", 15, || stage.phase() != "Initialized")?;
    // Nobody can edit it, and so its copy has to give way as well.
    stage.kubectl(&["delete", "configmap", "settings"])?;
    stage.apply(&unchangeable("blue"))?;
    run_alone(stage, 1)?;
    check_copies("blue", RED)?;
    let both = [greeting("blue"), keys(BLUE)];
    stage.apply(&json!({"apiVersion": "v1", "kind": "List", "items": both}))?;
    run_alone(stage, 2)?;
    check_copies("blue", BLUE)?;
    check_copy(stage, "configmap/greeting-primary", &json!({"PODINFO_UI_MESSAGE": "blue"}))?;
    stage.patch("canary/podinfo", &json!({"spec": {"autoscalerRef": null}}))?;
    stage.poll("the primary's autoscaler goes", 15, || {
        Ok(stage.kubectl(&["get", "hpa", "podinfo-primary", "--ignore-not-found", "-o", "name"])?.is_empty())
    })
}

fn greeting(words: &str) -> Value {
    let data = json!({"PODINFO_UI_MESSAGE": words});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greeting"}, "data": data})
}

fn unchangeable(color: &str) -> Value {
    let mut config = settings(color);
    set(&mut config, "/immutable", json!(true));
    config
}

/// The change that was just made starts a run, which promotes it; after it there have been so many runs.
fn run_alone(stage: &Stage<'_>, runs: usize) -> Result<()> {
    let started = "New revision detected! Scaling up podinfo.test";
    stage.until("the change starts a run", 15, || Ok(stage.times_told(started) == runs))?;
    let completed = "Promotion completed! Scaling down podinfo.test";
    stage.until("the run promotes", 120, || Ok(stage.times_told(completed) == runs))?;
    ensure!(stage.times_told(started) == runs, "{} runs were started", stage.times_told(started));
    Ok(())
}

/// "red" and "blue", as a Secret has them.
const RED: &str = "cmVk";
const BLUE: &str = "Ymx1ZQ==";

fn keys(key: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"PODINFO_TOKEN": key}})
}

fn check_copy(stage: &Stage<'_>, object: &str, data: &Value) -> Result<()> {
    let (kind, name) = object.split_once('/').context("kind and name of the copy")?;
    let copy = stage.get(kind, name)?;
    ensure!(copy["data"] == *data, "the primary's copy {object} has {}", copy["data"]);
    let owner = &copy["metadata"]["ownerReferences"][0];
    ensure!(owner["kind"] == "Canary" && owner["controller"] == true, "{object} is owned by {owner}");
    Ok(())
}

/// How many requests a connection may have at most.
fn policy(requests: u32) -> Value {
    json!({"connectionPool": {"http": {"maxRequestsPerConnection": requests}}})
}

fn drifting(stage: &Stage<'_>) -> Result<()> {
    let mut canary = unmeasured(stage, 20, 40)?;
    set(&mut canary, "/spec/service/trafficPolicy", policy(50));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 20", 60)?;
    let weight = |stage: &Stage<'_>| -> Result<Value> {
        let route = stage.get("virtualservice", "podinfo")?;
        Ok(route.pointer("/spec/http/0/route/1/weight").cloned().unwrap_or_default())
    };
    // A user's edit of the service, a rival's edit of the route, a deleted Service.
    let edit = json!({"spec": {"service": {"timeout": "9s", "trafficPolicy": policy(60)}}});
    stage.patch("canary/podinfo", &edit)?;
    stage.poll("the edit reaches the route", 8, || {
        Ok(stage.get("virtualservice", "podinfo")?.pointer("/spec/http/0/timeout") == Some(&json!("9s")))
    })?;
    stage.poll("the edit reaches both destinations", 8, || {
        let of =
            |name: &str| Ok::<_, anyhow::Error>(stage.get("destinationrule", name)?["spec"]["trafficPolicy"].clone());
        Ok(of("podinfo-primary")? == policy(60) && of("podinfo-canary")? == policy(60))
    })?;
    ensure!(weight(stage)? != 0, "an edit of the service took the traffic back");
    stage.kubectl(&["delete", "service", "podinfo-canary"])?;
    let steal = json!([{"op": "replace", "path": "/spec/http/0/route/0/destination/host", "value": "nowhere"}]);
    stage.kubectl(&["patch", "virtualservice", "podinfo", "--type=json", "-p", &steal.to_string()])?;
    stage.poll("the route is put back", 8, || {
        let route = stage.get("virtualservice", "podinfo")?;
        Ok(route.pointer("/spec/http/0/route/0/destination/host") == Some(&json!("podinfo-primary")))
    })?;
    stage.poll("the service is put back", 8, || stage.get("service", "podinfo-canary").map(|_| true))?;
    ensure!(weight(stage)? != 0, "the repair took the traffic back");
    stage.until_phase("Succeeded", 120)?;
    let starts = stage.times_told("Starting canary analysis for podinfo.test");
    ensure!(starts == 1, "the analysis started {starts} times");
    Ok(())
}

fn stepped(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    let analysis = json!({"interval": "10s", "threshold": 2, "stepWeights": [5, 30], "stepWeightPromotion": 20});
    set(&mut canary, "/spec/analysis", analysis);
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_promoted(150)?;
    let steps = [
        "Advance podinfo.test canary weight 5",
        "Advance podinfo.test canary weight 30",
        PROMOTED[0],
        "Advance podinfo.test primary weight 90",
        "Advance podinfo.test primary weight 100",
        PROMOTED[2],
    ];
    stage.expect_told(&[&INITIALIZED[..], &BEGUN, &steps].concat())?;
    let told = stage.told();
    let moments: Vec<_> = told.iter().filter(|told| told.text.starts_with("Advance ")).map(|told| told.at).collect();
    for (earlier, later) in [(moments[0], moments[1]), (moments[2], moments[3])] {
        let apart = (later - earlier).as_secs_f64();
        ensure!((9.0..14.0).contains(&apart), "two steps are {apart:.1} s apart, not one interval");
    }
    Ok(())
}

fn deleted(stage: &Stage<'_>) -> Result<()> {
    let canary = unmeasured(stage, 50, 50)?;
    stage.initialize(&canary)?;
    stage.poll("the canary has numbers", 15, || Ok(stage.metric("flagger_canary_status")?.is_some()))?;
    stage.kubectl(&["delete", "canary", "podinfo"])?;
    for (kind, name) in [
        ("deployment", "podinfo-primary"),
        ("service", "podinfo"),
        ("service", "podinfo-primary"),
        ("service", "podinfo-canary"),
        ("virtualservice", "podinfo"),
        ("destinationrule", "podinfo-primary"),
    ] {
        stage.poll(&format!("{kind} {name} goes"), 30, || {
            Ok(stage.kubectl(&["get", kind, name, "--ignore-not-found"])?.is_empty())
        })?;
    }
    stage.poll("its numbers go", 15, || Ok(stage.metric("flagger_canary_status")?.is_none()))?;
    target_has(stage, 0)?;
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 60)?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.0", "the primary has another version");
    Ok(())
}
