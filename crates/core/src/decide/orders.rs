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
use super::stamp::{fraction, time};
use super::workloads::Workloads;
use super::{rollback, routes};
use crate::notice::Notice;
use crate::order::{self, Order, Unreadable, Word};
use crate::phase::PhaseRules;
use crate::snapshot;
use crate::timetable::Wake;
use crate::workload::{self, Side};

/// So many answered orders are remembered.
const REMEMBERED: usize = 8;

/// Answers the order in the canary's annotation, if it was not answered before. It never waits for anything (I28).
pub(super) fn answer(facts: &Facts) -> Option<Proposal> {
    if facts.phase().is_bootstrap() && facts.run().is_none() {
        // The record that remembers answers is made first.
        return None;
    }
    match order::pending(&facts.world.canary)? {
        // It is answered as soon as it can be obeyed, and whatever the primary needs for that is done meanwhile.
        Ok(order) if order.word == Word::Abort && rollback::is_awaited(facts) => None,
        Ok(order) => Some(match objection(facts, &order) {
            Some(reason) => refuse(facts, &order, reason),
            None => obey(facts, &order),
        }),
        Err(Unreadable { id, reason }) => {
            let mut builder = PlanBuilder::new(facts);
            let refusal = Notice::OrderRefused(format!("({id})"), reason);
            note(&mut builder, (&id, OrderResult::Refused), refusal);
            Some(builder.finish(Wake::At(facts.now)))
        }
    }
}

/// Why an order does not fit the moment, if it does not.
fn objection(facts: &Facts, order: &Order) -> Option<String> {
    if let Some(reason) = order.mistimed(facts.clock).filter(|_| !is_about_the_run(facts, order)) {
        return Some(reason);
    }
    if facts.rollout.suspended {
        return Some("the canary is suspended".to_owned());
    }
    let phase = facts.phase();
    let is_analysed = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let reason = match order.word {
        Word::Abort if phase.is_run() || phase == Phase::Waiting => return None,
        Word::Promote | Word::Pause if is_analysed => return already(facts, order.word),
        Word::Resume if is_paused(facts) => return None,
        Word::Retry if is_analysed => return None,
        Word::Retry if phase == Phase::Failed => return unretriable(facts),
        Word::Abort => "no run is under way",
        Word::Promote | Word::Pause => "no analysis is under way",
        Word::Resume => "the analysis is not paused",
        Word::Retry => "no analysis is under way, and none has failed",
    };
    Some(format!("{reason}, the canary is {phase}"))
}

/// Whether an order takes back the very run that was under way when it was given. It is never too old for that: whatever
/// kept it from being answered, the run has gone on meanwhile.
fn is_about_the_run(facts: &Facts, order: &Order) -> bool {
    let started = facts.run().and_then(|run| time(run.started_at.as_deref()?));
    let is_given_since = started.is_some_and(|started| order.at >= started && order.at <= facts.clock);
    order.word == Word::Abort && facts.phase().is_run() && is_given_since
}

fn already(facts: &Facts, word: Word) -> Option<String> {
    match word {
        Word::Pause if is_paused(facts) => Some("the analysis is paused already".to_owned()),
        Word::Promote if skips_analysis(facts) => {
            Some("the promotion waits only for the canary to be ready".to_owned())
        }
        Word::Abort | Word::Promote | Word::Retry | Word::Pause | Word::Resume => None,
    }
}

/// Why a failed canary cannot be tried again, if it cannot.
fn unretriable(facts: &Facts) -> Option<String> {
    if is_healing_wanted(facts) {
        return Some("the primary is being put back to the last promoted revision".to_owned());
    }
    let status = facts.world.canary.status.as_ref()?;
    let is_promoted = status.last_applied_spec == status.last_promoted_spec;
    is_promoted.then(|| "the target runs the promoted revision".to_owned())
}

fn refuse(facts: &Facts, order: &Order, reason: String) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    let refusal = Notice::OrderRefused(format!("{} by {}", order.word, by(order)), reason);
    note(&mut builder, (&order.id, OrderResult::Refused), refusal);
    builder.finish(Wake::At(facts.now))
}

/// Takes a run back that is ordered back, whatever else is wrong: also with a spec that cannot be meant.
pub(super) fn recall(facts: &Facts) -> Option<Proposal> {
    let order = wanted_back(&facts.world.canary).filter(|_| !rollback::is_awaited(facts))?;
    objection(facts, &order).is_none().then(|| abort(facts, &order))
}

/// Why a canary that cannot be meant is not taken back, if somebody orders it.
pub(super) fn not_recalled(facts: &Facts) -> Option<Proposal> {
    let order = wanted_back(&facts.world.canary)?;
    Some(refuse(facts, &order, objection(facts, &order)?))
}

fn wanted_back(canary: &Canary) -> Option<Order> {
    order::pending(canary)?.ok().filter(|order| order.word == Word::Abort)
}

/// Does what is ordered, or says why it cannot be done.
fn obey(facts: &Facts, order: &Order) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    match order.word {
        Word::Abort => return abort(facts, order),
        Word::Retry if facts.phase() != Phase::Failed => return analyse_again(facts, order),
        Word::Retry => builder.run().ordered = Some(Ordered::Retry),
        Word::Promote => {
            unpause(facts, &mut builder);
            builder.run().ordered = Some(Ordered::Promote);
        }
        Word::Pause => {
            let run = builder.run();
            run.ordered = None;
            run.paused_since = Some(fraction(facts.now));
            builder.set_condition("Held", "True", "Paused", &format!("Paused by {}.", by(order)));
        }
        Word::Resume => unpause(facts, &mut builder),
    }
    accept(&mut builder, order);
    builder.finish(Wake::At(facts.now))
}

/// Rolls back: before the promotion has begun as ever; after that the primary is put back to what was promoted last.
fn abort(facts: &Facts, order: &Order) -> Proposal {
    let mut builder = PlanBuilder::new(facts);
    accept(&mut builder, order);
    match facts.phase() {
        // A primary that cannot be read may have been changed, and is put back when it can be.
        Phase::Promoting | Phase::Finalising => match workload::find_primary(facts.rollout, facts.world) {
            Ok(primary) if !primary.is_some_and(|primary| is_copied(facts, primary)) => {
                rollback::roll_back(facts, builder, RunOutcome::Aborted)
            }
            Ok(_) | Err(_) => match irrevocable(facts) {
                Some(reason) => refuse(facts, order, reason),
                None => promotion::abort(facts, builder, RunOutcome::Aborted),
            },
        },
        // The revision that was turned away is not asked about again.
        Phase::Waiting => match facts.workloads() {
            Ok(workloads) => {
                record_revision(&mut builder, workloads, 0);
                rollback::roll_back(facts, builder, RunOutcome::Aborted)
            }
            Err(_) => refuse(facts, order, UNSEEN.to_owned()),
        },
        Phase::Unset
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => rollback::roll_back(facts, builder, RunOutcome::Aborted),
    }
}

/// Why nothing is ordered of a revision that nobody can name.
const UNSEEN: &str = "the target cannot be read";

/// Why a primary that has been changed already cannot be put back, if it cannot. What is kept and cannot be read is taken
/// to be there.
fn irrevocable(facts: &Facts) -> Option<String> {
    let promoted = facts.world.canary.status.as_ref().map_or("", |status| status.last_promoted_spec.as_str());
    let kept = facts.world.look(&snapshot::key(facts.rollout, promoted));
    if kept.is_ok_and(|kept| !kept.is_some_and(|kept| snapshot::is_true(facts.rollout, promoted, kept))) {
        return Some("the primary is changed already, and no promoted revision is kept to put it back to".to_owned());
    }
    let has_refuge = facts.ready_pods(Side::Canary) > 0 || facts.ready_pods(Side::Primary) > 0;
    let reason = "the primary is changed already, and no pod is ready to take the traffic meanwhile";
    (!has_refuge).then(|| reason.to_owned())
}

/// The run under way begins again, with the traffic on the primary; its first weight comes an interval from now, so that
/// no two weights are closer than that, however often it is ordered.
fn analyse_again(facts: &Facts, order: &Order) -> Proposal {
    let Ok(workloads) = facts.workloads() else { return refuse(facts, order, UNSEEN.to_owned()) };
    let mut builder = PlanBuilder::new(facts);
    builder.enter(Phase::Progressing);
    accept(&mut builder, order);
    begin_again(facts, workloads, &mut builder);
    builder.run().paused_since = None;
    builder.drop_condition("Held");
    builder.run().step_started_at = Some(fraction(facts.now));
    builder.finish(Wake::At(facts.now))
}

/// The pause ends; a provider that did not answer before it is still not answering as far as anybody knows.
fn unpause(facts: &Facts, builder: &mut PlanBuilder) {
    // The checks do not wait for the next time at which rollback hooks would be asked.
    builder.quiet_until(facts.now);
    let run = builder.run();
    run.paused_since = None;
    match run.held_since.as_ref().and(run.held_reason.clone()) {
        Some(reason) => builder.set_condition("Held", "True", "ProviderNotAnswering", &reason),
        None => builder.drop_condition("Held"),
    }
}

/// While paused no check is made; drift is repaired, and pods that fail or a hook that wants a rollback still end the run
/// (S5).
pub(super) fn rest(facts: &Facts, asker: &Asker, workloads: &Workloads) -> Decision<Proposal> {
    if let Some(plan) = routes::misrouted(facts)? {
        return Ok(plan);
    }
    if let Some(plan) = rollback::manual(facts, asker, Some(workloads))? {
        return Ok(plan);
    }
    Ok(PlanBuilder::new(facts).wait_an_interval())
}

fn accept(builder: &mut PlanBuilder, order: &Order) {
    note(builder, (&order.id, OrderResult::Obeyed), Notice::Ordered(order.word, by(order)));
}

/// Tells the answer, and remembers it.
fn note(builder: &mut PlanBuilder, (id, result): (&str, OrderResult), notice: Notice) {
    let message = builder.text(&notice);
    if matches!(notice, Notice::Ordered(Word::Abort, _)) {
        builder.tell(notice);
    } else {
        builder.tell_aside(notice);
    }
    remember(builder.run(), AnsweredOrder { id: id.to_owned(), result, message });
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
