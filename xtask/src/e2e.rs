//! The end-to-end suite: which tests there are, and how they run on a real cluster. It contains no test itself.
mod adoption;
mod alertmanager;
mod boundaries;
mod capacity;
mod changes;
mod charts;
mod delivery;
mod disruptive;
mod edits;
mod endings;
mod feed;
mod gates;
mod keda;
mod labs;
mod latecomers;
mod loadtester;
mod mistakes;
mod objects;
mod orders;
mod panels;
mod receiver;
mod release;
mod share;
mod smi;
mod stage;
mod story;
mod strategies;
mod tutorials;
mod verdicts;
mod visitors;

use anyhow::{Context, Result, bail, ensure};
use burgee_lab::{Extra, Gateway, Lab, Options, Parts};
use clap::{Args, ValueEnum};
use stage::Stage;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tests that run at the same time unless the command line says otherwise.
const AT_ONCE: usize = 5;

/// When a test may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    /// Beside others.
    Parallel,
    /// Beside others, but one at a time: it sends so many requests that two would slow each other down.
    Loaded,
    /// Alone on its lab, because it does this: it stops or kills what others need, or watches all that happens.
    Disruptive(&'static str),
    /// Beside others, and only when the command line asks for it.
    With(With),
}

impl Group {
    fn name(self) -> String {
        match self {
            Self::Parallel => "parallel".to_owned(),
            Self::Loaded => "loaded".to_owned(),
            Self::Disruptive(_) => "disruptive".to_owned(),
            Self::With(with) => format!("with {with:?}").to_lowercase(),
        }
    }
}

/// What tests need that takes so long to build that they run only when asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum With {
    /// KEDA's controller, which scales by ScaledObjects; about six minutes to build, once.
    Keda,
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
    /// Use the cluster of this kubeconfig instead of a lab of our own; --help says what it must have.
    #[arg(long, value_name = "FILE", requires = "address", long_help = crate::guest::help_of_tests())]
    kubeconfig: Option<PathBuf>,
    /// Address of this machine as the cluster's pods see it, for hooks and alerts.
    #[arg(long, value_name = "IP", requires = "kubeconfig")]
    address: Option<String>,
    /// Where requests reach the cluster's ingress gateway [default: port 80 of its Service's load balancer].
    #[arg(long, value_name = "HOST[:PORT]", requires = "kubeconfig")]
    gateway: Option<Gateway>,
    /// Run only the end-to-end tests whose names contain this; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = part_of_a_name)]
    pub only: Vec<String>,
    /// Run the tests of an optional group too; may be given several times. A cluster of --kubeconfig must have what they
    /// need.
    #[arg(long, value_name = "GROUP")]
    with: Vec<With>,
    /// Test this burgee binary instead of a release build of this tree.
    #[arg(long, value_name = "FILE")]
    burgee: Option<PathBuf>,
    /// Name of the lab's instance; two of different names can run at the same time. A second lab is NAME-2.
    #[arg(long, default_value = "e2e", value_parser = labs::name)]
    name: String,
    /// How many labs are booted. On a second one the tests that stop or kill things run beside all others.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    labs: u8,
    /// List the end-to-end tests and stop.
    #[arg(long)]
    pub list: bool,
    /// Keep the cluster and the namespaces after the tests, until ctrl-C.
    #[arg(long)]
    keep: bool,
    /// How many tests run at the same time, on all labs together.
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    at_once: usize,
}

/// One test or step that was to be run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its name.
    pub name: String,
    /// The lab on which it ran; nothing for other clusters and steps.
    pub lab: String,
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
    /// It was not run, for this reason.
    Skipped(String),
}

impl Outcome {
    /// How something ended that ran on no lab.
    pub(crate) fn of(name: &str, took: Duration, end: End) -> Self {
        Self { name: name.to_owned(), lab: String::new(), took, end }
    }

    /// A test or step that was not run, and why.
    pub(crate) fn skipped(name: &str, why: &str) -> Self {
        Self::of(name, Duration::ZERO, End::Skipped(why.to_owned()))
    }
}

/// All tests, the longest of each group first.
fn tests() -> Vec<Test> {
    [
        tutorials::TESTS,
        delivery::TESTS,
        strategies::TESTS,
        smi::TESTS,
        capacity::TESTS,
        endings::TESTS,
        verdicts::TESTS,
        changes::TESTS,
        adoption::TESTS,
        alertmanager::TESTS,
        boundaries::TESTS,
        panels::TESTS,
        charts::TESTS,
        loadtester::TESTS,
        gates::TESTS,
        orders::TESTS,
        mistakes::TESTS,
        keda::TESTS,
        latecomers::TESTS,
        disruptive::TESTS,
    ]
    .concat()
}

impl Selection {
    /// A lab of this name with what the chosen groups need.
    fn options(&self, name: &str) -> Options {
        let extra = |with: &With| match with {
            With::Keda => Extra::Keda,
        };
        let extras = self.with.iter().map(extra).chain([Extra::MetricsServer]).collect();
        Options { extras, ..Options::named(name) }
    }

    /// Whether all tests run that a lab of our own can run.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.kubeconfig.is_none()
    }

    fn is_chosen(&self, test: &Test) -> bool {
        let is_asked_for = match test.group {
            Group::With(with) => self.with.contains(&with),
            Group::Parallel | Group::Loaded | Group::Disruptive(_) => true,
        };
        is_asked_for && (self.only.is_empty() || self.only.iter().any(|part| test.is_named(part)))
    }
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
    tests().into_iter().filter(|test| selection.is_chosen(test)).collect()
}

/// Prints the names of the tests.
pub(crate) fn list(selection: &Selection) {
    for test in chosen(selection) {
        let (space, group, name) = (test.space, test.group.name(), test.name);
        println!("{space:12} {group}: {name}");
    }
}

/// Looks for what the tests need of this machine, and makes the parts of the lab that are not there yet. A cluster that
/// exists needs only kubectl, helm and hey.
///
/// # Errors
/// With one message that tells everything that is missing, or with the log of the part that could not be made.
pub(crate) fn prepare(selection: &Selection) -> Result<Parts> {
    if selection.kubeconfig.is_some() { Parts::installed() } else { Lab::prepare(&selection.options(&selection.name)) }
}

/// Runs the chosen tests; the outcomes are in the order in which they ended.
///
/// # Errors
/// When a cluster does not come up, or the operator cannot be built or installed.
pub(crate) fn run(selection: &Selection) -> Result<Vec<Outcome>> {
    let tests = chosen(selection);
    ensure!(!tests.is_empty(), "no test is left; those of an optional group run only --with it");
    labs::run(selection, &tests)
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
    let started = Instant::now();
    prepare(selection)?;
    Ok(crate::test::conclude(&run(selection)?, started))
}

/// Whether the suite boots labs of its own.
pub(crate) fn boots_labs(selection: &Selection) -> bool {
    selection.kubeconfig.is_none()
}

/// Whether the suite installs the binary of this tree.
pub(crate) fn needs_binary(selection: &Selection) -> bool {
    boots_labs(selection) && selection.burgee.is_none()
}

/// Builds the released binary and returns its path.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn release_build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "-p", "burgee"]).status().context("run cargo")?;
    if !status.success() {
        bail!("burgee cannot be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/burgee"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::collections::BTreeSet;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        selection: Selection,
    }

    fn check(arguments: &[&str], expected: impl Fn(&Test) -> bool) {
        let selection = Line::parse_from(["xtask"].iter().chain(arguments)).selection;
        let names = |tests: Vec<Test>| tests.iter().map(|test| test.name).collect::<Vec<_>>();
        let expected = tests().into_iter().filter(expected).collect();
        assert_eq!(names(chosen(&selection)), names(expected), "{arguments:?}");
    }

    #[test]
    fn an_optional_group_runs_only_when_it_is_asked_for() {
        let is_keda = |test: &Test| test.group == Group::With(With::Keda);
        check(&[], |test| !is_keda(test));
        check(&["--with", "keda"], |_| true);
        check(&["--with", "keda", "--only", "keda"], is_keda);
        check(&["--only", "keda"], |_| false);
        check(&["--only", "idle"], |test| test.space == "idle");
    }

    #[test]
    fn every_test_has_a_name_and_a_namespace_of_its_own() {
        let count = |field: fn(&Test) -> &'static str| tests().iter().map(field).collect::<BTreeSet<_>>().len();
        assert_eq!((count(|test| test.name), count(|test| test.space)), (tests().len(), tests().len()));
    }
}
