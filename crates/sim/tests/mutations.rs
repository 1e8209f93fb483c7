//! The checkers can fail: each rule that is broken on purpose is found by its own checker first, and the same play with
//! the rule whole trips none. What is checked elsewhere stands in `docs/reference/invariants.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burgee_sim::checkers;
use burgee_sim::fault::Fault;
use burgee_sim::faults::Faults;
use burgee_sim::mutations::{Mutation, plans, worlds, writes};
use burgee_sim::plays::play_with;
use burgee_sim::scenario::Scenario;
use burgee_sim::soak::kind_of;

/// Which checker finds which broken rule, with which objects besides the cast, and with which script.
struct Row {
    invariant: &'static str,
    mutation: Mutation,
    /// Objects instead of the cast; nothing if it is the cast.
    instead: &'static str,
    canary: &'static str,
    metric: &'static str,
    besides: &'static str,
    script: &'static str,
}

const fn row(invariant: &'static str, mutation: Mutation, script: &'static str) -> Row {
    Row { invariant, mutation, instead: "", canary: "", metric: "", besides: "", script }
}

const GOOD: &str = "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1\nat 200s end\n";
/// Something wakes the operator between two steps.
const WOKEN: &str = "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
at 41s set Deployment podinfo /spec/revisionHistoryLimit 3
at 200s end
";
const BAD: &str = "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
at 50s success-rate 69
at 200s end
";
/// The status becomes the peer's.
const LEFT: &str = r#"at 20s set canary /status {"phase":"Initialized","lastAppliedSpec":"5f56684589","lastPromotedSpec":"5f56684589"}
at 60s end
"#;
const DELETED: &str = "at 30s delete Canary podinfo\nat 150s end\n";

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo, namespace: test}
spec:
  replicas: 2
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}, annotations: {}}
    spec: {containers: [{name: podinfod, image: "podinfo:6.0.0"}]}
"#;

const CANARY: &str = r#"
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test, creationTimestamp: "2023-11-14T22:13:20Z"}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  progressDeadlineSeconds: 60
  service: {port: 9898}
  CANARY
  analysis:
    interval: 10s
    threshold: 2
    maxWeight: 50
    stepWeight: 10
    webhooks:
    - {name: acceptance, type: pre-rollout, url: "http://tester.test/"}
    - {name: start, type: confirm-rollout, url: "http://tester.test/"}
    - {name: traffic, type: confirm-traffic-increase, url: "http://tester.test/"}
    metrics:
    - {name: request-success-rate, thresholdRange: {min: 99}, interval: 10s}
    - {name: request-duration, thresholdRange: {max: 500}, interval: 10s}
    METRIC
"#;

const APEX: &str = r"
apiVersion: v1
kind: Service
metadata: {name: podinfo, namespace: test}
spec: {selector: {app: podinfo}, ports: [{name: http, port: 9898, protocol: TCP, targetPort: 9898}]}
";

/// A Service that has nothing to do with the canary, but the name of one that it makes.
const THEIRS: &str = r"
apiVersion: v1
kind: Service
metadata: {name: podinfo-primary, namespace: test}
spec: {selector: {app: database}, ports: [{name: postgres, port: 5432, protocol: TCP, targetPort: 5432}]}
";

const SCALER: &str = r"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: podinfo, namespace: test}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  minReplicas: 1
  maxReplicas: 5
";

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: test}
spec: {type: ExternalName, externalName: one.example.com}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: backend, namespace: test, creationTimestamp: "2023-11-14T22:13:20Z"}
spec:
  targetRef: {apiVersion: v1, kind: Service, name: backend}
  service: {port: 80}
  analysis:
    interval: 10s
    threshold: 2
    stepWeight: 50
    maxWeight: 50
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 10s}]
"#;

const KNATIVE: &str = r#"
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, namespace: test}
spec: {template: {metadata: {}, spec: {containers: [{name: app, image: "hello:1"}]}}}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: hello, namespace: test, creationTimestamp: "2023-11-14T22:13:20Z"}
spec:
  provider: knative
  targetRef: {apiVersion: serving.knative.dev/v1, kind: Service, name: hello}
  analysis:
    interval: 10s
    threshold: 2
    stepWeight: 50
    maxWeight: 50
    metrics: [{name: request-success-rate, thresholdRange: {min: 99}, interval: 10s}]
"#;

/// A canary that claims what an older one has.
const RIVAL: &str = r#"
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo-too, namespace: test, creationTimestamp: "2023-11-14T22:14:20Z"}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis: {interval: 10s, threshold: 2, stepWeight: 50}
"#;

const SCALED: &str = "autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}";
const REVERTED: &str = "revertOnDeletion: true";
const SKIPPED: &str = "skipAnalysis: true";

const ROWS: &[Row] = &[
    row("I1", worlds::CANARY_COUNTS_AS_READY, GOOD),
    Row { canary: SCALED, besides: SCALER, ..row("I1", plans::FLOOR_IS_LOST, GOOD) },
    row(
        "I1",
        worlds::PRIMARY_COUNTS_AS_WHOLE,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 45s set Deployment podinfo-primary /spec/replicas 1
             at 60s set Deployment podinfo /spec/revisionHistoryLimit 3
             at 100s end",
    ),
    row(
        "I1",
        worlds::PRIMARY_COUNTS_AS_READY_IN_RUNS,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 70s pods ready-after 30s
             at 80s set Deployment podinfo-primary /spec/replicas 1
             at 200s end",
    ),
    row("I1", plans::PRIMARY_COMES_BACK_SMALL, "at 30s delete Deployment podinfo-primary\nat 60s end"),
    row(
        "I2",
        plans::TARGET_GOES_ANYWAY,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 50s success-rate 69
             at 64s pods ready-after 60s
             at 65s set Deployment podinfo-primary /spec/replicas 0
             at 100s end",
    ),
    row("I3", worlds::PRIMARY_COUNTS_AS_READY, GOOD),
    Row { besides: APEX, ..row("I3", worlds::PRIMARY_COUNTS_AS_READY, GOOD) },
    row(
        "I3",
        plans::TRAFFIC_STAYS_WITHOUT_PODS,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 55s set Deployment podinfo /spec/replicas 0
             at 75s set Deployment podinfo /spec/replicas 2
             at 200s end",
    ),
    row("I4", plans::TARGET_GOES_WITH_ITS_ROUTE, BAD),
    row("I5", worlds::ENDED_RUN_IS_FORGOTTEN, BAD),
    Row {
        canary: SKIPPED,
        ..row(
            "I6",
            plans::FIX_WAITS_FOR_THE_PRIMARY,
            "at 40s pods podinfo-primary stuck 6.0.9
                 at 41s set Deployment podinfo-primary /spec/template/spec/containers/0/image podinfo:6.0.9
                 at 45s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
                 at 150s end",
        )
    },
    row("I7", plans::WEIGHTS_DO_NOT_ADD_UP, GOOD),
    row("I7", plans::ROUTES_COME_FIRST, GOOD),
    row(
        "I7",
        plans::OTHERS_ARE_OVERWRITTEN,
        "at 20s set VirtualService podinfo /metadata/annotations/team blue
             at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 60s end",
    ),
    row(
        "I8",
        worlds::NO_VALUES_PASS,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 40s success-rate none
             at 100s end",
    ),
    row("I9", worlds::REPLICAS_COUNT, "at 20s set Deployment podinfo /spec/replicas 3\nat 60s end"),
    row(
        "I10",
        plans::SEEN_AT_THE_GATE,
        "at 20s hook start fails no
             at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 100s end",
    ),
    row("I10", plans::REVISION_IS_LOST, GOOD),
    row(
        "I12",
        plans::PRIMARY_COMES_FROM_THE_TARGET,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 50s success-rate 69
             at 100s delete Deployment podinfo-primary
             at 150s end",
    ),
    row("I12", plans::LIVE_TEMPLATE_IS_PROMOTED, GOOD),
    Row {
        instead: SERVICE,
        ..row(
            "I12",
            plans::PRIMARY_COMES_FROM_THE_TARGET,
            "at 30s set target /spec/externalName two.example.com
                 at 35s success-rate 69
                 at 100s delete Service backend-primary
                 at 150s end",
        )
    },
    Row {
        instead: SERVICE,
        ..row(
            "I12",
            plans::LIVE_TEMPLATE_IS_PROMOTED,
            "at 30s set target /spec/externalName two.example.com\nat 100s end",
        )
    },
    Row {
        instead: KNATIVE,
        ..row(
            "I12",
            plans::PRIMARY_COMES_FROM_THE_TARGET,
            "at 30s set target /spec/template/spec/containers/0/image hello:2
                 at 35s success-rate 69
                 at 100s remove target /metadata/annotations
                 at 150s end",
        )
    },
    row("I13", plans::NO_ALARM_IS_SET, WOKEN),
    row(
        "I13",
        plans::HEALING_SETS_NO_ALARM,
        "at 30s set Deployment podinfo /spec/progressDeadlineSeconds 60
             at 31s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 40s pods podinfo-primary stuck podinfo:6.0.1
             at 200s end",
    ),
    row("I14", plans::PATCHES_CARRY_NO_TESTS, GOOD),
    Row { besides: RIVAL, ..row("I15", worlds::RIVALS_ARE_OVERLOOKED, "at 60s end") },
    row(
        "I16",
        worlds::PASSED_HOOKS_ARE_FORGOTTEN,
        "at 20s hook traffic fails no
             at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 100s end",
    ),
    row(
        "I18",
        plans::STATUS_IS_ALWAYS_WRITTEN,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 120s set Deployment podinfo /spec/revisionHistoryLimit 3
             at 200s end",
    ),
    row(
        "I19",
        worlds::SILENCE_FAILS,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 50s prometheus down
             at 100s end",
    ),
    row(
        "I20",
        worlds::HIGH_VALUES_ARE_SILENCE,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 50s latency 600
             at 100s end",
    ),
    Row { metric: "- {name: lost, templateRef: {name: lost}}", ..row("I21", worlds::LOST_METRICS_ARE_LEFT_OUT, GOOD) },
    row("I22", plans::ROLLBACK_IS_POSTPONED, BAD),
    row(
        "I22",
        plans::WAITING_ROLLBACK_IS_SILENT,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 45s success-rate 69 for 10s
             at 55s pods ready-after 60s
             at 56s set Deployment podinfo-primary /spec/replicas 0
             at 57s set Canary podinfo /spec/analysis/threshold 1
             at 150s end",
    ),
    row("I23", worlds::STEPS_COUNT_AS_OLD, WOKEN),
    row("I23", plans::EVENTS_COME_LAST, GOOD),
    row("I23", plans::EVENTS_ARE_TOLD_TWICE, GOOD),
    row("I23", plans::ALERTS_COME_FIRST, GOOD),
    Row { canary: REVERTED, ..row("I24", plans::PRIMARY_IS_RELEASED_AT_ONCE, DELETED) },
    Row { canary: REVERTED, besides: APEX, ..row("I24", plans::APEX_IS_KEPT, DELETED) },
    Row {
        canary: REVERTED,
        ..row(
            "I25",
            worlds::MISSING_TARGET_IS_WAITED_FOR,
            "at 25s delete Deployment podinfo\nat 30s delete Canary podinfo\nat 150s end",
        )
    },
    row("I26", worlds::FOREIGN_DIGEST_IS_COMPARED, LEFT),
    Row { instead: SERVICE, ..row("I26", worlds::FOREIGN_DIGEST_IS_COMPARED, LEFT) },
    Row { instead: KNATIVE, ..row("I26", worlds::FOREIGN_DIGEST_IS_COMPARED, LEFT) },
    row("I26", plans::PRIMARY_IS_MADE_ANEW, LEFT),
    Row { instead: SERVICE, ..row("I26", plans::PRIMARY_IS_MADE_ANEW, LEFT) },
    Row {
        instead: KNATIVE,
        ..row(
            "I26",
            plans::PRIMARY_IS_MADE_ANEW,
            r#"at 30s set target /spec/template/spec/containers/0/image hello:2
                   at 100s set canary /status {"phase":"Succeeded","lastAppliedSpec":"5f56684589","lastPromotedSpec":"5f56684589"}
                   at 150s end"#,
        )
    },
    row("I27", writes::ANOTHER_NAMESPACE_IS_WRITTEN, "at 60s end"),
    row("I27", writes::ANOTHER_NAME_IS_WRITTEN, "at 60s end"),
    row("I27", writes::PLAN_LEAVES_ITS_BOUNDS, "at 60s end"),
    Row { besides: THEIRS, ..row("I27", writes::OTHERS_COUNT_AS_OWN, "at 60s end") },
    row(
        "I28",
        plans::ORDERS_WAIT_FOR_SIGHT,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 45s unreadable DestinationRule
             at 46s order abort jane
             at 100s readable DestinationRule
             at 150s end",
    ),
    row(
        "I28",
        plans::RETREAT_WAITS_FOR_SIGHT,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 45s unreadable DestinationRule
             at 46s pods podinfo crash 2
             at 100s readable DestinationRule
             at 150s end",
    ),
    row(
        "I29",
        worlds::UNREADY_IS_NOT_JUDGED,
        "at 30s set Deployment podinfo /spec/template/spec/containers/0/image podinfo:6.0.1
             at 31s set Canary podinfo /spec/progressDeadlineSeconds 600
             at 45s pods podinfo crash 1
             at 150s set Deployment podinfo /spec/revisionHistoryLimit 3
             at 200s end",
    ),
];

/// Rules whose breach shows only with a fault that comes by chance: with some seed, its own checker finds it first.
const SEEDED: &[(&str, Mutation, Fault)] =
    &[("I11", worlds::UNKNOWN_IS_ABSENT, Fault::Blindness), ("I17", plans::LATE_WRITES_ARE_FORCED, Fault::Standstill)];
/// Seeds that are tried for them.
const SEEDS: u64 = 300;

/// The play of a row. Lines of a script may be indented.
fn scenario(row: &Row) -> Result<Scenario, String> {
    let canary = CANARY.replace("CANARY", row.canary).replace("METRIC", row.metric);
    let cast = [DEPLOYMENT, canary.as_str()].join("\n---");
    let objects = if row.instead.is_empty() { cast.as_str() } else { row.instead };
    let mut scenario = Scenario::parse(&[objects, row.besides].join("\n---"))?;
    scenario.add_script(row.script)?;
    Ok(scenario)
}

/// What is wrong with a row, if something is.
fn fault(row: &Row) -> Option<String> {
    let told = |text: String| Some(format!("{:<4} {}: {text}", row.invariant, row.mutation.name));
    let scenario = match scenario(row) {
        Ok(scenario) => scenario,
        Err(error) => return told(error),
    };
    match scenario.play() {
        Ok(stage) => {
            if let Some(broken) = &stage.broken {
                return told(format!("found although nothing is broken: {broken}\n{}", stage.film));
            }
        }
        Err(error) => return told(error),
    }
    match scenario.play_mutated(row.mutation) {
        Ok(stage) => match &stage.broken {
            Some(broken) if broken.split(' ').next() == Some(row.invariant) => None,
            Some(broken) => told(format!("found by another checker: {broken}\n{}", stage.film)),
            None => told(format!("not found\n{}", stage.film)),
        },
        Err(error) => told(error),
    }
}

#[test]
fn each_broken_rule_is_found_by_its_own_checker_and_no_whole_one_is() {
    let faults: Vec<String> = ROWS.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} rows\n{}", faults.len(), ROWS.len(), faults.join("\n"));
}

#[test]
fn broken_rules_that_need_faults_are_found_with_the_first_seed_that_shows_them() {
    for (invariant, mutation, fault) in SEEDED {
        let played = |seed, mutation| play_with(kind_of(seed), Faults::with(seed, *fault), mutation).failure;
        let found = (0..SEEDS).find_map(|seed| Some((seed, played(seed, Some(*mutation))?)));
        let (seed, told) = found.unwrap_or_default();
        assert_eq!(told.split(' ').next(), Some(*invariant), "{}, seed {seed}: {told}", mutation.name);
        assert_eq!(played(seed, None), None, "{}, seed {seed}: found although nothing is broken", mutation.name);
    }
}

const TABLE: &str = include_str!("../../../docs/reference/invariants.md");

/// The rows of the table, each with its cells.
fn table() -> Vec<Vec<&'static str>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| I"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands in backticks in a cell.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_invariant_has_its_row_with_all_checkers_that_there_are() {
    let numbers: Vec<String> = table().iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(numbers, (1..=31).map(|number| format!("I{number}")).collect::<Vec<_>>());
    let named: BTreeSet<String> = table().iter().flat_map(|row| names(row[2])).map(str::to_owned).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checkers");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let files = files.iter().filter_map(|path| path.file_stem()?.to_str());
    let files: BTreeSet<String> = files.filter(|name| name.starts_with('i')).map(str::to_owned).collect();
    assert_eq!(named, files, "the table names other checkers than there are");
    let has_checker: BTreeSet<&str> = table().iter().filter(|row| !row[2].is_empty()).map(|row| row[0]).collect();
    let looking: BTreeSet<&str> = checkers::NAMES.iter().filter_map(|name| name.split(' ').next()).collect();
    assert_eq!(has_checker, looking, "the checkers that look are others than those in the table");
}

#[test]
fn the_table_names_the_broken_rules_that_are_tried() {
    for cells in table() {
        let named: BTreeSet<&str> = cells[3].split("; ").filter(|name| !name.is_empty()).collect();
        let by_seed = SEEDED.iter().map(|(invariant, mutation, _)| (*invariant, mutation.name));
        let all = ROWS.iter().map(|row| (row.invariant, row.mutation.name)).chain(by_seed);
        let tried: BTreeSet<&str> = all.filter(|(invariant, _)| *invariant == cells[0]).map(|(_, name)| name).collect();
        assert_eq!(named, tried, "{}", cells[0]);
    }
}

#[test]
fn the_tests_in_the_table_exist() {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut files = Vec::new();
    sources(&workspace.join("crates"), &mut files);
    sources(&workspace.join("xtask"), &mut files);
    let text: String = files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    for cells in table() {
        assert!(!cells[2].is_empty() || !cells[4].is_empty(), "{} is checked nowhere", cells[0]);
        for name in names(cells[4]) {
            let exists = text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\""));
            assert!(exists, "{}: there is no test {name}", cells[0]);
        }
    }
}
