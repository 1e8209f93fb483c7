//! An operator that dies between any two steps of any plan of any scenario, and is started again, tells the same story:
//! nothing twice, nothing left out, no weight sooner than its interval (I23), and no invariant broken on the way. No alert is
//! lost; one that was sent before that could be noted comes again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use burgee_sim::film::Frame;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;

/// Names of all scenarios, in order.
fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    let names: BTreeSet<String> =
        texts.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned())).collect();
    names.into_iter().collect()
}

fn scenario(name: &str) -> Result<Scenario, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("txt");
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    Scenario::parse(&text)
}

/// What is told, without the warnings that only say that pods are not ready, of which timing decides how many come.
fn story(stage: &Stage) -> Vec<&str> {
    stage.film.texts().into_iter().filter(|text| !text.contains("not ready")).collect()
}

/// Alerts without their times.
fn alerts(stage: &Stage) -> Vec<&str> {
    let sides = stage.aside.iter().filter_map(|side| side.split_once(" alert "));
    sides.map(|(_, alert)| alert).collect()
}

fn times(stage: &Stage, wanted: &str) -> usize {
    alerts(stage).into_iter().filter(|alert| *alert == wanted).count()
}

/// When which weight was told.
fn weights(stage: &Stage) -> impl Iterator<Item = (i64, Option<u8>)> {
    let weight = |frame: &Frame| frame.text.rsplit(' ').next().and_then(|word| word.parse().ok());
    let raises = stage.film.frames.iter().filter(|frame| frame.text.contains("canary weight"));
    raises.map(move |frame| (frame.second, weight(frame)))
}

/// What is wrong with the story after a crash.
fn difference(unbroken: &Stage, broken: &Stage) -> Option<String> {
    if let Some(invariant) = &broken.broken {
        return Some(invariant.clone());
    }
    if story(unbroken) != story(broken) {
        return Some("another story".to_owned());
    }
    if unbroken.status()["phase"] != broken.status()["phase"] {
        return Some("another end".to_owned());
    }
    if let Some(lost) = alerts(unbroken).into_iter().find(|alert| times(broken, alert) < times(unbroken, alert)) {
        return Some(format!("an alert was lost: {lost}"));
    }
    // Whether it was sent is noted after that: a crash in between has it sent once more.
    if let Some(twice) = alerts(broken).into_iter().find(|alert| times(broken, alert) > times(unbroken, alert) + 1) {
        return Some(format!("an alert came more than twice: {twice}"));
    }
    let raises: Vec<(i64, Option<u8>)> = weights(broken).collect();
    let is_kept = raises.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10 || pair[1].1 < pair[0].1);
    (!is_kept).then(|| "two weights within an interval".to_owned())
}

/// Everything that goes wrong in one scenario.
fn findings(name: &str) -> Result<Vec<String>, String> {
    let scenario = scenario(name)?;
    let mut found = Vec::new();
    let unbroken = scenario.play_crashes(|unbroken, crash, broken| {
        let wrong = match &broken {
            Ok(broken) => difference(unbroken, broken).map(|wrong| format!("{wrong}\n{}", broken.film)),
            Err(error) => Some(error.clone()),
        };
        found.extend(wrong.map(|wrong| format!("{name} {crash:?}: {wrong}")));
    })?;
    if unbroken.film != scenario.play()?.film {
        return Err(format!("{name}: to stop in between changes the film"));
    }
    Ok(found)
}

/// What is found in all of them, by as many threads as there are processors.
fn search(names: &[String]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) else { return found };
            found.extend(findings(name).unwrap_or_else(|error| vec![error]));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| vec!["a panic".to_owned()])).collect()
    })
}

#[test]
fn every_scenario_ends_the_same_after_every_crash() {
    let names = names();
    assert!(names.len() > 100, "{} scenarios", names.len());
    let found = search(&names);
    assert!(found.is_empty(), "{} findings\n{}", found.len(), found.join("\n\n"));
}
