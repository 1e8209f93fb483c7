//! Tell: the log, the Kubernetes event, the event webhooks. What was told before is not told again: an event's name says
//! which moment it belongs to, and the API server refuses the second one (I23). It decides nothing.

use std::sync::Arc;

use burgee_api::{Canary, Phase};
use burgee_core::notice::{Names, Notice};
use burgee_core::plan::Telling;
use burgee_core::world::ObjectKey;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::{ApiError, Resource};
use crate::memory::{Manner, Moment, Repetition, Saying};
use crate::operator::{Operator, lock};
use crate::outbox::Letter;

/// Whom a telling is about.
#[derive(Clone, Debug)]
pub struct Story {
    /// Key of the canary.
    pub key: ObjectKey,
    /// The canary as last seen or written.
    pub canary: Canary,
    /// The names that notices use.
    pub names: Names,
    /// Pace of the canary.
    pub interval: SignedDuration,
    /// How often the same text is repeated.
    pub repetition: Repetition,
}

impl Story {
    /// The story of a canary, whether or not its spec can be parsed.
    pub fn new(key: &ObjectKey, canary: &Canary, interval: SignedDuration) -> Self {
        let target = &canary.spec.target_ref;
        let names = Names {
            canary: key.name.clone(),
            namespace: key.namespace.clone(),
            target: target.name.clone(),
            target_kind: target.kind.clone(),
        };
        let repetition = Repetition::Every(interval);
        Self { key: key.clone(), canary: canary.clone(), names, interval, repetition }
    }

    /// From now on what is told comes with a status: until that is written, telling it again is a retry (I23).
    pub const fn moves(&mut self) {
        self.repetition = Repetition::Moving(self.interval);
    }

    /// `<name>.<namespace>`, as logs and chats name a canary.
    pub fn title(&self) -> String {
        format!("{}.{}", self.key.name, self.key.namespace)
    }

    /// The phase of the canary as last seen or written.
    pub fn phase(&self) -> Phase {
        self.canary.status.as_ref().map_or(Phase::Unset, |status| status.phase)
    }

    fn run(&self) -> String {
        let run = self.canary.status.as_ref().and_then(|status| status.run.as_ref());
        run.map(|run| format!("{} {}", run.started_at.as_deref().unwrap_or_default(), run.revision)).unwrap_or_default()
    }
}

/// Tells something. Only a failure that a retry may mend is an error; a permission that is missing is logged.
pub async fn tell(operator: &Arc<Operator>, story: &Story, telling: &Telling) -> Result<(), ApiError> {
    let Telling { notice, event_suffix, phase } = telling;
    let text = notice.event_text(&story.names);
    let now = Timestamp::now();
    let memory = operator.memory(&story.key);
    let own_name = format!("{}.{event_suffix}", story.key.name);
    let saying = Saying { text: &text, name: &own_name };
    let repetition = if notice.is_said_once() { Repetition::Never } else { story.repetition };
    let moment = Moment { run: story.run(), phase: *phase };
    let manner = lock(&memory).told.manner(&moment, saying, repetition, now);
    let (name, times, is_news) = match manner {
        Manner::Silently => return Ok(()),
        Manner::Anew => {
            let is_news = create(operator, story, &event(story, notice, &own_name, &text, now)).await?;
            (own_name.clone(), 1, is_news)
        }
        Manner::Again { event: name, count } => {
            let patch = json!({"count": count, "lastTimestamp": format!("{now:.0}")});
            let address = format!("{}/{name}", Resource::EVENTS.collection(Some(&story.key.namespace)));
            match operator.cluster.raw(Method::PATCH, &address, Some(&patch)).await {
                // The API server forgets events after an hour; what is still so is said again.
                Err(ApiError::Missing(_)) => {
                    let name = format!("{}.{:016x}", story.key.name, now.as_nanosecond());
                    create(operator, story, &event(story, notice, &name, &text, now)).await?;
                    (name, 1, true)
                }
                other => {
                    forgiving(other)?;
                    (name, count, true)
                }
            }
        }
    };
    lock(&memory).told.said(saying, &name, times, now);
    if is_news {
        log(story, notice, &text);
        let letter = Letter::Event { text, event_type: notice.event_type(), phase: *phase, at: now };
        operator.post(story, letter);
    }
    Ok(())
}

/// Creates an event. Answers false if it was told before.
async fn create(operator: &Operator, story: &Story, event: &Value) -> Result<bool, ApiError> {
    let collection = Resource::EVENTS.collection(Some(&story.key.namespace));
    match operator.cluster.raw(Method::POST, &collection, Some(event)).await {
        Err(ApiError::Conflict(_)) => Ok(false),
        other => forgiving(other).map(|()| true),
    }
}

/// An event that cannot be had must not hold a rollout: a namespace that ends takes none, and permissions may be missing.
fn forgiving(result: Result<Value, ApiError>) -> Result<(), ApiError> {
    match result {
        Ok(_) => Ok(()),
        Err(error @ ApiError::Failed(_)) => Err(error),
        Err(
            error @ (ApiError::Missing(_)
            | ApiError::Conflict(_)
            | ApiError::Forbidden(_)
            | ApiError::Gone(_)
            | ApiError::Refused(_)),
        ) => {
            tracing::warn!("event cannot be written: {error}");
            Ok(())
        }
    }
}

/// The event object. It is core/v1 because events.k8s.io refuses the source component, which scripts select by.
fn event(story: &Story, notice: &Notice, name: &str, text: &str, now: Timestamp) -> Value {
    let time = format!("{now:.0}");
    let metadata = &story.canary.metadata;
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": story.key.namespace},
        "involvedObject": {
            "apiVersion": story.key.kind.api_version(),
            "kind": story.key.kind.name(),
            "namespace": story.key.namespace,
            "name": story.key.name,
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

fn log(story: &Story, notice: &Notice, text: &str) {
    let canary = story.title();
    if notice.is_logged_as_error() {
        tracing::error!(canary, "{text}");
    } else {
        tracing::info!(canary, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burgee_core::world::Kind;

    #[test]
    fn an_event_looks_as_kubectl_describe_wants_it() {
        let canary: Canary = serde_json::from_value(json!({
            "metadata": {"name": "podinfo", "namespace": "test", "uid": "u", "resourceVersion": "7"},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "target"}},
        }))
        .unwrap();
        let key = ObjectKey::new(Kind::Canary, "test", "podinfo");
        let story = Story::new(&key, &canary, SignedDuration::from_secs(10));
        let event = event(&story, &Notice::Copying, "podinfo.0", "text", Timestamp::from_second(5).unwrap());
        assert_eq!(event["involvedObject"]["uid"], "u");
        assert_eq!(event["involvedObject"]["resourceVersion"], "7");
        assert_eq!(event["involvedObject"]["apiVersion"], "flagger.app/v1beta1");
        assert_eq!((event["reason"].as_str(), event["type"].as_str()), (Some("Synced"), Some("Normal")));
        assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:05Z");
        assert_eq!(event["source"], json!({"component": "flagger"}));
    }
}
