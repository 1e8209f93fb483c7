//! The numbers on `/metrics`, in the Prometheus text format 0.0.4. It counts, and decides nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use burgee_operator::lock::lock;
use burgee_operator::telemetry;

/// Name, type and help of every family, in the order of the output.
const FAMILIES: [(&str, &str, &str); 6] = [
    ("burgee_loadtester_connections", "gauge", "Connections that are open"),
    (
        "burgee_loadtester_connections_dropped_total",
        "counter",
        "Connections that were ended because too many were open",
    ),
    ("burgee_loadtester_requests_total", "counter", "Requests that were answered, by path and status code"),
    ("burgee_loadtester_tasks_queued", "gauge", "Tasks that wait to run in the background"),
    ("burgee_loadtester_tasks_running", "gauge", "Tasks that run"),
    ("burgee_loadtester_tasks_total", "counter", "Tasks that are over or were not begun, by type and outcome"),
];

type Labels = Vec<(&'static str, String)>;

/// Every series of this process.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Mutex<BTreeMap<(&'static str, Labels), f64>>);

impl Numbers {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        *lock(&self.0).entry((name, labels)).or_default() += value;
    }

    /// A request to a path of ours was answered.
    pub(crate) fn answered(&self, path: &'static str, code: u16) {
        self.add("burgee_loadtester_requests_total", &[("code", &code.to_string()), ("path", path)], 1.0);
    }

    /// A task is over, or was not begun.
    pub(crate) fn ended(&self, kind: &'static str, outcome: &'static str) {
        self.add("burgee_loadtester_tasks_total", &[("outcome", outcome), ("type", kind)], 1.0);
    }

    /// So many more tasks run.
    pub(crate) fn running(&self, more: f64) {
        self.add("burgee_loadtester_tasks_running", &[], more);
    }

    /// So many more tasks wait.
    pub(crate) fn queued(&self, more: f64) {
        self.add("burgee_loadtester_tasks_queued", &[], more);
    }

    /// So many more connections are open.
    pub(crate) fn connected(&self, more: f64) {
        self.add("burgee_loadtester_connections", &[], more);
    }

    /// A connection had to go.
    pub(crate) fn dropped(&self) {
        self.add("burgee_loadtester_connections_dropped_total", &[], 1.0);
    }

    /// Everything, as Prometheus reads it, with what the process uses.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let series = lock(&self.0);
        for (name, kind, help) in FAMILIES {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for ((_, labels), value) in series.iter().filter(|((family, _), _)| *family == name) {
                telemetry::line(&mut text, name, labels, *value);
            }
        }
        text + &telemetry::Telemetry::default().render()
    }
}

/// Something that is counted as long as it lives.
pub(crate) struct Counted<'a> {
    numbers: &'a Numbers,
    gauge: fn(&Numbers, f64),
}

impl<'a> Counted<'a> {
    pub(crate) fn one_more(numbers: &'a Numbers, gauge: fn(&Numbers, f64)) -> Self {
        gauge(numbers, 1.0);
        Self { numbers, gauge }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        (self.gauge)(self.numbers, -1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_count_and_gauges_come_back() {
        let numbers = Numbers::default();
        numbers.answered("/gate/check", 403);
        numbers.answered("/gate/check", 403);
        numbers.ended("cmd", "succeeded");
        drop(Counted::one_more(&numbers, Numbers::running));
        let text = numbers.render();
        for wanted in [
            "# TYPE burgee_loadtester_requests_total counter",
            "burgee_loadtester_requests_total{code=\"403\",path=\"/gate/check\"} 2",
            "burgee_loadtester_tasks_total{outcome=\"succeeded\",type=\"cmd\"} 1",
            "burgee_loadtester_tasks_running 0",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
        }
    }
}
