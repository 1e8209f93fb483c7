//! Rules that are broken on purpose, to prove that the checkers can fail. A switch of the stage alone: the decisions know
//! nothing of it, and no play has one unless a test asks for it.

use burgee_core::decide::{Tick, decide};
use burgee_core::object::items_mut;
use burgee_core::plan::Plan;
use burgee_core::question::{Answer, Answers, Question};
use burgee_core::rollout::Rollout;
use burgee_core::world::World;

pub mod plans;
pub mod worlds;
pub mod writes;

/// What becomes of a write that was begun before the lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateWrites {
    /// It carries the version that it was decided on.
    Checked,
    /// It is written over whatever there is.
    Forced,
}

/// Whether each write is looked at before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One that leaves the bounds of its canary is refused.
    Guarded,
    /// Whatever a plan says is done.
    Open,
}

/// A rule that is broken on purpose: what is changed before a decision, or after it.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// What is done wrong.
    pub name: &'static str,
    /// Changes what a decision sees.
    pub world: fn(&mut World, &Rollout),
    /// Changes what it takes the canary to mean.
    pub rollout: fn(&mut Rollout, &World),
    /// Changes what it is answered.
    pub answer: fn(&mut Answer),
    /// Changes what it decided.
    pub plan: fn(&Tick, &mut Plan),
    /// How a process writes that has lost the lease.
    pub late_writes: LateWrites,
    /// Whether writes are looked at before they are made.
    pub edge: Edge,
}

impl Mutation {
    /// A mutation of this name that changes nothing yet.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            world: |_, _| (),
            rollout: |_, _| (),
            answer: |_| (),
            plan: |_, _| (),
            late_writes: LateWrites::Checked,
            edge: Edge::Guarded,
        }
    }

    const fn of_world(name: &'static str, world: fn(&mut World, &Rollout)) -> Self {
        Self { world, ..Self::named(name) }
    }

    const fn of_answer(name: &'static str, answer: fn(&mut Answer)) -> Self {
        Self { answer, ..Self::named(name) }
    }

    const fn of_plan(name: &'static str, plan: fn(&Tick, &mut Plan)) -> Self {
        Self { plan, ..Self::named(name) }
    }
}

/// Decides, with the rule broken if there is one to break.
pub(crate) fn decide_with(mutation: Option<Mutation>, tick: &Tick, answers: &Answers) -> Result<Plan, Question> {
    let Some(mutation) = mutation else { return decide(tick, answers) };
    let mut world = tick.world.clone();
    (mutation.world)(&mut world, tick.rollout);
    let mut rollout = tick.rollout.clone();
    (mutation.rollout)(&mut rollout, &world);
    let answers = heard(mutation, answers).unwrap_or_else(|| answers.clone());
    let mut plan = decide(&Tick { world: &world, rollout: &rollout, ..*tick }, &answers)?;
    (mutation.plan)(tick, &mut plan);
    Ok(plan)
}

/// The answers as a broken decision hears them; as they are, if they cannot be changed.
fn heard(mutation: Mutation, answers: &Answers) -> Option<Answers> {
    let mut stored = serde_json::to_value(answers).ok()?;
    for place in items_mut(stored.get_mut("given")) {
        let mut answer: Answer = serde_json::from_value(place["answer"].clone()).ok()?;
        (mutation.answer)(&mut answer);
        place["answer"] = serde_json::to_value(&answer).ok()?;
    }
    serde_json::from_value(stored).ok()
}
