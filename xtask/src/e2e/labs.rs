//! The clusters on which the tests run: booted one after the other, used at the same time, kept or taken down. It knows
//! no test.
use super::feed::Feed;
use super::receiver::Receiver;
use super::release::Release;
use super::share::Work;
use super::stage::{OWN, World};
use super::{End, Outcome, Selection, Test, With, prepare, release_build};
use crate::{audit, guest};
use anyhow::{Context, Result, bail};
use burgee_lab::{Cluster, Gateway, Lab, NODE_ADDRESS, Options, Parts, say, start_no_more};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Directory of the operator's chart.
const CHART: &str = "charts/burgee";

/// A cluster that was used, and how its tests ended.
type Used = (World, Vec<Outcome>);

/// Reads the name of the first lab; that of a second one is made from it.
///
/// # Errors
/// When one of them could not be the name of an instance.
pub(super) fn name(text: &str) -> Result<String> {
    crate::lab::instance_name(&second(text))?;
    crate::lab::instance_name(text)
}

fn second(name: &str) -> String {
    format!("{name}-2")
}

/// Runs the tests; the outcomes are in the order in which they ended, lab by lab.
///
/// # Errors
/// When a cluster does not come up, or the operator cannot be built or installed.
pub(super) fn run(selection: &Selection, tests: &[Test]) -> Result<Vec<Outcome>> {
    let work = Work::of(tests);
    let used = match &selection.kubeconfig {
        None => use_own(selection, &work)?,
        Some(kubeconfig) => vec![use_existing(selection, kubeconfig, &work)?],
    };
    let (worlds, outcomes): (Vec<World>, Vec<Vec<Outcome>>) = used.into_iter().unzip();
    let mut outcomes = outcomes.concat();
    if selection.is_whole() {
        outcomes.push(permissions(&worlds));
    }
    let failed = outcomes.iter().any(|outcome| matches!(outcome.end, End::Failed(_)));
    if selection.keep {
        keep(&worlds);
    }
    worlds.iter().filter_map(|world| world.release.as_ref()).for_each(Release::put_back);
    for lab in worlds.into_iter().filter_map(|world| world.lab).filter(|_| failed) {
        say(&format!("logs of the run are kept in {} until the next one", lab.logs().display()));
    }
    Ok(outcomes)
}

/// What no test of this suite makes the operator ask for, and why it is granted.
const RARE: [(&str, &str); 1] = [(
    "update flagger.app/canaries/finalizers",
    "never asked for: the lab's admission, which guards owner references, looks at it by itself",
)];

/// Whether each verb that the chart grants was used on one of the labs: a verb that no test needs is one too many, but for
/// the rare ones.
fn permissions(worlds: &[World]) -> Outcome {
    let started = Instant::now();
    let end = match unused(worlds) {
        Ok(unused) if unused.is_empty() => End::Passed,
        Ok(unused) => End::Failed(format!("granted, and never used by the operator: {unused:?}")),
        Err(error) => End::Failed(format!("{error:#}")),
    };
    Outcome::of("no_permission_of_the_operator_is_unused", started.elapsed(), end)
}

fn unused(worlds: &[World]) -> Result<BTreeSet<String>> {
    let cluster = &worlds.first().context("no lab was used")?.cluster;
    let mut left = BTreeSet::new();
    for role in [&["clusterrole", "flagger"][..], &["clusterrole", "flagger-crds"], &["role", "flagger-lease"]] {
        left.extend(audit::granted(&cluster.json(&[&["-n", "istio-system", "get"], role].concat())?));
    }
    left.retain(|request| !RARE.iter().any(|(rare, _)| request == rare));
    for lab in worlds.iter().filter_map(|world| world.lab.as_ref()) {
        let used = audit::used(lab)?;
        left.retain(|request| !used.contains(request));
    }
    Ok(left)
}

/// Boots labs and runs the tests on them. What has to be built is built first. Each lab has a thread of its own, because a
/// thread is in one network only.
fn use_own(selection: &Selection, work: &Work) -> Result<Vec<Used>> {
    let binary = selection.burgee.clone().map_or_else(release_build, Ok)?;
    let parts = prepare(selection)?;
    let names = names(selection, work.places());
    let opening = Mutex::new(());
    // Of all tests at once, one is on each lab but the first.
    let at_once = selection.at_once.saturating_sub(names.len() - 1).max(1);
    let use_one = |number: usize, name: &str| -> Result<Used> {
        // One after the other: a boot needs the whole machine.
        let alone = opening.lock().unwrap_or_else(PoisonError::into_inner);
        // Only tests that must be alone run on the others, and none of those needs anything extra.
        let options = if number == 0 { selection.options(name) } else { Options::named(name) };
        let world = open_own(selection, &options, (&parts, &binary)).inspect_err(|_| work.abandon())?;
        drop(alone);
        let beside = if number == 0 { work.run_beside_each_other(&world, at_once) } else { Vec::new() };
        let outcomes = [beside, work.run_alone(&world)].concat();
        Ok((world, outcomes))
    };
    let use_one = &use_one;
    std::thread::scope(|scope| {
        let numbered = names.iter().enumerate();
        let labs: Vec<_> = numbered.map(|(number, name)| scope.spawn(move || use_one(number, name))).collect();
        labs.into_iter().map(|lab| lab.join().unwrap_or_else(|_| bail!("the thread of a lab panicked"))).collect()
    })
}

/// The names of the labs that have something to do, at least one.
fn names(selection: &Selection, places: usize) -> Vec<String> {
    let count = places.min(usize::from(selection.labs)).min(selection.at_once);
    [selection.name.clone(), second(&selection.name)].into_iter().take(count.max(1)).collect()
}

/// Boots a lab, enters its network, and installs this tree's operator, which tells the receiver everything.
fn open_own(selection: &Selection, options: &Options, built: (&Parts, &Path)) -> Result<World> {
    let (parts, binary) = built;
    let lab = Lab::boot(parts, options)?;
    lab.enter()?;
    let receiver = Receiver::start(NODE_ADDRESS)?;
    let values = values(selection, &receiver);
    lab.install_operator(binary, Path::new(CHART), &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let cluster = lab.cluster().clone();
    let (feed, gateway) = (Feed::start(&cluster), Gateway::of_lab());
    Ok(World { feed, cluster, lab: Some(lab), release: None, binary: binary.to_owned(), gateway, receiver })
}

/// Borrows a cluster that exists. Its operator is put back as it was, also when the tests fail or are interrupted.
fn use_existing(selection: &Selection, kubeconfig: &Path, work: &Work) -> Result<Used> {
    let cluster = guest::cluster(kubeconfig)?;
    let gateway = guest::look(&cluster, selection.gateway.as_ref())?;
    let address = selection.address.as_deref().context("--address says how this machine is reached")?;
    let receiver = Receiver::start(address)?;
    let release = Release::find(&cluster)?;
    tidy_when_interrupted(&cluster, &release)?;
    let values = values(selection, &receiver);
    release.borrow(Path::new(CHART), &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let feed = Feed::start(&cluster);
    let binary = selection.burgee.clone().unwrap_or_default();
    let world = World { feed, cluster, lab: None, release: Some(release), binary, gateway, receiver };
    let outcomes = work.run_beside_each_other(&world, selection.at_once);
    Ok((world, [outcomes, work.skip_disruptive()].concat()))
}

/// How the chart is installed: with the smallest set of permissions that the tests need, and everything is told to the
/// receiver.
fn values(selection: &Selection, receiver: &Receiver) -> Vec<String> {
    vec![
        format!("rbac.keda={}", selection.with.contains(&With::Keda)),
        format!("eventWebhook={}", receiver.url("/events")),
        format!("slack.url={}", receiver.url("/slack")),
        "slack.channel=e2e".to_owned(),
        "logLevel=debug".to_owned(),
        "hostPolicy.create=true".to_owned(),
        // The receiver may be where the API server is.
        format!("allowAddresses={}", receiver.ip()),
    ]
}

/// A cluster that existed before gets its operator back and is rid of the tests' namespaces also when the tests are
/// interrupted.
fn tidy_when_interrupted(cluster: &Cluster, release: &Release) -> Result<()> {
    let (cluster, release) = (cluster.clone(), release.clone());
    let tidy = move || {
        say("interrupted; putting the operator back and removing the namespaces of the tests");
        start_no_more();
        cluster.disconnect();
        release.put_back();
        if let Err(error) = cluster.kubectl(&["delete", "namespace", "-l", OWN, "--wait=false"]) {
            say(&format!("{error:#}"));
        }
        std::process::exit(130)
    };
    ctrlc::set_handler(tidy).context("catch interrupts")
}

fn keep(worlds: &[World]) {
    for world in worlds {
        match &world.lab {
            Some(lab) => println!("kept; look around with {} kubectl get canaries -A", lab.enter_script().display()),
            None => println!("kept; the receiver answers until ctrl-C"),
        }
    }
    loop {
        // The interrupt handler takes the labs down and ends this process.
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_room_for_that_of_the_second_lab() {
        assert_eq!(name("e2e").unwrap(), "e2e");
        assert!(name("eighteen-letters-x").is_ok());
        assert!(name("nineteen-letters-xx").is_err());
    }
}
