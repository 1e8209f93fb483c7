//! What the operator asks of the API server: for one rollout, and when there is nothing to do (I18).
use super::super::edits::{configured, refer_to_autoscaler, settings, unmeasured};
use super::super::objects::{AUTOSCALER, DEPLOYMENT};
use super::super::stage::Stage;
use super::audit::{Asked, Audit, table};
use super::operators::Operators;
use super::{Beside, beside};
use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the operator is watched doing nothing.
const IDLE: SignedDuration = SignedDuration::from_mins(1);
/// One PUT every five seconds.
const RENEWALS: usize = 12;

pub(super) fn idle(stage: &Stage<'_>) -> Result<()> {
    let operators = Operators::of(stage)?;
    let (scaled, plain) = (beside(stage, "idle-scaled")?, beside(stage, "idle-plain")?);
    prepare(stage, &scaled, &plain)?;
    measure_rollout(stage, &operators)?;
    stage.until_phase("Succeeded", 60)?;
    stage.poll("the cluster comes to rest", 60, || nothing_else(stage))?;
    let requests = watch(stage, &operators)?;
    let memory = operators.process(&operators.pod()?).context("the operator does not run")?.resident_bytes();
    let resident_kibibytes = memory.unwrap_or_default() >> 10;
    stage.note(&format!("resident memory {resident_kibibytes} KiB, requests:{}", table(requests.iter())));
    judge(&requests)
}

/// What is asked in the minute after a renewal of the lease, so that no thirteenth falls on an end of it.
fn watch(stage: &Stage<'_>, operators: &Operators<'_>) -> Result<Vec<Asked>> {
    let audit = Audit::begin(operators.lab)?;
    let mut renewed = None;
    stage.until("the lease is renewed", 20, || {
        renewed = audit.requests()?.iter().find(|asked| is_renewal(asked)).map(|asked| asked.at);
        Ok(renewed.is_some())
    })?;
    let from = renewed.context("the lease is not renewed")?;
    let to = from.saturating_add(IDLE).context("add a minute")?;
    // A second more: what is asked in time may be logged later.
    let rest = to.duration_since(Timestamp::now()).saturating_add(SignedDuration::from_secs(1));
    std::thread::sleep(Duration::try_from(rest).unwrap_or_default());
    Ok(audit.requests()?.into_iter().filter(|asked| asked.at > from && asked.at <= to).collect())
}

/// Whether it is a renewal of the lease.
fn is_renewal(asked: &Asked) -> bool {
    asked.is_lease() && asked.verb == "update" && asked.code == 200
}

/// One canary with an autoscaler, one whose Deployment reads a ConfigMap, one plain.
fn prepare(stage: &Stage<'_>, scaled: &Beside<'_>, plain: &Beside<'_>) -> Result<()> {
    stage.apply(&settings("red"))?;
    stage.apply(&configured(stage)?)?;
    stage.apply(&unmeasured(stage, 20, 40)?)?;
    scaled.apply(&scaled.object(AUTOSCALER)?)?;
    scaled.apply(&scaled.object(DEPLOYMENT)?)?;
    let mut canary = unmeasured(scaled, 50, 50)?;
    refer_to_autoscaler(&mut canary);
    scaled.apply(&canary)?;
    plain.initialize(&unmeasured(plain, 50, 50)?)?;
    scaled.until_phase("Initialized", 60)?;
    stage.until_phase("Initialized", 60)
}

/// Whether no other canary exists any more; those of earlier tests go with their namespaces.
fn nothing_else(stage: &Stage<'_>) -> Result<bool> {
    let list = stage.world().cluster.json(&["get", "canaries.flagger.app", "-A"])?;
    Ok(list["items"].as_array().is_some_and(|items| items.len() == 3))
}

/// Starts a rollout and tells what it costs: the time until it is noticed, and the requests until it has ended.
fn measure_rollout(stage: &Stage<'_>, operators: &Operators<'_>) -> Result<()> {
    let audit = Audit::begin(operators.lab)?;
    let before = Instant::now();
    // A merge patch would drop the reference to the ConfigMap.
    let path = "/spec/template/spec/containers/0/image";
    let image = json!([{"op": "replace", "path": path, "value": "lab.local/podinfo:6.0.1"}]);
    stage.kubectl(&["patch", "deployment/podinfo", "--type=json", "-p", &image.to_string()])?;
    let after = Instant::now();
    let told = stage.until_told("New revision detected! Scaling up podinfo.test", 20)?;
    let (longest, shortest) = (told.at - before, told.at.saturating_duration_since(after));
    stage.note(&format!("image change to event: {} to {} ms", shortest.as_millis(), longest.as_millis()));
    stage.until_promoted(90)?;
    let requests = audit.requests()?;
    let own: Vec<&Asked> = requests.iter().filter(|asked| asked.namespace == stage.namespace()).collect();
    stage.note(&format!("one rollout of two steps: {} requests:{}", own.len(), table(own.iter().copied())));
    Ok(())
}

/// A watch is opened again after 30 to 45 seconds, so at most so often in a minute.
const REOPENED: usize = 2;

/// Nothing but renewals of the lease, and watches that were opened again.
fn judge(requests: &[Asked]) -> Result<()> {
    let renewals = requests.iter().filter(|asked| is_renewal(asked)).count();
    ensure!((1..=RENEWALS).contains(&renewals), "the lease was renewed {renewals} times");
    let mut watches: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for asked in requests.iter().filter(|asked| !is_renewal(asked)) {
        ensure!(asked.verb == "watch", "an idle operator asked: {asked:?}");
        *watches.entry((&asked.resource, &asked.namespace)).or_default() += 1;
    }
    let often = watches.iter().find(|(_, opened)| **opened > REOPENED);
    ensure!(often.is_none(), "a watch was opened again and again: {often:?}");
    Ok(())
}
