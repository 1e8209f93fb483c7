//! The numbers on `/metrics`, in the Prometheus text format 0.0.4. It counts; it never decides (contract: metrics §7).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// Upper bounds of the duration histogram: the default ones of Prometheus clients.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Name, type and help of every family, in the order of the output.
const FAMILIES: [(&str, &str, &str); 25] = [
    ("burgee_canary_held_seconds", "gauge", "Seconds since the analysis is on hold: paused, or a provider is silent"),
    ("burgee_canary_invalid", "gauge", "Whether the canary cannot be acted on as it is written, and why"),
    ("burgee_canary_pending_seconds", "gauge", "Seconds since a new revision waits for its run; 0 while none does"),
    ("burgee_crd_outdated", "gauge", "Whether the installed custom resource definitions are too old to act on"),
    ("burgee_internal_errors_total", "counter", "Looks at the canary that ended in a panic"),
    ("burgee_leader", "gauge", "Whether this process holds the lease"),
    ("burgee_new_runs_paused", "gauge", "Whether the incident brake keeps new runs from beginning"),
    ("burgee_notifications_dropped_total", "counter", "Events and alerts that were not sent, as too many waited"),
    ("burgee_provider_failures_total", "counter", "Questions to metrics providers that gave no number, and why"),
    ("burgee_task_restarts_total", "counter", "Tasks of the operator that panicked and were started again"),
    ("burgee_watch_last_heard_seconds", "gauge", "Seconds since anything was heard of the watch of a kind"),
    (
        "burgee_rollout_duration_seconds",
        "histogram",
        "Seconds from the beginning of a run to its end, and how it ended",
    ),
    ("burgee_webhook_failures_total", "counter", "Calls of webhooks that did not pass, and why"),
    ("burgee_write_conflicts_total", "counter", "Writes to objects that were not as they had been seen, by kind"),
    ("flagger_canary_duration_seconds", "histogram", "Seconds spent performing canary analysis."),
    ("flagger_canary_failures_total", "counter", "Total number of canary failures"),
    ("flagger_canary_metric_analysis", "gauge", "Last canary analysis result per metric"),
    ("flagger_canary_phase", "gauge", "Phase of the canary"),
    ("flagger_canary_status", "gauge", "Last canary analysis result"),
    ("flagger_canary_successes_total", "counter", "Total number of canary successes"),
    ("flagger_canary_total", "gauge", "Total number of canary object"),
    ("flagger_canary_weight", "gauge", "The virtual service destination weight current value"),
    ("flagger_info", "gauge", "Flagger version and mesh provider information"),
    ("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
];

type Labels = Vec<(&'static str, String)>;

/// Upper bounds of the histogram of rollouts: from half a minute to a day.
const ROLLOUT_BUCKETS: [f64; 11] =
    [30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];

#[derive(Clone, Debug, Default, PartialEq)]
struct Histogram {
    bounds: &'static [f64],
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

#[derive(Debug, Default)]
struct Series {
    values: BTreeMap<(&'static str, Labels), f64>,
    histograms: BTreeMap<(&'static str, Labels), Histogram>,
    /// Gauges that count the seconds since a time.
    clocks: BTreeMap<(&'static str, Labels), Timestamp>,
}

/// Every series of this process.
#[derive(Debug, Default)]
pub struct Telemetry {
    series: Mutex<Series>,
}

/// Whose series: the label `name` is the target's name, as in the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Name of the canary.
    pub canary: String,
    /// Name of the target.
    pub target: String,
    /// Namespace of the canary.
    pub namespace: String,
}

impl Subject {
    fn labels(&self) -> Labels {
        vec![("canary", self.canary.clone()), ("name", self.target.clone()), ("namespace", self.namespace.clone())]
    }
}

impl Telemetry {
    /// Sets a gauge that belongs to no canary.
    pub fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        self.lock().values.insert((name, labels), value);
    }

    /// Shows a family with one label, and nothing of it that was shown before.
    pub(crate) fn show_all(&self, name: &'static str, label: &'static str, values: &BTreeMap<String, f64>) {
        let mut series = self.lock();
        series.values.retain(|(known, _), _| *known != name);
        series.values.extend(values.iter().map(|(of, value)| ((name, vec![(label, of.clone())]), *value)));
    }

    /// `flagger_canary_status`: 0 while progressing, 2 failed, 1 everything else.
    pub fn status(&self, subject: &Subject, value: u8) {
        self.lock().values.insert(("flagger_canary_status", subject.labels()), value.into());
    }

    /// `flagger_canary_weight` of both workloads; the labels `canary` and `name` are added to the contract's.
    pub fn weights(&self, subject: &Subject, primary: u8, canary: u8) {
        let mut series = self.lock();
        for (workload, weight) in [(format!("{}-primary", subject.target), primary), (subject.target.clone(), canary)] {
            let mut labels = subject.labels();
            labels.push(("workload", workload));
            series.values.insert(("flagger_canary_weight", labels), weight.into());
        }
    }

    /// `flagger_canary_metric_analysis`.
    pub fn measured(&self, subject: &Subject, metric: &str, value: f64) {
        let mut labels = subject.labels();
        labels.insert(1, ("metric", metric.to_owned()));
        self.lock().values.insert(("flagger_canary_metric_analysis", labels), value);
    }

    /// `burgee_canary_held_seconds`; nothing held is 0.
    pub fn held(&self, subject: &Subject, seconds: f64) {
        self.lock().values.insert(("burgee_canary_held_seconds", subject.labels()), seconds);
    }

    /// `flagger_canary_phase`: 1 with the phase that the canary is in.
    pub fn phase(&self, subject: &Subject, phase: &str) {
        let mut labels = subject.labels();
        let mut series = self.lock();
        series.values.retain(|(name, known), _| *name != "flagger_canary_phase" || !known.starts_with(&labels));
        labels.push(("phase", phase.to_owned()));
        series.values.insert(("flagger_canary_phase", labels), 1.0);
    }

    /// `burgee_canary_pending_seconds`, which goes on by itself: whoever waits is not looked at.
    pub fn pending(&self, subject: &Subject, since: Option<Timestamp>) {
        let key = ("burgee_canary_pending_seconds", subject.labels());
        let mut series = self.lock();
        if let Some(since) = since {
            series.values.remove(&key);
            series.clocks.insert(key, since);
        } else {
            series.clocks.remove(&key);
            series.values.insert(key, 0.0);
        }
    }

    /// `burgee_canary_invalid`: 1 with the reason, or 0 without one.
    pub fn invalid(&self, subject: &Subject, reason: Option<&str>) {
        let mut labels = subject.labels();
        let mut series = self.lock();
        series.values.retain(|(name, known), _| *name != "burgee_canary_invalid" || !known.starts_with(&labels));
        labels.extend(reason.map(|reason| ("reason", reason.to_owned())));
        series.values.insert(("burgee_canary_invalid", labels), f64::from(u8::from(reason.is_some())));
    }

    /// `burgee_webhook_failures_total`.
    pub fn hook_failed(&self, subject: &Subject, webhook: &str, kind: &str, reason: &str) {
        let labels = [("reason", reason), ("type", kind), ("webhook", webhook)];
        self.failure("burgee_webhook_failures_total", subject, &labels);
    }

    /// `burgee_provider_failures_total`.
    pub fn provider_failed(&self, subject: &Subject, metric: &str, reason: &str) {
        self.failure("burgee_provider_failures_total", subject, &[("metric", metric), ("reason", reason)]);
    }

    /// `burgee_write_conflicts_total`.
    pub fn conflicted(&self, subject: &Subject, kind: &str) {
        self.failure("burgee_write_conflicts_total", subject, &[("kind", kind)]);
    }

    /// `burgee_notifications_dropped_total`.
    pub fn dropped(&self, subject: &Subject, count: f64) {
        let key = ("burgee_notifications_dropped_total", subject.labels());
        *self.lock().values.entry(key).or_default() += count;
    }

    /// `burgee_internal_errors_total`.
    pub fn panicked(&self, subject: &Subject) {
        self.failure("burgee_internal_errors_total", subject, &[]);
    }

    fn failure(&self, name: &'static str, subject: &Subject, more: &[(&'static str, &str)]) {
        let mut labels = subject.labels();
        labels.extend(more.iter().map(|(label, value)| (*label, (*value).to_owned())));
        *self.lock().values.entry((name, labels)).or_default() += 1.0;
    }

    /// `flagger_canary_duration_seconds`.
    pub fn ticked(&self, subject: &Subject, seconds: f64) {
        self.observe(("flagger_canary_duration_seconds", subject.labels()), &BUCKETS, seconds);
    }

    /// `burgee_rollout_duration_seconds`.
    pub fn rolled_out(&self, subject: &Subject, outcome: &str, seconds: f64) {
        let mut labels = subject.labels();
        labels.push(("outcome", outcome.to_owned()));
        self.observe(("burgee_rollout_duration_seconds", labels), &ROLLOUT_BUCKETS, seconds);
    }

    fn observe(&self, key: (&'static str, Labels), bounds: &'static [f64], seconds: f64) {
        let mut series = self.lock();
        let blank = || Histogram { bounds, buckets: vec![0; bounds.len()], ..Histogram::default() };
        let histogram = series.histograms.entry(key).or_insert_with(blank);
        histogram.count += 1;
        histogram.sum += seconds;
        for (count, bound) in histogram.buckets.iter_mut().zip(bounds) {
            *count += u64::from(seconds <= *bound);
        }
    }

    /// `flagger_canary_successes_total`.
    pub fn succeeded(&self, subject: &Subject, strategy: &str, analysis: &str) {
        self.count("flagger_canary_successes_total", subject, strategy, analysis);
    }

    /// `flagger_canary_failures_total`.
    pub fn failed(&self, subject: &Subject, strategy: &str) {
        self.count("flagger_canary_failures_total", subject, strategy, "completed");
    }

    fn count(&self, name: &'static str, subject: &Subject, strategy: &str, analysis: &str) {
        let mut labels = subject.labels();
        labels.insert(1, ("deployment_strategy", strategy.to_owned()));
        labels.insert(0, ("analysis_status", analysis.to_owned()));
        *self.lock().values.entry((name, labels)).or_default() += 1.0;
    }

    /// Sets `flagger_canary_total` for every namespace that has or had canaries.
    pub fn totals(&self, namespaces: &BTreeMap<String, usize>) {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let totals = namespaces.iter().map(|(namespace, canaries)| (namespace.clone(), count(*canaries))).collect();
        self.show_all("flagger_canary_total", "namespace", &totals);
    }

    /// Removes all series of a canary (S19).
    pub fn forget(&self, subject: &Subject) {
        let wanted = subject.labels();
        let belongs = |labels: &Labels| wanted.iter().all(|label| labels.contains(label));
        let mut series = self.lock();
        series.values.retain(|(_, labels), _| !belongs(labels));
        series.histograms.retain(|(_, labels), _| !belongs(labels));
        series.clocks.retain(|(_, labels), _| !belongs(labels));
    }

    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { series } = self;
        let Series { values, histograms, clocks } = &*crate::lock::lock(series);
        vec![("values", values.len()), ("histograms", histograms.len()), ("clocks", clocks.len())]
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.measure_process();
        let now = Timestamp::now();
        let series = self.lock();
        let mut text = String::new();
        for (name, kind, help) in FAMILIES {
            let mut lines = String::new();
            for ((_, labels), value) in series.values.iter().filter(|((family, _), _)| *family == name) {
                line(&mut lines, name, labels, *value);
            }
            for ((_, labels), since) in series.clocks.iter().filter(|((family, _), _)| *family == name) {
                line(&mut lines, name, labels, now.duration_since(*since).as_secs_f64().max(0.0));
            }
            for ((_, labels), histogram) in series.histograms.iter().filter(|((family, _), _)| *family == name) {
                histogram_lines(&mut lines, name, labels, histogram);
            }
            if !lines.is_empty() {
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
            }
        }
        text
    }

    fn measure_process(&self) {
        let pages = std::fs::read_to_string("/proc/self/statm").ok();
        let resident = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u32>().ok());
        if let Some(resident) = resident {
            self.set("process_resident_memory_bytes", &[], f64::from(resident) * 4096.0);
        }
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        let ticks = stat.and_then(|text| {
            let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?)
        });
        if let Some(ticks) = ticks {
            self.set("process_cpu_seconds_total", &[], f64::from(ticks) / 100.0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One series as a line of the text format. Writing to a `String` cannot fail, which is why results of `write!` are dropped.
pub fn line(text: &mut String, name: &str, labels: &[(&str, String)], value: f64) {
    let _ = write!(text, "{name}");
    if !labels.is_empty() {
        let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let _ = write!(text, "{{{}}}", pairs.join(","));
    }
    let _ = writeln!(text, " {value}");
}

#[expect(clippy::cast_precision_loss, reason = "the text format knows only floating point")]
fn histogram_lines(text: &mut String, name: &str, labels: &Labels, histogram: &Histogram) {
    let bounds = histogram.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(histogram.buckets.iter().chain([&histogram.count])) {
        let mut labels = labels.clone();
        labels.push(("le", bound));
        line(text, &format!("{name}_bucket"), &labels, *count as f64);
    }
    line(text, &format!("{name}_sum"), labels, histogram.sum);
    line(text, &format!("{name}_count"), labels, histogram.count as f64);
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(target: &str) -> Subject {
        of_canary("c", target)
    }

    fn of_canary(canary: &str, target: &str) -> Subject {
        Subject { canary: canary.to_owned(), target: target.to_owned(), namespace: "test".to_owned() }
    }

    fn flagger_lines(telemetry: &Telemetry) -> String {
        telemetry
            .render()
            .lines()
            .filter(|line| line.contains("flagger_"))
            .fold(String::new(), |text, line| text + line + "\n")
    }

    #[test]
    fn series_carry_the_names_labels_and_helps_of_the_contract() {
        let telemetry = Telemetry::default();
        telemetry.set("flagger_info", &[("version", "1"), ("mesh_provider", "istio")], 1.0);
        telemetry.status(&subject("podinfo"), 2);
        telemetry.weights(&subject("podinfo"), 90, 10);
        telemetry.succeeded(&subject("podinfo"), "canary", "completed");
        telemetry.measured(&subject("podinfo"), "request-duration", 0.25);
        telemetry.totals(&BTreeMap::from([("test".to_owned(), 3)]));
        let expected = r#"# HELP flagger_canary_metric_analysis Last canary analysis result per metric
# TYPE flagger_canary_metric_analysis gauge
flagger_canary_metric_analysis{canary="c",metric="request-duration",name="podinfo",namespace="test"} 0.25
# HELP flagger_canary_status Last canary analysis result
# TYPE flagger_canary_status gauge
flagger_canary_status{canary="c",name="podinfo",namespace="test"} 2
# HELP flagger_canary_successes_total Total number of canary successes
# TYPE flagger_canary_successes_total counter
flagger_canary_successes_total{analysis_status="completed",canary="c",deployment_strategy="canary",name="podinfo",namespace="test"} 1
# HELP flagger_canary_total Total number of canary object
# TYPE flagger_canary_total gauge
flagger_canary_total{namespace="test"} 3
# HELP flagger_canary_weight The virtual service destination weight current value
# TYPE flagger_canary_weight gauge
flagger_canary_weight{canary="c",name="podinfo",namespace="test",workload="podinfo"} 10
flagger_canary_weight{canary="c",name="podinfo",namespace="test",workload="podinfo-primary"} 90
# HELP flagger_info Flagger version and mesh provider information
# TYPE flagger_info gauge
flagger_info{version="1",mesh_provider="istio"} 1
"#;
        assert_eq!(flagger_lines(&telemetry), expected);
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_infinity() {
        let telemetry = Telemetry::default();
        telemetry.ticked(&subject("podinfo"), 0.02);
        telemetry.ticked(&subject("podinfo"), 20.0);
        let text = telemetry.render();
        for wanted in [
            "flagger_canary_duration_seconds_bucket{canary=\"c\",name=\"podinfo\",namespace=\"test\",le=\"0.01\"} 0",
            "flagger_canary_duration_seconds_bucket{canary=\"c\",name=\"podinfo\",namespace=\"test\",le=\"10\"} 1",
            "flagger_canary_duration_seconds_bucket{canary=\"c\",name=\"podinfo\",namespace=\"test\",le=\"+Inf\"} 2",
            "flagger_canary_duration_seconds_count{canary=\"c\",name=\"podinfo\",namespace=\"test\"} 2",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
        }
    }

    #[test]
    fn the_series_of_a_deleted_canary_go_with_it_and_no_others() {
        let telemetry = Telemetry::default();
        for target in ["a", "b"] {
            telemetry.status(&subject(target), 1);
            telemetry.weights(&subject(target), 100, 0);
            telemetry.ticked(&subject(target), 1.0);
        }
        telemetry.forget(&subject("a"));
        let text = flagger_lines(&telemetry);
        assert!(!text.contains("name=\"a\""));
        assert!(text.contains("flagger_canary_status{canary=\"c\",name=\"b\",namespace=\"test\"} 1"));
    }

    #[test]
    fn a_mistake_shows_its_reason_until_it_is_mended() {
        let telemetry = Telemetry::default();
        // Of two canaries of one target one is always invalid.
        telemetry.invalid(&of_canary("second", "podinfo"), Some("InvalidSpec"));
        let own = of_canary("podinfo", "podinfo");
        let check = |reason: Option<&str>, expected: &str| {
            telemetry.invalid(&own, reason);
            let text = telemetry.render();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains("canary=\"podinfo\"")).collect();
            assert_eq!(lines, [format!("burgee_canary_invalid{{canary=\"podinfo\",{expected}")]);
            assert!(text.contains("canary=\"second\""), "{text}");
        };
        check(Some("TargetMissing"), "name=\"podinfo\",namespace=\"test\",reason=\"TargetMissing\"} 1");
        check(Some("ScalerMissing"), "name=\"podinfo\",namespace=\"test\",reason=\"ScalerMissing\"} 1");
        check(None, "name=\"podinfo\",namespace=\"test\"} 0");
        telemetry.forget(&of_canary("second", "podinfo"));
        assert!(!telemetry.render().contains("canary=\"second\""));
        assert!(telemetry.render().contains("canary=\"podinfo\""));
        telemetry.forget(&own);
        assert!(!telemetry.render().contains("burgee_canary_invalid{"));
    }

    #[test]
    fn only_the_phase_that_the_canary_is_in_shows() {
        let telemetry = Telemetry::default();
        let shown = || -> Vec<String> {
            let text = telemetry.render();
            text.lines().filter(|line| line.starts_with("flagger_canary_phase")).map(str::to_owned).collect()
        };
        for phase in ["Progressing", "Failed"] {
            telemetry.phase(&subject("podinfo"), phase);
            let labels = format!("canary=\"c\",name=\"podinfo\",namespace=\"test\",phase=\"{phase}\"");
            assert_eq!(shown(), [format!("flagger_canary_phase{{{labels}}} 1")]);
        }
        telemetry.forget(&subject("podinfo"));
        assert_eq!(shown(), Vec::<String>::new());
    }

    #[test]
    fn a_wait_grows_by_itself_and_ends_at_zero() {
        let telemetry = Telemetry::default();
        let seconds = || {
            let text = telemetry.render();
            let line = text.lines().find(|line| line.starts_with("burgee_canary_pending_seconds{")).unwrap_or_default();
            line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok())
        };
        telemetry.pending(&subject("podinfo"), Timestamp::now().checked_sub(jiff::SignedDuration::from_mins(5)).ok());
        assert!(seconds().is_some_and(|waited| waited >= 300.0), "{:?}", seconds());
        telemetry.pending(&subject("podinfo"), None);
        assert_eq!(seconds(), Some(0.0));
        telemetry.forget(&subject("podinfo"));
        assert_eq!(seconds(), None);
    }

    #[test]
    fn rollouts_are_counted_by_how_they_ended() {
        let telemetry = Telemetry::default();
        telemetry.rolled_out(&subject("podinfo"), "promoted", 400.0);
        telemetry.rolled_out(&subject("podinfo"), "superseded", 20.0);
        let text = telemetry.render();
        let labels = "canary=\"c\",name=\"podinfo\",namespace=\"test\"";
        for (outcome, bound, count) in [("promoted", "300", 0), ("promoted", "600", 1), ("superseded", "30", 1)] {
            let wanted = format!(
                "burgee_rollout_duration_seconds_bucket{{{labels},outcome=\"{outcome}\",le=\"{bound}\"}} {count}"
            );
            assert!(text.lines().any(|line| line == wanted), "{wanted} is missing in\n{text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let telemetry = Telemetry::default();
        telemetry.measured(&subject("t"), "a \"b\"\\c", 1.0);
        assert!(telemetry.render().contains(r#"metric="a \"b\"\\c""#));
    }
}
