//! Orders of people: each is answered exactly once, in the status write that carries out what it says. What does not fit
//! the moment is refused, with the reason. It goes no way that a run does not go by itself.

use burgee_api::{AnsweredOrder, Canary, OrderResult, Ordered, Phase, Run, RunOutcome};

use super::ask::Asker;
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::promotion::{self, is_copied};
use super::proposal::{Decision, Proposal};
use super::recorded::{is_healing_wanted, is_paused, skips_analysis};
use super::restart::begin_again;
use super::revision::record_revision;
use super::scene::Scene;
use super::stamp::{fraction, time};
use super::{rollback, routes};
use crate::kept;
use crate::notice::Notice;
use crate::order::{self, Order, Unreadable, Word};
use crate::phase::PhaseRules;
use crate::timetable::Wake;
use crate::workload::{self, Side};

/// So many answered orders are remembered.
const REMEMBERED: usize = 8;

/// Answers the order in the canary's annotation, if it was not answered before. It never waits for anything (I28).
pub(super) fn answer(tick: &Facts) -> Option<Proposal> {
    if tick.phase().is_bootstrap() && tick.run().is_none() {
        // The record that remembers answers is made first.
        return None;
    }
    match order::pending(&tick.world.canary)? {
        // It is answered as soon as it can be obeyed, and whatever the primary needs for that is done meanwhile.
        Ok(order) if order.word == Word::Abort && rollback::is_awaited(tick) => None,
        Ok(order) => Some(match objection(tick, &order) {
            Some(reason) => refuse(tick, &order, reason),
            None => obey(tick, &order),
        }),
        Err(Unreadable { id, reason }) => {
            let mut draft = PlanBuilder::new(tick);
            let refusal = Notice::OrderRefused(format!("({id})"), reason);
            note(&mut draft, (&id, OrderResult::Refused), refusal);
            Some(draft.finish(Wake::At(tick.now)))
        }
    }
}

/// Why an order does not fit the moment, if it does not.
fn objection(tick: &Facts, order: &Order) -> Option<String> {
    if let Some(reason) = order.mistimed(tick.clock).filter(|_| !is_about_the_run(tick, order)) {
        return Some(reason);
    }
    if tick.rollout.suspended {
        return Some("the canary is suspended".to_owned());
    }
    let phase = tick.phase();
    let is_analysed = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let reason = match order.word {
        Word::Abort if phase.is_run() || phase == Phase::Waiting => return None,
        Word::Promote | Word::Pause if is_analysed => return already(tick, order.word),
        Word::Resume if is_paused(tick) => return None,
        Word::Retry if is_analysed => return None,
        Word::Retry if phase == Phase::Failed => return unretriable(tick),
        Word::Abort => "no run is under way",
        Word::Promote | Word::Pause => "no analysis is under way",
        Word::Resume => "the analysis is not paused",
        Word::Retry => "no analysis is under way, and none has failed",
    };
    Some(format!("{reason}, the canary is {phase}"))
}

/// Whether an order takes back the very run that was under way when it was given. It is never too old for that: whatever
/// kept it from being answered, the run has gone on meanwhile.
fn is_about_the_run(tick: &Facts, order: &Order) -> bool {
    let started = tick.run().and_then(|run| time(run.started_at.as_deref()?));
    let is_given_since = started.is_some_and(|started| order.at >= started && order.at <= tick.clock);
    order.word == Word::Abort && tick.phase().is_run() && is_given_since
}

fn already(tick: &Facts, word: Word) -> Option<String> {
    match word {
        Word::Pause if is_paused(tick) => Some("the analysis is paused already".to_owned()),
        Word::Promote if skips_analysis(tick) => Some("the promotion waits only for the canary to be ready".to_owned()),
        Word::Abort | Word::Promote | Word::Retry | Word::Pause | Word::Resume => None,
    }
}

/// Why a failed canary cannot be tried again, if it cannot.
fn unretriable(tick: &Facts) -> Option<String> {
    if is_healing_wanted(tick) {
        return Some("the primary is being put back to the last promoted revision".to_owned());
    }
    let status = tick.world.canary.status.as_ref()?;
    let is_promoted = status.last_applied_spec == status.last_promoted_spec;
    is_promoted.then(|| "the target runs the promoted revision".to_owned())
}

fn refuse(tick: &Facts, order: &Order, reason: String) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    let refusal = Notice::OrderRefused(format!("{} by {}", order.word, by(order)), reason);
    note(&mut draft, (&order.id, OrderResult::Refused), refusal);
    draft.finish(Wake::At(tick.now))
}

/// Takes a run back that is ordered back, whatever else is wrong: also with a spec that cannot be meant.
pub(super) fn recall(tick: &Facts) -> Option<Proposal> {
    let order = wanted_back(&tick.world.canary).filter(|_| !rollback::is_awaited(tick))?;
    objection(tick, &order).is_none().then(|| abort(tick, &order))
}

/// Why a canary that cannot be meant is not taken back, if somebody orders it.
pub(super) fn not_recalled(tick: &Facts) -> Option<Proposal> {
    let order = wanted_back(&tick.world.canary)?;
    Some(refuse(tick, &order, objection(tick, &order)?))
}

fn wanted_back(canary: &Canary) -> Option<Order> {
    order::pending(canary)?.ok().filter(|order| order.word == Word::Abort)
}

/// Does what is ordered, or says why it cannot be done.
fn obey(tick: &Facts, order: &Order) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    match order.word {
        Word::Abort => return abort(tick, order),
        Word::Retry if tick.phase() != Phase::Failed => return analyse_again(tick, order),
        Word::Retry => draft.run().ordered = Some(Ordered::Retry),
        Word::Promote => {
            unpause(tick, &mut draft);
            draft.run().ordered = Some(Ordered::Promote);
        }
        Word::Pause => {
            let run = draft.run();
            run.ordered = None;
            run.paused_since = Some(fraction(tick.now));
            draft.set_condition("Held", "True", "Paused", &format!("Paused by {}.", by(order)));
        }
        Word::Resume => unpause(tick, &mut draft),
    }
    accept(&mut draft, order);
    draft.finish(Wake::At(tick.now))
}

/// Rolls back: before the promotion has begun as ever; after that the primary is put back to what was promoted last.
fn abort(tick: &Facts, order: &Order) -> Proposal {
    let mut draft = PlanBuilder::new(tick);
    accept(&mut draft, order);
    match tick.phase() {
        // A primary that cannot be read may have been changed, and is put back when it can be.
        Phase::Promoting | Phase::Finalising => match workload::find_primary(tick.rollout, tick.world) {
            Ok(primary) if !primary.is_some_and(|primary| is_copied(tick, primary)) => {
                rollback::roll_back(tick, draft, RunOutcome::Aborted)
            }
            Ok(_) | Err(_) => match irrevocable(tick) {
                Some(reason) => refuse(tick, order, reason),
                None => promotion::abort(tick, draft, RunOutcome::Aborted),
            },
        },
        // The revision that was turned away is not asked about again.
        Phase::Waiting => match tick.scene() {
            Ok(scene) => {
                record_revision(&mut draft, scene, 0);
                rollback::roll_back(tick, draft, RunOutcome::Aborted)
            }
            Err(_) => refuse(tick, order, UNSEEN.to_owned()),
        },
        Phase::Unset
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => rollback::roll_back(tick, draft, RunOutcome::Aborted),
    }
}

/// Why nothing is ordered of a revision that nobody can name.
const UNSEEN: &str = "the target cannot be read";

/// Why a primary that has been changed already cannot be put back, if it cannot. What is kept and cannot be read is taken
/// to be there.
fn irrevocable(tick: &Facts) -> Option<String> {
    let promoted = tick.world.canary.status.as_ref().map_or("", |status| status.last_promoted_spec.as_str());
    let kept = tick.world.look(&kept::key(tick.rollout, promoted));
    if kept.is_ok_and(|kept| !kept.is_some_and(|kept| kept::is_true(tick.rollout, promoted, kept))) {
        return Some("the primary is changed already, and no promoted revision is kept to put it back to".to_owned());
    }
    let has_refuge = tick.ready_pods(Side::Canary) > 0 || tick.ready_pods(Side::Primary) > 0;
    let reason = "the primary is changed already, and no pod is ready to take the traffic meanwhile";
    (!has_refuge).then(|| reason.to_owned())
}

/// The run under way begins again, with the traffic on the primary; its first weight comes an interval from now, so that
/// no two weights are closer than that, however often it is ordered.
fn analyse_again(tick: &Facts, order: &Order) -> Proposal {
    let Ok(scene) = tick.scene() else { return refuse(tick, order, UNSEEN.to_owned()) };
    let mut draft = PlanBuilder::new(tick);
    draft.enter(Phase::Progressing);
    accept(&mut draft, order);
    begin_again(tick, scene, &mut draft);
    draft.run().paused_since = None;
    draft.drop_condition("Held");
    draft.run().step_started_at = Some(fraction(tick.now));
    draft.finish(Wake::At(tick.now))
}

/// The pause ends; a provider that did not answer before it is still not answering as far as anybody knows.
fn unpause(tick: &Facts, draft: &mut PlanBuilder) {
    // The checks do not wait for the next time at which rollback hooks would be asked.
    draft.quiet_until(tick.now);
    let run = draft.run();
    run.paused_since = None;
    match run.held_since.as_ref().and(run.held_reason.clone()) {
        Some(reason) => draft.set_condition("Held", "True", "ProviderNotAnswering", &reason),
        None => draft.drop_condition("Held"),
    }
}

/// While paused no check is made; drift is repaired, and pods that fail or a hook that wants a rollback still end the run
/// (S5).
pub(super) fn rest(tick: &Facts, asker: &Asker, scene: &Scene) -> Decision<Proposal> {
    if let Some(plan) = routes::misrouted(tick)? {
        return Ok(plan);
    }
    if let Some(plan) = rollback::manual(tick, asker, Some(scene))? {
        return Ok(plan);
    }
    Ok(PlanBuilder::new(tick).wait_an_interval())
}

fn accept(draft: &mut PlanBuilder, order: &Order) {
    note(draft, (&order.id, OrderResult::Obeyed), Notice::Ordered(order.word, by(order)));
}

/// Tells the answer, and remembers it.
fn note(draft: &mut PlanBuilder, (id, result): (&str, OrderResult), notice: Notice) {
    let message = draft.text(&notice);
    if matches!(notice, Notice::Ordered(Word::Abort, _)) {
        draft.tell(notice);
    } else {
        draft.tell_aside(notice);
    }
    remember(draft.run(), AnsweredOrder { id: id.to_owned(), result, message });
}

/// Remembers an order that was answered.
pub(super) fn remember(run: &mut Run, answered: AnsweredOrder) {
    run.orders.push(answered);
    let surplus = run.orders.len().saturating_sub(REMEMBERED);
    run.orders.drain(..surplus);
}

/// Who gave the order, with its id: no two texts are the same, so that no event is folded away.
pub(super) fn by(order: &Order) -> String {
    format!("{} ({})", order.actor, order.id)
}
