//! I5: phases follow the graph, and an ended run stays ended until a new revision comes, or a person orders a retry. What
//! looks like a new revision and is none is I9.

use burgee_core::digest::is_foreign;
use burgee_core::phase::PhaseRules;
use burgee_core::plan::{Plan, Step};
use burgee_core::world::World;

use super::{Checker, Moment, Verdict, What, revision};
use crate::instant::Instant;

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest;

impl Checker for Rest {
    fn look(&mut self, moment: &Moment) -> Verdict {
        match moment.what {
            What::Step(Step::Status(_)) => follows_the_graph(moment),
            What::Decided { plan, world, .. } => stays_ended(moment.after, plan, world),
            What::Step(_) | What::Outside | What::Asked(..) => Ok(()),
        }
    }
}

fn follows_the_graph(moment: &Moment) -> Verdict {
    let (from, to) = (moment.before.status.phase, moment.after.status.phase);
    if from.may_become(to) { Ok(()) } else { Err(format!("{from} became {to}")) }
}

fn stays_ended(instant: &Instant, plan: &Plan, world: &World) -> Verdict {
    let Some(status) = world.canary.status.as_ref().filter(|status| status.phase.is_terminal()) else { return Ok(()) };
    let next = plan.status().map_or(status.phase, |status| status.phase);
    let begins = next != status.phase && next != burgee_api::Phase::Terminating;
    // What a peer recorded does not tell whether its target moved since.
    let is_adopted = is_foreign(&status.last_applied_spec);
    if begins
        && !is_adopted
        && !revision::is_ordered(status)
        && !revision::has_moved(instant, world)
        && !revision::configs_moved(status, world)
    {
        return Err(format!("{} became {next}, but neither the target nor its configs moved", status.phase));
    }
    Ok(())
}
