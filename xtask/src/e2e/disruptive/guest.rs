//! The tests as a guest: a second process runs one of them on this lab, which it knows only by its kubeconfig. In the end the
//! operator is as it was before, however that process ended.
use super::super::stage::Stage;
use anyhow::{Context, Result, ensure};
use burgee_lab::{Lab, NODE_ADDRESS};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A short test that sends requests through the gateway.
const TEST: &str = "adopted";
/// A test that no guest may run.
const LEFT_OUT: &str = "a_run_completes_when_the_api_server_comes_back";
/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

pub(super) fn guest(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let before = template(lab)?;
    let log = lab.logs().join("guest.log");
    let mut whole = Guest::begin(lab, &[TEST, LEFT_OUT], &log)?;
    let borrowed = stage.poll("the operator is borrowed", 60, || Ok(template(lab)? != before));
    let status = whole.0.wait().context("wait for the guest")?;
    let said = fs::read_to_string(&log).context("read what the guest said")?;
    ensure!(status.success(), "the guest ended with {status}:\n{said}");
    borrowed?;
    ensure!(said.ends_with("1 passed, 0 failed, 1 skipped\n"), "the guest said:\n{said}");
    ensure!(said.contains(&format!("{LEFT_OUT}: it stops the API server")), "no reason is given:\n{said}");
    ensure!(template(lab)? == before, "the operator was not put back after the tests:\n{said}");
    let mut interrupted = Guest::begin(lab, &[TEST], &log)?;
    stage.poll("the operator is borrowed again", 60, || Ok(template(lab)? != before))?;
    let status = interrupted.interrupt()?;
    let said = fs::read_to_string(&log).context("read what the guest said")?;
    ensure!(status == Some(INTERRUPTED), "an interrupted guest ended with {status:?}:\n{said}");
    ensure!(template(lab)? == before, "the operator was not put back after an interrupt:\n{said}");
    stage.poll("the namespaces of the interrupted tests are gone", 60, || {
        Ok(stage.kubectl(&["get", "ns", TEST]).is_err())
    })
}

/// How the operator's pods are made.
fn template(lab: &Lab) -> Result<Value> {
    let deployment = lab.cluster().json(&["-n", "istio-system", "get", "deployment", "flagger"])?;
    Ok(deployment["spec"]["template"].clone())
}

/// The second process; it is told to end when dropped.
struct Guest(Child);

impl Guest {
    /// Begins to run tests. The process is in the lab's network, because this thread is.
    fn begin(lab: &Lab, tests: &[&str], log: &Path) -> Result<Self> {
        // Its file may have been replaced by a build meanwhile: this is the program that runs.
        let program = format!("/proc/{}/exe", std::process::id());
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = output.try_clone().context("write the guest's log")?;
        let mut command = Command::new(program);
        command.arg("e2e").arg("--kubeconfig").arg(lab.kubeconfig()).args(["--address", NODE_ADDRESS]);
        command.args(tests.iter().flat_map(|test| ["--only", test]));
        command.env("PATH", lab.parts().search_path()).stdin(Stdio::null()).stdout(output).stderr(errors);
        Ok(Self(command.spawn().context("start the guest")?))
    }

    /// Interrupts it as ctrl-C does, waits for its end and returns its exit code.
    fn interrupt(&mut self) -> Result<Option<i32>> {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &id]).status().context("run kill")?;
        ensure!(sent.success(), "the guest cannot be interrupted");
        Ok(self.0.wait().context("wait for the guest")?.code())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.interrupt();
        }
    }
}
