//! The page about upgrade and uninstallation, followed while a run goes on and requests come. In the end the operator is
//! there again.
use super::super::adoption::{check_lossless, live, objects};
use super::super::charts::helm;
use super::super::edits::unmeasured;
use super::super::stage::Stage;
use super::super::story::{TERMINATED, promotion};
use super::super::tutorials::{Part, follow_part};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The page.
const PAGE: &str = "docs/upgrade.md";
/// How often the Deployment's template has changed, as Kubernetes notes it.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Requests per second.
const RATE: u32 = 50;

pub(super) fn upgraded(stage: &Stage<'_>) -> Result<()> {
    let _installed = Installed::note(stage)?;
    live(stage)?;
    let owned = objects(stage)?;
    stage.apply(&unmeasured(stage, 10, 50)?)?;
    stage.until_phase("Initialized", 90)?;
    let before = stage.counters()?;
    let load = stage.load(RATE)?;
    stage.release("deployment", "6.0.1")?;
    stage.until_told("Advance podinfo.test canary weight 10", 60)?;
    let part = |heading| Part { file: PAGE, heading, namespace: "test" };
    let first = operator(stage)?;
    follow_part(stage, &part("Upgrade"))?;
    ensure!(operator(stage)? != first, "the operator's pod is still the first one");
    ensure!(stage.phase() == "Progressing", "the run was not in the middle of it, but {}", stage.phase());
    stage.until_promoted(120)?;
    let steps: Vec<String> = (1..=5).map(|step| format!("Advance podinfo.test canary weight {step}0")).collect();
    let told = promotion(&steps.iter().map(String::as_str).collect::<Vec<_>>());
    stage.expect_told(&told)?;
    follow_part(stage, &part("Uninstall"))?;
    stage.expect_told(&[told, TERMINATED.to_vec()].concat())?;
    let kinds = "deployments,services,virtualservices,destinationrules,controllerrevisions,horizontalpodautoscalers";
    let left = stage.kubectl(&["get", kinds, "-o", "name"])?;
    ensure!(left.lines().count() == owned.len(), "left are {left}");
    for (before, after) in owned.into_iter().zip(objects(stage)?) {
        let (before, after) = (without_release(before), without_release(after));
        ensure!(before == after, "it was\n{before:#}\nand is\n{after:#}");
    }
    let groups = stage.world().cluster.kubectl(&["api-versions"])?;
    ensure!(!groups.contains("flagger"), "the API server still knows {groups}");
    check_lossless(stage, load, &before).map(drop)
}

/// An object without what the user's own release changed of it: the pods' template, and the count of its changes.
fn without_release(mut object: Value) -> Value {
    for (at, name) in [("spec", "template"), ("annotations", REVISION)] {
        if let Some(fields) = object[at].as_object_mut() {
            fields.remove(name);
        }
    }
    object
}

/// The name of the operator's pod.
fn operator(stage: &Stage<'_>) -> Result<String> {
    let list = ["-n", "istio-system", "get", "pods", "-l", "app.kubernetes.io/name=flagger", "-o", "name"];
    stage.world().cluster.kubectl(&list)
}

/// The release as it was, which is installed again when this is dropped.
struct Installed<'a, 'b> {
    stage: &'a Stage<'b>,
    values: PathBuf,
}

impl<'a, 'b> Installed<'a, 'b> {
    fn note(stage: &'a Stage<'b>) -> Result<Self> {
        let values = stage.lab()?.logs().join("values-before-upgrade.yaml");
        let text = helm(stage, &["get", "values", "flagger", "--namespace", "istio-system", "-o", "yaml"])?;
        fs::write(&values, text).with_context(|| format!("write {}", values.display()))?;
        Ok(Self { stage, values })
    }
}

impl Drop for Installed<'_, '_> {
    fn drop(&mut self) {
        let values = self.values.display().to_string();
        let line =
            ["upgrade", "--install", "flagger", "charts/burgee", "--namespace", "istio-system", "--values", &values];
        if let Err(error) = helm(self.stage, &[&line[..], &["--wait", "--timeout", "120s"]].concat()) {
            println!("the operator is not installed again: {error:#}");
        }
    }
}
