//! Burgee starts on a cluster that Flagger has run (S1, I26): in no phase does a rollout start, a pod restart, or a route
//! change that Flagger would not have changed; a run that is under way is carried on with its weights and counters.
#![expect(clippy::panic, reason = "a test's helpers may fail the test")]

use burgee_core::world::Kind;
use burgee_sim::scenario::Scenario;
use burgee_sim::stage::Stage;
use serde_json::{Value, json};

/// The flagger-id that Flagger gave the primary: another one means that it was rolled.
const ID: &str = "3f0e4d1c-6a0b-4c57-9d0e-2b1f6f6a7c11";
const GOOD: &str = "podinfo:6.0.0";
const NEW: &str = "podinfo:6.0.1";
const BLUE_GREEN: &str = "{maxWeight: null, stepWeight: null, iterations: 3}";
const MIRRORED: &str = "{maxWeight: null, stepWeight: null, iterations: 3, mirror: true}";
const AB_TESTING: &str =
    "{maxWeight: null, stepWeight: null, iterations: 3, match: [{headers: {x-canary: {exact: insider}}}]}";

/// A world as Flagger leaves it.
#[derive(Clone, Copy)]
struct World<'a> {
    /// Fields of the status besides those of a canary at rest.
    status: &'a str,
    /// Fields of `spec.analysis` besides five steps of 10 %.
    analysis: &'a str,
    /// Image and replicas of the target.
    target: (&'a str, u8),
    /// Image of the primary.
    primary: &'a str,
    /// Weight of the canary in the routes, and whether it is mirrored.
    route: (u8, &'a str),
    /// What happens afterwards.
    script: &'a str,
}

/// Nothing is under way.
const REST: World =
    World { status: "phase: Succeeded", analysis: "{}", target: (GOOD, 0), primary: GOOD, route: (0, ""), script: "" };

/// A run by weights.
const RUN: World = World { status: "phase: Progressing", target: (NEW, 2), ..REST };

impl World<'_> {
    fn text(&self) -> String {
        let Self { status, analysis, target, primary, route: (canary, mirror), script } = self;
        let status = if status.contains("lastAppliedSpec") || !status.contains("gressing") && target.0 == GOOD {
            (*status).to_owned()
        } else {
            format!("{status}, lastAppliedSpec: 7c9d5c8b4f")
        };
        let deployment = |name: &str, (image, replicas): (&str, u8)| {
            format!(
                "---\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: {replicas}, template: {{spec: {{containers: \
                 [{{name: podinfod, image: \"{image}\", ports: [{{containerPort: 9898, name: http}}]}}]}}}}}}\n"
            )
        };
        let both = format!(
            "route: [{{destination: {{host: podinfo-primary}}, weight: {}}}, \
             {{destination: {{host: podinfo-canary}}, weight: {canary}}}]{mirror}",
            100 - canary
        );
        let http = if analysis.contains("match") {
            let only = "{route: [{destination: {host: podinfo-primary}, weight: 0}]}";
            let only = only.replace("weight: 0", &format!("weight: {}", 100 - canary));
            format!("{{match: [{{headers: {{x-canary: {{exact: insider}}}}}}], {both}}}, {only}")
        } else {
            format!("{{{both}}}")
        };
        let mut text =
            format!("use flagger\n---\nkind: Canary\nspec: {{analysis: {analysis}}}\nstatus: {{{status}}}\n");
        text.push_str(&deployment("podinfo", *target));
        text.push_str(&deployment("podinfo-primary", (primary, 2)));
        text.push_str("---\nkind: VirtualService\nspec: {http: [");
        text.push_str(&http);
        text.push_str("]}\nat 0s pods ready-after 0s\nat 1s pods ready-after 3s\n");
        text.push_str(script);
        text.push_str("\nat 600s end\n");
        text
    }

    fn play(&self) -> Stage {
        let stage = Scenario::parse(&self.text()).and_then(|scenario| scenario.play());
        let stage = stage.unwrap_or_else(|error| panic!("{error}\n{}", self.text()));
        assert_eq!(stage.broken, None, "{}", stage.film);
        stage
    }
}

fn primary_id(stage: &Stage) -> Value {
    let primary = stage.object(Kind::Deployment, "podinfo-primary");
    primary["spec"]["template"]["metadata"]["annotations"]["flagger-id"].clone()
}

/// Everything but the canary and the kept templates, without what the API server writes.
fn others(stage: &Stage) -> Vec<Value> {
    let is_other = |kind: Kind| !matches!(kind, Kind::Canary | Kind::ControllerRevision);
    let objects = stage.cluster.iter().filter(|(key, _)| is_other(key.kind));
    let objects = objects.map(|(key, object)| {
        json!({"key": key.to_string(), "spec": object["spec"], "labels": object["metadata"]["labels"],
            "annotations": object["metadata"]["annotations"], "owners": object["metadata"]["ownerReferences"]})
    });
    objects.collect()
}

/// Nothing is told and nothing is touched; the revision is recorded our way, so that the next one is noticed.
fn check_rest(world: World) {
    let text = world.text();
    let before = Scenario::parse(&text).and_then(|scenario| scenario.set_up());
    let before = before.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let stage = world.play();
    assert_eq!(stage.film.texts(), Vec::<&str>::new(), "{text}\n{}", stage.film);
    assert_eq!(others(&stage), others(&before), "{text}");
    assert_eq!(stage.status()["phase"], before.status()["phase"]);
    let applied = stage.status()["lastAppliedSpec"].as_str().unwrap_or_default().to_owned();
    assert!(applied.starts_with("b1-"), "{applied}");
    let next = World { script: "at 100s image podinfo:6.0.9", ..world }.play();
    assert!(next.film.texts().contains(&"New revision detected! Scaling up podinfo.test"), "{}", next.film);
}

/// The texts of the film, in order, without those that only say that pods are not ready; and the phase at the end.
fn check(world: World, expected: &[&str], phase: &str) -> Stage {
    let stage = world.play();
    let mut told = stage.film.texts();
    told.retain(|text| !text.contains("not ready: waiting"));
    assert_eq!(told, expected, "{}\n{}", world.text(), stage.film);
    assert_eq!(stage.status()["phase"], phase, "{}", stage.film);
    stage
}

/// What the release after 1.45 leaves: digests of its own, a note of the target, and a condition without a message.
const LATER: &str = r#"phase: Succeeded, lastAppliedSpec: "v2:5f1c8d0b7a6e4932", lastPromotedSpec: "v2:5f1c8d0b7a6e4932", lastTrackedRevision: "7d0c/3/2", conditions: [{type: Promoted, status: "True", reason: Succeeded}]"#;

#[test]
fn what_the_coming_release_leaves_is_taken_over_like_the_older_ones_and_kept() {
    let world = World { status: LATER, ..REST };
    check_rest(world);
    let status = world.play().status();
    assert_eq!(status["lastTrackedRevision"], "7d0c/3/2");
    assert_eq!(status["conditions"][0]["message"], "Canary analysis completed successfully, promotion finished.");
    let promoted = World { script: "at 100s image podinfo:6.0.9", ..world }.play().status();
    assert_eq!((&promoted["phase"], &promoted["lastTrackedRevision"]), (&json!("Succeeded"), &json!("7d0c/3/2")));
}

const PROMOTED: [&str; 3] = [
    "Copying podinfo.test template spec to podinfo-primary.test",
    "Routing all traffic to primary",
    "Promotion completed! Scaling down podinfo.test",
];

fn advances(weights: &[u8]) -> Vec<String> {
    weights.iter().map(|weight| format!("Advance podinfo.test canary weight {weight}")).collect()
}

fn with<'a>(first: &'a [String], rest: &[&'a str]) -> Vec<&'a str> {
    first.iter().map(String::as_str).chain(rest.iter().copied()).collect()
}

#[test]
fn a_canary_at_rest_rests() {
    for phase in ["Initialized", "Succeeded"] {
        check_rest(World { status: &format!("phase: {phase}"), ..REST });
        check_rest(World { status: &format!("phase: {phase}"), analysis: BLUE_GREEN, ..REST });
        check_rest(World { status: &format!("phase: {phase}"), analysis: AB_TESTING, ..REST });
    }
}

#[test]
fn a_failed_canary_is_adopted_with_the_version_that_failed() {
    let failed = "phase: Failed, lastAppliedSpec: 7c9d5c8b4f";
    check_rest(World { status: failed, target: (NEW, 0), ..REST });
    check_rest(World { status: failed, target: (NEW, 0), analysis: BLUE_GREEN, ..REST });
}

#[test]
fn going_back_to_what_flagger_promoted_starts_nothing() {
    let world = World {
        status: "phase: Failed, lastAppliedSpec: 7c9d5c8b4f",
        target: (NEW, 0),
        script: "at 100s image podinfo:6.0.0",
        ..REST
    };
    check(world, &[], "Failed");
}

#[test]
fn a_version_that_came_while_nobody_watched_is_analysed() {
    for phase in ["Initialized", "Succeeded"] {
        let expected = advances(&[10, 20, 30, 40, 50]);
        let start = [
            "New revision detected! Scaling up podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Pre-rollout check acceptance passed",
        ];
        let expected = [&start[..], &with(&expected, &PROMOTED)].concat();
        let status = format!("phase: {phase}, lastAppliedSpec: 5f56684589");
        check(World { status: &status, target: (NEW, 0), ..REST }, &expected, "Succeeded");
    }
}

#[test]
fn a_run_goes_on_from_its_weight() {
    for (weight, rest) in [(10, &[20, 30, 40, 50][..]), (30, &[40, 50]), (50, &[])] {
        let status = format!("phase: Progressing, canaryWeight: {weight}, failedChecks: 2");
        let world = World { status: &status, route: (weight, ""), ..RUN };
        let stage = check(world, &with(&advances(rest), &PROMOTED), "Succeeded");
        // Flagger wrote its weight five seconds before the film begins, and the interval is ten.
        assert_eq!(stage.film.frames.first().map(|frame| frame.second), Some(5), "{}", stage.film);
        assert_ne!(primary_id(&stage), ID);
    }
}

#[test]
fn failed_checks_go_on_counting() {
    let world = World {
        status: "phase: Progressing, canaryWeight: 20, failedChecks: 4",
        route: (20, ""),
        script: "at 0s success-rate 50",
        ..RUN
    };
    let expected = [
        "Halt podinfo.test advancement success rate 50.00% < 99%",
        "Rolling back podinfo.test failed checks threshold reached 5",
        "Canary failed! Scaling down podinfo.test",
    ];
    let stage = check(world, &expected, "Failed");
    assert_eq!(primary_id(&stage), ID);
}

#[test]
fn a_run_that_has_only_begun_asks_its_hooks_first() {
    let start = ["Starting canary analysis for podinfo.test", "Pre-rollout check acceptance passed"];
    let weights = advances(&[10, 20, 30, 40, 50]);
    check(RUN, &[&start[..], &with(&weights, &PROMOTED)].concat(), "Succeeded");
}

#[test]
fn a_version_that_comes_after_the_takeover_restarts_the_analysis() {
    let world = World {
        status: "phase: Progressing, canaryWeight: 40",
        route: (40, ""),
        script: "at 3s image podinfo:6.0.2",
        ..RUN
    };
    let stage = world.play();
    let told = stage.film.texts();
    assert_eq!(told.first(), Some(&"New revision detected! Restarting analysis for podinfo.test"), "{}", stage.film);
    assert_eq!(stage.status()["phase"], "Succeeded");
}

#[test]
fn blue_green_and_ab_runs_go_on_from_their_iteration() {
    let routed = ["Advance podinfo.test canary iteration 3/3", "Routing all traffic to canary"];
    let world = World { status: "phase: Progressing, iterations: 2", analysis: BLUE_GREEN, ..RUN };
    check(world, &[&routed[..], &PROMOTED].concat(), "Succeeded");
    let stopped =
        ["Advance podinfo.test canary iteration 3/3", "Stop traffic mirroring and route all traffic to canary"];
    let mirror = ", mirror: {host: podinfo-canary}";
    let world = World { status: "phase: Progressing, iterations: 2", analysis: MIRRORED, route: (0, mirror), ..RUN };
    check(world, &[&stopped[..], &PROMOTED].concat(), "Succeeded");
    let world = World { status: "phase: Progressing, iterations: 4", analysis: BLUE_GREEN, route: (100, ""), ..RUN };
    check(world, &PROMOTED, "Succeeded");
    let world = World { status: "phase: Progressing, iterations: 2", analysis: AB_TESTING, route: (100, ""), ..RUN };
    check(world, &[&routed[..1], &PROMOTED].concat(), "Succeeded");
}

/// What Flagger writes while it waits for approval: weight 0 and one iteration too few, for weights -1 (S8).
fn waiting<'a>(status: &'a str, analysis: &'a str, route: u8) -> World<'a> {
    let script = "at 0s hook promote fails\nat 60s hook promote passes";
    World { status, analysis, route: (route, ""), script, ..RUN }
}

#[test]
fn a_promotion_that_waits_for_approval_keeps_its_traffic() {
    const HOOKS: &str = "webhooks: [{name: promote, type: confirm-promotion, url: \"http://tester.test/\"}]";
    let approved = "Confirm-promotion check promote passed";
    let weights = format!("{{{HOOKS}}}");
    let world = waiting("phase: WaitingPromotion, canaryWeight: 0, iterations: -1", &weights, 50);
    let stage = check(world, &[&[approved][..], &PROMOTED].concat(), "Succeeded");
    assert!(
        stage
            .film
            .frames
            .iter()
            .all(|frame| frame.split.is_some_and(|split| split.canary() != 0 || frame.phase != "WaitingPromotion")),
        "{}",
        stage.film
    );
    let blue_green = format!("{{maxWeight: null, stepWeight: null, iterations: 3, {HOOKS}}}");
    let world = waiting("phase: WaitingPromotion, iterations: 2", &blue_green, 0);
    check(world, &[&[approved, "Routing all traffic to canary"][..], &PROMOTED].concat(), "Succeeded");
    let world = waiting("phase: WaitingPromotion, iterations: 2", &blue_green, 100);
    check(world, &[&[approved][..], &PROMOTED].concat(), "Succeeded");
}

#[test]
fn a_promotion_is_finished_without_rolling_the_primary_again() {
    let status = "phase: Promoting, canaryWeight: 50, lastAppliedSpec: 7c9d5c8b4f";
    let world = World { status, primary: NEW, route: (50, ""), ..RUN };
    let stage = check(world, &PROMOTED[1..], "Succeeded");
    assert_eq!(primary_id(&stage), ID);
    let stepwise = World { analysis: "{stepWeightPromotion: 20}", ..world };
    let expected = [
        "Advance podinfo.test primary weight 70",
        "Advance podinfo.test primary weight 90",
        "Advance podinfo.test primary weight 100",
        "Promotion completed! Scaling down podinfo.test",
    ];
    assert_eq!(primary_id(&check(stepwise, &expected, "Succeeded")), ID);
}

#[test]
fn the_end_of_a_run_drains_before_it_scales_down() {
    let status = "phase: Finalising, lastAppliedSpec: 7c9d5c8b4f";
    let world = World { status, primary: NEW, ..RUN };
    let stage = check(world, &PROMOTED[2..], "Succeeded");
    assert_eq!(stage.film.frames.first().map(|frame| frame.second), Some(10), "{}", stage.film);
    assert_eq!(primary_id(&stage), ID);
}

#[test]
fn a_version_that_came_during_the_promotion_is_not_promoted_with_it() {
    let status = "phase: Promoting, canaryWeight: 50, lastAppliedSpec: 7c9d5c8b4f";
    let world = World { status, target: ("podinfo:6.0.2", 2), primary: NEW, route: (50, ""), ..RUN };
    let stage = world.play();
    let told = stage.film.texts();
    let ended = told.iter().position(|text| text.starts_with("Promotion completed!"));
    let begun = told.iter().position(|text| text.starts_with("New revision detected! Scaling up"));
    assert!(ended.is_some() && ended < begun, "{}", stage.film);
    assert_eq!(stage.status()["phase"], "Succeeded");
}

#[test]
fn a_run_that_waits_for_approval_waits_on_in_silence() {
    let analysis = "{webhooks: [{name: start, type: confirm-rollout, url: \"http://tester.test/\"}]}";
    let world = World {
        status: "phase: Waiting, lastAppliedSpec: 5f56684589",
        analysis,
        target: (NEW, 0),
        script: "at 0s hook start fails\nat 50s hook start passes",
        ..REST
    };
    let stage = world.play();
    let first = stage.film.frames.iter().find(|frame| !frame.text.is_empty());
    assert!(first.is_some_and(|frame| frame.second >= 50), "{}", stage.film);
    assert_eq!(stage.status()["phase"], "Succeeded");
}

#[test]
fn a_failed_promotion_keeps_its_traffic_until_a_fix_was_analysed() {
    let status = "phase: Failed, canaryWeight: 100, lastAppliedSpec: 7c9d5c8b4f";
    let world = World {
        status,
        target: (NEW, 2),
        primary: NEW,
        route: (100, ""),
        script: "at 0s pods podinfo-primary stuck podinfo:6.0.1\nat 100s image podinfo:6.0.2",
        ..REST
    };
    let stage = world.play();
    let shared = |second: i64| {
        let frames = stage.film.frames.iter().filter(|frame| frame.second <= second);
        frames.filter_map(|frame| frame.split).all(|split| split.canary() == 100)
    };
    assert!(shared(110), "{}", stage.film);
    assert_eq!(stage.status()["phase"], "Succeeded", "{}", stage.film);
}

#[test]
fn a_bootstrap_is_finished() {
    let status = "phase: Initializing, lastAppliedSpec: \"\", lastPromotedSpec: \"\"";
    let stage =
        check(World { status, target: (GOOD, 2), ..REST }, &["Initialization done! podinfo.test"], "Initialized");
    assert_eq!(primary_id(&stage), ID);
}

#[test]
fn a_bootstrap_does_not_take_a_newer_target_for_promoted() {
    let status = "phase: Initializing, lastAppliedSpec: \"\", lastPromotedSpec: \"\"";
    let stage = World { status, target: (NEW, 2), ..REST }.play();
    assert!(stage.film.texts().contains(&"New revision detected! Scaling up podinfo.test"), "{}", stage.film);
    assert_eq!(stage.status()["phase"], "Succeeded");
}

#[test]
fn a_deletion_is_finished() {
    let script = "at 0s set canary /metadata/finalizers [finalizer.flagger.app]\nat 0s set canary /spec/revertOnDeletion \
                  true\nat 0s delete canary";
    let stage = World { status: "phase: Terminating", target: (GOOD, 2), script, ..REST }.play();
    assert_eq!(stage.canary(), Value::Null, "{}", stage.film);
    assert_eq!(stage.object(Kind::Deployment, "podinfo")["spec"]["replicas"], 2);
}
