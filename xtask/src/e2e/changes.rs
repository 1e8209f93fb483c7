//! What starts a run, what does not, and what starts it again.
use super::delivery::{image, target_has};
use super::edits::{self, refer_to_autoscaler, settings, unmeasured};
use super::objects::{AUTOSCALER, SHORT, revision, set};
use super::stage::Stage;
use super::story::expect;
use super::{Group, Test};
use anyhow::{Result, ensure};
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
        name: "a_changed_config_map_alone_starts_a_run_and_changed_scale_does_not",
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
    expect(
        &stage.told(),
        &[
            "all the metrics providers are available!",
            "Initialization done! podinfo.test",
            "New revision detected! Scaling up podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Advance podinfo.test canary weight 20",
            "New revision detected! Restarting analysis for podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Advance podinfo.test canary weight 20",
            "Advance podinfo.test canary weight 40",
            "Copying podinfo.test template spec to podinfo-primary.test",
            "Routing all traffic to primary",
            "Promotion completed! Scaling down podinfo.test",
        ],
    )?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.2", "the primary has another version");
    target_has(stage, 0)
}

fn configured(stage: &Stage<'_>) -> Result<()> {
    stage.apply(&settings("red"))?;
    stage.apply(&stage.object(AUTOSCALER)?)?;
    stage.apply(&edits::configured(stage)?)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    refer_to_autoscaler(&mut canary);
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 90)?;
    check_copy(stage, "red")?;
    let used = stage.get("deployment", "podinfo-primary")?;
    let reference = used.pointer("/spec/template/spec/containers/0/envFrom/0/configMapRef/name");
    ensure!(reference == Some(&json!("settings-primary")), "the primary uses {reference:?}");
    stage.patch("hpa/podinfo", &json!({"spec": {"maxReplicas": 3}}))?;
    stage.patch_target(&json!({"spec": {"replicas": 1}}))?;
    stage.never("a run starts for a changed scale", 15, || stage.phase() != "Initialized")?;
    stage.apply(&settings("blue"))?;
    stage.until_phase("Progressing", 15)?;
    stage.until_promoted(120)?;
    let runs = stage.times_told("New revision detected! Scaling up podinfo.test");
    ensure!(runs == 1, "{runs} runs were started");
    check_copy(stage, "blue")
}

fn check_copy(stage: &Stage<'_>, color: &str) -> Result<()> {
    let copy = stage.get("configmap", "settings-primary")?;
    ensure!(copy["data"] == json!({"PODINFO_UI_COLOR": color}), "the primary's copy has {}", copy["data"]);
    let owner = &copy["metadata"]["ownerReferences"][0];
    ensure!(owner["kind"] == "Canary" && owner["controller"] == true, "the primary's copy is owned by {owner}");
    Ok(())
}

fn drifting(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&unmeasured(stage, 20, 40)?)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 20", 60)?;
    let weight = |stage: &Stage<'_>| -> Result<Value> {
        let route = stage.get("virtualservice", "podinfo")?;
        Ok(route.pointer("/spec/http/0/route/1/weight").cloned().unwrap_or_default())
    };
    // A user's edit of the service, a rival's edit of the route, a deleted Service.
    stage.patch("canary/podinfo", &json!({"spec": {"service": {"timeout": "9s"}}}))?;
    stage.poll("the edit reaches the route", 8, || {
        Ok(stage.get("virtualservice", "podinfo")?.pointer("/spec/http/0/timeout") == Some(&json!("9s")))
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
    expect(
        &stage.told(),
        &[
            "all the metrics providers are available!",
            "Initialization done! podinfo.test",
            "New revision detected! Scaling up podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Advance podinfo.test canary weight 5",
            "Advance podinfo.test canary weight 30",
            "Copying podinfo.test template spec to podinfo-primary.test",
            "Advance podinfo.test primary weight 90",
            "Advance podinfo.test primary weight 100",
            "Promotion completed! Scaling down podinfo.test",
        ],
    )?;
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
