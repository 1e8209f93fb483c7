//! A target that KEDA's real controller scales by a ScaledObject (contract: lifecycle §8). Only where KEDA runs: `--with
//! keda`. Its metrics adapter does not, so no HPA of KEDA's follows a metric; KEDA itself starts at zero and stops at it.
use super::edits::{ask, hook, unmeasured};
use super::objects::{DEPLOYMENT, revision, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::{Group, Test, With};
use anyhow::{Result, ensure};
use burgee_lab::{NODE_ADDRESS, PROMETHEUS_ADDRESS};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "keda_cannot_take_the_primary_away_during_a_run_and_changes_come_with_the_promotion",
        space: "keda-promoted",
        group: Group::With(With::Keda),
        limit: Duration::from_mins(5),
        run: promoted,
    },
    Test {
        name: "keda_rests_after_a_rollback_and_finds_its_scaled_object_as_it_was_when_the_canary_goes",
        space: "keda-reverted",
        group: Group::With(With::Keda),
        limit: Duration::from_mins(5),
        run: reverted,
    },
];

/// The annotation that keeps a ScaledObject at zero pods.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";
/// KEDA's kind.
const KIND: &str = "scaledobjects.keda.sh";

/// KEDA may start and stop podinfo. It is kept by a query that is always 1, or by a page of the test that says so.
const SWITCHED: &str = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: podinfo
  labels: {team: payments}
  annotations: {note: kept}
spec:
  scaleTargetRef: {name: podinfo}
  pollingInterval: 2
  cooldownPeriod: 2
  minReplicaCount: 0
  maxReplicaCount: 4
  triggers:
  - type: prometheus
    name: requests
    metadata: {serverAddress: $prometheus, query: vector(1), threshold: '10'}
  - type: metrics-api
    name: switch
    metadata: {url: $hooks/switch, valueLocation: value, targetValue: '1'}
";

/// At least two pods, an HPA of another name, and a query that names the workload.
const NAMED: &str = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: podinfo}
spec:
  scaleTargetRef: {name: podinfo}
  pollingInterval: 2
  cooldownPeriod: 2
  minReplicaCount: 2
  maxReplicaCount: 4
  advanced: {horizontalPodAutoscalerConfig: {name: podinfo-own}}
  triggers:
  - type: prometheus
    metadata:
      serverAddress: $prometheus
      query: 'sum(rate(istio_requests_total{destination_workload=~\"podinfo|podinfo-canary\"}[1m])) or vector(1)'
      threshold: '10'
";

/// Applies podinfo and a ScaledObject, and waits until KEDA scales it with this HPA.
fn scale(stage: &Stage<'_>, scaled_object: &str, autoscaler: &str) -> Result<()> {
    // KEDA runs beside the lab's cluster, where its DNS is unknown.
    let own = format!("http://{NODE_ADDRESS}:9090");
    let prometheus = if stage.world().lab.is_some() { own.as_str() } else { PROMETHEUS_ADDRESS };
    stage.apply(&stage.object(DEPLOYMENT)?)?;
    stage.apply(&stage.object(&scaled_object.replace("$prometheus", prometheus))?)?;
    until_scaled_by(stage, "podinfo", autoscaler)
}

/// Waits until KEDA has taken a ScaledObject and made its HPA.
fn until_scaled_by(stage: &Stage<'_>, scaled_object: &str, autoscaler: &str) -> Result<()> {
    stage.poll(&format!("KEDA scales by {scaled_object}"), 40, || {
        let is_ready = is_true(&stage.get(KIND, scaled_object)?, "Ready");
        Ok(is_ready && stage.get("hpa", autoscaler).is_ok())
    })
}

fn is_true(scaled_object: &Value, condition: &str) -> bool {
    let conditions = scaled_object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == condition && one["status"] == "True")
}

/// A Canary of podinfo and its ScaledObject, with these fields beside the reference.
fn canary(stage: &Stage<'_>, limits: &Value) -> Result<Value> {
    let mut canary = unmeasured(stage, 10, 40)?;
    let reference = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "podinfo"});
    set(&mut canary, "/spec/autoscalerRef", reference);
    for (field, value) in limits.as_object().into_iter().flatten() {
        set(&mut canary, &format!("/spec/autoscalerRef/{field}"), value.clone());
    }
    set(&mut canary, "/spec/revertOnDeletion", json!(true));
    ask(&mut canary, &[hook(stage, "check", "rollout")]);
    Ok(canary)
}

/// Waits until the target's ScaledObject is paused at zero pods and KEDA obeys: no HPA is left.
fn until_paused(stage: &Stage<'_>, autoscaler: &str) -> Result<()> {
    stage.poll("KEDA rests", 40, || {
        let scaled_object = stage.get(KIND, "podinfo")?;
        let is_paused = scaled_object["metadata"]["annotations"][PAUSED] == "0" && is_true(&scaled_object, "Paused");
        let is_gone = stage.kubectl(&["get", "hpa", autoscaler, "--ignore-not-found"])?.is_empty();
        Ok(is_paused && is_gone && replicas(stage, "podinfo")? == 0)
    })
}

fn replicas(stage: &Stage<'_>, deployment: &str) -> Result<u64> {
    Ok(stage.get("deployment", deployment)?["spec"]["replicas"].as_u64().unwrap_or_default())
}

/// Compares fields of the primary's ScaledObject.
fn check_primary(stage: &Stage<'_>, expected: &[(&str, Value)]) -> Result<()> {
    let primary = stage.get(KIND, "podinfo-primary")?;
    for (path, value) in expected {
        let found = primary.pointer(path).unwrap_or(&Value::Null);
        ensure!(found == value, "the primary's ScaledObject has {path} {found}, not {value}");
    }
    Ok(())
}

/// Whether KEDA has a reason to keep podinfo's pods.
fn switch(stage: &Stage<'_>, text: &'static str) {
    stage.answer("switch", Answer::Status(200, text));
}

const ON: &str = "{\"value\": 1}";
const OFF: &str = "{\"value\": 0}";

fn promoted(stage: &Stage<'_>) -> Result<()> {
    switch(stage, ON);
    scale(stage, SWITCHED, "keda-hpa-podinfo")?;
    // Only the switch keeps the primary.
    let own = json!({"primaryScalerQueries": {"requests": "vector(0)"}, "primaryScalerReplicas": {"maxReplicas": 3}});
    stage.apply(&canary(stage, &own)?)?;
    stage.until_phase("Initialized", 90)?;
    check_primary(
        stage,
        &[
            ("/spec/scaleTargetRef/name", json!("podinfo-primary")),
            ("/spec/triggers/0/metadata/query", json!("vector(0)")),
            ("/spec/minReplicaCount", json!(0)),
            ("/spec/maxReplicaCount", json!(3)),
            ("/metadata/labels/team", json!("payments")),
            ("/metadata/annotations/note", json!("kept")),
            ("/metadata/ownerReferences/0/kind", json!("Canary")),
        ],
    )?;
    until_scaled_by(stage, "podinfo-primary", "keda-hpa-podinfo-primary")?;
    until_paused(stage, "keda-hpa-podinfo")?;
    let threshold = json!([{"op": "replace", "path": "/spec/triggers/0/metadata/threshold", "value": "20"}]);
    stage.kubectl(&["patch", KIND, "podinfo", "--type=json", "-p", &threshold.to_string()])?;
    keep_the_primary(stage)?;
    // The terminal write takes the floor back, and only now KEDA may do as it wants.
    let threshold = ("/spec/triggers/0/metadata/threshold", json!("20"));
    let released = [("/spec/minReplicaCount", json!(0)), ("/spec/maxReplicaCount", json!(3)), threshold];
    stage.poll("the floor is taken back", 10, || check_primary(stage, &released).map(|()| true))?;
    stage.poll("KEDA stops the primary", 30, || Ok(replicas(stage, "podinfo-primary")? == 0))?;
    switch(stage, ON);
    stage.poll("KEDA starts the primary", 30, || Ok(replicas(stage, "podinfo-primary")? > 0))?;
    until_paused(stage, "keda-hpa-podinfo")
}

/// A run during which KEDA has no reason to keep the primary, and would stop it if the run had not raised its minimum.
fn keep_the_primary(stage: &Stage<'_>) -> Result<()> {
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 10", 60)?;
    let floor = ("/spec/minReplicaCount", json!(2));
    check_primary(stage, &[floor, ("/spec/triggers/0/metadata/threshold", json!("10"))])?;
    until_scaled_by(stage, "podinfo", "keda-hpa-podinfo")?;
    let annotations = &stage.get(KIND, "podinfo")?["metadata"]["annotations"];
    ensure!(annotations.get(PAUSED).is_none(), "the target is paused during the run: {annotations}");
    switch(stage, OFF);
    stage.poll("KEDA has no reason to keep the primary", 15, || {
        Ok(!is_true(&stage.get(KIND, "podinfo-primary")?, "Active"))
    })?;
    ensure!(stage.phase() == "Progressing", "the run was over before that");
    let mut fewest = u64::MAX;
    stage.poll("the run ends", 90, || {
        let pods = replicas(stage, "podinfo-primary")?;
        // With the end the floor is taken back, and KEDA stops the primary within the same second.
        let is_over = stage.canary_now()?["status"]["phase"] == "Succeeded";
        if !is_over {
            fewest = fewest.min(pods);
        }
        Ok(is_over)
    })?;
    ensure!(fewest == 2, "the primary went down to {fewest} pods during the run");
    stage.until_told("Promotion completed! *", 10).map(drop)
}

fn reverted(stage: &Stage<'_>) -> Result<()> {
    scale(stage, NAMED, "podinfo-own")?;
    let before = owned_by_the_user(stage)?;
    stage.apply(&canary(stage, &json!({}))?)?;
    stage.until_phase("Initialized", 90)?;
    let query =
        "sum(rate(istio_requests_total{destination_workload=~\"podinfo-primary|podinfo-primary\"}[1m])) or vector(1)";
    let autoscaler = "/spec/advanced/horizontalPodAutoscalerConfig/name";
    check_primary(
        stage,
        &[("/spec/triggers/0/metadata/query", json!(query)), (autoscaler, json!("podinfo-own-primary"))],
    )?;
    until_scaled_by(stage, "podinfo-primary", "podinfo-own-primary")?;
    until_paused(stage, "podinfo-own")?;
    stage.answer("check", Answer::Status(500, "broken"));
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_told("Advance podinfo.test canary weight 10", 60)?;
    until_scaled_by(stage, "podinfo", "podinfo-own")?;
    ensure!(replicas(stage, "podinfo")? == 2, "the run has not the pods that the ScaledObject asks for");
    stage.until_phase("Failed", 60)?;
    until_paused(stage, "podinfo-own")?;
    stage.kubectl(&["delete", "canary", "podinfo", "--wait=false"])?;
    stage.poll("the primary's ScaledObject goes", 60, || {
        Ok(stage.kubectl(&["get", KIND, "podinfo-primary", "--ignore-not-found"])?.is_empty())
    })?;
    until_scaled_by(stage, "podinfo", "podinfo-own")?;
    let after = owned_by_the_user(stage)?;
    ensure!(after == before, "the ScaledObject is not as it was:\n{before}\n{after}");
    stage.poll("podinfo runs", 30, || Ok(stage.get("deployment", "podinfo")?["status"]["readyReplicas"] == 2))
}

/// What of the ScaledObject is its user's.
fn owned_by_the_user(stage: &Stage<'_>) -> Result<Value> {
    let scaled_object = stage.get(KIND, "podinfo")?;
    let metadata = &scaled_object["metadata"];
    Ok(json!([metadata["labels"], metadata["annotations"], metadata["finalizers"], scaled_object["spec"]]))
}
