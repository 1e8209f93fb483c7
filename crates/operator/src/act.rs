//! Act: carries out a plan, step by step, each write with the version it was decided on. The first one that fails stops
//! the plan. It decides nothing, and writes nothing without the lease.

use std::sync::Arc;
use std::time::Instant;

use burgee_api::{Canary, CanaryStatus};
use burgee_core::bounds::Trespass;
use burgee_core::plan::{Count, Step};
use burgee_core::times::{BEAT, Pulse};
use burgee_core::world::{Kind, ObjectKey};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock;
use crate::cluster::ApiError;
use crate::lock::lock;
use crate::operator::Operator;
use crate::refusals::Belief;
use crate::stopped::Stopped;
use crate::tell;
use crate::tick_context::TickContext;

/// Carries out the steps in order. The context follows the status that is written.
pub async fn act(operator: &Arc<Operator>, context: &mut TickContext, steps: Vec<Step>) -> Result<(), Stopped> {
    let acted = take_all(operator, context, steps).await;
    let memory = operator.memory(&context.key);
    lock(&memory).delays.note(&context.timing, clock::steady());
    acted
}

async fn take_all(operator: &Arc<Operator>, context: &mut TickContext, steps: Vec<Step>) -> Result<(), Stopped> {
    let mut pulse = context.timing.pulse();
    for step in steps {
        if step.is_write() && pulse.stood_still(clock::steady()) {
            return Err(Stopped::Late);
        }
        alive(&mut pulse, carry_out(operator, context, step)).await?;
    }
    Ok(())
}

/// Waits for a step however long it takes, and gives signs of life meanwhile: a slow answer is no standstill, and a plan
/// that led traffic away from a bad version must not be given up for it (I22). A process that was stopped gives none.
async fn alive<T>(pulse: &mut Pulse, step: impl Future<Output = T>) -> T {
    let mut step = std::pin::pin!(step);
    loop {
        let answer = tokio::time::timeout(BEAT.unsigned_abs(), &mut step).await;
        pulse.beat(clock::steady());
        if let Ok(answer) = answer {
            return answer;
        }
    }
}

async fn carry_out(operator: &Arc<Operator>, context: &mut TickContext, step: Step) -> Result<(), Stopped> {
    if let Err(trespass) = context.bounds.may_take(&step) {
        return refuse(operator, context, &step, trespass).await;
    }
    match step {
        Step::Create(object) => create(operator, context, &object).await.map(drop),
        Step::Replace(object) => replace(operator, context, &object).await,
        Step::Keep(object) => {
            let kept = kept::keep(operator, context, &object).await;
            forgiving(operator, context, kept).await
        }
        Step::Drop(key) => kept::drop_kept(operator, context, &key).await,
        Step::Patch { key, operations } => patch(operator, context, &key, &operations).await,
        Step::CopyConfig(copy) => kept::copy_config(operator, context, &copy).await,
        Step::KeepConfigs { key, copies } => {
            let kept = kept::keep_configs(operator, context, &key, &copies).await;
            forgiving(operator, context, kept).await
        }
        Step::RestoreConfigs(key) => {
            let restored = kept::restore_configs(operator, context, &key).await;
            forgiving(operator, context, restored).await
        }
        Step::Status(status) => write_status(operator, context, *status).await,
        Step::Tell(telling) => {
            may_write(operator)?;
            tell::tell_in_time(operator, context, &telling).await
        }
        Step::Deliver(delivery) => {
            operator.deliver(context, &delivery);
            Ok(())
        }
        Step::Count(count) => {
            move_counter(operator, context, count);
            Ok(())
        }
    }
}

/// No write starts without enough of the lease left (I17), or while the definitions would drop what it says.
fn may_write(operator: &Operator) -> Result<(), Stopped> {
    if operator.leadership.may_write() && operator.definitions.is_current() { Ok(()) } else { Err(Stopped::Fenced) }
}

fn key_of(object: &Value) -> Result<ObjectKey, Stopped> {
    ObjectKey::of(object).ok_or_else(|| Stopped::Failed("a plan holds an object of an unknown kind".to_owned()))
}

/// What an answer of the API server means for a plan. A failed `test` of a JSON patch is a conflict like any other, and a
/// refusal says nothing before it has stood.
fn judge<T>(operator: &Operator, key: &ObjectKey, verb: &str, answer: Result<T, ApiError>) -> Result<T, Stopped> {
    let belief = operator.doubts.weigh(&key.namespace, &format!("{verb} {key}"), &answer, Instant::now());
    answer.map_err(|error| match (error, belief) {
        (error, Belief::Doubted(left)) => Stopped::Doubted(format!("{key} {verb} error: {error}"), left),
        (error, Belief::NotRefused | Belief::Believed(_)) => meaning(key, verb, error),
    })
}

fn meaning(key: &ObjectKey, verb: &str, error: ApiError) -> Stopped {
    match error {
        ApiError::Conflict(message) => Stopped::Conflict(key.clone(), message),
        ApiError::Missing(message) if verb != "create" => Stopped::Conflict(key.clone(), message),
        ApiError::Refused(message) if verb.starts_with("patch") && is_failed_test(&message) => {
            Stopped::Conflict(key.clone(), message)
        }
        ApiError::Failed(message) => Stopped::Unavailable(format!("{key} {verb} error: {message}")),
        error @ (ApiError::Missing(_) | ApiError::Forbidden(_) | ApiError::Gone(_) | ApiError::Refused(_)) => {
            Stopped::Failed(format!("{key} {verb} error: {error}"))
        }
    }
}

/// The API server's words for a JSON patch that does not fit the object as it is now.
fn is_failed_test(message: &str) -> bool {
    ["testing value", "test failed", "the server rejected our request due to an error in our request", "unable to find"]
        .iter()
        .any(|words| message.to_lowercase().contains(words))
}

/// Creates an object. Answers it as it is stored.
async fn create(operator: &Operator, context: &TickContext, object: &Value) -> Result<Value, Stopped> {
    let key = key_of(object)?;
    context.bounds.may_create(&key, object)?;
    may_write(operator)?;
    let written = judge(operator, &key, "create", operator.cluster.create(&key, object).await)?;
    operator.stores.wrote(&key, &written);
    Ok(written)
}

async fn replace(operator: &Operator, context: &TickContext, object: &Value) -> Result<(), Stopped> {
    let key = key_of(object)?;
    context.bounds.may_replace(&key, object)?;
    may_write(operator)?;
    let written = judge(operator, &key, "update", operator.cluster.replace(&key, object).await)?;
    operator.stores.wrote(&key, &written);
    Ok(())
}

/// Deletes an object that was seen to be the canary's, and no other that has taken its place.
async fn delete(operator: &Operator, context: &TickContext, key: &ObjectKey, seen: &Value) -> Result<(), Stopped> {
    context.bounds.may_delete(key, seen)?;
    may_write(operator)?;
    let uid = seen["metadata"]["uid"].as_str().unwrap_or_default();
    match operator.cluster.delete(key, Some(uid)).await {
        Err(ApiError::Missing(_)) => {}
        answer => drop(judge(operator, key, "delete", answer)?),
    }
    operator.stores.deleted(key, uid);
    Ok(())
}

async fn patch(
    operator: &Operator,
    context: &mut TickContext,
    key: &ObjectKey,
    operations: &Value,
) -> Result<(), Stopped> {
    context.bounds.may_patch(key)?;
    may_write(operator)?;
    let written = judge(operator, key, "patch", operator.cluster.patch(key, operations).await)?;
    follow(operator, context, key, &written);
    Ok(())
}

/// A step that leaves the bounds of its canary is not taken. What only serves a later return stops nothing.
async fn refuse(
    operator: &Arc<Operator>,
    context: &TickContext,
    step: &Step,
    trespass: Trespass,
) -> Result<(), Stopped> {
    let refused = Err(Stopped::from(trespass));
    match step {
        Step::Keep(_) | Step::Drop(_) | Step::KeepConfigs { .. } | Step::RestoreConfigs(_) => {
            forgiving(operator, context, refused).await
        }
        Step::Create(_)
        | Step::Replace(_)
        | Step::Patch { .. }
        | Step::CopyConfig(_)
        | Step::Tell(_)
        | Step::Status(_)
        | Step::Deliver(_)
        | Step::Count(_) => refused,
    }
}

/// What cannot be kept or put back for good is said, and stops nothing: the template is kept all the same.
async fn forgiving(operator: &Arc<Operator>, context: &TickContext, done: Result<(), Stopped>) -> Result<(), Stopped> {
    let Err(Stopped::Failed(message)) = done else { return done };
    crate::tick::problem(operator, context, message).await;
    Ok(())
}

async fn write_status(operator: &Operator, context: &mut TickContext, mut status: CanaryStatus) -> Result<(), Stopped> {
    may_write(operator)?;
    context.timing.send(&mut status, clock::steady());
    lock(&operator.memory(&context.key)).deliveries.expect(&status);
    let operations = status_patch(context.canary.metadata.resource_version.as_deref(), &status);
    let key = context.key.clone();
    let written = judge(operator, &key, "patch status", operator.cluster.patch_status(&key, &operations).await)?;
    operator.definitions.inspect(&status, &written);
    follow(operator, context, &key, &written);
    Ok(())
}

/// `add` works when there is no status yet; replacing the version makes a stale one a real conflict.
fn status_patch(version: Option<&str>, status: &CanaryStatus) -> Value {
    json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status", "value": status},
    ])
}

/// Enters a written object; if it is the canary, the context goes on from it.
fn follow(operator: &Operator, context: &mut TickContext, key: &ObjectKey, written: &Value) {
    operator.stores.wrote(key, written);
    if key.kind == Kind::Canary
        && let Ok(canary) = Canary::read_value(written)
    {
        context.canary = Arc::new(canary);
    }
}

fn move_counter(operator: &Operator, context: &TickContext, count: Count) {
    let subject = crate::gauges::subject(&context.canary);
    let strategy = crate::gauges::strategy(&context.canary);
    operator.show(&context.key, |telemetry| match count {
        Count::Completed => telemetry.succeeded(&subject, strategy, "completed"),
        Count::Skipped => telemetry.succeeded(&subject, strategy, "skipped"),
        Count::Failed => telemetry.failed(&subject, strategy),
        Count::Superseded(_) => {}
    });
    if let Some((outcome, seconds)) = crate::gauges::ended(&context.canary, count, Timestamp::now()) {
        operator.show(&context.key, |telemetry| telemetry.rolled_out(&subject, outcome, seconds));
    }
}

mod kept;

#[cfg(test)]
mod tests;
