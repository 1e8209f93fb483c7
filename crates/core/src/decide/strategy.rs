//! What follows from a passed check: the next weight, the next iteration, or the promotion (contract: lifecycle §9).

use burgee_api::{PassedHook, Phase, WebhookType};

use super::ask::{Asker, Gates, note_passed, voice};
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::proposal::{Decision, Proposal};
use super::recorded::{has_begun, has_changed_strategy, intended_split, is_fix, traffic};
use super::restart::begin_again;
use super::revision::{self, Change};
use super::stamp::fraction;
use super::workloads::Workloads;
use super::{analyse, foreign, promotion, routes};
use crate::notice::{Gate, Notice};
use crate::rollout::{Ladder, Strategy};
use crate::router::row::Feature;
use crate::split::{Mirror, Split};
use crate::timetable::Wake;

/// The strategy was edited in the middle of the analysis: its weights and iterations say nothing of the new one, and routes
/// to one part of the users would lead all of them to the canary. So the analysis begins again, with the traffic on the
/// primary; its first step comes an interval from now.
pub(super) fn change(facts: &Facts) -> Option<Proposal> {
    let is_analysed = matches!(facts.phase(), Phase::Progressing | Phase::WaitingPromotion);
    if !is_analysed || !has_changed_strategy(facts) {
        return None;
    }
    // What cannot be looked at, and a new revision, end or restart the analysis by themselves.
    let workloads =
        facts.workloads().ok().filter(|workloads| revision::change(facts, workloads) != Change::Revision)?;
    let before = facts.run().cloned().unwrap_or_default();
    let mut builder = PlanBuilder::new(facts);
    builder.enter(Phase::Progressing);
    builder.tell(Notice::StrategyChanged);
    begin_again(facts, workloads, &mut builder);
    if before.paused_since.is_none() {
        builder.drop_condition("Held");
    }
    let run = builder.run();
    // The revision is the same: what was accepted before it got any traffic is not asked about again (S18).
    let is_accepted = |hook: &&PassedHook| hook.kind == WebhookType::PreRollout;
    run.hooks_passed.extend(before.hooks_passed.iter().filter(is_accepted).cloned());
    run.ordered = before.ordered;
    run.step_started_at = Some(fraction(facts.now));
    Some(builder.finish(Wake::At(facts.now)))
}

/// Whether a closed traffic gate has been told of, and with it all that comes before.
pub(super) fn waits_for_traffic(facts: &Facts) -> bool {
    facts.run().is_some_and(|run| !run.gates_closed.is_empty())
}

/// The check passed, or the run begins.
pub(super) fn advance(facts: &Facts, asker: &Asker, builder: PlanBuilder, workloads: &Workloads) -> Decision<Proposal> {
    match &facts.rollout.strategy {
        Strategy::Canary(ladder) => advance_weight(facts, asker, builder, (workloads, ladder)),
        Strategy::AbTesting(total) => advance_ab(facts, asker, builder, (workloads, *total)),
        Strategy::BlueGreen(total) => advance_blue_green(facts, asker, builder, (workloads, *total)),
    }
}

/// The next weight, after one step of mirroring if that is wanted, or the promotion.
fn advance_weight(
    facts: &Facts,
    asker: &Asker,
    builder: PlanBuilder,
    (workloads, ladder): (&Workloads, &Ladder),
) -> Decision<Proposal> {
    if facts.rollout.mirror == Mirror::On && !has_begun(facts) {
        return step_to(facts, builder, Split::PRIMARY.mirrored(), Notice::CanaryAdvanced(0));
    }
    let is_mirrored = intended_split(facts).mirror() == Mirror::On;
    let builder = if is_mirrored { Ok(builder) } else { traffic_gate(facts, asker, builder)? };
    let builder = match builder {
        Ok(builder) => builder,
        Err(plan) => return Ok(plan),
    };
    let weight = intended_split(facts).canary();
    let had = facts.run().map_or(&[][..], |run| &run.weights);
    if let Some(next) = ladder.next(had, weight) {
        let notice = step_notice(ladder, (had, weight), next);
        let mut builder = builder;
        builder.run().weights = if ladder.is_listed() { with_step(had, weight, next) } else { Vec::new() };
        return step_to(facts, builder, Split::with_canary(next), notice);
    }
    promotion_gate(facts, asker, builder, |builder| Ok(promotion::begin(facts, workloads, builder)?))
}

/// What a step is told as. A weight that the canary has had already is told with its place in the list: what has happened
/// twice is not told as one and the same (I23).
fn step_notice(ladder: &Ladder, (had, weight): (&[i64], u8), next: u8) -> Notice {
    if weight == 0 || !had.contains(&i64::from(next)) {
        return Notice::CanaryAdvanced(next);
    }
    Notice::CanaryAdvancedAgain(next, ladder.done(had, weight) + 1, ladder.steps.len())
}

/// The weights of the run with one more. Without traffic it begins with the first one again.
fn with_step(had: &[i64], weight: u8, next: u8) -> Vec<i64> {
    let before = if weight == 0 { &[] } else { had };
    before.iter().copied().chain([i64::from(next)]).collect()
}

/// All matching traffic goes to the canary from the first iteration on.
fn advance_ab(
    facts: &Facts,
    asker: &Asker,
    mut builder: PlanBuilder,
    (workloads, total): (&Workloads, u32),
) -> Decision<Proposal> {
    let done = iterations(&builder);
    if done < total {
        builder.status.iterations += 1;
        return step_to(facts, builder, Split::CANARY, Notice::IterationAdvanced(done + 1, total));
    }
    promotion_gate(facts, asker, builder, |builder| Ok(promotion::begin(facts, workloads, builder)?))
}

/// Iterations without traffic, or with copies of it; then one with all of it; then the promotion. The gate is asked
/// before each of the two, and not again when it has passed (S18).
fn advance_blue_green(
    facts: &Facts,
    asker: &Asker,
    mut builder: PlanBuilder,
    (workloads, total): (&Workloads, u32),
) -> Decision<Proposal> {
    let done = iterations(&builder);
    if done < total {
        builder.status.iterations += 1;
        return step_to(facts, builder, checked_split(facts), Notice::IterationAdvanced(done + 1, total));
    }
    let is_routed = intended_split(facts) == Split::CANARY;
    if is_routed || !facts.rollout.provider.can(Feature::Weights) {
        return promotion_gate(facts, asker, builder, |builder| Ok(promotion::begin(facts, workloads, builder)?));
    }
    let notice = if facts.rollout.mirror == Mirror::On { Notice::MirroringStopped } else { Notice::RoutingToCanary };
    promotion_gate(facts, asker, builder, |mut builder| {
        builder.status.iterations = i64::from(total) + 1;
        step_to(facts, builder, Split::CANARY, notice)
    })
}

/// Where the traffic is while blue/green is checked: on the primary, unless that cannot start and the target ships its fix
/// (I6).
fn checked_split(facts: &Facts) -> Split {
    if is_fix(facts) {
        intended_split(facts)
    } else if facts.rollout.mirror == Mirror::On {
        Split::PRIMARY.mirrored()
    } else {
        Split::PRIMARY
    }
}

fn iterations(builder: &PlanBuilder) -> u32 {
    u32::try_from(builder.status.iterations).unwrap_or(0)
}

/// Writes a step: the event, the status, the route. The next check is due an interval after this.
fn step_to(facts: &Facts, mut builder: PlanBuilder, split: Split, notice: Notice) -> Decision<Proposal> {
    builder.intend(routes::routes(facts, split)?);
    // Steps that were added while the promotion waited are analysed like any other; only the last one of blue/green, with
    // all of the traffic, comes after its gate.
    let is_step =
        matches!(notice, Notice::CanaryAdvanced(_) | Notice::CanaryAdvancedAgain(..) | Notice::IterationAdvanced(..));
    if builder.status.phase == Phase::WaitingPromotion && is_step {
        builder.enter(Phase::Progressing);
    }
    builder.tell(notice);
    builder.status.canary_weight = i64::from(split.canary());
    let run = builder.run();
    run.step_started_at = Some(fraction(facts.now));
    foreign::close(run, facts.now);
    run.fought_since = None;
    run.strategy = Some(facts.rollout.strategy.kind());
    run.traffic = traffic(split);
    Ok(builder.finish(Wake::At(facts.after(facts.rollout.interval))))
}

/// The gate before each increase, and before the promotion (contract: lifecycle §9.1).
fn traffic_gate<'a>(
    facts: &Facts,
    asker: &Asker,
    mut builder: PlanBuilder<'a>,
) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
    if facts.phase() == Phase::WaitingPromotion {
        return Ok(Ok(builder));
    }
    let gates = asker.gates(&[WebhookType::ConfirmTrafficIncrease], &[])?;
    builder.blame_webhooks(asker);
    match gates {
        Gates::Open(passed) => {
            builder.run().gates_closed.clear();
            note_passed(&mut builder, Gate::ConfirmTrafficIncrease, passed);
            Ok(Ok(builder))
        }
        Gates::Closed { hook, .. } => {
            if builder.run().gates_closed.contains(&hook.name) {
                let mut waiting = PlanBuilder::new(facts);
                if builder.run().held_since.is_none() {
                    // A provider that answers again is told of, however long the gate stays closed.
                    analyse::resume(&mut waiting);
                }
                waiting.blame_webhooks(asker);
                return Ok(Err(waiting.wait_an_interval()));
            }
            builder.run().gates_closed.push(hook.name.clone());
            builder.tell(Notice::WaitingForTrafficIncrease(hook.name.clone(), voice(&hook)));
            Ok(Err(builder.wait_an_interval()))
        }
    }
}

/// The gate before the promotion (contract: lifecycle §9.4). While it is closed the checks go on.
fn promotion_gate<'a>(
    facts: &Facts,
    asker: &Asker,
    mut builder: PlanBuilder<'a>,
    open: impl FnOnce(PlanBuilder<'a>) -> Decision<Proposal>,
) -> Decision<Proposal> {
    let known = builder.run().hooks_passed.clone();
    let gates = asker.gates(&[WebhookType::ConfirmPromotion], &known)?;
    builder.blame_webhooks(asker);
    match gates {
        Gates::Open(passed) => {
            note_passed(&mut builder, Gate::ConfirmPromotion, passed);
            open(builder)
        }
        Gates::Closed { passed, hook, .. } => {
            note_passed(&mut builder, Gate::ConfirmPromotion, passed);
            if facts.phase() != Phase::WaitingPromotion {
                builder.enter(Phase::WaitingPromotion);
                builder.tell(Notice::WaitingForPromotion(hook.name.clone(), voice(&hook)));
            }
            Ok(builder.wait_an_interval())
        }
    }
}
