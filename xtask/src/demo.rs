//! `cargo xtask demo`: a good version of podinfo is promoted under load, a bad one rolled back, and both are shown. How it
//! looks is in `picture` and `summary`, what is watched in `watch`, where it plays in `stage`.
mod build;
mod picture;
mod scene;
mod screen;
mod stage;
mod summary;
mod watch;

use anyhow::{Context, Result, anyhow, bail};
use burgee_lab::{Counters, Gateway, Load};
use clap::Args;
use picture::{Line, Tint, panel, told};
use scene::{Scene, Told, Traffic};
use screen::Screen;
use stage::Stage;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use summary::{Outcome, Summary};
use watch::Watches;

/// Shows the main job on real parts: a good version of podinfo is promoted, a bad one rolled back, under steady load.
///
/// Boots a cluster with Istio and Prometheus in a network namespace of its own, installs the operator with its chart, and
/// releases podinfo behind the gateway: four minutes once the cluster's parts are built, 20 on two cores the first time.
/// Exits with 1 if a request fails that must not.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave everything running until ctrl-C, and say how to look around.
    #[arg(long)]
    hold: bool,
    /// Name of the cluster's instance; two of different names can run at the same time.
    #[arg(long, default_value = "demo", value_parser = crate::lab::instance_name)]
    name: String,
    /// Use the cluster of this kubeconfig instead of a lab of our own; --help says what it must have.
    #[arg(long, value_name = "FILE", long_help = crate::guest::help_of_demo())]
    kubeconfig: Option<PathBuf>,
    /// Install this burgee binary instead of a release build of this tree.
    #[arg(long, value_name = "FILE", conflicts_with = "kubeconfig")]
    burgee: Option<PathBuf>,
    /// Where requests reach the ingress gateway [default: port 80 of its Service's load balancer].
    #[arg(long, value_name = "HOST[:PORT]", requires = "kubeconfig")]
    gateway: Option<Gateway>,
    /// The operator's image to install with this tree's chart; without it, the operator must be installed already.
    #[arg(long, value_name = "NAME:TAG", requires = "kubeconfig")]
    image: Option<String>,
    /// The image of podinfo, without its tag.
    #[arg(long, value_name = "NAME", default_value = "ghcr.io/stefanprodan/podinfo", requires = "kubeconfig")]
    podinfo: String,
}

/// Longest time for podinfo to be initialized.
const INITIALIZED_WITHIN: Duration = Duration::from_mins(3);
/// Longest time for a version to be promoted or rolled back.
const RELEASED_WITHIN: Duration = Duration::from_mins(5);
/// For how long the users are watched before a release, and after it has ended.
const STEADY: Duration = Duration::from_secs(3);
/// How often the panel is drawn when nothing happens.
const FRAME: Duration = Duration::from_millis(250);

/// A version to release, and how it must end.
struct Part {
    title: &'static str,
    version: &'static str,
    variables: &'static [(&'static str, &'static str)],
    end: &'static str,
}

const GOOD: Part =
    Part { title: "1 of 2  6.0.1 is a good version", version: "6.0.1", variables: &[], end: "Succeeded" };
const BAD: Part = Part {
    title: "2 of 2  6.0.2 is a bad version: it answers with errors",
    version: "6.0.2",
    variables: &[("PODINFO_RANDOM_ERROR", "true")],
    end: "Failed",
};

/// Does what the command line asks; answers whether every request was answered that had to be.
///
/// # Errors
/// With what is missing, or what did not happen and the end of the operator's log.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let started = Instant::now();
    let stage = Stage::set(arguments)?;
    let mut play = Play {
        watches: Watches::begin(stage.cluster()),
        stage: &stage,
        scene: Scene::default(),
        screen: Screen::new(),
        started,
    };
    let played = play.whole();
    play.screen.clear();
    // Asked for here, while the operator still runs.
    let advice =
        if arguments.hold { "" } else { "\n`cargo xtask demo --hold` leaves everything running to look around" };
    let played = played.map_err(|error| anyhow!("{error:#}\n{}{advice}", stage.operator_log()));
    let is_well = match &played {
        Ok(summary) => play.conclude(summary),
        Err(error) if arguments.hold => {
            play.screen.tell_as_is(&[Line::of(Tint::Bad, format!("error: {error}"))]);
            false
        }
        Err(_) => false,
    };
    if arguments.hold {
        play.hold()?;
    }
    played.map(|_| is_well)
}

/// The demo under way.
struct Play<'a> {
    // Dropped before the stage is.
    watches: Watches,
    stage: &'a Stage,
    scene: Scene,
    screen: Screen,
    started: Instant,
}

impl Play<'_> {
    fn whole(&mut self) -> Result<Summary> {
        let begun = Instant::now();
        self.initialize()?;
        let initialized_took = begun.elapsed();
        let promotion = self.release(&GOOD)?;
        let rollback = self.release(&BAD)?;
        let preparations = vec![
            ("cluster", self.stage.cluster_took),
            ("operator", self.stage.operator_took),
            ("podinfo", initialized_took),
        ];
        Ok(Summary { promotion, rollback, preparations, in_all: self.started.elapsed() })
    }

    fn initialize(&mut self) -> Result<()> {
        self.open("podinfo 6.0.0 is deployed", Counters::default());
        self.stage.deploy("6.0.0")?;
        let limit = INITIALIZED_WITHIN;
        if !self.watch(limit, |scene| scene.phase == "Initialized") {
            bail!("podinfo was not initialized within {} s; its phase is {:?}", limit.as_secs(), self.scene.phase);
        }
        self.stage.wait_for_route()
    }

    fn release(&mut self, part: &Part) -> Result<Outcome> {
        let before = Counters::read(self.stage.cluster()).context("read the gateway's counters")?;
        self.open(part.title, before.clone());
        let load = self.stage.load()?;
        self.watch(STEADY, |_| false);
        let released = Instant::now();
        self.stage.release(part.version, part.variables)?;
        if !self.watch(RELEASED_WITHIN, Scene::has_ended) {
            let (version, limit, phase) = (part.version, RELEASED_WITHIN.as_secs(), &self.scene.phase);
            bail!("podinfo {version} was not released within {limit} s; its phase is {phase:?}");
        }
        let took = released.elapsed();
        if self.scene.phase != part.end {
            let (version, phase, end) = (part.version, &self.scene.phase, part.end);
            bail!("podinfo {version} ended as {phase}, not {end}; the events above say why");
        }
        let peak_weight = self.scene.peak_weight;
        // What comes after the end counts as well: the canary is drained and taken down under load.
        self.watch(STEADY, |_| false);
        self.finish(load, &before).map(|(answers, traffic)| Outcome {
            version: part.version,
            took,
            peak_weight,
            answers,
            traffic,
        })
    }

    fn finish(&self, load: Load, before: &Counters) -> Result<(burgee_lab::Answers, Traffic)> {
        let answers = load.stop().context("end the load")?;
        let after = Counters::read(self.stage.cluster()).context("read the gateway's counters")?;
        Ok((answers, Traffic::of(&after.since(before))))
    }

    /// Tells how it went; answers whether it went as it must.
    fn conclude(&mut self, summary: &Summary) -> bool {
        self.screen.head("What happened");
        self.screen.tell(&summary.lines());
        let faults = summary.faults();
        let lines: Vec<Line> = faults.iter().map(|fault| Line::of(Tint::Bad, format!("  FAILED: {fault}"))).collect();
        self.screen.tell(&lines);
        faults.is_empty()
    }

    /// Goes on until the process is interrupted.
    fn hold(&mut self) -> Result<()> {
        self.screen.head("Everything keeps running until ctrl-C. In another terminal:");
        let line = |text: String| Line::of(Tint::Plain, format!("  {text}"));
        let directions: Vec<Line> = self.stage.directions().into_iter().map(line).collect();
        self.screen.tell_as_is(&directions);
        let file = |(name, path): (&str, PathBuf)| Line::of(Tint::Dim, format!("  {name} {}", path.display()));
        let files: Vec<Line> = self.stage.files().into_iter().map(file).chain([Line::default()]).collect();
        self.screen.tell_as_is(&files);
        loop {
            let before = Counters::read(self.stage.cluster()).unwrap_or_default();
            self.scene.begin("your turn: what you release is shown here", before);
            let load = self.stage.load()?;
            self.watch(Duration::from_mins(59), |_| false);
            load.stop().context("end the load")?;
        }
    }

    fn open(&mut self, title: &str, before: Counters) {
        self.scene.begin(title, before);
        self.screen.head(title);
    }

    /// Shows what happens until `done` says so; answers whether it did within `limit`.
    fn watch(&mut self, limit: Duration, mut done: impl FnMut(&Scene) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(report) = self.watches.next(FRAME) {
                let news = self.scene.take(report);
                self.tell(news);
            }
            if let Some(columns) = self.screen.columns() {
                let lines = panel(&self.scene, self.started.elapsed(), columns);
                self.screen.draw(&lines);
            }
            if done(&self.scene) {
                return true;
            }
        }
        false
    }

    fn tell(&mut self, news: Option<Told>) {
        // A terminal's panel shows the changes already.
        let shown = news.filter(|news| *news != Told::Change || self.screen.columns().is_none());
        if let Some(news) = shown {
            let line = told(&self.scene, &news, self.started.elapsed());
            self.screen.tell(&[line]);
        }
    }
}
