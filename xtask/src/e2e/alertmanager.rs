//! A real Alertmanager, Debian's, takes what a canary tells by an AlertProvider, and tells it on.
use super::edits::{ask, end_at_first_failure, hook, unmeasured};
use super::objects::{revision, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::alertmanager_image;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "alertmanager_takes_the_alerts_of_a_canary_and_tells_each_on",
    space: "alertmanager",
    group: Group::Parallel,
    limit: Duration::from_mins(3),
    run: told_on,
}];

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: alertmanager}
data:
  alertmanager.yml: |
    route: {receiver: people, group_by: ['...'], group_wait: 0s, group_interval: 1s}
    receivers:
    - name: people
      webhook_configs: [{url: '$hooks/people', send_resolved: false}]
";

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: alertmanager}
spec:
  selector: {matchLabels: {app: alertmanager}}
  template:
    metadata: {labels: {app: alertmanager}}
    spec:
      containers:
      - name: alertmanager
        image: lab.local/alertmanager:debian
        imagePullPolicy: Never
        args: ['--config.file=/config/alertmanager.yml', '--storage.path=/tmp', '--cluster.listen-address=']
        readinessProbe: {httpGet: {path: /-/ready, port: 9093}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /config}]
      volumes: [{name: config, configMap: {name: alertmanager}}]
";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: alertmanager}
spec:
  selector: {app: alertmanager}
  ports: [{port: 9093}]
";

/// As docs/alerting.md has it.
const PROVIDER: &str = "
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: alertmanager}
spec: {type: alertmanager, address: 'http://alertmanager.$namespace:9093'}
";

/// What is told of a canary that is set up, and of a version whose smoke test fails: phase, severity and text.
const TOLD: [[&str; 3]; 3] = [
    ["Initialized", "info", "New Deployment detected, initialization completed."],
    ["Progressing", "info", "New revision detected, progressing canary analysis."],
    ["Failed", "error", "Failed checks threshold reached 1"],
];

fn told_on(stage: &Stage<'_>) -> Result<()> {
    let Some(lab) = &stage.world().lab else {
        stage.note("not run: Alertmanager is one of a lab's parts");
        return Ok(());
    };
    lab.import_image(&alertmanager_image(lab.parts())?)?;
    for text in [CONFIG, DEPLOYMENT, SERVICE, PROVIDER] {
        stage.apply(&stage.object(text)?)?;
    }
    stage.kubectl(&["rollout", "status", "deployment/alertmanager", "--timeout=30s"])?;
    let mut canary = unmeasured(stage, 50, 50)?;
    end_at_first_failure(&mut canary);
    ask(&mut canary, &[hook(stage, "smoke", "pre-rollout")]);
    let alert = json!({"name": "people", "severity": "info", "providerRef": {"name": "alertmanager"}});
    set(&mut canary, "/spec/analysis/alerts", json!([alert]));
    stage.answer("smoke", Answer::Status(500, "no"));
    stage.initialize(&canary)?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Failed", 60)?;
    let expected: Vec<Value> = TOLD.iter().map(|told| labels(stage, *told)).collect();
    let mut kept = Vec::new();
    let all = stage.poll("Alertmanager has every alert", 20, || {
        kept = self::kept(stage)?;
        Ok(expected.iter().all(|labels| kept.contains(labels)))
    });
    all.with_context(|| format!("it has {kept:#?}, not {expected:#?}"))?;
    ensure!(kept.len() == expected.len(), "Alertmanager has {kept:#?}");
    let told = || stage.calls("people").into_iter().map(|call| call.body["alerts"][0]["labels"].clone());
    stage.until("Alertmanager tells people", 20, || Ok(expected.iter().all(|one| told().any(|labels| labels == *one))))
}

fn labels(stage: &Stage<'_>, [phase, severity, message]: [&str; 3]) -> Value {
    json!({
        "alertname": "CanaryAlert", "canary": "podinfo", "namespace": stage.namespace(), "phase": phase,
        "severity": severity, "message": message,
    })
}

/// The labels of the alerts that it has, by its own API.
fn kept(stage: &Stage<'_>) -> Result<Vec<Value>> {
    let service = format!("/api/v1/namespaces/{}/services/alertmanager:9093/proxy", stage.namespace());
    let text = stage.kubectl(&["get", "--raw", &format!("{service}/api/v2/alerts")])?;
    let alerts: Vec<Value> = serde_json::from_str(&text).context("parse the alerts")?;
    Ok(alerts.into_iter().map(|alert| alert["labels"].clone()).collect())
}
