//! An installed definition that would drop what has to be remembered: the operator writes nothing and says what to do.
use super::super::edits::unmeasured;
use super::super::objects::revision;
use super::super::stage::Stage;
use super::audit::{Asked, Audit, table};
use super::operators::{Operators, logged};
use anyhow::{Context, Result, ensure};
use burgee_lab::Cluster;
use serde_json::{Value, json};

const NAME: &str = "canaries.flagger.app";
/// How long an operator with something to do is watched doing nothing.
const SECONDS: u64 = 12;

/// The definition without `status.run`; it is made whole when dropped.
struct Outdated<'a> {
    cluster: &'a Cluster,
    removed: Vec<(String, Value)>,
}

impl<'a> Outdated<'a> {
    fn make(cluster: &'a Cluster) -> Result<Self> {
        let definition = cluster.json(&["get", "crd", NAME])?;
        let versions = definition["spec"]["versions"].as_array().map_or(0, Vec::len);
        let paths = (0..versions)
            .map(|version| format!("/spec/versions/{version}/schema/openAPIV3Schema/properties/status/properties/run"));
        let removed: Vec<(String, Value)> =
            paths.filter_map(|path| Some((path.clone(), definition.pointer(&path)?.clone()))).collect();
        ensure!(!removed.is_empty(), "the definition knows no status.run");
        let outdated = Self { cluster, removed };
        let remove: Vec<Value> =
            outdated.removed.iter().map(|(path, _)| json!({"op": "remove", "path": path})).collect();
        outdated.patch(&remove)?;
        Ok(outdated)
    }

    fn patch(&self, operations: &[Value]) -> Result<()> {
        let operations = json!(operations).to_string();
        self.cluster.kubectl(&["patch", "crd", NAME, "--type=json", "-p", &operations]).map(drop)
    }

    fn restore(&mut self) -> Result<()> {
        let add = |(path, schema): &(String, Value)| json!({"op": "add", "path": path, "value": schema});
        let add: Vec<Value> = self.removed.iter().map(add).collect();
        if !add.is_empty() {
            self.patch(&add)?;
        }
        self.removed.clear();
        Ok(())
    }
}

impl Drop for Outdated<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            println!("the definition of canaries stays outdated: {error:#}");
        }
    }
}

pub(super) fn outdated(stage: &Stage<'_>) -> Result<()> {
    let operators = Operators::of(stage)?;
    let pod = operators.pod()?;
    stage.initialize(&unmeasured(stage, 50, 50)?)?;
    ensure!(stage.canary_now()?["status"]["run"].is_object(), "a canary has no status.run that could be dropped");
    let mut definition = Outdated::make(&stage.world().cluster)?;
    // An API server serves a changed definition a moment later.
    stage.poll("the definition is served", 20, || Ok(stage.canary_now()?["status"]["run"].is_null()))?;
    let process = operators.process(&pod).context("the operator does not run")?;
    ensure!(process.signal(burgee_lab::Signal::SIGKILL), "the operator cannot be killed");
    let audit = Audit::begin(operators.lab)?;
    operators.next_process(&pod, Some(process))?;
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.poll("the operator says that it is not ready", 20, || {
        let (code, text) = pod.page("readyz")?;
        ensure!(code == 503 && text.contains("not ready: "), "/readyz answers {code} {text:?}");
        Ok(true)
    })?;
    stage.never("a run starts", SECONDS, || stage.phase() != "Initialized")?;
    let (_, gauges) = pod.page("metrics")?;
    ensure!(gauges.lines().any(|line| line == "burgee_crd_outdated 1"), "the gauge does not say that it is outdated");
    let lines = operators.logs(&pod)?.pop().context("the operator has no log")?;
    let said = logged(&lines, "the CRD canaries.flagger.app is outdated: it does not keep status.run");
    let remedy = |line: &Value| line["msg"].as_str().is_some_and(|text| text.contains("burgee crds | kubectl apply"));
    ensure!(said.is_some() && lines.iter().any(remedy), "the log does not say what to apply: {lines:?}");
    let requests = audit.requests()?;
    let are_audited = requests.iter().any(|asked| asked.resource == "customresourcedefinitions");
    ensure!(are_audited, "the audit log shows no look at the definitions, only:{}", table(requests.iter()));
    ensure!(!requests.iter().any(Asked::is_write), "it wrote:{}", table(requests.iter()));
    definition.restore()?;
    stage.poll("the operator becomes ready by itself", 30, || Ok(pod.page("readyz")?.0 == 200))?;
    ensure!(pod.page("metrics")?.1.contains("\nburgee_crd_outdated 0\n"), "the gauge stays");
    stage.until_told("New revision detected! Scaling up podinfo.test", 20)?;
    stage.until_told("Advance podinfo.test canary weight 50", 60)?;
    let is_written = |asked: &Asked| asked.is_write() && asked.resource == "canaries/status";
    ensure!(audit.requests()?.iter().any(is_written), "the audit log shows no write where there was one");
    Ok(())
}
