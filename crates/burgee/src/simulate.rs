//! `burgee simulate`: a canary in virtual time, by the controller's own decisions. It touches no cluster.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use burgee_core::plain::{plain, plain_json, plain_lines};
use burgee_sim::scenario::{COMMANDS, Scenario};
use burgee_sim::stage::Stage;
use clap::ValueEnum;
use serde_json::json;

mod files;
mod summary;

use files::Cast;
use summary::Summary;

/// A day of virtual time; what does not rest by then is shown as it is.
const MOST_SECONDS: i64 = 24 * 3600;
/// Without a script: one new revision, when the canary has been set up.
const SCRIPT: &str = "at 60s new-revision";

const EXAMPLES: &str = "\
Examples:
  burgee simulate -f canary.yaml
      what a good version would do: each step, when, and with how many pods
  burgee simulate -f canary.yaml -f deployment.yaml -f hpa.yaml
      the same with the real target and its autoscaler; a directory is read too: -f deploy/
  burgee simulate -f canary.yaml --script bad-version.txt
      what happens when things go wrong, with a script such as

      at 60s new-revision
      at 3m success-rate 97
      at 5m prometheus down for 2m
";

/// Show what a canary would do: each step, when, with how many pods.
///
/// Pods get ready after 3 seconds, every hook passes and every metric is good, unless the script says otherwise. What the
/// Canary names and the files do not hold is made up, and said. The program fails if the Canary is refused.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\nLines of a script begin with `at TIME`; then comes one of\n{COMMANDS}"))]
pub(crate) struct Arguments {
    /// A file or directory of YAML documents: the Canary, its target and what else it needs; may be given several times.
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Which canary is played, if the files hold several: NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME")]
    canary: Option<String>,
    /// A file of lines that say what happens when; without one a new revision comes after a minute.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Play on an unkind cluster: writes are refused and the operator dies, by chance as this number has it. The film says
    /// when.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Film)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// One aligned row for each event.
    Film,
    /// One JSON object with all rows, a summary, and the status at the end.
    Json,
}

/// Plays the canary and prints the film.
///
/// # Errors
/// When a file cannot be read or understood; the message names the file, the document, the line and the field. When the
/// canary is refused.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cast = files::read(&arguments.files, arguments.canary.as_deref())?;
    let mut scenario = Scenario::of(cast.objects.clone());
    scenario.please();
    scenario.seed = arguments.seed;
    scenario.script = arguments.script.as_deref().unwrap_or(Path::new("script")).display().to_string();
    let script = match &arguments.script {
        None => SCRIPT.to_owned(),
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
    };
    scenario.add_script(&script).map_err(anyhow::Error::msg)?;
    scenario.check_script().map_err(anyhow::Error::msg)?;
    let stage = scenario.play_out(MOST_SECONDS).map_err(anyhow::Error::msg)?;
    let summary = Summary::of(&stage);
    print(&stage, &cast, &summary, arguments.output)?;
    if let Some(reason) = &summary.refused {
        bail!("the canary would be refused: {reason}");
    }
    Ok(())
}

fn print(stage: &Stage, cast: &Cast, summary: &Summary, output: Output) -> anyhow::Result<()> {
    let text = match output {
        Output::Film => {
            let assumed: Vec<String> = cast.assumed.iter().map(|what| format!("assumed: {}\n", plain(what))).collect();
            plain_lines(&format!("{}{}{summary}\n", assumed.concat(), stage.film))
        }
        Output::Json => {
            let film = json!({"frames": stage.film.frames, "marks": stage.film.marks, "assumed": cast.assumed,
                "summary": summary.text(), "seconds": stage.second(), "status": stage.status()});
            plain_json(&serde_json::to_string_pretty(&film).context("write the film as json")?).into_owned() + "\n"
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the film")
}
