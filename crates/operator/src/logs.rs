//! Log lines as the contract has them: JSON with `level`, `ts`, `msg` and `canary`, on stderr (contract: operations §4).
//! It formats; what is logged is said elsewhere.

use std::fmt;

use burgee_core::plain::{plain, plain_json};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::args::LogFormat;

/// Starts logging, from a level on: a word that `tracing` knows.
pub fn start(level: &str, format: LogFormat) {
    // A second start, as in tests, keeps the first one's.
    let _ = tracing::subscriber::set_global_default(subscriber(level, format, std::io::stderr));
    // A panic is a record like any other: what others wrote may stand in it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("internal error at {place}: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
}

/// Libraries are heard from `warn` on, whatever the level; the client of the API server never, because it logs the bodies
/// that it cannot read, Secrets among them (S32). The environment has no say in it.
fn subscriber<W>(level: &str, format: LogFormat, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let silent = "kube=off,kube_client=off,kube_core=off,kube_runtime=off,hickory_net=off,hickory_resolver=off";
    let filter =
        EnvFilter::new(format!("warn,{silent},burgee={level},burgee_loadtester={level},burgee_operator={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    builder.with_ansi(false).event_format(Line(format)).finish()
}

/// One record as one line, in either form.
pub(crate) struct Line(pub(crate) LogFormat);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str();
        let now = Timestamp::now();
        match self.0 {
            LogFormat::Json => writeln!(writer, "{}", plain_json(&line(&level.to_lowercase(), now, fields.0))),
            LogFormat::Console => writeln!(writer, "{}", plain(&console(level, now, fields.0))),
        }
    }
}

/// A line for people: what was said, then what it is about.
fn console(level: &str, at: Timestamp, mut fields: Map<String, Value>) -> String {
    let bare = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let message = bare(fields.remove("message").unwrap_or_default());
    let rest: Vec<String> = fields.into_iter().map(|(name, value)| format!(" {name}={}", bare(value))).collect();
    format!("{at:.3} {level:>5} {message}{}", rest.concat())
}

/// One line: level, time and message first, for people who read it raw.
fn line(level: &str, at: Timestamp, mut fields: Map<String, Value>) -> String {
    let mut text = format!("{{\"level\":\"{level}\",\"ts\":\"{at:.3}\"");
    let message = fields.remove("message").unwrap_or_default();
    for (name, value) in [("msg".to_owned(), message)].into_iter().chain(fields) {
        text.extend([",".to_owned(), Value::String(name).to_string(), ":".to_owned(), value.to_string()]);
    }
    text.push('}');
    text
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged meanwhile.
    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        tracing::subscriber::with_default(subscriber("debug", format, Pipe(written.clone())), work);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[derive(Clone)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Pipe {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn one_record_is_one_line_that_commands_no_terminal_in_either_form() {
        let foreign = "no\u{9b}2J\u{1b}[1A\u{202e}\nlevel=info all is well";
        for format in [LogFormat::Json, LogFormat::Console] {
            let text = logged(format, || tracing::error!(canary = foreign, "{foreign}"));
            assert_eq!(text.lines().count(), 1, "{text:?}");
            let commands = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
            assert!(!text.contains(commands), "{text:?}");
        }
    }

    #[test]
    fn what_the_client_of_the_api_server_logs_is_heard_at_no_level() {
        for format in [LogFormat::Json, LogFormat::Console] {
            let text = logged(format, || {
                tracing::warn!(target: "kube_client::client", "{{\"data\": \"c2VjcmV0\"}}, cannot be read");
                tracing::error!(target: "kube_runtime::watcher", "c2VjcmV0");
                tracing::warn!(target: "hyper", "heard");
                tracing::debug!(target: "hyper", "not heard");
                tracing::debug!(target: "burgee_operator::ask", "heard");
            });
            assert_eq!((text.matches("c2VjcmV0").count(), text.lines().count()), (0, 2), "{text}");
        }
    }

    #[test]
    fn a_line_for_people_says_what_and_then_about_whom() {
        let fields = [("message", "say \"hi\""), ("canary", "podinfo.test")];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let text = console("INFO", Timestamp::from_millisecond(1_500).unwrap(), fields);
        assert_eq!(text, "1970-01-01T00:00:01.500Z  INFO say \"hi\" canary=podinfo.test");
    }

    #[test]
    fn a_line_has_the_keys_that_users_filter_by() {
        let fields = [("message", "say \"hi\""), ("canary", "podinfo.test")];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let at = Timestamp::from_millisecond(1_500).unwrap();
        let expected = r#"{"level":"info","ts":"1970-01-01T00:00:01.500Z","msg":"say \"hi\"","canary":"podinfo.test"}"#;
        assert_eq!(line("info", at, fields), expected);
    }
}
