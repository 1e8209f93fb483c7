//! `cargo xtask bench`: how much the operator asks and uses with hundreds of canaries, beside its budgets. A benchmark, not
//! a timed test: a budget that is missed is told, and is no failure.
mod api;
mod machine;
mod measure;
mod objects;
mod phases;
mod progress;
mod report;
mod stage;

use crate::e2e::release_build;
use crate::output::Output;
use anyhow::{Context, Result};
use burgee_lab::{Extent, Extra, Lab, Options};
use clap::Args;
use machine::Machine;
use measure::{Idle, Rollouts};
use report::Report;
use stage::Stage;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures the operator with hundreds of canaries (Linux, root).
///
/// Boots etcd, the API server and the controllers of Kubernetes, lets kwok answer for all pods, and runs the operator as a
/// plain process with default flags and the chart's permissions. Each canary has a Deployment, an autoscaler and a
/// ConfigMap, Istio's routes, steps of 10 s to weight 50 and no metrics. First the operator is watched at rest, then every
/// Deployment gets a new revision at once.
///
/// Requests are counted in the API server's audit log, processor time and memory are those of /proc. The table shows each
/// figure beside its budget. Other work on the machine makes figures worse: look at the load average that is shown, and
/// compare runs of one machine only.
///
/// The first run builds the parts, for about ten minutes on two cores. Then 200 canaries take about five minutes. Nothing
/// is sent outside of the lab's own network, and all is taken down at the end.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench --canaries 20      a quick look\n  cargo xtask bench -o json            for a \
                        file of figures\n  cargo xtask bench --canaries 1000    the large case\n\nExit codes: 0 measured, \
                        also where a budget is missed; 1 something could not be measured; 2 something is missing on \
                        this machine; 130 interrupted."
)]
pub(crate) struct Arguments {
    /// How many canaries there are. Budgets are for 200 and for 1,000; the memory's also for 5,000.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    canaries: u32,
    /// How many seconds the operator is watched at rest. Processor time is told in steps of 10 ms: the longer, the finer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3600))]
    idle: u64,
    /// Measure this burgee binary instead of a release build of this tree.
    #[arg(long, value_name = "FILE")]
    burgee: Option<PathBuf>,
    /// Name of the lab's instance; two of different names can run at the same time, but disturb each other.
    #[arg(long, default_value = "bench", value_parser = crate::lab::instance_name)]
    name: String,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Measures and reports.
///
/// # Errors
/// When something is missing on this machine, or something could not be measured.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let options =
        Options { extent: Extent::ControlPlane, extras: vec![Extra::Kwok], ..Options::named(&arguments.name) };
    // Before anything is built: what is missing on this machine is told first, and building is a load of its own.
    Lab::check_prerequisites()?;
    let machine = Machine::look()?;
    let parts = Lab::prepare(&options)?;
    let binary = arguments.burgee.clone().map_or_else(release_build, Ok)?;
    let size = fs::metadata(&binary).with_context(|| format!("look at {}", binary.display()))?.len();
    let lab = Lab::boot(&parts, &options)?;
    let logs = lab.logs();
    let measured = measure(&lab, &binary, arguments);
    drop(lab);
    let (idle, rollouts) = measured.with_context(|| format!("could not measure; logs are in {}", logs.display()))?;
    let report = Report {
        canaries: arguments.canaries,
        machine: &machine,
        burgee: arguments.burgee.as_ref().map(|file| file.display().to_string()),
        idle_seconds: arguments.idle,
        idle: &idle,
        rollouts: &rollouts,
        binary: size,
    };
    match arguments.output {
        Output::Text => println!("{}", report.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report.json()).context("write the report")?),
    }
    Ok(true)
}

fn measure(lab: &Lab, binary: &Path, arguments: &Arguments) -> Result<(Idle, Rollouts)> {
    // Before any thread is started: threads are in the network of the one that starts them.
    lab.enter()?;
    let binary = fs::canonicalize(binary).with_context(|| format!("find {}", binary.display()))?;
    api::start(lab)?;
    let stage = Stage::set(lab, &binary, arguments.canaries)?;
    stage.create()?;
    let idle = measure::idle(&stage, Duration::from_secs(arguments.idle))?;
    let rollouts = measure::rollouts(&stage)?;
    Ok((idle, rollouts))
}
