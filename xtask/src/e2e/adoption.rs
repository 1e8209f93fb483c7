//! A service that is live before its Canary comes and after it goes: no request fails at either end.
use super::delivery::{check_no_retries, target_has};
use super::edits::unmeasured;
use super::objects::{DEPLOYMENT, ROUTE, SERVICE, set};
use super::stage::Stage;
use super::story::{INITIALIZED, TERMINATED};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::{Counters, Load};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "no_request_fails_while_a_live_deployment_is_adopted",
        space: "adopted",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: adopted,
    },
    Test {
        name: "no_request_fails_while_a_deleted_canary_gives_everything_back_as_it_was",
        space: "reverted",
        group: Group::Parallel,
        limit: Duration::from_mins(3),
        run: reverted,
    },
];

/// Requests per second.
const RATE: u32 = 100;
/// What the user has before and after: kind and name.
const OWN: [(&str, &str); 3] = [("deployment", "podinfo"), ("service", "podinfo"), ("virtualservice", "podinfo")];

/// podinfo as it runs without a Canary: a Deployment, a Service and a route. The Service has more than any Canary says of
/// it: a second port, node ports and a second label in its selector. Service and route are created, not applied: nothing but
/// the operator can know what they were.
pub(crate) fn live(stage: &Stage<'_>) -> Result<()> {
    let (mut deployment, mut service) = (stage.object(DEPLOYMENT)?, stage.object(SERVICE)?);
    set(&mut deployment, "/spec/template/metadata/labels/tier", json!("front"));
    set(&mut service, "/spec/selector/tier", json!("front"));
    set(&mut service, "/spec/type", json!("NodePort"));
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port});
    set(&mut service, "/spec/ports", json!([port("web", 9898), port("metrics", 9797)]));
    stage.apply(&deployment)?;
    stage.create(&service)?;
    stage.create(&stage.object(ROUTE)?)?;
    stage.kubectl(&["rollout", "status", "deployment/podinfo", "--timeout=60s"])?;
    stage.until_open()
}

fn adopted(stage: &Stage<'_>) -> Result<()> {
    live(stage)?;
    let load = stage.load(RATE)?;
    let before = stage.counters()?;
    stage.apply(&unmeasured(stage, 50, 50)?)?;
    stage.until_phase("Initialized", 90)?;
    until_gone(stage, "app=podinfo")?;
    let counted = check_lossless(stage, load, &before)?;
    let [apex, primary] = ["podinfo", "podinfo-primary"].map(|name| counted.requests(stage.namespace(), name, None));
    stage.note(&format!("{apex} requests before the route was taken over, {primary} after"));
    ensure!(apex > 0 && primary > 0, "{apex} requests reached the user's Service, {primary} the primary");
    target_has(stage, 0)
}

fn reverted(stage: &Stage<'_>) -> Result<()> {
    live(stage)?;
    let owned = objects(stage)?;
    let mut canary = unmeasured(stage, 50, 50)?;
    set(&mut canary, "/spec/revertOnDeletion", json!(true));
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 90)?;
    let adopted = objects(stage)?;
    ensure!(owned.iter().zip(&adopted).all(|(before, after)| before != after), "an object was not adopted");
    check_ports(&owned[1]["spec"]["ports"], &adopted[1]["spec"]["ports"])?;
    let before = stage.counters()?;
    let load = stage.load(RATE)?;
    // Envoy forgets what it counted of the primary when its Service goes.
    stage.until("the primary serves", 10, || {
        Ok(stage.counters()?.since(&before).requests(stage.namespace(), "podinfo-primary", Some(200)) >= 50)
    })?;
    stage.kubectl(&["delete", "canary", "podinfo", "--wait=false"])?;
    stage.until_told("Terminated canary podinfo.test", 60)?;
    until_gone(stage, "app=podinfo-primary")?;
    let counted = check_lossless(stage, load, &before)?;
    let apex = counted.requests(stage.namespace(), "podinfo", Some(200));
    stage.note(&format!("{apex} requests after the route was given back"));
    ensure!(apex > 0, "no request reached the user's Service");
    for ((kind, name), (before, after)) in OWN.iter().zip(owned.iter().zip(&objects(stage)?)) {
        ensure!(before == after, "{kind} {name} was\n{before:#}\nand is\n{after:#}");
    }
    check_nothing_is_left(stage)?;
    stage.expect_told(&[INITIALIZED, TERMINATED].concat())
}

/// The ports of the user's Service are still there, with their names and node ports.
fn check_ports(before: &Value, after: &Value) -> Result<()> {
    let kept = before.as_array().into_iter().flatten().all(|port| {
        after
            .as_array()
            .into_iter()
            .flatten()
            .any(|now| ["port", "name", "nodePort"].iter().all(|key| now[key] == port[key]))
    });
    ensure!(
        kept && before.as_array().is_some_and(|ports| ports.len() == 2),
        "the ports were {before}, and are {after}"
    );
    Ok(())
}

/// Nothing that the operator made is left.
fn check_nothing_is_left(stage: &Stage<'_>) -> Result<()> {
    let kinds = "deployments,services,virtualservices,destinationrules,controllerrevisions,canaries.flagger.app";
    let mut names = String::new();
    let gone = stage.poll("everything else goes", 30, || {
        names = stage.kubectl(&["get", kinds, "-o", "name"])?;
        Ok(names.lines().count() == OWN.len())
    });
    gone.with_context(|| format!("left are {names}"))
}

/// The user's objects without what the API server and the controllers count in them.
///
/// # Errors
/// With kubectl's own message.
pub(crate) fn objects(stage: &Stage<'_>) -> Result<Vec<Value>> {
    let read = |(kind, name): &(&str, &str)| -> Result<Value> {
        let object = stage.get(kind, name)?;
        let metadata = &object["metadata"];
        Ok(json!({"labels": metadata["labels"], "annotations": metadata["annotations"], "spec": object["spec"],
            "owners": metadata["ownerReferences"], "finalizers": metadata["finalizers"]}))
    };
    OWN.iter().map(read).collect()
}

/// Waits until no pod has the label any more.
pub(crate) fn until_gone(stage: &Stage<'_>, label: &str) -> Result<()> {
    stage.poll(&format!("pods with {label} are gone"), 60, || {
        Ok(stage.kubectl(&["get", "pods", "-l", label])?.is_empty())
    })
}

/// Ends the load: no request failed, none was tried again, and they were many. Returns what was counted since `before`.
///
/// # Errors
/// With the answers.
pub(crate) fn check_lossless(stage: &Stage<'_>, load: Load, before: &Counters) -> Result<Counters> {
    let answers = load.stop()?;
    let counted = stage.counters()?.since(before);
    stage.note(&format!("{} of {} requests failed", answers.failed(), answers.sent()));
    ensure!(answers.failed() == 0, "requests failed: {answers:?}");
    ensure!(answers.sent() > 500, "only {} requests were sent", answers.sent());
    check_no_retries(stage, &counted)?;
    Ok(counted)
}
