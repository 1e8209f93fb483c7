//! The strategies besides plain weights, each on real traffic: who gets an answer from whom, by Envoy's own counters and
//! by the pods that answer.
use super::delivery::{image, target_has};
use super::edits::{ask, hook, weighted};
use super::objects::{DAEMON_SET, DEPLOYMENT, SERVICE, SHORT, set};
use super::receiver::Answer;
use super::stage::Stage;
use super::story::promotion;
use super::visitors::{Side, Visitor, count, visit_all};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::{Counters, Load};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "clients_with_a_cookie_stay_on_their_version_and_come_over_with_the_promotion",
        space: "affinity",
        group: Group::Loaded,
        limit: Duration::from_mins(4),
        run: affinity,
    },
    Test {
        name: "requests_with_a_header_reach_the_canary_and_all_others_the_primary",
        space: "insiders",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: insiders,
    },
    Test {
        name: "a_shadow_gets_a_copy_of_each_request_and_answers_nobody_until_the_switch",
        space: "shadow",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: shadow,
    },
    Test {
        name: "a_daemon_set_is_initialized_and_promoted_while_its_target_is_kept_off_all_nodes",
        space: "daemons",
        group: Group::Parallel,
        limit: Duration::from_mins(4),
        run: daemons,
    },
    Test {
        name: "a_service_is_promoted_by_moving_the_traffic_between_its_copies",
        space: "services",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: services,
    },
];

/// After an event the gateway has so long to follow.
const SETTLING: Duration = Duration::from_secs(2);
/// Requests per second where shares are measured.
const MUCH: u32 = 200;
/// Requests per second where every one is told apart.
const SOME: u32 = 50;
/// What the insiders' requests have.
const INSIDER: &str = "x-canary: insider";
/// The cookie of clients that were sent to the canary.
const COOKIE: &str = "canary-cookie";
/// The gate before each weight.
const GATE: &str = "increase";
/// Clients that keep their cookies.
const CLIENTS: usize = 50;

/// How long a visit of all clients may take: a cookie that lasts no longer is not counted on.
const VISITING: Duration = Duration::from_secs(2);
/// How far the share of new clients may be from the weight, in points.
const SLACK: f64 = 7.0;
/// Requests that may be under way while the counters are read.
const UNDER_WAY: u64 = 10;
/// Ends the load, of which no request may have failed.
fn stop(load: Load) -> Result<()> {
    let answers = load.stop()?;
    ensure!(answers.failed() == 0, "requests failed: {answers:?}");
    Ok(())
}

/// The short Canary with another analysis: its weights go, these fields come.
fn with_analysis(stage: &Stage<'_>, fields: &[(&str, Value)]) -> Result<Value> {
    let mut canary = stage.object(SHORT)?;
    let analysis = canary["spec"]["analysis"].as_object_mut().context("the Canary has no analysis")?;
    analysis.retain(|field, _| !["stepWeight", "maxWeight"].contains(&field.as_str()));
    analysis.extend(fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
    Ok(canary)
}

/// What the gateway counts from shortly after an event on, when the routes have settled: at least `least` requests,
/// and everything that `look` does meanwhile. It must be over before `next` is told.
fn counted<T>(
    stage: &Stage<'_>,
    (event, next): (&str, &str),
    least: u64,
    look: impl FnOnce() -> Result<T>,
) -> Result<(T, Counters)> {
    let told = stage.until_told(event, 60)?;
    std::thread::sleep((told.at + SETTLING).saturating_duration_since(Instant::now()));
    let before = stage.counters()?;
    let seen = look()?;
    let mut counted = Counters::default();
    stage.until(&format!("{least} requests after {event:?}"), 15, || {
        counted = stage.counters()?.since(&before);
        let [primary, canary] = by_side(stage, &counted);
        Ok(primary + canary >= least)
    })?;
    ensure!(stage.times_told(next) == 0, "{next:?} was told before {event:?} had been looked at");
    Ok((seen, counted))
}

/// Requests that the primary and the canary answered.
fn by_side(stage: &Stage<'_>, counted: &Counters) -> [u64; 2] {
    ["podinfo-primary", "podinfo-canary"].map(|service| counted.requests(stage.namespace(), service, None))
}

/// New clients that visit once each.
fn newcomers(stage: &Stage<'_>, many: usize) -> Vec<Visitor> {
    vec![stage.visitor(); many]
}

/// Waits for the end of a promotion, when every client is answered by the primary with the new version.
fn promoted(stage: &Stage<'_>) -> Result<()> {
    stage.until_promoted(90)?;
    let sides = visit_all(&mut newcomers(stage, 20))?;
    ensure!(count(&sides, Side::Primary) == 20, "after the promotion clients are answered by {sides:?}");
    Ok(())
}

/// A/B: insiders send steadily, so that the metrics have values; the others are counted one by one.
fn insiders(stage: &Stage<'_>) -> Result<()> {
    let matches = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
    stage.initialize(&with_analysis(stage, &[("iterations", json!(1)), ("match", matches)])?)?;
    stage.until_open()?;
    let load = stage.load_with(Some(INSIDER), SOME)?;
    stage.release("deployment", "6.0.1")?;
    let events = ("Advance podinfo.test canary iteration 1/1", "Copying *");
    let ((outside, inside), counters) = counted(stage, events, 150, || {
        let mut others = newcomers(stage, 40);
        others.extend(vec![stage.visitor().with_header("x-canary: outsider"); 40]);
        let mut insiders = vec![stage.visitor().with_header(INSIDER); 20];
        Ok((visit_all(&mut others)?, visit_all(&mut insiders)?))
    })?;
    ensure!(count(&outside, Side::Primary) == 80, "requests without the header were answered by {outside:?}");
    ensure!(count(&inside, Side::Canary) == 20, "requests with the header were answered by {inside:?}");
    let [primary, canary] = by_side(stage, &counters);
    stage.note(&format!("{canary} requests with the header at the canary, {primary} without at the primary"));
    ensure!(primary == 80, "Envoy sent {primary} requests to the primary, not the 80 without the header");
    promoted(stage)?;
    stop(load)?;
    stage.expect_told(&promotion(&["Advance podinfo.test canary iteration 1/1"]))?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.1", "the primary has another version");
    target_has(stage, 0)
}

/// Blue/green with mirroring. Its metrics have values only because the copies reach the canary.
fn shadow(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&with_analysis(stage, &[("iterations", json!(1)), ("mirror", json!(true))])?)?;
    stage.until_open()?;
    let load = stage.load(SOME)?;
    stage.release("deployment", "6.0.1")?;
    let switch = "Stop traffic mirroring and route all traffic to canary";
    let look = || visit_all(&mut newcomers(stage, 100));
    let (sides, mirrored) = counted(stage, ("Advance podinfo.test canary iteration 1/1", switch), 350, look)?;
    ensure!(count(&sides, Side::Primary) == 100, "while it is a shadow, clients are answered by {sides:?}");
    let [primary, canary] = by_side(stage, &mirrored);
    stage.note(&format!("{primary} requests at the primary, {canary} copies at the canary"));
    ensure!(primary.abs_diff(canary) <= UNDER_WAY, "{primary} requests and {canary} copies");
    let (sides, switched) = counted(stage, (switch, "Copying *"), 150, look)?;
    ensure!(count(&sides, Side::Canary) == 100, "after the switch clients are answered by {sides:?}");
    let [primary, canary] = by_side(stage, &switched);
    ensure!(primary == 0, "after the switch Envoy sent {primary} requests to the primary, {canary} to the canary");
    promoted(stage)?;
    stop(load)?;
    stage.expect_told(&promotion(&["Advance podinfo.test canary iteration 1/1", switch]))?;
    target_has(stage, 0)
}

/// The load keeps no cookies, so that each of its requests is a new client's; the clients of the jar come again.
fn affinity(stage: &Stage<'_>) -> Result<()> {
    let cookies = json!({"cookieName": COOKIE, "primaryCookieName": "primary-cookie"});
    let mut canary = with_analysis(stage, &[("stepWeights", json!([30, 60])), ("sessionAffinity", cookies)])?;
    ask(&mut canary, &[hook(stage, GATE, "confirm-traffic-increase")]);
    stage.initialize(&canary)?;
    stage.until_open()?;
    let load = stage.load(MUCH)?;
    stage.release("deployment", "6.0.1")?;
    let mut jar = newcomers(stage, CLIENTS);
    let mut canaries = vec![false; CLIENTS];
    for (step, event) in [30, 60].map(|step| (step, format!("Advance podinfo.test canary weight {step}"))) {
        stage.until_told(&event, 60)?;
        // The run stays at this weight until everything has been looked at.
        stage.answer(GATE, Answer::Status(403, "not yet"));
        let look = || visit_all(&mut jar).and_then(|first| stay(&mut jar, first));
        let (sides, _) = counted(stage, (&event, "Copying *"), 0, look)?;
        let moved = canaries.iter().zip(&sides).filter(|(was, side)| **was && **side == Side::Primary).count();
        ensure!(moved == 0, "{moved} clients of the canary were sent back at weight {step}");
        canaries = sides.iter().map(|side| *side == Side::Canary).collect();
        let ((), counters) = counted(stage, (&event, "Copying *"), 1000, || Ok(()))?;
        check_share(stage, f64::from(step), &counters, count(&sides, Side::Canary))?;
        stage.answer(GATE, Answer::Status(200, "go on"));
    }
    let both = (1..CLIENTS).contains(&canaries.iter().filter(|canary| **canary).count());
    ensure!(both, "all clients were sent to the same version: {canaries:?}");
    promoted(stage)?;
    let sides = visit_all(&mut jar)?;
    ensure!(count(&sides, Side::Primary) == CLIENTS, "after the promotion the jar is answered by {sides:?}");
    let left = jar.iter().filter(|client| client.has_cookie(COOKIE)).count();
    ensure!(left == 0, "{left} clients still have the cookie of the run");
    stop(load)?;
    target_has(stage, 0)
}

/// Everybody comes three times more; who still has a cookie is answered by the same version. The cookie of the primary
/// lasts for one interval, so it may run out between two visits; then its owner is a new client.
fn stay(jar: &mut [Visitor], first: Vec<Side>) -> Result<Vec<Side>> {
    let (mut sides, mut stayed) = (first, 0);
    for _ in 0..3 {
        let bound: Vec<bool> = jar.iter().map(|client| client.has_any_cookie_for(VISITING)).collect();
        let again = visit_all(jar)?;
        let pairs = || sides.iter().zip(&again).zip(&bound).filter(|(_, bound)| **bound);
        let moved = pairs().filter(|((before, now), _)| before != now).count();
        ensure!(moved == 0, "{moved} of {} clients with a cookie were moved to another version", jar.len());
        stayed += pairs().count();
        sides = again;
    }
    ensure!(stayed >= CLIENTS, "only {stayed} visits were made with a cookie");
    Ok(sides)
}

fn check_share(stage: &Stage<'_>, weight: f64, counted: &Counters, clients: usize) -> Result<()> {
    let [primary, canary] = by_side(stage, counted);
    let all = primary + canary;
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    let share = canary as f64 * 100.0 / all as f64;
    stage.note(&format!("{share:.1}% of {all} requests at weight {weight}, {clients} of {CLIENTS} clients"));
    ensure!((share - weight).abs() <= SLACK, "Envoy sent {share:.1}% of {all} requests at weight {weight}");
    Ok(())
}

fn daemons(stage: &Stage<'_>) -> Result<()> {
    let mut canary = weighted(stage, 50, 50)?;
    set(&mut canary, "/spec/targetRef/kind", json!("DaemonSet"));
    stage.initialize_on(&stage.object(DAEMON_SET)?, &canary)?;
    check_paused(stage, "6.0.0")?;
    stage.until_open()?;
    let load = stage.load(SOME)?;
    stage.release("daemonset", "6.0.1")?;
    let events = ("Advance podinfo.test canary weight 50", "Copying *");
    let (sides, _) = counted(stage, events, 120, || visit_all(&mut newcomers(stage, 40)))?;
    let both = (1..40).contains(&count(&sides, Side::Canary));
    ensure!(both, "at weight 50 clients are answered by {sides:?}");
    promoted(stage)?;
    check_paused(stage, "6.0.1")?;
    stop(load)?;
    stage.expect_told(&promotion(&["Advance podinfo.test canary weight 50"]))
}

/// The target is kept off all nodes by a selector, the primary runs this version on each.
fn check_paused(stage: &Stage<'_>, version: &str) -> Result<()> {
    let selector = |object: &Value| object.pointer("/spec/template/spec/nodeSelector").cloned();
    stage.poll("the target has no pods", 30, || {
        let target = stage.get("daemonset", "podinfo")?;
        Ok(selector(&target) == Some(json!({"flagger.app/scale-to-zero": "true"}))
            && target["status"]["desiredNumberScheduled"] == 0
            && target["status"]["currentNumberScheduled"] == 0)
    })?;
    let primary = stage.get("daemonset", "podinfo-primary")?;
    ensure!(selector(&primary).is_none(), "the primary is kept off the nodes as well: {:?}", selector(&primary));
    let image = primary.pointer("/spec/template/spec/containers/0/image").context("the primary has no image")?;
    ensure!(*image == format!("lab.local/podinfo:{version}"), "the primary has {image}");
    ensure!(primary["status"]["numberReady"] == 1, "the primary is not ready: {}", primary["status"]);
    Ok(())
}

/// Two sets of pods of the user's own, and a Service that turns from one to the other.
fn services(stage: &Stage<'_>) -> Result<()> {
    let mut next = stage.object(DEPLOYMENT)?;
    for path in ["/metadata/name", "/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        set(&mut next, path, json!("podinfo-next"));
    }
    stage.apply(&stage.object(DEPLOYMENT)?)?;
    stage.apply(&next)?;
    for deployment in ["deployment/podinfo", "deployment/podinfo-next"] {
        stage.kubectl(&["rollout", "status", deployment, "--timeout=60s"])?;
    }
    let mut canary = weighted(stage, 50, 50)?;
    set(&mut canary, "/spec/targetRef", json!({"apiVersion": "v1", "kind": "Service", "name": "podinfo"}));
    stage.initialize_on(&stage.object(SERVICE)?, &canary)?;
    stage.until_open()?;
    let load = stage.load(SOME)?;
    stage.patch("service/podinfo", &json!({"spec": {"selector": {"app": "podinfo-next"}}}))?;
    let events = ("Advance podinfo.test canary weight 50", "Copying *");
    let ((), counters) = counted(stage, events, 150, || check_copies(stage, ["podinfo", "podinfo-next"]))?;
    let [primary, canary] = by_side(stage, &counters);
    stage.note(&format!("{primary} requests at the primary, {canary} at the canary at weight 50"));
    ensure!(primary.min(canary) * 3 > primary + canary, "at weight 50 Envoy sent {primary} and {canary} requests");
    stage.until_promoted(60)?;
    check_copies(stage, ["podinfo-next", "podinfo-next"])?;
    stop(load)?;
    stage.expect_told(&promotion(&["Advance podinfo.test canary weight 50"]))
}

/// Which pods the copy for the primary selects, and which the one for the canary; the user's pods all stay.
fn check_copies(stage: &Stage<'_>, expected: [&str; 2]) -> Result<()> {
    for (name, pods) in ["podinfo-primary", "podinfo-canary"].into_iter().zip(expected) {
        let selector = stage.get("service", name)?["spec"]["selector"].clone();
        ensure!(selector == json!({"app": pods}), "service {name} selects {selector}, not {pods}");
    }
    for deployment in ["podinfo", "podinfo-next"] {
        let replicas = stage.get("deployment", deployment)?["spec"]["replicas"].clone();
        ensure!(replicas == 2, "{deployment} has {replicas} replicas");
    }
    Ok(())
}
