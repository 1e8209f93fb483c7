//! What follows from a passed check: the next weight, the next iteration, or the promotion (contract: lifecycle §9).

use burgee_api::{PassedHook, Phase, WebhookType};

use super::ask::{Asker, Gates, note_passed, voice};
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::proposal::{Decision, Proposal};
use super::recorded::{has_begun, has_changed_strategy, intended_split, is_fix, traffic};
use super::restart::begin_again;
use super::revision::{self, Change};
use super::scene::Scene;
use super::stamp::fraction;
use super::{analyse, foreign, promotion, routes};
use crate::notice::{Gate, Notice};
use crate::rollout::{Ladder, Strategy};
use crate::router::row::Feature;
use crate::split::{Mirror, Split};
use crate::timetable::Wake;

/// The strategy was edited in the middle of the analysis: its weights and iterations say nothing of the new one, and routes
/// to one part of the users would lead all of them to the canary. So the analysis begins again, with the traffic on the
/// primary; its first step comes an interval from now.
pub(super) fn change(tick: &Facts) -> Option<Proposal> {
    let is_analysed = matches!(tick.phase(), Phase::Progressing | Phase::WaitingPromotion);
    if !is_analysed || !has_changed_strategy(tick) {
        return None;
    }
    // What cannot be looked at, and a new revision, end or restart the analysis by themselves.
    let scene = tick.scene().ok().filter(|scene| revision::change(tick, scene) != Change::Revision)?;
    let before = tick.run().cloned().unwrap_or_default();
    let mut draft = PlanBuilder::new(tick);
    draft.enter(Phase::Progressing);
    draft.tell(Notice::StrategyChanged);
    begin_again(tick, scene, &mut draft);
    if before.paused_since.is_none() {
        draft.drop_condition("Held");
    }
    let run = draft.run();
    // The revision is the same: what was accepted before it got any traffic is not asked about again (S18).
    let is_accepted = |hook: &&PassedHook| hook.kind == WebhookType::PreRollout;
    run.hooks_passed.extend(before.hooks_passed.iter().filter(is_accepted).cloned());
    run.ordered = before.ordered;
    run.step_started_at = Some(fraction(tick.now));
    Some(draft.finish(Wake::At(tick.now)))
}

/// Whether a closed traffic gate has been told of, and with it all that comes before.
pub(super) fn waits_for_traffic(tick: &Facts) -> bool {
    tick.run().is_some_and(|run| !run.gates_closed.is_empty())
}

/// The check passed, or the run begins.
pub(super) fn advance(tick: &Facts, asker: &Asker, draft: PlanBuilder, scene: &Scene) -> Decision<Proposal> {
    match &tick.rollout.strategy {
        Strategy::Canary(ladder) => advance_weight(tick, asker, draft, (scene, ladder)),
        Strategy::AbTesting(total) => advance_ab(tick, asker, draft, (scene, *total)),
        Strategy::BlueGreen(total) => advance_blue_green(tick, asker, draft, (scene, *total)),
    }
}

/// The next weight, after one step of mirroring if that is wanted, or the promotion.
fn advance_weight(
    tick: &Facts,
    asker: &Asker,
    draft: PlanBuilder,
    (scene, ladder): (&Scene, &Ladder),
) -> Decision<Proposal> {
    if tick.rollout.mirror == Mirror::On && !has_begun(tick) {
        return step_to(tick, draft, Split::PRIMARY.mirrored(), Notice::CanaryAdvanced(0));
    }
    let is_mirrored = intended_split(tick).mirror() == Mirror::On;
    let draft = if is_mirrored { Ok(draft) } else { traffic_gate(tick, asker, draft)? };
    let draft = match draft {
        Ok(draft) => draft,
        Err(plan) => return Ok(plan),
    };
    let weight = intended_split(tick).canary();
    let had = tick.run().map_or(&[][..], |run| &run.weights);
    if let Some(next) = ladder.next(had, weight) {
        let notice = step_notice(ladder, (had, weight), next);
        let mut draft = draft;
        draft.run().weights = if ladder.is_listed() { with_step(had, weight, next) } else { Vec::new() };
        return step_to(tick, draft, Split::with_canary(next), notice);
    }
    promotion_gate(tick, asker, draft, |draft| Ok(promotion::begin(tick, scene, draft)?))
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
    tick: &Facts,
    asker: &Asker,
    mut draft: PlanBuilder,
    (scene, total): (&Scene, u32),
) -> Decision<Proposal> {
    let done = iterations(&draft);
    if done < total {
        draft.status.iterations += 1;
        return step_to(tick, draft, Split::CANARY, Notice::IterationAdvanced(done + 1, total));
    }
    promotion_gate(tick, asker, draft, |draft| Ok(promotion::begin(tick, scene, draft)?))
}

/// Iterations without traffic, or with copies of it; then one with all of it; then the promotion. The gate is asked
/// before each of the two, and not again when it has passed (S18).
fn advance_blue_green(
    tick: &Facts,
    asker: &Asker,
    mut draft: PlanBuilder,
    (scene, total): (&Scene, u32),
) -> Decision<Proposal> {
    let done = iterations(&draft);
    if done < total {
        draft.status.iterations += 1;
        return step_to(tick, draft, checked_split(tick), Notice::IterationAdvanced(done + 1, total));
    }
    let is_routed = intended_split(tick) == Split::CANARY;
    if is_routed || !tick.rollout.provider.can(Feature::Weights) {
        return promotion_gate(tick, asker, draft, |draft| Ok(promotion::begin(tick, scene, draft)?));
    }
    let notice = if tick.rollout.mirror == Mirror::On { Notice::MirroringStopped } else { Notice::RoutingToCanary };
    promotion_gate(tick, asker, draft, |mut draft| {
        draft.status.iterations = i64::from(total) + 1;
        step_to(tick, draft, Split::CANARY, notice)
    })
}

/// Where the traffic is while blue/green is checked: on the primary, unless that cannot start and the target ships its fix
/// (I6).
fn checked_split(tick: &Facts) -> Split {
    if is_fix(tick) {
        intended_split(tick)
    } else if tick.rollout.mirror == Mirror::On {
        Split::PRIMARY.mirrored()
    } else {
        Split::PRIMARY
    }
}

fn iterations(draft: &PlanBuilder) -> u32 {
    u32::try_from(draft.status.iterations).unwrap_or(0)
}

/// Writes a step: the event, the status, the route. The next check is due an interval after this.
fn step_to(tick: &Facts, mut draft: PlanBuilder, split: Split, notice: Notice) -> Decision<Proposal> {
    draft.intend(routes::routes(tick, split)?);
    // Steps that were added while the promotion waited are analysed like any other; only the last one of blue/green, with
    // all of the traffic, comes after its gate.
    let is_step =
        matches!(notice, Notice::CanaryAdvanced(_) | Notice::CanaryAdvancedAgain(..) | Notice::IterationAdvanced(..));
    if draft.status.phase == Phase::WaitingPromotion && is_step {
        draft.enter(Phase::Progressing);
    }
    draft.tell(notice);
    draft.status.canary_weight = i64::from(split.canary());
    let run = draft.run();
    run.step_started_at = Some(fraction(tick.now));
    foreign::close(run, tick.now);
    run.fought_since = None;
    run.strategy = Some(tick.rollout.strategy.kind());
    run.traffic = traffic(split);
    Ok(draft.finish(Wake::At(tick.after(tick.rollout.interval))))
}

/// The gate before each increase, and before the promotion (contract: lifecycle §9.1).
fn traffic_gate<'a>(
    tick: &Facts,
    asker: &Asker,
    mut draft: PlanBuilder<'a>,
) -> Decision<Result<PlanBuilder<'a>, Proposal>> {
    if tick.phase() == Phase::WaitingPromotion {
        return Ok(Ok(draft));
    }
    let gates = asker.gates(&[WebhookType::ConfirmTrafficIncrease], &[])?;
    draft.blame_webhooks(asker);
    match gates {
        Gates::Open(passed) => {
            draft.run().gates_closed.clear();
            note_passed(&mut draft, Gate::ConfirmTrafficIncrease, passed);
            Ok(Ok(draft))
        }
        Gates::Closed { hook, .. } => {
            if draft.run().gates_closed.contains(&hook.name) {
                let mut waiting = PlanBuilder::new(tick);
                if draft.run().held_since.is_none() {
                    // A provider that answers again is told of, however long the gate stays closed.
                    analyse::resume(&mut waiting);
                }
                waiting.blame_webhooks(asker);
                return Ok(Err(waiting.wait_an_interval()));
            }
            draft.run().gates_closed.push(hook.name.clone());
            draft.tell(Notice::WaitingForTrafficIncrease(hook.name.clone(), voice(&hook)));
            Ok(Err(draft.wait_an_interval()))
        }
    }
}

/// The gate before the promotion (contract: lifecycle §9.4). While it is closed the checks go on.
fn promotion_gate<'a>(
    tick: &Facts,
    asker: &Asker,
    mut draft: PlanBuilder<'a>,
    open: impl FnOnce(PlanBuilder<'a>) -> Decision<Proposal>,
) -> Decision<Proposal> {
    let known = draft.run().hooks_passed.clone();
    let gates = asker.gates(&[WebhookType::ConfirmPromotion], &known)?;
    draft.blame_webhooks(asker);
    match gates {
        Gates::Open(passed) => {
            note_passed(&mut draft, Gate::ConfirmPromotion, passed);
            open(draft)
        }
        Gates::Closed { passed, hook, .. } => {
            note_passed(&mut draft, Gate::ConfirmPromotion, passed);
            if tick.phase() != Phase::WaitingPromotion {
                draft.enter(Phase::WaitingPromotion);
                draft.tell(Notice::WaitingForPromotion(hook.name.clone(), voice(&hook)));
            }
            Ok(draft.wait_an_interval())
        }
    }
}
