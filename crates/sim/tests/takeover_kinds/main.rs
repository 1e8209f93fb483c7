//! Burgee starts where Flagger was stopped: every kind of canary, in every phase (S1, I26). What rests is touched by
//! nobody; what is under way is carried on, and tells what is left of its story.
#![expect(clippy::panic, reason = "a test's helpers may fail the test")]

mod left;
mod moments;

use std::collections::BTreeSet;

use burgee_core::object::filtered;
use burgee_core::order::Word;
use burgee_core::world::Kind;
use burgee_sim::outside::Reply;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use left::{KINDS, Kindred, user_routes};
use moments::{BEGINNINGS, Built, ENDS, FAILED_PROMOTION, Moment, RESTS, WAITING};
use serde_json::{Value, json};

/// What happens after the takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Nothing.
    Nothing,
    /// A new version is pushed, much later.
    Push,
    /// The success rate is bad from the beginning.
    BadRate,
    /// Somebody had ordered to abort before the operator looked for the first time.
    Abort,
    /// The primary cannot start; later a version comes that can.
    Fix,
}

/// How it ends.
struct End<'a> {
    told: Vec<&'a str>,
    phase: &'a str,
}

fn set_up(kindred: &Kindred, moment: &Moment) -> Stage {
    let stage = Scenario::of(kindred.left(moment)).set_up();
    let mut stage = stage.unwrap_or_else(|error| panic!("{}: {error}", kindred.name));
    stage.scalers.are_at_work = true;
    // The pods are there already.
    stage.workloads.behaviour.ready_after_seconds = 0;
    stage
}

/// Plays a moment of a kind to its end. Answers the cluster as it was found, after the first second, and at the end.
#[track_caller]
fn check(kindred: &Kindred, moment: &Moment, deed: Deed, expected: &End) -> [Stage; 3] {
    let found = set_up(kindred, moment);
    let mut stage = found.clone();
    let what = format!("{}, {}, {deed:?}", kindred.name, moment.phase);
    let must = |done: Result<(), String>| done.unwrap_or_else(|error| panic!("{what}: {error}"));
    match deed {
        Deed::Abort => must(stage.order(Word::Abort, "ada")),
        Deed::BadRate => stage.outside.set_metric("success-rate", Reply::Value(50.0)),
        Deed::Fix => {
            stage.workloads.behaviour.stuck.insert(("podinfo-primary".to_owned(), "podinfo:6.0.1".to_owned()));
        }
        Deed::Nothing | Deed::Push => {}
    }
    must(stage.play_until(0));
    stage.workloads.behaviour.ready_after_seconds = 3;
    must(stage.play_until(1));
    let after = stage.clone();
    must(stage.play_until(100));
    match deed {
        Deed::Push => must(stage.new_revision()),
        Deed::Fix => must(stage.edit("/spec/template/spec/containers/0/image", &json!("podinfo:6.0.2"))),
        Deed::Nothing | Deed::BadRate | Deed::Abort => {}
    }
    must(stage.play_until(600));
    assert_eq!(stage.broken, None, "{what}\n{}", stage.film);
    let mut told = stage.film.texts();
    told.retain(|text| !text.contains("not ready"));
    assert_eq!(told, expected.told, "{what}\n{}", stage.film);
    assert_eq!(stage.status()["phase"].as_str().unwrap_or_default(), expected.phase, "{what}\n{}", stage.film);
    [found, after, stage]
}

/// What is left of the story of a run that goes well.
fn rest_of_story(kindred: &Kindred, moment: &Moment) -> Vec<&'static str> {
    let story = kindred.course.story();
    let place = story.iter().position(|text| text.starts_with(moment.next)).unwrap_or(story.len());
    story[place..].to_vec()
}

/// All objects of some kinds, without what the API server and controllers write.
fn objects(stage: &Stage, kinds: &[Kind]) -> Vec<Value> {
    let objects = stage.cluster.iter().filter(|(key, _)| kinds.contains(&key.kind));
    // The copy of a Service that is the target is marked as ours, which the peer does not do.
    let is_ours = |name: &str| name.contains("toolkit.fluxcd.io");
    let objects = objects.map(|(key, object)| {
        let metadata = &object["metadata"];
        json!({"key": key.to_string(), "spec": object["spec"], "data": object["data"], "labels": metadata["labels"],
            "annotations": filtered(&metadata["annotations"], |name| !is_ours(name)),
            "owners": metadata["ownerReferences"]})
    });
    objects.collect()
}

/// What serves: nothing of it changes by a takeover.
const SERVING: [Kind; 8] = [
    Kind::Deployment,
    Kind::DaemonSet,
    Kind::KnativeService,
    Kind::Service,
    Kind::VIRTUAL_SERVICE,
    Kind::DESTINATION_RULE,
    Kind::ConfigMap,
    Kind::Secret,
];
/// And what scales it, which has a floor while a run is under way (S13).
const SCALING: [Kind; 2] = [Kind::HorizontalPodAutoscaler, Kind::ScaledObject];

/// What the primary runs.
fn primary(stage: &Stage, kindred: &Kindred) -> Value {
    let target = kindred.target;
    if target == Kind::KnativeService {
        return stage.object(target, "podinfo")["metadata"]["annotations"].clone();
    }
    let primary = stage.object(target, "podinfo-primary");
    if target == Kind::Service { primary["spec"].clone() } else { primary["spec"]["template"].clone() }
}

#[test]
fn what_rests_is_touched_by_nobody() {
    for kindred in &KINDS {
        for moment in &RESTS {
            let phase = moment.phase.as_str();
            let [found, _, end] = check(kindred, moment, Deed::Nothing, &End { told: Vec::new(), phase });
            let kinds = [&SERVING[..], &SCALING].concat();
            assert_eq!(objects(&end, &kinds), objects(&found, &kinds), "{} {phase}", kindred.name);
            let applied = end.status()["lastAppliedSpec"].as_str().unwrap_or_default().to_owned();
            assert!(applied.starts_with("b1-"), "{} {phase}: {applied}", kindred.name);
        }
    }
}

#[test]
fn the_next_version_of_what_rested_is_analysed() {
    for kindred in &KINDS {
        for moment in &RESTS {
            check(kindred, moment, Deed::Push, &End { told: kindred.course.story(), phase: "Succeeded" });
        }
    }
}

#[test]
fn a_canary_that_was_being_set_up_is_set_up() {
    for kindred in &KINDS {
        for moment in &BEGINNINGS {
            let story = ["all the metrics providers are available!", "Initialization done! podinfo.test"];
            let told = story[usize::from(moment.built == Built::Primary)..].to_vec();
            let [found, _, end] = check(kindred, moment, Deed::Nothing, &End { told, phase: "Initialized" });
            if moment.built == Built::Primary {
                assert_eq!(primary(&end, kindred), primary(&found, kindred), "{}", kindred.name);
            }
        }
    }
}

#[test]
fn a_run_goes_on_from_where_it_was() {
    for kindred in &KINDS {
        let gate = std::iter::once(WAITING);
        for moment in gate.chain(kindred.course.analyses()) {
            let told = rest_of_story(kindred, &moment);
            let [found, after, end] = check(kindred, &moment, Deed::Nothing, &End { told, phase: "Succeeded" });
            assert_eq!(primary(&after, kindred), primary(&found, kindred), "{}", kindred.name);
            assert_ne!(primary(&end, kindred), primary(&found, kindred), "{}", kindred.name);
            if !["Waiting", "Progressing"].contains(&moment.phase.as_str()) || moment.counters.2 > 0 {
                assert_eq!(objects(&after, &SERVING), objects(&found, &SERVING), "{} {}", kindred.name, moment.phase);
            }
        }
    }
}

#[test]
fn a_promotion_is_finished_without_rolling_the_primary_again() {
    for kindred in &KINDS {
        for moment in kindred.course.promotions() {
            let told = rest_of_story(kindred, &moment);
            let [found, _, end] = check(kindred, &moment, Deed::Nothing, &End { told, phase: "Succeeded" });
            assert_eq!(primary(&end, kindred), primary(&found, kindred), "{} {}", kindred.name, moment.phase);
        }
    }
}

#[test]
fn failed_checks_go_on_counting() {
    for kindred in &KINDS {
        let [_, middle, _] = kindred.course.analyses();
        let halt = "Halt podinfo.test advancement success rate 50.00% < 99%";
        let told = vec![
            halt,
            halt,
            "Rolling back podinfo.test failed checks threshold reached 3",
            "Canary failed! Scaling down podinfo.test",
        ];
        let [found, _, end] = check(kindred, &middle, Deed::BadRate, &End { told, phase: "Failed" });
        assert_eq!(primary(&end, kindred), primary(&found, kindred), "{}", kindred.name);
    }
}

#[test]
fn an_order_to_abort_ends_a_run_that_was_taken_over() {
    let told = vec!["Rolling back podinfo.test ordered by ada (0)", "Canary failed! Scaling down podinfo.test"];
    for kindred in &KINDS {
        let gate = std::iter::once(WAITING);
        for moment in gate.chain(kindred.course.analyses()) {
            let end = End { told: told.clone(), phase: "Failed" };
            let [found, _, end] = check(kindred, &moment, Deed::Abort, &end);
            assert_eq!(primary(&end, kindred), primary(&found, kindred), "{} {}", kindred.name, moment.phase);
        }
    }
}

/// Flagger keeps nothing to which the primary could be put back.
#[test]
fn an_order_to_abort_a_promotion_that_was_taken_over_is_refused_and_says_why() {
    let refusal = "Order abort by ada (0) refused for podinfo.test: the primary is changed already, and no promoted revision is \
                   kept to put it back to";
    for kindred in &KINDS {
        for moment in kindred.course.promotions() {
            let told = [vec![refusal], rest_of_story(kindred, &moment)].concat();
            let [found, _, end] = check(kindred, &moment, Deed::Abort, &End { told, phase: "Succeeded" });
            assert_eq!(primary(&end, kindred), primary(&found, kindred), "{} {}", kindred.name, moment.phase);
        }
    }
}

#[test]
fn a_failed_promotion_keeps_its_traffic_until_a_fix_was_analysed() {
    for kindred in KINDS.iter().filter(|kindred| kindred.has_pods()) {
        let course = kindred.course;
        // The target has all traffic already: it is only checked.
        let is_told = |text: &&str| {
            let begins = text.starts_with("Starting") || text.starts_with("Pre-rollout");
            let moves = text.ends_with("to canary") || text.contains("canary weight");
            !begins && !moves
        };
        let mut told: Vec<&str> = course.story().into_iter().filter(is_told).collect();
        // The requests of the version that could not be promoted are none of the fix.
        let begun = told.iter().position(|text| text.starts_with("New revision")).map_or(0, |place| place + 1);
        told.insert(
            begun,
            "Holding podinfo.test, metric request-success-rate still looks back on requests of before this run",
        );
        check(kindred, &FAILED_PROMOTION, Deed::Fix, &End { told, phase: "Succeeded" });
    }
}

#[test]
fn a_deletion_is_finished() {
    for kindred in &KINDS {
        for moment in &ENDS {
            let told = vec!["Terminated canary podinfo.test"];
            let [_, _, end] = check(kindred, moment, Deed::Nothing, &End { told, phase: "" });
            assert_eq!(end.canary(), Value::Null);
            let left = left_behind(&end);
            assert_eq!(left, kindred.users(), "{} {left:?}", kindred.name);
            assert_ne!(end.object(kindred.target, "podinfo")["spec"]["replicas"], 0, "{}", kindred.name);
            if left.contains("VirtualService podinfo") {
                assert_eq!(end.object(Kind::VIRTUAL_SERVICE, "podinfo")["spec"], user_routes());
                assert_eq!(end.object(Kind::Service, "podinfo")["spec"]["selector"], json!({"app": "podinfo"}));
            }
        }
    }
}

/// What is there after a deletion, without the revisions that Knative keeps.
fn left_behind(stage: &Stage) -> BTreeSet<String> {
    let objects = stage.cluster.iter().filter(|(key, _)| key.kind != Kind::KnativeRevision);
    objects.map(|(key, _)| format!("{} {}", key.kind.name(), key.name)).collect()
}
