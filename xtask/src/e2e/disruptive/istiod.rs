//! Proxies that hear of no route for a while: a set keeps its pods until they have had time to (I4).
use super::super::adoption::{check_lossless, until_gone};
use super::super::edits::unmeasured;
use super::super::objects::set;
use super::super::stage::Stage;
use anyhow::{Result, ensure};
use burgee_lab::{Component, Lab};
use serde_json::json;
use std::time::{Duration, Instant};

/// Requests per second.
const RATE: u32 = 100;
/// When Istio's control plane is stopped: this long after the last step but one, whose route has settled by then, and
/// before the last one, an interval of 10 s after it.
const BEFORE: Duration = Duration::from_secs(7);
/// How long after the last step it stays stopped: most of the drain delay of 10 s.
const AFTER: Duration = Duration::from_secs(6);

/// The control plane stands still while this value lives.
struct Paused<'a>(&'a Lab);

impl<'a> Paused<'a> {
    fn begin(lab: &'a Lab) -> Result<Self> {
        lab.pause(Component::Istiod).map(|()| Self(lab))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.resume(Component::Istiod) {
            println!("istiod stays stopped: {error:#}");
        }
    }
}

/// The traffic comes back in two steps, so that the last route is written at a moment that is known, and long after the
/// primary's pods changed: with stale addresses of pods nobody could help the proxies.
pub(super) fn stale(stage: &Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let mut canary = unmeasured(stage, 50, 50)?;
    set(&mut canary, "/spec/analysis/stepWeightPromotion", json!(25));
    stage.initialize(&canary)?;
    stage.until_open()?;
    let before = stage.counters()?;
    let load = stage.load(RATE)?;
    stage.release("deployment", "6.0.1")?;
    let step = stage.until_told("Advance podinfo.test primary weight 75", 90)?;
    std::thread::sleep((step.at + BEFORE).saturating_duration_since(Instant::now()));
    let paused = Paused::begin(lab)?;
    let last = stage.until_told("Advance podinfo.test primary weight 100", 20)?;
    let routed = stage.counters()?;
    std::thread::sleep((last.at + AFTER).saturating_duration_since(Instant::now()));
    let late = stage.counters()?.since(&routed).requests(stage.namespace(), "podinfo-canary", None);
    drop(paused);
    ensure!(late > 0, "the proxies heard of the last route although nobody told them");
    stage.note(&format!("{late} requests reached the canary after its weight was 0"));
    stage.until_phase("Succeeded", 40)?;
    until_gone(stage, "app=podinfo")?;
    check_lossless(stage, load, &before).map(drop)
}
