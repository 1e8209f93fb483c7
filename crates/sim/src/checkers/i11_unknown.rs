//! I11: unknown is not changed. What could not be read is neither made nor replaced, starts no run and ends none.

use burgee_api::Phase;
use burgee_core::notice::Notice;
use burgee_core::plan::{Plan, Step};
use burgee_core::world::{ConfigSeen, ObjectKey, Observed, World};

use super::{Checker, Moment, Verdict, What, act};

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknown;

impl Checker for Unknown {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Decided { plan, world, .. } = moment.what else { return Ok(()) };
        let is_unknown = |key: &ObjectKey| matches!(world.seen(key), Observed::Unknown(_)) && is_read(world, key);
        if let Some(key) = plan.steps.iter().filter_map(written).find(is_unknown) {
            return Err(format!("{key} was written although it could not be read"));
        }
        let Some(status) = &world.canary.status else { return Ok(()) };
        let next = plan.status().map_or(status.phase, |next| next.phase);
        let moves = next != status.phase && !matches!(next, Phase::Terminating | Phase::Initializing);
        // Whoever orders an end has looked himself, and what checks say of a canary needs no look at its target (I29).
        let is_founded = act::tells(plan, |notice| {
            matches!(notice, Notice::Ordered(..) | Notice::ThresholdReached(_) | Notice::ManualRollback)
        });
        if moves && !is_founded && is_unknown(&moment.after.rollout.target_key()) {
            return Err(format!("{} became {next} although the target could not be read", status.phase));
        }
        configs_stay(plan, world)
    }
}

/// An object that was never to be read is not unknown: nobody looked.
fn is_read(world: &World, key: &ObjectKey) -> bool {
    world.objects.iter().any(|(known, _)| known == key)
}

fn written(step: &Step) -> Option<ObjectKey> {
    if let Step::Patch { key, .. } = step { Some(key.clone()) } else { step.written() }
}

fn configs_stay(plan: &Plan, world: &World) -> Verdict {
    let has_unknown = world.configs.iter().any(|(_, seen)| matches!(seen, ConfigSeen::Unknown(_)));
    let recorded = world.canary.status.as_ref().map(|status| &status.tracked_configs);
    let next = plan.status().map(|status| &status.tracked_configs);
    if has_unknown && recorded.zip(next).is_some_and(|(recorded, next)| recorded != next) {
        return Err("other tracked configs were recorded although one could not be read".to_owned());
    }
    Ok(())
}
