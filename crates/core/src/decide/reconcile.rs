//! The objects that stand in every phase besides the routes, compared with what is seen: Services and the primary's scaler.

use super::autoscaler::{primary_scaler, source};
use super::builder::stopped;
use super::facts::Facts;
use super::look::look;
use super::mistake::{Mistake, Obstacle, Seen};
use super::names::keep_off;
use super::proposal::{Decision, Proposal, Stop};
use super::workloads::Workloads;
use super::{capacity, follow, leave};
use crate::plan::Step;
use crate::reconcile::settle;
use crate::services::{self, Role};
use crate::workload;

/// The standing objects but the routes: how to put them right, and why something of them cannot be looked after. The
/// latter stops the beginning of a run and nothing else: a run under way, a drain and a healing have to end all the same.
#[derive(Debug, Default)]
pub(super) struct Standing {
    steps: Vec<Step>,
    obstacle: Option<Obstacle>,
}

impl Standing {
    fn add(&mut self, part: Seen<Vec<Step>>) {
        match part {
            Ok(steps) => self.steps.extend(steps),
            Err(obstacle) if self.obstacle.is_none() => self.obstacle = Some(obstacle),
            Err(_) => {}
        }
    }

    /// Adds steps that are no drift.
    pub(super) fn extend(&mut self, steps: Vec<Step>) {
        self.steps.extend(steps);
    }

    /// Nothing begins while something is missing.
    pub(super) fn must_be_whole(&mut self) -> Seen<()> {
        self.obstacle.take().map_or(Ok(()), Err)
    }
}

/// Looks at all standing objects but the routes; no steps when all is as it should be.
pub(super) fn standing(facts: &Facts, workloads: &Workloads) -> Standing {
    let mut standing = Standing::default();
    standing.add(configs(facts).map(|()| Vec::new()));
    for role in [Role::Canary, Role::Primary, Role::Apex] {
        standing.add(service(facts, workloads, role));
    }
    standing.add(source(facts).map(|_| Vec::new()));
    standing.add(primary_scaler(facts, follow::sync(facts), capacity::floor(facts)));
    standing.steps.extend(capacity::replicas(facts, capacity::kept_pods(facts)));
    let left = leave::scalers(facts, &standing.steps);
    standing.steps.extend(left);
    standing.steps = keep_off(facts, std::mem::take(&mut standing.steps));
    standing
}

/// The configs without which the target's pods do not start.
pub(super) fn configs(facts: &Facts) -> Seen<()> {
    let missing = facts.missing_config.clone();
    missing.map_or(Ok(()), |text| Err(Obstacle::Mistaken(Mistake::ConfigMissing, text)))
}

/// Adds what drifted to a decision: it is repaired beside it, and before anything is asked.
pub(super) fn with_repairs(facts: &Facts, standing: Standing, decision: Decision<Proposal>) -> Decision<Proposal> {
    let drift = standing.steps;
    match decision {
        Ok(proposal) => Ok(proposal.beside(drift)),
        Err(Stop::Wait(proposal)) => Err(proposal.beside(drift).into()),
        Err(Stop::Blocked(obstacle)) => Err(stopped(facts, obstacle).beside(drift).into()),
        Err(Stop::Ask(mut question)) => {
            question.repairs.extend(drift);
            Err(Stop::Ask(question))
        }
    }
}

/// Steps towards one Service. Of a target that is a Service itself only the canary's is made here: the primary's is its
/// primary, and the apex is the target. A Knative Service needs none.
pub(super) fn service(facts: &Facts, workloads: &Workloads, role: Role) -> Seen<Vec<Step>> {
    let rollout = facts.rollout;
    if !rollout.target_kind.has_services() {
        return Ok(Vec::new());
    }
    let seen = look(facts, &role.key(rollout))?;
    let desired = match (&workloads.selector, role) {
        (Some(selector), _) => {
            let ports = services::discovered_ports(rollout, workloads.target);
            services::render(rollout, selector, &ports, role, seen)
        }
        (None, Role::Canary) => workload::canary_service(rollout, workloads.target, seen),
        (None, Role::Primary | Role::Apex) => return Ok(Vec::new()),
    };
    Ok(settle(desired, seen).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::tick::Tick;
    use crate::fixtures::{canary, rollout};
    use crate::plan::Plan;
    use crate::question::Question;
    use crate::settings::Settings;
    use crate::world::World;

    fn repair() -> Step {
        let metadata = json!({"name": "podinfo", "namespace": "test"});
        Step::Replace(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata}))
    }

    /// What becomes of a decision beside one repair.
    fn beside(decision: Decision<Proposal>) -> Decision<Proposal> {
        let (world, rollout) = (World::new(canary(&json!({}))), rollout(&json!({})));
        let (settings, now) = (Settings::default(), jiff::Timestamp::MIN);
        let tick = Facts::of(&Tick { world: &world, rollout: &rollout, settings: &settings, now, clock: now });
        with_repairs(&tick, Standing { steps: vec![repair()], obstacle: None }, decision)
    }

    #[test]
    fn drift_is_repaired_before_anything_is_asked() {
        let question = Question { repairs: Vec::new(), first: Vec::new(), asks: Vec::new() };
        match beside(Err(Stop::Ask(question))) {
            Err(Stop::Ask(question)) => assert_eq!((question.repairs, question.first), (vec![repair()], Vec::new())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn drift_is_repaired_beside_whatever_is_proposed_also_where_something_is_in_the_way() {
        let drift = |decision| match beside(decision) {
            Ok(proposal) => proposal.drift,
            Err(Stop::Wait(proposal)) => proposal.drift,
            Err(stop @ (Stop::Ask(_) | Stop::Blocked(_))) => panic!("{stop:?}"),
        };
        assert_eq!(drift(Ok(Plan::idle().into())), Some(vec![repair()]));
        assert_eq!(drift(Err(Proposal::from(Plan::idle()).into())), Some(vec![repair()]));
        assert_eq!(drift(Err(Obstacle::Halt("unreadable".to_owned()).into())), Some(vec![repair()]));
    }
}
