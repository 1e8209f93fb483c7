//! Log lines as the contract has them: JSON with `level`, `ts`, `msg` and `canary`, on stderr (contract: operations §4).
//! It formats; what is logged is said elsewhere.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{LogFormat, Options};

/// Starts logging. Libraries are heard from `warn` on.
pub fn start(options: &Options) {
    let filter = EnvFilter::new(format!("warn,burgee={0},burgee_operator={0}", options.log_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, keeps the first one's.
    let _ = match options.log_format {
        LogFormat::Json => builder.event_format(Json).try_init(),
        LogFormat::Console => builder.with_target(false).try_init(),
    };
}

/// The contract's form of a line.
pub(crate) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_lowercase();
        writeln!(writer, "{}", line(&level, Timestamp::now(), fields.0))
    }
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
    use super::*;

    #[test]
    fn a_line_has_the_keys_that_users_filter_by() {
        let fields = [("message", "say \"hi\""), ("canary", "podinfo.test")];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let at = Timestamp::from_millisecond(1_500).unwrap();
        let expected = r#"{"level":"info","ts":"1970-01-01T00:00:01.500Z","msg":"say \"hi\"","canary":"podinfo.test"}"#;
        assert_eq!(line("info", at, fields), expected);
    }
}
