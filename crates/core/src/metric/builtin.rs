//! The builtin queries: one table, observer by metric (contract: metrics §2). It holds query templates and nothing of
//! any canary.

use burgee_api::Metric;

pub use super::observer::Observer;
use super::template::{Model, RenderError, render};
use crate::router::table;
use crate::target::TargetKind;

impl Observer {
    /// The observer of a provider string as the user writes it.
    pub fn for_provider(provider: &str) -> Self {
        table::observer(provider)
    }

    /// The template of a builtin query.
    fn query(self, builtin: Builtin) -> String {
        let row = self.row();
        let query = match builtin {
            Builtin::SuccessRate => row.success_rate(),
            Builtin::Duration { quantile } => row.latency.query(quantile),
        };
        match self {
            Self::Skipper => format!("{SKIPPER_ROUTE}{query}"),
            Self::Istio
            | Self::Linkerd
            | Self::Http
            | Self::Nginx
            | Self::AppMesh
            | Self::Contour
            | Self::Gloo
            | Self::Kuma
            | Self::Knative
            | Self::Osm
            | Self::Traefik
            | Self::Apisix => query,
        }
    }

    /// What the raw answer of a builtin query means: percent for the success rate, whole milliseconds for the duration
    /// (contract: metrics §2: truncated, and the http observer's answer is in seconds).
    pub fn value(self, builtin: Builtin, answer: f64) -> f64 {
        match (builtin, self.row().latency.unit) {
            (Builtin::SuccessRate, _) => answer,
            (Builtin::Duration { .. }, Unit::Milliseconds | Unit::ScaledSeconds) => answer.trunc(),
            (Builtin::Duration { .. }, Unit::Seconds) => (answer * 1000.0).trunc(),
        }
    }

    /// A builtin query for one canary. Skipper's route identifiers hold encoded names (contract: metrics §2).
    pub fn render(self, builtin: Builtin, model: &Model) -> Result<String, RenderError> {
        if self != Self::Skipper {
            return render(&self.query(builtin), model);
        }
        let encoded = Model {
            namespace: skipper_name(&model.namespace),
            ingress: skipper_name(&model.ingress),
            service: skipper_name(&model.service),
            ..model.clone()
        };
        render(&self.query(builtin), &encoded)
    }

    /// How the observer words an error of its query (contract: metrics §2: all wrap it but http's success rate).
    pub fn explain(self, builtin: Builtin, error: &str) -> String {
        match (self, builtin) {
            (Self::Http, Builtin::SuccessRate) => error.to_owned(),
            _ => format!("running query failed: {error}"),
        }
    }
}

/// The provider string that selects the observer and stands in events (contract: metrics §1).
///
/// `global` is the mesh provider of the flags, `wanted` is `spec.provider`.
pub fn metrics_provider(global: &str, wanted: Option<&str>, target_kind: TargetKind) -> String {
    let wanted = wanted.filter(|provider| !provider.is_empty());
    let provider = match wanted {
        Some(_) if global.contains("linkerd") => "linkerd",
        Some(provider) => provider,
        None if global.contains("crossover") => "crossover",
        None => global,
    };
    if target_kind == TargetKind::Service { format!("{provider}:service") } else { provider.to_owned() }
}

/// A name as it stands in Skipper's route identifiers: every byte that is not a word character becomes `_`.
fn skipper_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// Which quantile a duration query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// What the observer's query says: 0.99, or the average where the contract has an average.
    Builtin,
    /// The median.
    P50,
    /// 0.90.
    P90,
    /// 0.95.
    P95,
    /// 0.99.
    P99,
    /// 0.999.
    P999,
}

impl Quantile {
    const fn number(self) -> &'static str {
        match self {
            Self::P50 => "0.50",
            Self::P90 => "0.90",
            Self::P95 => "0.95",
            Self::Builtin | Self::P99 => "0.99",
            Self::P999 => "0.999",
        }
    }
}

/// A metric that needs neither query nor template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Share of requests that did not fail, in percent.
    SuccessRate,
    /// Duration of requests, in milliseconds.
    Duration {
        /// Which quantile.
        quantile: Quantile,
    },
}

impl Builtin {
    /// The builtin metric of a name, including the names that older articles use. A legacy
    /// name beside a query or a template is only a name: see [`Self::is_legacy_name`].
    pub fn from_name(name: &str) -> Option<Self> {
        let quantile = match name {
            "request-success-rate" | "istio_requests_total" => return Some(Self::SuccessRate),
            "request-duration"
            | "istio_request_duration_seconds_bucket"
            | "istio_request_duration_milliseconds_bucket" => Quantile::Builtin,
            "request-duration-p50" => Quantile::P50,
            "request-duration-p90" => Quantile::P90,
            "request-duration-p95" => Quantile::P95,
            "request-duration-p99" => Quantile::P99,
            "request-duration-p999" => Quantile::P999,
            _ => return None,
        };
        Some(Self::Duration { quantile })
    }

    /// The builtin query of a metric. A legacy name beside a query or a template is only a name.
    pub fn of(metric: &Metric) -> Option<Self> {
        let own = metric.query.as_deref().is_some_and(|query| !query.is_empty()) || metric.template_ref.is_some();
        Self::from_name(&metric.name).filter(|_| !(own && Self::is_legacy_name(&metric.name)))
    }

    /// Whether the name is builtin only here. Users give such names to metrics with a query or a template of their own,
    /// and then they mean just that; the contract's two names are asked in any case (metrics §1).
    pub fn is_legacy_name(name: &str) -> bool {
        Self::from_name(name).is_some() && name != "request-success-rate" && name != "request-duration"
    }
}

/// A selector that an error filter can be put into.
#[derive(Clone, Copy)]
struct Series {
    metric: &'static str,
    labels: &'static str,
    /// Labels that the contract writes after the filter.
    tail: &'static str,
}

impl Series {
    fn rate(self, suffix: &str, filter: &str) -> String {
        let labels: Vec<&str> = [self.labels, filter, self.tail].into_iter().filter(|part| !part.is_empty()).collect();
        let (metric, labels) = (self.metric, labels.join(","));
        format!("sum(rate({metric}{suffix}{{{labels}}}[{{{{ interval }}}}]))")
    }
}

/// What a duration query answers in.
#[derive(Clone, Copy)]
enum Unit {
    Milliseconds,
    /// Seconds that the query itself multiplies.
    ScaledSeconds,
    /// Seconds that are multiplied here.
    Seconds,
}

#[derive(Clone, Copy)]
enum Shape {
    /// The metric is a `…_bucket` and the quantile is asked.
    Histogram,
    /// The metric is a stem with `_sum`, `_count` and `_bucket`, and the average is asked.
    Average,
}

#[derive(Clone, Copy)]
struct Latency {
    series: Series,
    shape: Shape,
    unit: Unit,
}

impl Latency {
    fn query(self, quantile: Quantile) -> String {
        let query = match (self.shape, quantile) {
            (Shape::Histogram, _) => self.quantile("", quantile),
            (Shape::Average, Quantile::Builtin) => {
                format!("{} / {}", self.series.rate("_sum", ""), self.series.rate("_count", ""))
            }
            (Shape::Average, _) => self.quantile("_bucket", quantile),
        };
        match self.unit {
            Unit::Milliseconds | Unit::Seconds => query,
            Unit::ScaledSeconds => format!("{query} * 1000"),
        }
    }

    fn quantile(self, suffix: &str, quantile: Quantile) -> String {
        format!("histogram_quantile({}, {} by (le))", quantile.number(), self.series.rate(suffix, ""))
    }
}

/// One line of the contract's table.
struct Row {
    requests: Series,
    succeeded: &'static str,
    latency: Latency,
}

impl Row {
    fn success_rate(&self) -> String {
        format!("{} / {} * 100", self.requests.rate("", self.succeeded), self.requests.rate("", ""))
    }
}

const SKIPPER_ROUTE: &str =
    r#"{{- $route := printf "kube(ew)?_%s__%s_canary__.*__%s_canary(_[0-9]+)?" namespace ingress service }} "#;
const ISTIO: &str =
    r#"reporter="destination",destination_workload_namespace="{{ namespace }}",destination_workload=~"{{ target }}""#;
const LINKERD: &str = r#"namespace="{{ namespace }}",deployment=~"{{ target }}""#;
const POD: &str =
    r#"kubernetes_namespace="{{ namespace }}",kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)""#;
const NGINX: &str = r#"namespace="{{ namespace }}",ingress="{{ ingress }}",canary!="""#;
const CONTOUR: &str = r#"envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+""#;
const GLOO: &str = r#"envoy_cluster_name=~"{{ namespace }}-{{ target }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+""#;
const KUMA: &str = r#"service=~"{{ target }}-canary_{{ namespace }}_svc_[0-9a-zA-Z-]+""#;
const KNATIVE: &str = r#"envoy_cluster_name=~"{{ namespace }}/{{ route }}""#;
const OSM: &str =
    r#"destination_namespace="{{ namespace }}",destination_kind="Deployment",destination_name="{{ target }}""#;
const TRAEFIK: &str = r#"service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd""#;
const SKIPPER: &str = r#"route=~"{{ $route }}""#;
const APISIX: &str = r#"route=~"{{ namespace }}_{{ route }}-{{ target }}-canary_.+""#;
const APISIX_REQUEST: &str = r#"type=~"request",route=~"{{ namespace }}_{{ route }}-{{ target }}-canary_.+""#;
const INFINITE_BUCKET: &str = r#"le="+Inf""#;

const fn series(metric: &'static str, labels: &'static str, tail: &'static str) -> Series {
    Series { metric, labels, tail }
}

const fn histogram(series: Series, unit: Unit) -> Latency {
    Latency { series, shape: Shape::Histogram, unit }
}

const fn average(series: Series) -> Latency {
    Latency { series, shape: Shape::Average, unit: Unit::ScaledSeconds }
}

/// Envoy's cluster metrics, which four meshes tell apart by one label.
const fn envoy(labels: &'static str) -> Row {
    Row {
        requests: series("envoy_cluster_upstream_rq", labels, ""),
        succeeded: r#"envoy_response_code!~"5.*""#,
        latency: histogram(series("envoy_cluster_upstream_rq_time_bucket", labels, ""), Unit::Milliseconds),
    }
}

impl Observer {
    /// The table itself (contract: metrics §2).
    const fn row(self) -> Row {
        let (requests, succeeded, latency) = match self {
            Self::AppMesh => return envoy(POD),
            Self::Contour => return envoy(CONTOUR),
            Self::Gloo => return envoy(GLOO),
            Self::Kuma => return envoy(KUMA),
            Self::Knative => return envoy(KNATIVE),
            Self::Istio => (
                series("istio_requests_total", ISTIO, ""),
                r#"response_code!~"5.*""#,
                histogram(series("istio_request_duration_milliseconds_bucket", ISTIO, ""), Unit::Milliseconds),
            ),
            Self::Linkerd => (
                series("response_total", LINKERD, r#"direction="inbound""#),
                r#"classification!="failure""#,
                histogram(series("response_latency_ms_bucket", LINKERD, r#"direction="inbound""#), Unit::Milliseconds),
            ),
            Self::Http => (
                series("http_request_duration_seconds_count", POD, ""),
                r#"status!~"5.*""#,
                histogram(series("http_request_duration_seconds_bucket", POD, ""), Unit::Seconds),
            ),
            Self::Nginx => (
                series("nginx_ingress_controller_requests", NGINX, ""),
                r#"status!~"5.*""#,
                average(series("nginx_ingress_controller_response_duration_seconds", NGINX, "")),
            ),
            Self::Osm => (
                series("osm_request_total", OSM, ""),
                r#"response_code!~"5.*""#,
                histogram(series("osm_request_duration_ms_bucket", OSM, ""), Unit::Milliseconds),
            ),
            Self::Traefik => (
                series("traefik_service_request_duration_seconds_bucket", TRAEFIK, INFINITE_BUCKET),
                r#"code!~"5..""#,
                histogram(series("traefik_service_request_duration_seconds_bucket", TRAEFIK, ""), Unit::ScaledSeconds),
            ),
            Self::Skipper => (
                series("skipper_response_duration_seconds_bucket", SKIPPER, INFINITE_BUCKET),
                r#"code!~"5..""#,
                average(series("skipper_serve_route_duration_seconds", SKIPPER, "")),
            ),
            Self::Apisix => (
                series("apisix_http_status", APISIX, ""),
                r#"code!~"5..""#,
                histogram(series("apisix_http_latency_bucket", APISIX_REQUEST, ""), Unit::Milliseconds),
            ),
        };
        Row { requests, succeeded, latency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Builtin = Builtin::Duration { quantile: Quantile::Builtin };

    /// The contract's spelled-out query under a heading such as `istio success`.
    fn golden(heading: &str) -> String {
        let file = include_str!("../../testdata/metric/builtin.promql");
        let mut lines = file.lines().skip_while(|line| *line != format!("# {heading}"));
        lines.nth(1).expect("the golden file lists every observer").to_owned()
    }

    #[test]
    fn every_observer_asks_the_contracts_queries() {
        for observer in Observer::ALL {
            let name = observer.name();
            assert_eq!(observer.query(Builtin::SuccessRate), golden(&format!("{name} success")));
            assert_eq!(observer.query(DURATION), golden(&format!("{name} duration")));
        }
    }

    #[test]
    fn a_quantile_replaces_the_builtin_one_and_the_average() {
        fn check(observer: Observer, name: &str, start: &str, end: &str) {
            let query = observer.query(Builtin::from_name(name).expect("a builtin name"));
            assert!(query.starts_with(start) && query.ends_with(end), "{query}");
        }
        check(Observer::Istio, "request-duration-p50", "histogram_quantile(0.50, sum(rate(istio_", "by (le))");
        check(Observer::Istio, "request-duration-p999", "histogram_quantile(0.999, sum(rate(istio_", "by (le))");
        check(
            Observer::Nginx,
            "request-duration-p95",
            "histogram_quantile(0.95, sum(rate(nginx_ingress_controller_response_duration_seconds_bucket{",
            "by (le)) * 1000",
        );
        assert_eq!(
            Observer::Istio.query(Builtin::Duration { quantile: Quantile::P99 }),
            Observer::Istio.query(DURATION)
        );
    }

    #[test]
    fn names_of_the_articles_are_builtin_too() {
        fn check(name: &str, expected: Option<Builtin>) {
            assert_eq!(Builtin::from_name(name), expected, "{name}");
        }
        check("request-success-rate", Some(Builtin::SuccessRate));
        check("istio_requests_total", Some(Builtin::SuccessRate));
        check("request-duration", Some(DURATION));
        check("istio_request_duration_seconds_bucket", Some(DURATION));
        check("istio_request_duration_milliseconds_bucket", Some(DURATION));
        check("request-duration-p90", Some(Builtin::Duration { quantile: Quantile::P90 }));
        check("request-duration-p42", None);
        check("latency", None);
        assert!(Builtin::is_legacy_name("istio_requests_total"));
        assert!(!Builtin::is_legacy_name("request-duration"));
        assert!(!Builtin::is_legacy_name("latency"));
    }

    #[test]
    fn providers_choose_their_observer() {
        fn check(provider: &str, expected: Observer) {
            assert_eq!(Observer::for_provider(provider), expected, "{provider}");
        }
        for same in [
            Observer::Istio,
            Observer::Linkerd,
            Observer::Nginx,
            Observer::Contour,
            Observer::Kuma,
            Observer::Knative,
            Observer::Osm,
            Observer::Traefik,
            Observer::Skipper,
            Observer::Apisix,
            Observer::Gloo,
            Observer::AppMesh,
        ] {
            check(same.name(), same);
        }
        check("kubernetes", Observer::Http);
        check("gatewayapi", Observer::Http);
        check("gatewayapi:v1beta1", Observer::Http);
        check("gloo:v1", Observer::Gloo);
        check("appmesh:v1beta2", Observer::AppMesh);
        check("smi:istio", Observer::Istio);
        check("smi:v1alpha1:linkerd", Observer::Istio);
        check("kubernetes:service", Observer::Istio);
        check("crossover", Observer::Istio);
        check("", Observer::Istio);
    }

    #[test]
    fn the_metrics_provider_follows_the_contract() {
        fn check(global: &str, wanted: Option<&str>, kind: TargetKind, expected: &str) {
            assert_eq!(metrics_provider(global, wanted, kind), expected);
        }
        check("istio", None, TargetKind::Deployment, "istio");
        check("istio", Some(""), TargetKind::Deployment, "istio");
        check("istio", Some("nginx"), TargetKind::Deployment, "nginx");
        check("linkerd", Some("nginx"), TargetKind::Deployment, "linkerd");
        check("appmesh:crossover", None, TargetKind::Deployment, "crossover");
        check("kubernetes", None, TargetKind::Service, "kubernetes:service");
        check("istio", Some("knative"), TargetKind::Knative, "knative");
    }

    #[test]
    fn durations_become_whole_milliseconds() {
        fn check(observer: Observer, builtin: Builtin, answer: f64, expected: f64) {
            assert!((observer.value(builtin, answer) - expected).abs() < f64::EPSILON, "{observer:?}");
        }
        check(Observer::Istio, DURATION, 499.9, 499.0);
        check(Observer::Http, DURATION, 0.2519, 251.0);
        check(Observer::Traefik, DURATION, 12.7, 12.0);
        check(Observer::Http, Builtin::SuccessRate, 99.5, 99.5);
    }

    #[test]
    fn errors_are_wrapped_but_for_the_http_success_rate() {
        let explain = |observer: Observer, builtin| observer.explain(builtin, "no values found");
        assert_eq!(explain(Observer::Istio, Builtin::SuccessRate), "running query failed: no values found");
        assert_eq!(explain(Observer::Http, DURATION), "running query failed: no values found");
        assert_eq!(explain(Observer::Http, Builtin::SuccessRate), "no values found");
    }

    fn model() -> Model {
        let text = |text: &str| text.to_owned();
        Model {
            name: text("podinfo"),
            namespace: text("test"),
            target: text("podinfo"),
            service: text("my-app.v1_x"),
            ingress: text("podinfo-ingress"),
            route: text("podinfo-route"),
            interval: text("1m"),
            ..Model::default()
        }
    }

    #[test]
    fn every_query_renders() {
        for observer in Observer::ALL {
            for name in ["request-success-rate", "request-duration", "request-duration-p50"] {
                let query = observer.render(Builtin::from_name(name).expect("a builtin name"), &model());
                let query = query.expect("builtin queries render");
                assert!(!query.contains("{{") && query.contains("[1m]"), "{query}");
            }
        }
    }

    #[test]
    fn skippers_route_is_a_pattern_of_encoded_names() {
        let query = Observer::Skipper.render(Builtin::SuccessRate, &model()).expect("it renders");
        let route = r#"route=~"kube(ew)?_test__podinfo_ingress_canary__.*__my_app_v1_x_canary(_[0-9]+)?""#;
        assert_eq!(query.matches(route).count(), 2, "{query}");
    }
}
