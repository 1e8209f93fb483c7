//! TrafficSplits on Istio: the operator writes them, the adapter makes routes of them, and the gateway divides real requests. One
//! version is promoted, the next one rolled back.
use super::delivery::target_has;
use super::objects::{revision, set};
use super::stage::Stage;
use super::story::{BEGUN, promotion};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::{Counters, Lab};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[Test {
    name: "a_traffic_split_divides_the_traffic_by_way_of_the_adapter",
    space: "smi",
    group: Group::Disruptive("installs the operator again, with the adapter"),
    limit: Duration::from_mins(6),
    run: splits,
}];

/// The definition of a TrafficSplit, in every version.
const DEFINITION: &str = "charts/testdata/smi/trafficsplits.yaml";
/// After an event the gateway has so long to follow: the adapter is one more on the way.
const SETTLING: Duration = Duration::from_secs(3);
/// How far the canary's share of the requests may be from its weight, in points.
const SLACK: f64 = 5.0;
/// Requests in which a share is measured.
const LEAST: u64 = 600;

/// The release has the adapter while this value lives.
struct Adapted<'a>(&'a Lab);

impl<'a> Adapted<'a> {
    fn begin(lab: &'a Lab) -> Result<Self> {
        lab.kubectl(&["apply", "-f", DEFINITION])?;
        let definition = "crd/trafficsplits.split.smi-spec.io";
        lab.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", definition])?;
        let adapted = Self(lab);
        // With other pods, because an operator may not be left without a permission that it had.
        let values = "rbac.smi=true,smiAdapter.enabled=true,podAnnotations.smi=adapted";
        helm(
            lab,
            &["upgrade", "flagger", "charts/burgee", "--reuse-values", "--wait", "--timeout=120s", "--set", values],
        )?;
        Ok(adapted)
    }
}

impl Drop for Adapted<'_> {
    fn drop(&mut self) {
        if let Err(error) = helm(self.0, &["rollback", "flagger", "--wait", "--timeout=120s"]) {
            println!("the adapter stays: {error:#}");
        }
    }
}

fn helm(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let mut command = lab.cluster().command("helm");
    let output = command.args(["-n", "istio-system"]).args(arguments).output().context("run helm")?;
    ensure!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn splits(stage: &Stage<'_>) -> Result<()> {
    let _adapted = Adapted::begin(stage.lab()?)?;
    let ended = runs(stage);
    if ended.is_err() {
        print_adapter(stage);
    }
    // Before the permissions go: nobody may look at a TrafficSplit any more.
    let deleted = stage.kubectl(&["delete", "canary", "podinfo", "--wait", "--timeout=60s"]);
    ended.and(deleted.map(drop))
}

/// What the adapter said last, for a failure.
fn print_adapter(stage: &Stage<'_>) {
    let logs = ["-n", "istio-system", "logs", "deployment/flagger-smi-adapter", "--tail=20"];
    println!("{}", stage.world().cluster.kubectl(&logs).unwrap_or_else(|error| format!("{error:#}")));
}

fn runs(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(super::objects::SHORT)?;
    set(&mut canary, "/spec/provider", json!("smi:istio"));
    stage.initialize(&canary)?;
    stage.until_open()?;
    check_routes(stage)?;
    let load = stage.load(200)?;
    stage.release("deployment", "6.0.1")?;
    for weight in [20, 40] {
        let event = format!("Advance podinfo.test canary weight {weight}");
        let counted = counted_after(stage, &event)?;
        check_share(stage, f64::from(weight), &counted)?;
    }
    stage.until_promoted(90)?;
    let advances = ["Advance podinfo.test canary weight 20", "Advance podinfo.test canary weight 40"];
    stage.expect_told(&promotion(&advances))?;
    target_has(stage, 0)?;
    let answers = load.stop()?;
    ensure!(answers.failed() == 0, "requests failed during the promotion: {answers:?}");
    roll_back(stage)
}

/// A version that answers with errors: the traffic goes back to the primary, and stays there.
fn roll_back(stage: &Stage<'_>) -> Result<()> {
    let load = stage.load(200)?;
    let before = stage.counters()?;
    stage.patch_target(&revision("6.0.2", &["--random-error"]))?;
    stage.until_phase("Failed", 120)?;
    let counted = stage.counters()?.since(&before);
    let told: Vec<String> = stage.told().into_iter().map(|told| told.text).collect();
    let begun = told.iter().filter(|text| *text == BEGUN[1]).count();
    ensure!(begun == 2, "two runs began, {begun} were told: {told:?}");
    stage.until_told("Rolling back podinfo.test failed checks threshold reached 2", 10)?;
    stage.until_told("Canary failed! Scaling down podinfo.test", 10)?;
    let errors = counted.requests(stage.namespace(), "podinfo-canary", Some(500));
    ensure!(errors > 0, "the bad version got no requests");
    std::thread::sleep(SETTLING);
    let settled = stage.counters()?;
    stage.until("requests after the rollback", 30, || {
        Ok(stage.counters()?.since(&settled).requests(stage.namespace(), "podinfo-primary", None) >= LEAST)
    })?;
    let late = stage.counters()?.since(&settled).requests(stage.namespace(), "podinfo-canary", None);
    ensure!(late == 0, "{late} requests reached the canary after the rollback");
    let answers = load.stop()?;
    let failed: u64 = answers.codes.iter().filter(|(code, _)| **code >= 500).map(|(_, count)| count).sum::<u64>();
    stage.note(&format!("{errors} requests failed at the bad version, {failed} of all at the gateway"));
    target_has(stage, 0)
}

/// The routes are the TrafficSplit's, and the operator made none of its own.
fn check_routes(stage: &Stage<'_>) -> Result<()> {
    let split = stage.get("trafficsplits.v1alpha1.split.smi-spec.io", "podinfo")?;
    let backends =
        json!([{"service": "podinfo-canary", "weight": "0"}, {"service": "podinfo-primary", "weight": "100"}]);
    ensure!(split["spec"]["backends"] == backends, "the TrafficSplit has {}", split["spec"]);
    let routes = stage.list("virtualservices.networking.istio.io")?;
    let names: Vec<&Value> =
        routes["items"].as_array().into_iter().flatten().map(|route| &route["metadata"]["name"]).collect();
    ensure!(names == ["podinfo-vs"], "there are the VirtualServices {names:?}");
    let owner = &routes["items"][0]["metadata"]["ownerReferences"][0];
    ensure!(owner["uid"] == split["metadata"]["uid"], "the routes belong to {owner}");
    let events = stage.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"])?;
    let created = format!("VirtualService podinfo-vs.{} created: ", stage.namespace());
    ensure!(events.contains(&created), "no event says {created:?}: {events}");
    Ok(())
}

/// What the gateway counts when it has followed an event, before the next step.
fn counted_after(stage: &Stage<'_>, event: &str) -> Result<Counters> {
    let told = stage.until_told(event, 60)?;
    std::thread::sleep((told.at + SETTLING).saturating_duration_since(Instant::now()));
    let before = stage.counters()?;
    let mut counted = Counters::default();
    stage.until(&format!("{LEAST} requests after {event:?}"), 15, || {
        counted = stage.counters()?.since(&before);
        let requests = |service: &str| counted.requests(stage.namespace(), service, None);
        Ok(requests("podinfo-primary") + requests("podinfo-canary") >= LEAST)
    })?;
    Ok(counted)
}

fn check_share(stage: &Stage<'_>, weight: f64, counted: &Counters) -> Result<()> {
    let requests = |service: &str| counted.requests(stage.namespace(), service, None);
    let (primary, canary) = (requests("podinfo-primary"), requests("podinfo-canary"));
    let all = primary + canary;
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    let share = canary as f64 * 100.0 / all as f64;
    stage.note(&format!("{share:.1}% of {all} requests at weight {weight}"));
    ensure!((share - weight).abs() <= SLACK, "the gateway sent {share:.1}% of {all} requests at weight {weight}");
    Ok(())
}
