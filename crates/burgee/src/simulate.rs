//! `burgee simulate`: a canary in virtual time, by the controller's own decisions. It touches no cluster.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use clap::ValueEnum;
use serde_json::{Value, json};

/// A day of virtual time; what does not rest by then is shown as it is.
const MOST_SECONDS: i64 = 24 * 3600;
/// Without a script: one new revision, when the canary has been set up.
const SCRIPT: &str = "at 60s new-revision";

/// Show what a canary would do: each step, when, with how many pods.
///
/// Pods get ready after 3 seconds, every hook passes and every metric is good, unless the script says otherwise. A target
/// that is not among the files is taken to be a Deployment of two replicas.
#[derive(clap::Args)]
#[command(after_help = "Script lines: `at 40s success-rate 97`, `at 60s new-revision`, `at 2m prometheus down`, \
                        `at 90s hook acceptance-test fails no token`, `at 10m end`. Without a script a new revision comes \
                        after a minute.\n\nExample: burgee simulate -f canary.yaml --script bad-version.txt")]
pub(crate) struct Arguments {
    /// A file of YAML documents with the Canary, its target and what else it needs; may be given several times.
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A file of lines that say what happens when.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Film)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// One aligned row for each event.
    Film,
    /// One JSON object with all rows and the status at the end.
    Json,
}

/// Plays the canary and prints the film.
///
/// # Errors
/// When a file cannot be read or understood; the message names the file, and the document or line.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    for file in &arguments.files {
        objects.extend(read(file)?);
    }
    let canary = objects.iter().find(|object| object["kind"] == "Canary").cloned();
    let canary = canary.ok_or_else(|| anyhow!("none of the files holds a Canary; add it with -f"))?;
    if !objects.iter().any(|object| is_target(object, &canary)) {
        objects.push(stand_in(&canary));
    }
    let mut scenario = Scenario::of(objects);
    let script = match &arguments.script {
        None => SCRIPT.to_owned(),
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
    };
    let name = arguments.script.as_deref().unwrap_or(Path::new("script"));
    scenario.add_script(&script).map_err(|error| anyhow!("{}: {error}", name.display()))?;
    let stage = scenario.play_out(MOST_SECONDS).map_err(anyhow::Error::msg)?;
    print(&stage, arguments.output)
}

/// The objects of a file. Those without a namespace are in `default`.
fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut objects = Vec::new();
    for (number, document) in text.split("\n---").enumerate() {
        let place = || format!("{}, document {}", file.display(), number + 1);
        let mut object: Value = yaml_serde::from_str(document).with_context(place)?;
        if object.is_null() {
            continue;
        }
        if !object["metadata"]["name"].is_string() {
            bail!("{}: it has no metadata.name", place());
        }
        if !object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = json!("default");
        }
        objects.push(object);
    }
    Ok(objects.into_iter().filter(burgee_sim::is_known).collect())
}

fn is_target(object: &Value, canary: &Value) -> bool {
    let target = &canary["spec"]["targetRef"];
    object["kind"] == target["kind"] && object["metadata"]["name"] == target["name"]
}

/// A target of two replicas, for a canary that comes without one.
fn stand_in(canary: &Value) -> Value {
    let target = &canary["spec"]["targetRef"];
    let labels = json!({"app": target["name"]});
    json!({
        "apiVersion": "apps/v1",
        "kind": target["kind"],
        "metadata": {"name": target["name"], "namespace": canary["metadata"]["namespace"]},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}},
        },
    })
}

fn print(stage: &Stage, output: Output) -> anyhow::Result<()> {
    let text = match output {
        Output::Film => format!("{}{}", stage.film, ending(stage)),
        Output::Json => {
            let film = json!({"frames": stage.film.frames, "seconds": stage.second(), "status": stage.status()});
            serde_json::to_string_pretty(&film).context("write the film as json")? + "\n"
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the film")
}

fn ending(stage: &Stage) -> String {
    let status = stage.status();
    let invalid =
        status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Invalid");
    match (invalid, status["phase"].as_str().unwrap_or_default()) {
        (Some(condition), _) => format!("refused: {}\n", condition["message"].as_str().unwrap_or_default()),
        (None, phase) => format!("{phase} after {}s of virtual time\n", stage.second()),
    }
}
