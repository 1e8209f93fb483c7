//! Tell: the log, the Kubernetes event, the event webhooks. What was told before is not told again: an event's name says
//! which moment it belongs to, and the API server refuses the second one (I23). It decides nothing.

use std::sync::Arc;
use std::time::Instant;

use burgee_api::{Canary, Phase};
use burgee_core::notice::{Names, Notice};
use burgee_core::plan::Telling;
use burgee_core::times::Course;
use burgee_core::world::ObjectKey;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::act::Stopped;
use crate::clock;
use crate::cluster::{ApiError, Resource};
use crate::memory::{Manner, Moment, Repetition, Saying};
use crate::operator::{Operator, lock};
use crate::outbox::Letter;
use crate::refusals::{Belief, News};

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
    /// How the plan gets on.
    pub course: Course,
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
        let course = Course::begun(canary.status.as_ref(), clock::steady());
        Self { key: key.clone(), canary: canary.clone(), names, interval, repetition, course }
    }

    /// Now it is decided how it goes on.
    pub fn is_decided(&mut self) {
        self.course = Course::begun(self.canary.status.as_ref(), clock::steady());
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

/// Tells something. Only what a retry may mend is an error: a refusal that does not stand yet, or a server that does not
/// answer. A permission that is missing is logged, and holds nothing up.
pub async fn tell(operator: &Arc<Operator>, story: &Story, telling: &Telling) -> Result<(), Stopped> {
    let Telling { notice, event_suffix, phase } = telling;
    let text = notice.event_text(&story.names);
    let now = Timestamp::now();
    let memory = operator.memory(&story.key);
    let own_name = format!("{}.{event_suffix}", story.key.name);
    let saying = Saying { text: &text, name: &own_name };
    let repetition = if notice.is_said_once() { Repetition::Never } else { story.repetition };
    let moment = Moment { run: story.run(), phase: *phase };
    let manner = lock(&memory).told.manner(&moment, saying, repetition, clock::steady());
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
                    forgiving(operator, story, "patch", other)?;
                    (name, count, true)
                }
            }
        }
    };
    lock(&memory).told.said(saying, &name, times, clock::steady());
    if is_news {
        log(story, notice, &text);
        let letter = Letter::Event { text, event_type: notice.event_type(), phase: *phase, at: now };
        operator.post(story, letter);
    }
    Ok(())
}

/// Creates an event. Answers false if it was told before.
async fn create(operator: &Operator, story: &Story, event: &Value) -> Result<bool, Stopped> {
    let collection = Resource::EVENTS.collection(Some(&story.key.namespace));
    match operator.cluster.raw(Method::POST, &collection, Some(event)).await {
        Err(ApiError::Conflict(_)) => Ok(false),
        other => forgiving(operator, story, "create", other).map(|()| true),
    }
}

/// An event that cannot be had must not hold a rollout: a namespace that ends takes none, and permissions may be missing.
/// Which one is missing is said once for a namespace.
fn forgiving(operator: &Operator, story: &Story, verb: &str, answer: Result<Value, ApiError>) -> Result<(), Stopped> {
    let wanted = format!("{verb} events in namespace {}", story.key.namespace);
    let belief = operator.doubts.weigh(&wanted, &answer, Instant::now());
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
        ) => tracing::warn!(canary = story.title(), "event cannot be written: {text}"),
    }
    Ok(())
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
    use std::sync::Mutex;

    use burgee_core::world::Kind;
    use tracing_subscriber::fmt::writer::BoxMakeWriter;

    use super::*;
    use crate::logs::Json;

    /// Where lines of the log go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The line that a notice makes in the log.
    fn logged(notice: &Notice) -> Value {
        let lines = Lines::default();
        let own = lines.clone();
        let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).event_format(Json);
        let subscriber = builder.with_writer(BoxMakeWriter::new(move || own.clone())).finish();
        let story = crate::fixtures::story();
        tracing::subscriber::with_default(subscriber, || log(&story, notice, &notice.text(&story.names)));
        let written = lock(&lines.0).clone();
        serde_json::from_slice(&written).unwrap()
    }

    #[test]
    fn warnings_are_logged_at_info_like_everything_but_what_the_operator_itself_could_not_do() {
        let check = |notice: &Notice, event_type: &str, level: &str, text: &str| {
            let mut line = logged(notice);
            assert!(line["ts"].take().is_string(), "{line}");
            assert_eq!(line, json!({"level": level, "ts": null, "msg": text, "canary": "podinfo.test"}));
            assert_eq!(notice.event_type().as_str(), event_type, "{text}");
        };
        let text = || "deployment podinfo.test get query error: no".to_owned();
        check(&Notice::NewRevision, "Normal", "info", "New revision detected! Scaling up podinfo.test");
        check(&Notice::Problem(text()), "Warning", "info", &text());
        check(&Notice::MetricHalt(text()), "Warning", "info", &text());
        check(&Notice::ProviderSilent(text()), "Warning", "info", &text());
        check(&Notice::CanaryFailed, "Warning", "info", "Canary failed! Scaling down podinfo.test");
        check(&Notice::Invalid("no".to_owned()), "Warning", "info", "Invalid canary spec: no");
        check(&Notice::OperatorFault(text()), "Warning", "error", &text());
    }

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
