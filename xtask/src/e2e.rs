//! The end-to-end suite: which tests there are, and how they run on a real cluster. It contains no test itself.
mod changes;
mod delivery;
mod disruptive;
mod endings;
mod feed;
mod gates;
mod mistakes;
mod objects;
mod receiver;
mod stage;
mod story;

use anyhow::{Context, Result, bail};
use burgee_lab::{Cluster, Installation, Lab, NODE_ADDRESS, Options, PROMETHEUS_ADDRESS, install, say, seconds};
use clap::Args;
use feed::Feed;
use receiver::Receiver;
use stage::{Stage, World};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tests that run at the same time unless the command line says otherwise.
const AT_ONCE: usize = 5;
/// Directory of the operator's chart.
const CHART: &str = "charts/burgee";

/// When a test may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    /// Beside others.
    Parallel,
    /// Beside others, but one at a time: it sends so many requests that two would slow each other down.
    Loaded,
    /// Alone, after all others: it stops or kills what others need.
    Disruptive,
}

/// One test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// What is shown, as a sentence.
    pub name: &'static str,
    /// Its namespace, and the first part of its host.
    pub space: &'static str,
    /// When it may run.
    pub group: Group,
    /// How long it may take.
    pub limit: Duration,
    /// What it does.
    pub run: fn(&Stage<'_>) -> Result<()>,
}

/// Which tests run, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct Selection {
    /// Use the cluster of this kubeconfig instead of a lab of our own.
    ///
    /// It needs Istio, a gateway istio-system/public-gateway with Envoy's administration page at port 15000 of its Service,
    /// Prometheus, the images lab.local/podinfo:6.0.0 to 6.0.4, and the operator as release flagger in istio-system. This
    /// machine must be reachable from it at --address.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Address of this machine as the cluster sees it, for hooks and alerts.
    #[arg(long, value_name = "IP", default_value = NODE_ADDRESS)]
    address: String,
    /// Run only the end-to-end tests whose names contain this; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = part_of_a_name)]
    pub only: Vec<String>,
    /// Test this burgee binary instead of a release build of this tree.
    #[arg(long, value_name = "FILE")]
    burgee: Option<PathBuf>,
    /// List the end-to-end tests and stop.
    #[arg(long)]
    pub list: bool,
    /// Keep the cluster and the namespaces after the tests, until ctrl-C.
    #[arg(long)]
    keep: bool,
    /// How many tests run at the same time.
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    at_once: usize,
}

/// How one test or step ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// All tests, the longest first.
fn tests() -> Vec<Test> {
    [delivery::TESTS, endings::TESTS, changes::TESTS, gates::TESTS, mistakes::TESTS, disruptive::TESTS].concat()
}

impl Test {
    fn is_named(&self, part: &str) -> bool {
        self.name.contains(part) || self.space == part
    }
}

/// Refuses what names no test.
fn part_of_a_name(text: &str) -> Result<String> {
    if !tests().iter().any(|test| test.is_named(text)) {
        bail!("no test has it in its name; --list shows them");
    }
    Ok(text.to_owned())
}

/// The tests that the command line chooses.
pub(crate) fn chosen(arguments: &Selection) -> Vec<Test> {
    let is_wanted = |test: &Test| arguments.only.is_empty() || arguments.only.iter().any(|part| test.is_named(part));
    tests().into_iter().filter(is_wanted).collect()
}

/// Prints the names of the tests.
pub(crate) fn list(arguments: &Selection) {
    for test in chosen(arguments) {
        println!("{:12} {:?}: {}", test.space, test.group, test.name);
    }
}

/// Runs the chosen tests with this operator; the outcomes are in the order in which they ended.
///
/// # Errors
/// When the cluster does not come up, or the operator cannot be installed.
pub(crate) fn run(arguments: &Selection, binary: &Path) -> Result<Vec<Outcome>> {
    let tests = chosen(arguments);
    let lab = match &arguments.kubeconfig {
        None => Some(Lab::boot(&Lab::prepare(&Options::default())?, &Options::named("e2e"))?),
        Some(_) => None,
    };
    let world = open(arguments, lab, binary)?;
    let of = |group: Group| tests.iter().filter(|test| test.group == group).copied().collect::<Vec<Test>>();
    let (loaded, parallel) = (of(Group::Loaded), of(Group::Parallel));
    let mut outcomes = std::thread::scope(|scope| {
        let beside = scope.spawn(|| run_group(&world, &loaded, 1));
        let outcomes = run_group(&world, &parallel, arguments.at_once.saturating_sub(1).max(1));
        [beside.join().unwrap_or_default(), outcomes].concat()
    });
    outcomes.extend(run_group(&world, &of(Group::Disruptive), 1));
    let failed = outcomes.iter().any(|outcome| outcome.failure.is_some());
    if arguments.keep {
        keep(&world);
    }
    if let Some(lab) = world.lab.filter(|_| failed) {
        say(&format!("logs of the run are kept in {} until the next one", lab.logs().display()));
    }
    Ok(outcomes)
}

/// Enters the lab's network, and installs the operator so that it tells everything to the receiver.
fn open(arguments: &Selection, lab: Option<Lab>, binary: &Path) -> Result<World> {
    let cluster = match (&lab, &arguments.kubeconfig) {
        (Some(lab), _) => {
            lab.enter()?;
            lab.cluster().clone()
        }
        (None, Some(kubeconfig)) => Cluster::existing(kubeconfig, &Lab::prepare(&Options::default())?),
        (None, None) => bail!("there is no cluster"),
    };
    let receiver = Receiver::start(&arguments.address)?;
    let values = [
        format!("eventWebhook={}", receiver.url("/events")),
        format!("slack.url={}", receiver.url("/slack")),
        "slack.channel=e2e".to_owned(),
        "logLevel=debug".to_owned(),
    ];
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    if let Some(lab) = &lab {
        lab.install_operator(binary, Path::new(CHART), &values)?;
    } else {
        reinstall(&cluster, &values)?;
    }
    let feed = Feed::start(&cluster);
    Ok(World { cluster, lab, feed, receiver })
}

/// Installs the chart again with the image that the cluster's operator has now.
fn reinstall(cluster: &Cluster, values: &[&str]) -> Result<()> {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = cluster
        .kubectl(&["-n", "istio-system", "get", "deployment", "flagger", "-o", path])
        .context("the operator must be installed as deployment istio-system/flagger")?;
    let metrics_server = PROMETHEUS_ADDRESS;
    install(cluster, &Installation { chart: Path::new(CHART), image: &image, metrics_server, values })
}

fn keep(world: &World) {
    match &world.lab {
        Some(lab) => println!("kept; look around with {} kubectl get canaries -A", lab.enter_script().display()),
        None => println!("kept; the receiver answers until ctrl-C"),
    }
    loop {
        // The interrupt handler takes the lab down and ends this process.
        std::thread::park();
    }
}

fn run_group(world: &World, tests: &[Test], at_once: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(tests.len()) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run_one(world, test);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run_one(world: &World, test: &Test) -> Outcome {
    let started = Instant::now();
    let result = Stage::open(world, test.space, test.limit).and_then(|stage| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (test.run)(&stage)));
        let result = result.unwrap_or_else(|_| bail!("the test panicked"));
        let report = result.as_ref().err().map(|_| stage.report());
        stage.close()?;
        result.with_context(|| report.unwrap_or_default())
    });
    let took = started.elapsed();
    let failure = result.err().map(|error| {
        let report = error.to_string();
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let cause = if causes.is_empty() { report.clone() } else { causes.join(": ") };
        println!("FAILED {} ({})\n  {cause}\n{report}", test.name, seconds(took));
        cause
    });
    if failure.is_none() {
        println!("ok     {} ({})", test.name, seconds(took));
    }
    Outcome { name: test.name.to_owned(), took, failure }
}

/// Runs the suite alone, on a release build of this tree; answers whether everything passed.
///
/// # Errors
/// When something is missing on this machine, or the cluster does not come up.
pub(crate) fn alone(arguments: &Selection) -> Result<bool> {
    if arguments.list {
        list(arguments);
        return Ok(true);
    }
    if arguments.kubeconfig.is_none() {
        Lab::prepare(&Options::default())?;
    }
    let binary = arguments.burgee.clone().map_or_else(release_build, Ok)?;
    let outcomes = run(arguments, &binary)?;
    Ok(crate::test::conclude(&outcomes))
}

/// Builds the released binary and returns its path.
///
/// # Errors
/// When it cannot be built.
fn release_build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "-p", "burgee"]).status().context("run cargo")?;
    if !status.success() {
        bail!("burgee cannot be built");
    }
    Ok(release_binary())
}

/// Where the released binary is built.
pub(crate) fn release_binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("release/burgee")
}
