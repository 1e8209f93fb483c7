//! One tick of one canary: observe, decide, then ask or act and tell. The program in a page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use burgee_api::Canary;
use burgee_core::bounds::Bounds;
use burgee_core::decide::{self, Tick};
use burgee_core::notice::Notice;
use burgee_core::plan::{Plan, Step, Telling, replaced};
use burgee_core::question::{Question, Round};
use burgee_core::rollout::Rollout;
use burgee_core::snapshot;
use burgee_core::timetable::Wake;
use burgee_core::world::{ObjectKey, World};
use jiff::{SignedDuration, Timestamp};

use crate::act;
use crate::ask;
use crate::clock;
use crate::contention::{self, Ruling};
use crate::gauges;
use crate::lock::lock;
use crate::observe;
use crate::operator::Operator;
use crate::stopped::Stopped;
use crate::tell;
use crate::tick_context::TickContext;

/// Pace of a canary whose spec says nothing.
const INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// How soon a canary is looked at again that may not be written.
const FENCED: SignedDuration = SignedDuration::from_secs(1);

/// One tick. Answers when to look again, by the steady clock.
pub async fn tick(operator: Arc<Operator>, key: ObjectKey) -> Wake {
    observe::renew(&operator, &key).await;
    let canary = match observe::canary(&operator, &key) {
        None => return Wake::OnChange,
        Some(Ok(canary)) => canary,
        Some(Err(error)) => {
            tracing::error!(canary = format!("{}.{}", key.name, key.namespace), "canary cannot be read: {error}");
            return Wake::OnChange;
        }
    };
    operator.meet(&key, canary.metadata.uid.as_deref().unwrap_or_default(), &gauges::subject(&canary));
    match Rollout::salvage(&canary, &operator.settings) {
        Ok(rollout) => Box::pin(advance(&operator, &key, canary, &rollout)).await,
        Err(reason) => {
            let context = TickContext::new(&key, &canary, INTERVAL);
            let memory = operator.memory(&key);
            let now = {
                let mut memory = lock(&memory);
                memory.deliveries.look(canary.status.as_ref());
                memory.look_at_the_clock(Timestamp::now(), canary.status.as_ref())
            };
            let plan = decide::refuse(&World::new(canary), now, &reason);
            carry_out(&operator, context, plan).await
        }
    }
}

async fn advance(operator: &Arc<Operator>, key: &ObjectKey, mut canary: Canary, rollout: &Rollout) -> Wake {
    let started = clock::steady();
    let memory = operator.memory(key);
    if let Some(status) = &mut canary.status {
        lock(&memory).delays.correct(status);
    }
    let mut context = TickContext::new(key, &canary, rollout.interval);
    context.bounds = Bounds::of(rollout, &canary);
    let sight = observe::observe(operator, canary, rollout).await;
    tell_of_forbidden(operator, &context, sight.forbidden).await;
    let settings = operator.settings_now();
    let (clock, status) = (Timestamp::now(), sight.world.canary.status.as_ref());
    let now = lock(&memory).look_at_the_clock(clock, status);
    let tick = Tick { world: &sight.world, rollout, settings: &settings, now, clock };
    let verdict = (operator.decide)(&tick, &lock(&memory).answers);
    context.is_decided();
    let next = match verdict {
        Ok(plan) => carry_out(operator, context, plan).await,
        Err(question) => inquire(operator, context, question).await,
    };
    let seconds = clock::steady().duration_since(started).as_secs_f64();
    operator.show(key, |telemetry| telemetry.ticked(&gauges::subject(&sight.world.canary), seconds));
    sight.again.map_or(next, |again| next.sooner(Wake::At(again)))
}

/// Asks what a decision lacks. The answers wake the canary; nothing waits for them here.
async fn inquire(operator: &Arc<Operator>, mut context: TickContext, question: Question) -> Wake {
    let Question { mut repairs, first, asks } = question;
    let memory = operator.memory(&context.key);
    let ruling = lock(&memory).contention.rule(&replaced(&repairs), context.interval, clock::steady());
    if ruling != Ruling::Go {
        // Whoever fights for an object does not keep the question from being asked.
        repairs.retain(|step| !matches!(step, Step::Replace(_)));
    }
    repairs.extend(first.iter().cloned());
    // What is told before a question is told once, however often the question is looked at until it is answered.
    context.moves();
    match act::act(operator, &mut context, repairs).await {
        Ok(()) => {
            ask::ask(operator, &context, asks);
            // Whoever may want a rollback is asked again while another hook takes its time (I22).
            let now = clock::steady();
            Wake::At(now.saturating_add(context.interval).unwrap_or(now))
        }
        // No write that the API server refuses stands before a check or a hook that asks for a rollback (I29). What was
        // answered so far counts: the next look is refused the same write.
        Err(Stopped::Failed(message)) => {
            let told = act::act(operator, &mut context, first).await;
            tracing::debug!(canary = context.title(), "told beside a repair that was refused: {told:?}");
            ask::ask(operator, &context, asks);
            problem(operator, &context, message).await;
            let now = clock::steady();
            Wake::At(now.saturating_add(context.interval).unwrap_or(now))
        }
        Err(stopped @ (Stopped::Unavailable(_) | Stopped::Doubted(..))) => {
            ask::ask(operator, &context, asks);
            retry(operator, &context, stopped).await
        }
        Err(stopped @ (Stopped::Conflict(..) | Stopped::Fenced | Stopped::Late | Stopped::Noted)) => {
            retry(operator, &context, stopped).await
        }
    }
}

async fn carry_out(operator: &Arc<Operator>, mut context: TickContext, plan: Plan) -> Wake {
    let memory = operator.memory(&context.key);
    let ruling = lock(&memory).contention.rule(&plan.repairs, context.interval, clock::steady());
    match ruling {
        Ruling::Go => {}
        Ruling::Wait(until) => return Wake::At(until),
        Ruling::Fight(object, until) => {
            tell_of_fight(operator, &context, &object).await;
            return Wake::At(until);
        }
    }
    let Plan { steps, next, quiet_until, round, repairs: _ } = plan;
    if steps.iter().any(|step| matches!(step, Step::Status(_))) {
        context.moves();
    }
    let acted = act::act(operator, &mut context, steps).await;
    operator.show(&context.key, |telemetry| gauges::show(telemetry, &context.canary, Timestamp::now()));
    match acted {
        Ok(()) => {
            let mut memory = lock(&memory);
            memory.carried_out();
            memory.answers.end_round(round, quiet_until);
            match next {
                Wake::At(at) => Wake::At(memory.canary_clock.steady(at)),
                Wake::OnChange => Wake::OnChange,
            }
        }
        // The answers stay: a conflict is never a step, a check, or an interval.
        Err(stopped) => retry(operator, &context, stopped).await,
    }
}

/// Tells who keeps changing an object that the canary owns.
async fn tell_of_fight(operator: &Arc<Operator>, context: &TickContext, object: &ObjectKey) {
    let found = operator.cluster.get(object).await.ok().flatten().unwrap_or_default();
    let opponent = contention::opponent(&found);
    let text = format!("Conflict: {object} is changed again and again by {opponent}, repairing it once per interval");
    problem(operator, context, text).await;
}

/// What to do after a plan that was not carried out to its end.
async fn retry(operator: &Arc<Operator>, context: &TickContext, stopped: Stopped) -> Wake {
    let now = clock::steady();
    match stopped {
        Stopped::Conflict(object, message) => {
            operator.show(&context.key, |telemetry| {
                telemetry.conflicted(&gauges::subject(&context.canary), object.kind.name());
            });
            let text = format!("{object} is not as it was seen, again and again: {message}");
            lock(&operator.memory(&context.key)).outdated.insert(object);
            let wait = fail(operator, context, text).await;
            tracing::debug!(canary = context.title(), "conflict, looking again in {} ms: {message}", wait.as_millis());
            Wake::At(now.saturating_add(wait).unwrap_or(now))
        }
        Stopped::Late => {
            tracing::warn!(canary = context.title(), "stood still in the middle of a plan, deciding anew");
            fail(operator, context, "the operator stands still in the middle of its plans, again and again".to_owned())
                .await;
            Wake::At(now)
        }
        // Nothing is started without the lease, so this waits for it.
        Stopped::Fenced => Wake::At(now.saturating_add(FENCED).unwrap_or(now)),
        Stopped::Unavailable(message) => {
            let is_stuck = lock(&operator.memory(&context.key)).is_stuck();
            let wait = fail(operator, context, message.clone()).await;
            tracing::warn!(canary = context.title(), "looking again in {} ms: {message}", wait.as_millis());
            if is_stuck {
                problem(operator, context, message).await;
            }
            Wake::At(now.saturating_add(wait).unwrap_or(now))
        }
        // An API server that has just started refuses everybody; a permission is missing only if that stands.
        Stopped::Doubted(message, left) => {
            let wait = fail(operator, context, message.clone()).await.min(left);
            tracing::warn!(canary = context.title(), "refused, looking again in {} ms: {message}", wait.as_millis());
            Wake::At(now.saturating_add(wait).unwrap_or(now))
        }
        Stopped::Noted => Wake::At(now),
        Stopped::Failed(message) => {
            lock(&operator.memory(&context.key)).answers.end_round(Round::Over, None);
            problem(operator, context, message).await;
            Wake::At(now.saturating_add(context.interval).unwrap_or(now))
        }
    }
}

/// One more plan was not carried out. If none has been for two minutes, that is told, whatever kept them from it (S36).
/// Answers how long to wait.
async fn fail(operator: &Arc<Operator>, context: &TickContext, text: String) -> Duration {
    let now = clock::steady();
    let (wait, is_long) = {
        let memory = operator.memory(&context.key);
        let mut memory = lock(&memory);
        (memory.failed(now), memory.is_stuck_for_long(now))
    };
    if is_long {
        problem(operator, context, text).await;
    }
    wait
}

/// Tells of something that went wrong at the edge.
pub async fn problem(operator: &Arc<Operator>, context: &TickContext, message: String) {
    let event_suffix = format!("{:016x}", Timestamp::now().as_nanosecond());
    tell(operator, context, Notice::OperatorFault(message), event_suffix).await;
}

/// Tells which permissions are missing for what the canary needs. The name of the event follows from the text, so that it
/// is one event however often the operator starts.
async fn tell_of_forbidden(operator: &Arc<Operator>, context: &TickContext, forbidden: BTreeSet<String>) {
    for text in forbidden {
        let uid = context.canary.metadata.uid.as_deref().unwrap_or_default();
        let id = snapshot::flagger_id(uid, &text, "not permitted");
        let event_suffix = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        tell(operator, context, Notice::NotPermitted(text), event_suffix).await;
    }
}

async fn tell(operator: &Arc<Operator>, context: &TickContext, notice: Notice, event_suffix: String) {
    let telling = Telling { notice, event_suffix, phase: context.phase() };
    if operator.leadership.may_write()
        && let Err(error) = tell::tell(operator, context, &telling).await
    {
        tracing::error!(canary = context.title(), "event cannot be written: {error}");
    }
}

#[cfg(test)]
mod tests;
