//! An operator that may work in two namespaces and nowhere else, by Roles alone.
use super::super::edits::unmeasured;
use super::super::stage::{Stage, beside};
use super::super::story::promotion;
use anyhow::{Context, Result, ensure};
use burgee_lab::Lab;
use std::process::Command;

/// The operator is limited while this value lives.
struct Limited<'a>(&'a Lab);

impl<'a> Limited<'a> {
    fn begin(lab: &'a Lab, namespaces: &[&str]) -> Result<Self> {
        let limited = Self(lab);
        let namespaces = format!("namespace={}", namespaces.join("\\,"));
        let line = ["upgrade", "flagger", "charts/burgee", "--reuse-values", "--wait", "--timeout", "120s"];
        helm(lab, &[&line[..], &["--set", &namespaces, "--set", "rbac.readCRDs=false"]].concat())?;
        Ok(limited)
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        if let Err(error) = helm(self.0, &["rollback", "flagger", "--wait", "--timeout", "120s"]) {
            println!("the operator stays limited: {error:#}");
        }
    }
}

fn helm(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let mut command: Command = lab.cluster().command("helm");
    let output = command.args(["-n", "istio-system"]).args(arguments).output().context("run helm")?;
    ensure!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

pub(super) fn narrow(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (second, other) = (beside(stage, "narrow-second")?, beside(stage, "narrow-other")?);
    let _limited = Limited::begin(lab, &[stage.namespace(), second.namespace()])?;
    let roles = lab.kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"])?;
    ensure!(!roles.contains("/flagger"), "a role for the whole cluster is left:\n{roles}");
    other.apply(&unmeasured(&other, 50, 50)?)?;
    for stage in [stage, &*second] {
        stage.initialize(&unmeasured(stage, 50, 50)?)?;
        stage.release("deployment", "6.0.1")?;
    }
    for stage in [stage, &*second] {
        stage.until_promoted(90).with_context(|| stage.namespace().to_owned())?;
        stage.expect_told(&promotion(&["Advance podinfo.test canary weight 50"]))?;
    }
    ensure!(other.canary_now()?["status"].is_null(), "a canary of another namespace was touched");
    Ok(())
}
