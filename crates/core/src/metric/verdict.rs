//! What the answers of all metrics mean together, and the sentence that says so (contract: metrics §3–5; S9,
//! S10, I20). It asks nobody and counts nothing.

use burgee_api::Address;
use burgee_api::analysis::Metric;
use burgee_api::duration::GoDuration;
use burgee_api::go_format::{number, two_decimals};

use super::builtin::{Builtin, Observer};
use super::error::MeasureError;

/// The values that pass, ends included (contract: metrics §3).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// `thresholdRange.min`.
    pub min: Option<f64>,
    /// `thresholdRange.max`.
    pub max: Option<f64>,
    /// `threshold`, which counts only without a range: a least value for the success rate, a greatest one otherwise.
    pub legacy: Option<f64>,
}

impl Bounds {
    /// The bounds of a metric as written. Without any, the threshold is 0, as in the contract: a success rate always
    /// passes, and everything else fails when it is positive.
    pub fn of(metric: &Metric) -> Self {
        match metric.threshold_range {
            Some(range) => Self { min: range.min, max: range.max, legacy: None },
            None => Self { legacy: Some(metric.threshold.unwrap_or_default()), ..Self::default() },
        }
    }

    /// The first bound that a value breaks.
    fn broken(self, legacy: Side, value: f64) -> Option<Breach> {
        let bounds = [(Side::Least, self.min), (Side::Greatest, self.max), (legacy, self.legacy)];
        bounds.into_iter().find_map(|(side, bound)| {
            let bound = bound?;
            let broken = match side {
                Side::Least => value < bound,
                Side::Greatest => value > bound,
            };
            broken.then_some(Breach { side, bound })
        })
    }

    /// Durations are compared in whole milliseconds (contract: metrics §3, a quirk that is kept).
    fn whole(self) -> Self {
        Self { min: self.min.map(f64::trunc), max: self.max.map(f64::trunc), legacy: self.legacy.map(f64::trunc) }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Least,
    Greatest,
}

struct Breach {
    side: Side,
    bound: f64,
}

impl Breach {
    const fn sign(&self) -> &'static str {
        match self.side {
            Side::Least => "<",
            Side::Greatest => ">",
        }
    }
}

/// Which metric of which canary a sentence is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Name of the canary.
    pub canary: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Name of its target.
    pub target: &'a str,
    /// The provider string that selects the observer ([`super::builtin::metrics_provider`]).
    pub metrics_provider: &'a str,
    /// Name of the metric.
    pub metric: &'a str,
    /// How the metric is asked for.
    pub source: Source,
}

/// How a metric is asked for (contract: metrics §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// With a query of ours.
    Builtin(Builtin),
    /// With the PromQL in the canary.
    Inline,
    /// With a `MetricTemplate`.
    Template,
}

/// What became of one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The value is within its bounds.
    Passed(f64),
    /// The check failed; the sentence says why.
    Failed(String),
    /// The provider has no value; a failed check too.
    NoData(String),
    /// The provider does not answer; no verdict.
    Unanswered(String),
}

impl Subject<'_> {
    /// Judges a value: percent for success rates, milliseconds for durations. What is not a number never passes.
    pub fn judge(&self, value: f64, bounds: Bounds) -> Outcome {
        if value.is_nan() {
            return self.explain(&MeasureError::no_values());
        }
        let (breach, observed): (Option<Breach>, Written) = match self.source {
            Source::Builtin(Builtin::SuccessRate) => (bounds.broken(Side::Least, value), percent),
            Source::Builtin(Builtin::Duration { .. }) => (bounds.whole().broken(Side::Greatest, value), duration),
            Source::Inline | Source::Template => (bounds.broken(Side::Greatest, value), plain),
        };
        match breach {
            None => Outcome::Passed(value),
            Some(breach) => Outcome::Failed(format!(
                "Halt {}.{} advancement {} {}",
                self.canary,
                self.namespace,
                self.label(),
                observed(value, &breach)
            )),
        }
    }

    /// What an error of the provider means, in the contract's words.
    pub fn explain(&self, error: &MeasureError) -> Outcome {
        match error {
            MeasureError::NoValues(text) => Outcome::NoData(self.no_values(text)),
            MeasureError::Wrong(text) | MeasureError::Secret(text) => Outcome::Failed(self.query_failed(text)),
            MeasureError::Unavailable(text) => Outcome::Unanswered(self.query_failed(text)),
        }
    }

    /// What the value is called in a sentence about it.
    fn label(&self) -> &str {
        match self.source {
            Source::Builtin(Builtin::SuccessRate) => "success rate",
            Source::Builtin(Builtin::Duration { .. }) => "request duration",
            Source::Inline | Source::Template => self.metric,
        }
    }

    fn no_values(&self, error: &str) -> String {
        let Self { target, namespace, metrics_provider, metric, source, .. } = self;
        let builtin = || {
            format!(
                "Halt advancement no values found for {metrics_provider} metric {metric} probably {target}.{namespace} \
                 is not receiving traffic"
            )
        };
        match source {
            Source::Builtin(kind @ Builtin::SuccessRate) => format!("{}: {}", builtin(), self.wrapped(*kind, error)),
            Source::Builtin(Builtin::Duration { .. }) => builtin(),
            Source::Inline => format!("Halt advancement no values found for metric: {metric}"),
            Source::Template => format!("Halt advancement no values found for custom metric: {metric}: {error}"),
        }
    }

    fn query_failed(&self, error: &str) -> String {
        match self.source {
            Source::Builtin(kind) => format!("Prometheus query failed: {}", self.wrapped(kind, error)),
            Source::Inline => format!("Prometheus query failed for {}: {error}", self.metric),
            Source::Template => format!("Metric query failed for {}: {error}", self.metric),
        }
    }

    fn wrapped(&self, kind: Builtin, error: &str) -> String {
        Observer::for_provider(self.metrics_provider).explain(kind, error)
    }
}

type Written = fn(f64, &Breach) -> String;

fn percent(value: f64, breach: &Breach) -> String {
    format!("{}% {} {}%", two_decimals(value), breach.sign(), number(breach.bound))
}

fn duration(value: f64, breach: &Breach) -> String {
    format!("{} {} {}", milliseconds(value), breach.sign(), milliseconds(breach.bound))
}

fn plain(value: f64, breach: &Breach) -> String {
    format!("{} {} {}", two_decimals(value), breach.sign(), number(breach.bound))
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what is wanted of a hostile number")]
const fn milliseconds(value: f64) -> GoDuration {
    GoDuration::from_nanoseconds((value as i64).saturating_mul(1_000_000))
}

/// What a step's metrics say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every metric is within its bounds.
    Passed,
    /// A failed check; one sentence for each metric that failed, in the order of the spec. The first one is told.
    Failed(Vec<String>),
    /// A failed check for want of values; the first sentence in the order of the spec.
    NoData(String),
    /// No verdict: the run stays where it is. The first sentence in the order of the spec.
    Hold(String),
}

/// Joins the outcomes of a step, which stand in the order of the spec: failed before no data before provider error before
/// passed, whatever their order (I20).
pub fn join(outcomes: &[Outcome]) -> Verdict {
    let (mut failed, mut no_data, mut unanswered) = (Vec::new(), None, None);
    for outcome in outcomes {
        match outcome {
            Outcome::Passed(_) => {}
            Outcome::Failed(text) => failed.push(text.clone()),
            Outcome::NoData(text) => no_data = no_data.or_else(|| Some(text.clone())),
            Outcome::Unanswered(text) => unanswered = unanswered.or_else(|| Some(text.clone())),
        }
    }
    if !failed.is_empty() {
        return Verdict::Failed(failed);
    }
    let no_data = no_data.map(Verdict::NoData);
    no_data.or_else(|| unanswered.map(Verdict::Hold)).unwrap_or(Verdict::Passed)
}

/// Why a metric could not even be asked for; the text of a failed check (contract: metrics §4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `spec.metricsServer` is not an address.
    #[error("Error building Prometheus client for {address} {error}")]
    MetricsServer {
        /// What stands there.
        address: Address,
        /// What is wrong with it.
        error: String,
    },
    /// The template cannot be read.
    #[error("Metric template {name}.{namespace} error: {error}")]
    Template {
        /// Name of the template.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Why.
        error: String,
    },
    /// Its Secret cannot be read.
    #[error("Metric template {name}.{namespace} secret {secret} error: {error}")]
    Secret {
        /// Name of the template.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Name of the Secret.
        secret: String,
        /// Why.
        error: String,
    },
    /// The provider's address or credentials are unusable.
    #[error("Metric template {name}.{namespace} provider {provider} error: {error}")]
    Provider {
        /// Name of the template.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Type of the provider.
        provider: String,
        /// Why.
        error: String,
    },
    /// The query cannot be rendered.
    #[error("Metric template {name}.{namespace} query render error: {error}")]
    Render {
        /// Name of the template.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Why.
        error: String,
    },
    /// The metric has neither a builtin name nor a query nor a template.
    #[error("Metric query failed for no usable metrics template and query were configured")]
    NothingConfigured,
}

/// Why a provider is not ready when a canary is initialized (contract: metrics §5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The builtin provider's address is not one.
    #[error("error building Prometheus client for {address} {error}")]
    MetricsServer {
        /// What stands there.
        address: Address,
        /// What is wrong with it.
        error: String,
    },
    /// The builtin provider does not answer. The misspelling is the contract's.
    #[error("prometheus not avaiable: {0}")]
    Prometheus(String),
    /// The template, its Secret or its provider is unusable: the text of [`Fault`] with a small letter.
    #[error("{0}")]
    Template(String),
    /// A template's provider does not answer. The misspelling is the contract's.
    #[error("{provider} in metric template {name}.{namespace} not avaiable: {error}")]
    Provider {
        /// Name of the template.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Type of the provider.
        provider: String,
        /// Why.
        error: String,
    },
}

impl From<Fault> for Unready {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::MetricsServer { address, error } => Self::MetricsServer { address, error },
            Fault::Template { .. }
            | Fault::Secret { .. }
            | Fault::Provider { .. }
            | Fault::Render { .. }
            | Fault::NothingConfigured => Self::Template(fault.to_string().replacen('M', "m", 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use burgee_api::analysis::ThresholdRange;
    use proptest::prelude::*;

    use super::*;
    use crate::metric::builtin::Quantile;

    const RATE: Source = Source::Builtin(Builtin::SuccessRate);
    const DURATION: Source = Source::Builtin(Builtin::Duration { quantile: Quantile::Builtin });

    fn subject(source: Source) -> Subject<'static> {
        let metric = match source {
            RATE => "request-success-rate",
            DURATION => "request-duration",
            Source::Builtin(_) | Source::Inline | Source::Template => "error-rate",
        };
        Subject { canary: "podinfo", namespace: "test", target: "app", metrics_provider: "istio", metric, source }
    }

    fn least(bound: f64) -> Bounds {
        Bounds { min: Some(bound), ..Bounds::default() }
    }

    fn greatest(bound: f64) -> Bounds {
        Bounds { max: Some(bound), ..Bounds::default() }
    }

    fn legacy(bound: f64) -> Bounds {
        Bounds { legacy: Some(bound), ..Bounds::default() }
    }

    #[test]
    fn a_value_outside_its_bounds_fails_with_the_contracts_text() {
        fn check(source: Source, value: f64, bounds: Bounds, expected: &str) {
            assert_eq!(subject(source).judge(value, bounds), Outcome::Failed(expected.to_owned()));
        }
        check(RATE, 98.123, least(99.0), "Halt podinfo.test advancement success rate 98.12% < 99%");
        check(RATE, 100.0, greatest(99.5), "Halt podinfo.test advancement success rate 100.00% > 99.5%");
        check(RATE, 50.0, legacy(99.0), "Halt podinfo.test advancement success rate 50.00% < 99%");
        check(DURATION, 1515.0, greatest(500.0), "Halt podinfo.test advancement request duration 1.515s > 500ms");
        check(DURATION, 5.0, least(10.9), "Halt podinfo.test advancement request duration 5ms < 10ms");
        check(DURATION, 1.0, greatest(0.5), "Halt podinfo.test advancement request duration 1ms > 0s");
        check(DURATION, 501.0, legacy(500.0), "Halt podinfo.test advancement request duration 501ms > 500ms");
        check(Source::Inline, 5.55, greatest(5.0), "Halt podinfo.test advancement error-rate 5.55 > 5");
        check(Source::Template, 1.0, least(1e6), "Halt podinfo.test advancement error-rate 1.00 < 1e+06");
        check(Source::Template, 0.01, legacy(0.0), "Halt podinfo.test advancement error-rate 0.01 > 0");
        check(Source::Template, f64::INFINITY, greatest(5.0), "Halt podinfo.test advancement error-rate +Inf > 5");
    }

    #[test]
    fn a_value_on_its_bound_passes() {
        fn check(source: Source, value: f64, bounds: Bounds) {
            assert_eq!(subject(source).judge(value, bounds), Outcome::Passed(value));
        }
        check(RATE, 99.0, least(99.0));
        check(RATE, 0.0, legacy(0.0));
        check(RATE, 1.0, Bounds::default());
        check(DURATION, 500.0, greatest(500.7));
        check(DURATION, 10.0, least(10.0));
        check(Source::Inline, 5.0, Bounds { min: Some(5.0), max: Some(5.0), legacy: None });
    }

    #[test]
    fn what_is_not_a_number_never_passes() {
        for source in [RATE, DURATION, Source::Inline, Source::Template] {
            for bounds in [Bounds::default(), least(1.0), greatest(1.0), legacy(1.0)] {
                assert!(matches!(subject(source).judge(f64::NAN, bounds), Outcome::NoData(_)));
            }
        }
    }

    #[test]
    fn bounds_are_the_range_or_the_threshold() {
        let range = Some(ThresholdRange { min: Some(1.0), max: None });
        let with_range = Metric { threshold: Some(5.0), threshold_range: range, ..Metric::default() };
        assert_eq!(Bounds::of(&with_range), least(1.0));
        assert_eq!(Bounds::of(&Metric { threshold: Some(5.0), ..Metric::default() }), legacy(5.0));
        assert_eq!(Bounds::of(&Metric::default()), legacy(0.0));
    }

    #[test]
    fn errors_have_the_contracts_text_and_meaning() {
        fn check(source: Source, error: &MeasureError, expected: &Outcome) {
            assert_eq!(subject(source).explain(error), *expected);
        }
        let none = MeasureError::no_values();
        let traffic = "probably app.test is not receiving traffic";
        let rate = format!(
            "Halt advancement no values found for istio metric request-success-rate {traffic}: running query failed: no \
             values found"
        );
        check(RATE, &none, &Outcome::NoData(rate));
        let text = format!("Halt advancement no values found for istio metric request-duration {traffic}");
        check(DURATION, &none, &Outcome::NoData(text));
        let text = "Halt advancement no values found for metric: error-rate";
        check(Source::Inline, &none, &Outcome::NoData(text.into()));
        let text = "Halt advancement no values found for custom metric: error-rate: no values found";
        check(Source::Template, &none, &Outcome::NoData(text.into()));
        let down = MeasureError::Unavailable("timeout".into());
        let text = "Prometheus query failed: running query failed: timeout";
        check(RATE, &down, &Outcome::Unanswered(text.into()));
        let text = "Metric query failed for error-rate: timeout";
        check(Source::Template, &down, &Outcome::Unanswered(text.into()));
        let wrong = MeasureError::Wrong("parse error".into());
        let text = "Prometheus query failed for error-rate: parse error";
        check(Source::Inline, &wrong, &Outcome::Failed(text.into()));
    }

    #[test]
    fn faults_have_the_contracts_text() {
        let (name, namespace) = ("latency".to_owned(), "istio-system".to_owned());
        let fault = Fault::Template { name: name.clone(), namespace: namespace.clone(), error: "not found".into() };
        assert_eq!(fault.to_string(), "Metric template latency.istio-system error: not found");
        assert_eq!(Unready::from(fault).to_string(), "metric template latency.istio-system error: not found");
        let fault = Fault::MetricsServer { address: "prometheus:9090".into(), error: "bad".into() };
        assert_eq!(fault.to_string(), "Error building Prometheus client for prometheus:9090 bad");
        assert_eq!(Unready::from(fault).to_string(), "error building Prometheus client for prometheus:9090 bad");
        let unready = Unready::Provider { name, namespace, provider: "prometheus".into(), error: "down".into() };
        assert_eq!(unready.to_string(), "prometheus in metric template latency.istio-system not avaiable: down");
    }

    fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
        let outcome = prop_oneof![
            Just(Outcome::Passed(1.0)),
            "[a-c]".prop_map(Outcome::Failed),
            "[d-f]".prop_map(Outcome::NoData),
            "[g-i]".prop_map(Outcome::Unanswered),
        ];
        prop::collection::vec(outcome, 0..6)
    }

    fn kind(verdict: &Verdict) -> std::mem::Discriminant<Verdict> {
        std::mem::discriminant(verdict)
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_order(original in outcomes(), seed in any::<u64>()) {
            let mut shuffled = original.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(kind(&join(&original)), kind(&join(&shuffled)));
        }
    }

    #[test]
    fn the_gravest_outcome_decides_and_the_first_of_it_speaks() {
        fn check(outcomes: &[Outcome], expected: &Verdict) {
            assert_eq!(join(outcomes), *expected);
        }
        let text = str::to_owned;
        let (passed, failed) = (Outcome::Passed(1.0), Outcome::Failed(text("f1")));
        let (no_data, unanswered) = (Outcome::NoData(text("n1")), Outcome::Unanswered(text("p1")));
        let later = [Outcome::Failed(text("f2")), Outcome::NoData(text("n2")), Outcome::Unanswered(text("p2"))];
        check(&[], &Verdict::Passed);
        check(&[passed.clone(), passed.clone()], &Verdict::Passed);
        check(
            &[unanswered.clone(), no_data.clone(), failed, later[0].clone()],
            &Verdict::Failed(vec![text("f1"), text("f2")]),
        );
        check(&[unanswered.clone(), no_data, later[1].clone()], &Verdict::NoData(text("n1")));
        check(&[passed, unanswered, later[2].clone()], &Verdict::Hold(text("p1")));
    }
}
