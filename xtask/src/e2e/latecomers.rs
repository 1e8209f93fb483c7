//! What comes to be looked at only after its kind is watched. Of objects that no canary looks at, the operator keeps the
//! name alone; when one is wanted, it is read by itself.
use super::objects::{DAEMON_SET, SHORT, set};
use super::stage::{Stage, beside};
use super::{Group, Test};
use crate::audit;
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "what_is_wanted_after_its_kind_is_watched_is_read_by_itself",
    space: "latecomers",
    group: Group::Parallel,
    limit: Duration::from_mins(3),
    run: latecomers,
}];

fn latecomers(stage: &Stage<'_>) -> Result<()> {
    let late = beside(stage, "latecomers-2")?;
    stage.apply(&stage.object(DAEMON_SET)?)?;
    late.apply(&late.object(DAEMON_SET)?)?;
    initialize(stage)?;
    initialize(&late)?;
    let Ok(lab) = stage.lab() else { return Ok(()) };
    let used = audit::used(lab)?;
    ensure!(used.contains("get apps/daemonsets/"), "none was read by itself: {used:?}");
    Ok(())
}

fn initialize(stage: &Stage<'_>) -> Result<()> {
    let mut canary = stage.object(SHORT)?;
    set(&mut canary, "/spec/targetRef/kind", json!("DaemonSet"));
    stage.apply(&canary)?;
    stage.until_phase("Initialized", 60)
}
