//! What is told, in which words, and where.

use std::sync::Mutex;

use burgee_api::{Canary, Phase};
use burgee_core::world::{Kind, ObjectKey};
use jiff::SignedDuration;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::*;
use crate::args::LogFormat;
use crate::fixtures::{Fake, failure};
use crate::logs::Line;

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

impl Lines {
    /// Has all that this thread logs from now on come here, until the guard goes.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let own = self.clone();
        let builder =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).event_format(Line(LogFormat::Json));
        tracing::subscriber::set_default(builder.with_writer(BoxMakeWriter::new(move || own.clone())).finish())
    }

    /// The lines of one canary.
    fn of(&self, canary: &str) -> Vec<Value> {
        let written = lock(&self.0).clone();
        let lines = written.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        lines.filter(|line: &Value| line["canary"] == canary).collect()
    }
}

/// The line that a notice makes in the log.
fn logged(notice: &Notice) -> Value {
    let (lines, context) = (Lines::default(), crate::fixtures::context());
    let _guard = lines.listen();
    log(&context, notice, &notice.text(&context.names));
    lines.of("podinfo.test").remove(0)
}

#[tokio::test]
async fn what_is_not_told_for_lack_of_an_events_api_is_named_in_the_log() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let fake = Fake::start(|_| failure(503, "no")).await;
    let (operator, context) = (fake.operator(), crate::fixtures::context());
    let since = clock::steady() - SignedDuration::from_secs(30);
    lock(&operator.memory(&context.key)).event_outage.goes_on(since, clock::steady());
    let telling = Telling { notice: Notice::Copying, event_suffix: "00ff".to_owned(), phase: Phase::Progressing };
    tell_in_time(&operator, &context, &telling).await.unwrap();
    let told = "Copying podinfo.test template spec to podinfo-primary.test";
    let warning = format!("going on without event podinfo.00ff: {told}: event create error: no (503)");
    let lines: Vec<(Value, Value)> =
        lines.of("podinfo.test").into_iter().map(|line| (line["level"].clone(), line["msg"].clone())).collect();
    assert_eq!(lines, [(json!("warn"), json!(warning)), (json!("info"), json!(told))]);
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
    let context = TickContext::new(&key, &canary, SignedDuration::from_secs(10));
    let event = event(&context, &Notice::Copying, "podinfo.0", "text", Timestamp::from_second(5).unwrap());
    assert_eq!(event["involvedObject"]["uid"], "u");
    assert_eq!(event["involvedObject"]["resourceVersion"], "7");
    assert_eq!(event["involvedObject"]["apiVersion"], "flagger.app/v1beta1");
    assert_eq!((event["reason"].as_str(), event["type"].as_str()), (Some("Synced"), Some("Normal")));
    assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:05Z");
    assert_eq!(event["source"], json!({"component": "flagger"}));
}
