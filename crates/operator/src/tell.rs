//! Tell: the log, the Kubernetes event, the event webhooks. What was told before is not told again: an event's name says
//! which moment it belongs to, and the API server refuses the second one (I23). It decides nothing.

use std::sync::Arc;
use std::time::Instant;

use burgee_core::notice::Notice;
use burgee_core::plan::Telling;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock;
use crate::cluster::{ApiError, Resource};
use crate::event_outage::Way;
use crate::lock::lock;
use crate::memory::{Manner, Moment, Repetition, Saying};
use crate::operator::Operator;
use crate::outbox::post::Announcement;
use crate::refusals::{Belief, News};
use crate::stopped::Stopped;
use crate::tick_context::TickContext;

/// Tells something. Only what a retry may mend is an error: a refusal that does not stand yet, or a server that does not
/// answer. A permission that is missing is logged, and holds nothing up.
pub async fn tell(operator: &Arc<Operator>, context: &TickContext, telling: &Telling) -> Result<(), Stopped> {
    let Telling { notice, event_suffix, phase } = telling;
    let text = notice.event_text(&context.names);
    let now = Timestamp::now();
    let memory = operator.memory(&context.key);
    let own_name = format!("{}.{event_suffix}", context.key.name);
    let saying = Saying { text: &text, name: &own_name };
    let repetition = if notice.is_said_once() { Repetition::Never } else { context.repetition };
    let moment = Moment { run: context.run(), phase: *phase };
    let manner = lock(&memory).told.manner(&moment, saying, repetition, clock::steady());
    let (name, times, is_news) = match manner {
        Manner::Silently => return Ok(()),
        Manner::Anew => {
            let is_news = create(operator, context, &event(context, notice, &own_name, &text, now)).await?;
            (own_name.clone(), 1, is_news)
        }
        Manner::Again { event: name, count } => {
            let patch = json!({"count": count, "lastTimestamp": format!("{now:.0}")});
            let address = format!("{}/{name}", Resource::EVENTS.collection(Some(&context.key.namespace)));
            match send(operator, context, Method::PATCH, &address, &patch).await {
                // The API server forgets events after an hour; what is still so is said again.
                Err(ApiError::Missing(_)) => {
                    let name = format!("{}.{:016x}", context.key.name, now.as_nanosecond());
                    create(operator, context, &event(context, notice, &name, &text, now)).await?;
                    (name, 1, true)
                }
                other => {
                    forgiving(operator, context, "patch", other)?;
                    (name, count, true)
                }
            }
        }
    };
    lock(&memory).told.said(saying, &name, times, clock::steady());
    if is_news {
        spread(operator, context, telling, text);
    }
    Ok(())
}

/// Tells what a plan has to say. The plan waits for its event, but a rollout does not hang on an API server that takes
/// none for ever: after a while it goes on without, and the log says what was not told.
pub async fn tell_in_time(operator: &Arc<Operator>, context: &TickContext, telling: &Telling) -> Result<(), Stopped> {
    let sent = clock::steady();
    let told = tell(operator, context, telling).await;
    let Err(Stopped::Unavailable(error)) = told else { return told };
    let memory = operator.memory(&context.key);
    let now = clock::steady();
    if lock(&memory).event_outage.goes_on(sent, now) == Way::Again {
        return Err(Stopped::Unavailable(error));
    }
    let text = telling.notice.event_text(&context.names);
    let name = format!("{}.{}", context.key.name, telling.event_suffix);
    tracing::warn!(canary = context.title(), "going on without event {name}: {text}: {error}");
    lock(&memory).told.said(Saying { text: &text, name: &name }, &name, 1, now);
    spread(operator, context, telling, text);
    Ok(())
}

/// Tells it to those who are told besides the event: the log and the event webhooks.
fn spread(operator: &Arc<Operator>, context: &TickContext, telling: &Telling, text: String) {
    let Telling { notice, phase, .. } = telling;
    log(context, notice, &text);
    let news = Announcement::Event { text, event_type: notice.event_type(), phase: *phase, at: Timestamp::now() };
    operator.post(context, &news);
}

/// One request for an event. What says that the API server takes events again ends its silence.
async fn send(
    operator: &Operator,
    context: &TickContext,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let memory = operator.memory(&context.key);
    let patience = lock(&memory).event_outage.patience();
    let request = Box::pin(operator.cluster.raw(method, path, Some(body)));
    let answer = match tokio::time::timeout(patience, request).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::Failed(format!("the API server did not answer in {} s", patience.as_secs()))),
    };
    if !matches!(answer, Err(ApiError::Failed(_) | ApiError::Forbidden(_))) {
        lock(&memory).event_outage.end();
    }
    answer
}

/// Creates an event. Answers false if it was told before.
async fn create(operator: &Operator, context: &TickContext, event: &Value) -> Result<bool, Stopped> {
    let collection = Resource::EVENTS.collection(Some(&context.key.namespace));
    match send(operator, context, Method::POST, &collection, event).await {
        Err(ApiError::Conflict(_)) => Ok(false),
        other => forgiving(operator, context, "create", other).map(|()| true),
    }
}

/// An event that cannot be had must not hold a rollout: a namespace that ends takes none, and permissions may be missing.
/// Which one is missing is said once for a namespace.
fn forgiving(
    operator: &Operator,
    context: &TickContext,
    verb: &str,
    answer: Result<Value, ApiError>,
) -> Result<(), Stopped> {
    let wanted = format!("{verb} events in namespace {}", context.key.namespace);
    let belief = operator.doubts.weigh(&context.key.namespace, &wanted, &answer, Instant::now());
    let Err(error) = answer else { return Ok(()) };
    let text = format!("event {verb} error: {error}");
    match (error, belief) {
        (_, Belief::Doubted(left)) => return Err(Stopped::Doubted(text, left)),
        (ApiError::Failed(_), _) => return Err(Stopped::Unavailable(text)),
        (_, Belief::Believed(News::New)) => tracing::error!("missing permission: {wanted}; going on without: {text}"),
        (_, Belief::Believed(News::Old)) => {}
        (
            ApiError::Missing(_)
            | ApiError::Conflict(_)
            | ApiError::Forbidden(_)
            | ApiError::Gone(_)
            | ApiError::Refused(_),
            Belief::NotRefused,
        ) => tracing::warn!(canary = context.title(), "event cannot be written: {text}"),
    }
    Ok(())
}

/// The event object. It is core/v1 because events.k8s.io refuses the source component, which scripts select by.
fn event(context: &TickContext, notice: &Notice, name: &str, text: &str, now: Timestamp) -> Value {
    let time = format!("{now:.0}");
    let metadata = &context.canary.metadata;
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": context.key.namespace},
        "involvedObject": {
            "apiVersion": context.key.kind.api_version(),
            "kind": context.key.kind.name(),
            "namespace": context.key.namespace,
            "name": context.key.name,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "reason": "Synced",
        "message": text,
        "type": notice.event_type().as_str(),
        "source": {"component": "flagger"},
        "reportingComponent": "flagger",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

fn log(context: &TickContext, notice: &Notice, text: &str) {
    let canary = context.title();
    if notice.is_logged_as_error() {
        tracing::error!(canary, "{text}");
    } else {
        tracing::info!(canary, "{text}");
    }
}

#[cfg(test)]
mod tests;
