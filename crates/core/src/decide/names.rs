//! Names that the canary needs and that others have (S28). What is there and not the canary's is not written, and it is said
//! whose it is. A run under way goes on without it.

use super::builder::PlanBuilder;
use super::facts::Facts;
use super::mistake::blame;
use super::proposal::Proposal;
use super::recorded::is_busy;
use crate::bounds::Bounds;
use crate::notice::Notice;
use crate::ownership::Claim;
use crate::plan::{Plan, Step};
use crate::timetable::Wake;
use crate::world::ObjectKey;

/// What of others stands in the way of the canary, for the user.
pub(super) fn taken(facts: &Facts) -> Option<String> {
    facts.claims.iter().find_map(|(_, claim)| match claim {
        Claim::Taken(text) => Some(text.clone()),
        Claim::Adopt | Claim::Wait(_) => None,
    })
}

/// The plan of a canary that finds its names in use, while nothing is under way that has to be ended: nothing is written but
/// what it says; or what was its own before becomes so again.
pub(super) fn claim(facts: &Facts) -> Option<Proposal> {
    let claims = &facts.claims;
    if claims.is_empty() || is_busy(facts) {
        return None;
    }
    let mut builder = PlanBuilder::new(facts);
    if let Some(text) = taken(facts) {
        let before = facts.world.canary.status.as_ref().and_then(|status| blame(status.conditions.as_deref()));
        if before != Some(&text) {
            builder.tell_aside(Notice::Problem(text));
        }
        return Some(builder.finish(Wake::OnChange));
    }
    for (key, claim) in claims {
        match claim {
            Claim::Adopt => {
                // All is told before anything is done: what was adopted already cannot be told by whoever starts anew.
                builder.tell(Notice::Adopted(key.to_string()));
                builder.intend(adopt(facts, key));
            }
            Claim::Wait(text) => {
                builder.tell(Notice::Problem(text.clone()));
                return Some(builder.finish(Wake::OnChange));
            }
            Claim::Taken(_) => {}
        }
    }
    Some(builder.finish(Wake::At(facts.now)))
}

fn adopt(facts: &Facts, key: &ObjectKey) -> Option<Step> {
    let bounds = Bounds::of(facts.rollout, &facts.world.canary);
    let object = facts.world.present(key)?.clone();
    Some(Step::Replace(bounds.owned(object)))
}

/// The steps that write nothing of others. What was the canary's before becomes so with the next write of it.
pub(super) fn keep_off(facts: &Facts, steps: Vec<Step>) -> Vec<Step> {
    if !steps.iter().any(|step| step.replacement().is_some()) {
        return steps;
    }
    let claims = &facts.claims;
    if claims.is_empty() {
        return steps;
    }
    let bounds = Bounds::of(facts.rollout, &facts.world.canary);
    let mine = |step: Step| {
        let key = step.replacement().and_then(ObjectKey::of);
        let claim = claims.iter().find(|(claimed, _)| Some(claimed) == key.as_ref()).map(|(_, claim)| claim);
        match (step, claim) {
            (step, None) => Some(step),
            (Step::Replace(object), Some(Claim::Adopt)) => Some(Step::Replace(bounds.owned(object))),
            (_, Some(Claim::Adopt | Claim::Wait(_) | Claim::Taken(_))) => None,
        }
    };
    steps.into_iter().filter_map(mine).collect()
}

/// The plan without what it would write of others. A plan of which nothing is left would be made again at once.
pub(super) fn without_others(facts: &Facts, mut plan: Plan) -> Plan {
    let before = plan.steps.len();
    plan.steps = keep_off(facts, plan.steps);
    if plan.steps.len() < before {
        let replaced = crate::plan::replaced(&plan.steps);
        plan.repairs.retain(|key| replaced.contains(key));
        let is_at_once = matches!(plan.next, Wake::At(at) if at <= facts.now);
        if plan.status().is_none() && is_at_once {
            plan.next = Wake::At(facts.after(facts.rollout.interval));
        }
    }
    plan
}
