//! The end-to-end suite: which tests there are, and how they run on a real cluster. It contains no test itself.
mod changes;
mod delivery;
mod disruptive;
mod edits;
mod endings;
mod feed;
mod gates;
mod mistakes;
mod objects;
mod receiver;
mod stage;
mod story;

use anyhow::{Context, Result, bail};
use burgee_lab::{Cluster, Installation, Lab, NODE_ADDRESS, Options, PROMETHEUS_ADDRESS, Parts, install, say, seconds};
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
    /// machine needs kubectl, helm and hey, and must be reachable from it at --address.
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
    /// Name of the lab's instance; two of different names can run at the same time.
    #[arg(long, default_value = "e2e", value_parser = crate::lab::instance_name)]
    name: String,
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

/// One test or step that was to be run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

/// How a test or step ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Well.
    Passed,
    /// Badly; the text says why.
    Failed(String),
    /// It was not run.
    Skipped,
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
pub(crate) fn chosen(selection: &Selection) -> Vec<Test> {
    let is_wanted = |test: &Test| selection.only.is_empty() || selection.only.iter().any(|part| test.is_named(part));
    tests().into_iter().filter(is_wanted).collect()
}

/// Prints the names of the tests.
pub(crate) fn list(selection: &Selection) {
    for test in chosen(selection) {
        println!("{:12} {:?}: {}", test.space, test.group, test.name);
    }
}

/// Looks for what the tests need of this machine, and makes the parts of the lab that are not there yet. A cluster that
/// exists needs only kubectl, helm and hey.
///
/// # Errors
/// With one message that tells everything that is missing, or with the log of the part that could not be made.
pub(crate) fn prepare(selection: &Selection) -> Result<Parts> {
    if selection.kubeconfig.is_some() { Parts::installed() } else { Lab::prepare(&Options::default()) }
}

/// Runs the chosen tests; the outcomes are in the order in which they ended.
///
/// # Errors
/// When the cluster does not come up, or the operator cannot be built or installed.
pub(crate) fn run(selection: &Selection) -> Result<Vec<Outcome>> {
    let tests = chosen(selection);
    let world = open(selection)?;
    let of = |group: Group| tests.iter().filter(|test| test.group == group).copied().collect::<Vec<Test>>();
    let (loaded, parallel) = (of(Group::Loaded), of(Group::Parallel));
    let mut outcomes = std::thread::scope(|scope| {
        let beside = scope.spawn(|| run_group(&world, &loaded, 1));
        let outcomes = run_group(&world, &parallel, selection.at_once.saturating_sub(1).max(1));
        [beside.join().unwrap_or_default(), outcomes].concat()
    });
    match &world.lab {
        Some(_) => outcomes.extend(run_group(&world, &of(Group::Disruptive), 1)),
        None => outcomes.extend(of(Group::Disruptive).iter().map(skipped)),
    }
    let failed = outcomes.iter().any(|outcome| matches!(outcome.end, End::Failed(_)));
    if selection.keep {
        keep(&world);
    }
    if let Some(lab) = world.lab.filter(|_| failed) {
        say(&format!("logs of the run are kept in {} until the next one", lab.logs().display()));
    }
    Ok(outcomes)
}

/// A test that stops what others need is not for a cluster that others may use.
fn skipped(test: &Test) -> Outcome {
    println!("skip   {}: it needs a lab of our own", test.name);
    Outcome { name: test.name.to_owned(), took: Duration::ZERO, end: End::Skipped }
}

/// Brings up what the tests need: the cluster, the receiver, and the operator, which tells the receiver everything.
fn open(selection: &Selection) -> Result<World> {
    match &selection.kubeconfig {
        None => open_own(selection),
        Some(kubeconfig) => open_existing(selection, kubeconfig),
    }
}

/// Boots a lab, enters its network, and installs this tree's operator. What has to be built is built first.
fn open_own(selection: &Selection) -> Result<World> {
    let binary = selection.burgee.clone().map_or_else(release_build, Ok)?;
    let options = Options::named(&selection.name);
    let lab = Lab::boot(&Lab::prepare(&options)?, &options)?;
    lab.enter()?;
    let receiver = Receiver::start(&selection.address)?;
    let values = values(&receiver);
    lab.install_operator(&binary, Path::new(CHART), &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let cluster = lab.cluster().clone();
    Ok(World { feed: Feed::start(&cluster), cluster, lab: Some(lab), receiver })
}

fn open_existing(selection: &Selection, kubeconfig: &Path) -> Result<World> {
    let cluster = Cluster::existing(kubeconfig, &prepare(selection)?);
    let receiver = Receiver::start(&selection.address)?;
    reinstall(&cluster, &values(&receiver))?;
    clear_when_interrupted(&cluster, &chosen(selection))?;
    Ok(World { feed: Feed::start(&cluster), cluster, lab: None, receiver })
}

/// How the chart is installed: everything is told to the receiver.
fn values(receiver: &Receiver) -> Vec<String> {
    vec![
        format!("eventWebhook={}", receiver.url("/events")),
        format!("slack.url={}", receiver.url("/slack")),
        "slack.channel=e2e".to_owned(),
        "logLevel=debug".to_owned(),
    ]
}

/// A cluster that existed before gets rid of the tests' namespaces also when the tests are interrupted.
fn clear_when_interrupted(cluster: &Cluster, tests: &[Test]) -> Result<()> {
    let cluster = cluster.clone();
    let spaces: Vec<&'static str> = tests.iter().map(|test| test.space).collect();
    let clear = move || {
        say("interrupted; removing the namespaces of the tests");
        let delete = ["delete", "namespace", "--ignore-not-found", "--wait=false"];
        if let Err(error) = cluster.kubectl(&[&delete[..], &spaces].concat()) {
            say(&format!("{error:#}"));
        }
        std::process::exit(130)
    };
    ctrlc::set_handler(clear).context("catch interrupts")
}

/// Installs the chart again with the image that the cluster's operator has now.
fn reinstall(cluster: &Cluster, values: &[String]) -> Result<()> {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = cluster
        .kubectl(&["-n", "istio-system", "get", "deployment", "flagger", "-o", path])
        .context("the operator must be installed as deployment istio-system/flagger")?;
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let (chart, metrics_server) = (Path::new(CHART), PROMETHEUS_ADDRESS);
    install(cluster, &Installation { chart, image: &image, metrics_server, values: &values })
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
    let end = match result {
        Ok(()) => {
            println!("ok     {} ({})", test.name, seconds(took));
            End::Passed
        }
        Err(error) => {
            let report = error.to_string();
            let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            let cause = if causes.is_empty() { report.clone() } else { causes.join(": ") };
            println!("FAILED {} ({})\n  {cause}\n{report}", test.name, seconds(took));
            End::Failed(cause)
        }
    };
    Outcome { name: test.name.to_owned(), took, end }
}

/// Runs the suite alone, on a release build of this tree; answers whether everything passed.
///
/// # Errors
/// When something is missing on this machine, or the cluster does not come up.
pub(crate) fn alone(selection: &Selection) -> Result<bool> {
    if selection.list {
        list(selection);
        return Ok(true);
    }
    // Before anything is built: what is missing on this machine is told first.
    prepare(selection)?;
    Ok(crate::test::conclude(&run(selection)?))
}

/// Whether the suite installs the binary of this tree.
pub(crate) fn needs_binary(selection: &Selection) -> bool {
    selection.kubeconfig.is_none() && selection.burgee.is_none()
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
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/burgee"))
}
