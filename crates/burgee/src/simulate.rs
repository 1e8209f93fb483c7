//! `burgee simulate`: a canary in virtual time, by the controller's own decisions. It touches no cluster.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use burgee_core::plain::{plain, plain_json, plain_lines};
use burgee_sim::scenario::{COMMANDS, Scenario};
use burgee_sim::stage::Stage;
use clap::ValueEnum;
use serde_json::{Value, json};

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
/// Canary names and the files do not hold is made up, and said. The program fails if the Canary is refused or would never
/// begin. Several canaries are played one after the other, each with the others there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\nLines of a script begin with `at TIME`; then comes one of\n{COMMANDS}"))]
pub(crate) struct Arguments {
    /// A file or directory of YAML documents: the Canary, its target and what else it needs; may be given several times.
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only this one of several canaries: NAME or NAMESPACE/NAME.
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

/// One canary, as it was played.
struct Play {
    cast: Cast,
    stage: Stage,
    summary: Summary,
}

/// Plays the canary and prints the film; several are played one after the other, each with the others there.
///
/// # Errors
/// When a file cannot be read or understood; the message names the file, the document, the line and the field. When a canary
/// is refused, or would never begin.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let casts = files::read(&arguments.files, arguments.canary.as_deref())?;
    let plays: Vec<Play> = casts.into_iter().map(|cast| play(arguments, cast)).collect::<anyhow::Result<_>>()?;
    print(&plays, arguments.output)?;
    match plays.as_slice() {
        [play] => play.summary.failure().map_or(Ok(()), |failure| bail!("{failure}")),
        plays => {
            let failures = plays.iter().filter_map(|play| Some((&play.cast.name, play.summary.failure()?)));
            let failures: Vec<String> = failures.map(|(name, failure)| format!("{name}: {failure}")).collect();
            if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
        }
    }
}

fn play(arguments: &Arguments, cast: Cast) -> anyhow::Result<Play> {
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
    Ok(Play { cast, stage, summary })
}

fn print(plays: &[Play], output: Output) -> anyhow::Result<()> {
    let text = match (output, plays) {
        (Output::Film, [play]) => film(play),
        (Output::Film, plays) => {
            let films: Vec<String> =
                plays.iter().map(|play| format!("== {}\n{}", plain(&play.cast.name), film(play))).collect();
            films.join("\n")
        }
        (Output::Json, [play]) => pretty(&json(play))?,
        (Output::Json, plays) => pretty(&plays.iter().map(json).collect())?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the film")
}

fn film(Play { cast, stage, summary }: &Play) -> String {
    let assumed: Vec<String> = cast.assumed.iter().map(|what| format!("assumed: {}\n", plain(what))).collect();
    plain_lines(&format!("{}{}{summary}\n", assumed.concat(), stage.film))
}

fn json(Play { cast, stage, summary }: &Play) -> Value {
    json!({"canary": cast.name, "frames": stage.film.frames, "marks": stage.film.marks, "assumed": cast.assumed,
        "summary": summary.text(), "seconds": stage.second(), "status": stage.status()})
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(plain_json(&serde_json::to_string_pretty(value).context("write the film as json")?).into_owned() + "\n")
}
