//! What must never happen, looked at after every step of every play. A checker sees the stage before and after, and
//! says what is wrong; it repairs nothing.

use burgee_api::{Canary, CanaryStatus, Phase};
use burgee_core::phase::PhaseRules;
use burgee_core::rollout::Rollout;
use burgee_core::split::Split;

/// What a checker sees of an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Instant {
    /// Seconds since the beginning.
    pub second: i64,
    /// The canary's status.
    pub status: CanaryStatus,
    /// How the routes split the traffic; none before there are routes.
    pub split: Option<Split>,
    /// Ready pods of the primary.
    pub primary_pods: usize,
    /// Ready pods of the target.
    pub canary_pods: usize,
    /// Whether the target is meant to have pods.
    pub target_is_up: bool,
}

/// A rule about two instants that follow each other.
pub type Rule = fn(&Rollout, &Instant, &Instant) -> Result<(), String>;

/// All checkers, by the names of the invariants (design: invariants).
pub const CHECKERS: [(&str, Rule); 7] = [
    ("I2 the only ready set is never scaled down", only_ready_set_stays),
    ("I3 traffic goes only where pods are ready", traffic_has_pods),
    ("I5 phases follow the graph", phases_follow_the_graph),
    ("I7 the routes follow the status", routes_follow_the_status),
    ("I10 a revision is seen only by the write that starts its analysis", revisions_are_seen_when_analysed),
    ("I16 a revision is promoted only from an analysis of it", promotions_were_analysed),
    ("I23 a weight stays for its interval", weights_keep_their_pace),
];

fn only_ready_set_stays(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let scaled_down = before.target_is_up && !after.target_is_up;
    if scaled_down && after.primary_pods == 0 && before.canary_pods > 0 {
        return Err("the target went to zero while the primary had no ready pod".to_owned());
    }
    Ok(())
}

fn traffic_has_pods(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let (Some(old), Some(new)) = (before.split, after.split) else { return Ok(()) };
    if new.canary() > old.canary() && after.canary_pods == 0 {
        return Err(format!("the canary got {} % without a ready pod", new.canary()));
    }
    if new.primary() > old.primary() && after.primary_pods == 0 && after.canary_pods > 0 {
        return Err(format!("the primary got {} % without a ready pod", new.primary()));
    }
    Ok(())
}

fn phases_follow_the_graph(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let (from, to) = (before.status.phase, after.status.phase);
    if from.may_become(to) { Ok(()) } else { Err(format!("{from} became {to}")) }
}

/// Between the two writes of a step the routes lag behind by exactly that step; never do they run ahead.
fn routes_follow_the_status(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let (Some(old), Some(new)) = (before.split, after.split) else { return Ok(()) };
    if old != new && i64::from(new.canary()) != after.status.canary_weight {
        return Err(format!("the routes went to {new} while the status says {}", after.status.canary_weight));
    }
    Ok(())
}

fn revisions_are_seen_when_analysed(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let (old, new) = (&before.status.last_applied_spec, &after.status.last_applied_spec);
    let starts = matches!(after.status.phase, Phase::Progressing | Phase::Initialized);
    if old != new && !starts {
        return Err(format!("{new} was recorded as seen in {}", after.status.phase));
    }
    Ok(())
}

fn promotions_were_analysed(_: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let (old, new) = (&before.status.last_promoted_spec, &after.status.last_promoted_spec);
    if old != new && after.status.phase == Phase::Succeeded && *new != before.status.last_applied_spec {
        return Err(format!("{new} was promoted, {} was analysed", before.status.last_applied_spec));
    }
    Ok(())
}

fn weights_keep_their_pace(rollout: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    let is_raise = after.status.phase == Phase::Progressing && after.status.canary_weight > before.status.canary_weight;
    let started = before.status.run.as_ref().and_then(|run| run.step_started_at.as_deref());
    let Some(started) = started.filter(|_| is_raise).and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return Ok(());
    };
    let raised = after.status.run.as_ref().and_then(|run| run.step_started_at.as_deref());
    let raised = raised.and_then(|text| text.parse::<jiff::Timestamp>().ok()).unwrap_or(started);
    if raised.duration_since(started) < rollout.interval {
        return Err(format!("weight {} came after {}", after.status.canary_weight, raised.duration_since(started)));
    }
    Ok(())
}

/// Looks at two instants with every checker.
pub fn check(canary: &Canary, rollout: &Rollout, before: &Instant, after: &Instant) -> Result<(), String> {
    for (name, rule) in CHECKERS {
        rule(rollout, before, after).map_err(|wrong| {
            format!("{name}: {} at {}s: {wrong}", canary.metadata.name.as_deref().unwrap_or(""), after.second)
        })?;
    }
    Ok(())
}
