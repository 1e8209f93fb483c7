//! What the values of a spec must keep to (S40 to S44): what would judge nothing, what would reach everybody, and what
//! Kubernetes or Istio would refuse later is refused when it is read. What is only odd is told, and taken.

use burgee_api::{Canary, GoDuration, Metric};
use serde_json::Value;
use url::Url;

use super::{Rollout, SHORTEST_INTERVAL, Strategy, names};
use crate::expression;
use crate::metric::builtin::Builtin;
use crate::object::{entries, items, plain};
use crate::router::row::Feature;
use crate::split::Mirror;

/// Odd texts for each part of a request: what holds for all of them holds for everybody. Proxies match paths without their
/// query.
const ODD: [(&str, [&str; 2]); 4] = [
    ("uri", ["/", "/zq8/X.y-z_~%20/;v=1"]),
    ("scheme", ["http", "https"]),
    ("method", ["GET", "PROPFIND"]),
    ("authority", ["a", "zq8-x.example.com:8443"]),
];

/// Headers that every request has.
const ALWAYS_SENT: [&str; 5] = ["host", ":authority", ":method", ":path", ":scheme"];

/// A metric whose window is more than so many intervals of the analysis is asked too late after another run.
const LONG_WINDOW: i128 = 10;

impl Rollout {
    /// The first value that cannot be meant, with its field.
    pub(super) fn verify_values(&self, canary: &Canary) -> Result<(), String> {
        self.verify_durations()?;
        self.verify_numbers(canary)?;
        self.verify_metrics()?;
        self.verify_addresses(canary)?;
        self.verify_matches()?;
        names::verify(self)
    }

    /// What is taken, and may not be what was meant.
    pub(super) fn doubtful_values(&self) -> Vec<String> {
        let Some(analysis) = &self.analysis else { return Vec::new() };
        let mut doubts = Vec::new();
        let written = analysis.interval.as_deref().unwrap_or_default();
        if GoDuration::parse(written)
            .is_ok_and(|duration| i128::from(duration.nanoseconds()) < SHORTEST_INTERVAL.as_nanos())
        {
            doubts.push(format!("spec.analysis.interval: {written} is shorter than 10s, which is taken instead"));
        }
        if self.mirror == Mirror::On && analysis.mirror_weight == Some(0.0) {
            doubts.push("spec.analysis.mirrorWeight: 0 is the default, all requests are copied".to_owned());
        }
        let above = self.weights().into_iter().filter(|(_, weight)| *weight > 100);
        doubts.extend(above.map(|(field, weight)| format!("{field}: {weight} is cut at 100")));
        if let Strategy::Canary(ladder) = &self.strategy
            && ladder.is_listed()
        {
            doubts.extend(doubtful_weights(&analysis.step_weights));
        }
        let metrics = self.metrics().iter().enumerate();
        doubts.extend(metrics.flat_map(|(number, metric)| self.doubtful_metric(number, metric)));
        doubts.extend(self.doubtful_conditions());
        doubts
    }

    fn doubtful_metric(&self, number: usize, metric: &Metric) -> Vec<String> {
        let field = format!("spec.analysis.metrics[{number}]");
        let has_bound = metric.threshold.is_some() || metric.threshold_range.is_some();
        let unbound = (!has_bound && Builtin::of(metric).is_some())
            .then(|| format!("{field}: {} has no thresholdRange, any value above 0 fails", metric.name));
        let longest = self.interval.as_nanos() * LONG_WINDOW;
        let is_long =
            |text: &&str| GoDuration::parse(text).is_ok_and(|window| i128::from(window.nanoseconds()) > longest);
        let late = metric.interval.as_deref().filter(is_long);
        let late = late.map(|text| format!("{field}.interval: after another run the metric is not asked for {text}"));
        unbound.into_iter().chain(late).collect()
    }

    /// Conditions of an A/B test that requests meet by sending nothing.
    fn doubtful_conditions(&self) -> Vec<String> {
        if !matches!(self.strategy, Strategy::AbTesting(_)) || !self.provider.can(Feature::Matches) {
            return Vec::new();
        }
        let conditions = self.analysis.as_ref().map_or(Value::Null, |analysis| plain(&analysis.matches));
        let conditions = items(&conditions).enumerate();
        let met =
            conditions.filter(|(_, condition)| entries(condition).all(|(name, value)| holds_by_default(name, value)));
        let said = |number| {
            format!(
                "spec.analysis.match[{number}]: it may hold for every request, name a header or another part of some"
            )
        };
        met.map(|(number, _)| said(number)).collect()
    }

    /// Nothing becomes a default because it cannot be read (S41).
    fn verify_durations(&self) -> Result<(), String> {
        let service = &self.service;
        let retries = service.retries.as_ref().and_then(|retries| retries.per_try_timeout.as_ref());
        let max_age = service.cors_policy.as_ref().and_then(|policy| policy.max_age.as_ref());
        for (field, text) in [
            ("spec.service.timeout", service.timeout.as_ref()),
            ("spec.service.backendTimeout", service.backend_timeout.as_ref()),
            ("spec.service.retries.perTryTimeout", retries),
            ("spec.service.corsPolicy.maxAge", max_age),
        ] {
            verify_duration(field, text)?;
        }
        let Some(analysis) = &self.analysis else { return Ok(()) };
        verify_duration("spec.analysis.interval", analysis.interval.as_ref())?;
        for (number, hook) in analysis.webhooks.iter().enumerate() {
            verify_duration(&format!("spec.analysis.webhooks[{number}].timeout"), hook.timeout.as_ref())?;
        }
        for (number, metric) in analysis.metrics.iter().enumerate() {
            let field = format!("spec.analysis.metrics[{number}].interval");
            verify_duration(&field, metric.interval.as_ref())?;
            if let Some(text) = metric.interval.as_deref().filter(|text| !text.is_empty() && !is_window(text)) {
                return Err(format!("{field}: {text} cannot stand in a query, write whole numbers such as 1m30s"));
            }
        }
        Ok(())
    }

    /// Shares are percentages, and a deadline is a time (S42, S43).
    fn verify_numbers(&self, canary: &Canary) -> Result<(), String> {
        if canary.spec.progress_deadline_seconds.is_some_and(|seconds| seconds < 1) {
            return Err("spec.progressDeadlineSeconds: set at least 1, or leave it out for 600".to_owned());
        }
        let Some(analysis) = &self.analysis else { return Ok(()) };
        if let Some((field, weight)) = self.weights().into_iter().find(|(_, weight)| *weight < 0) {
            return Err(format!("{field}: {weight} is no percentage"));
        }
        for (field, percent) in [
            ("primaryReadyThreshold", analysis.primary_ready_threshold),
            ("canaryReadyThreshold", analysis.canary_ready_threshold),
        ] {
            if let Some(percent) = percent.filter(|percent| !(0..=100).contains(percent)) {
                return Err(format!("spec.analysis.{field}: {percent} is no percentage"));
            }
        }
        match analysis.mirror_weight.filter(|weight| !(0.0..=100.0).contains(weight)) {
            Some(weight) => Err(format!("spec.analysis.mirrorWeight: {weight} is no percentage")),
            None => Ok(()),
        }
    }

    /// The weights as written, each with its field.
    fn weights(&self) -> Vec<(String, i64)> {
        let Some(analysis) = &self.analysis else { return Vec::new() };
        let named = [
            ("maxWeight", analysis.max_weight),
            ("stepWeight", analysis.step_weight),
            ("stepWeightPromotion", analysis.step_weight_promotion),
        ];
        let named = named.into_iter().filter_map(|(field, weight)| Some((format!("spec.analysis.{field}"), weight?)));
        let listed = analysis.step_weights.iter().enumerate();
        named.chain(listed.map(|(number, weight)| (format!("spec.analysis.stepWeights[{number}]"), *weight))).collect()
    }

    /// A metric that no value fails judges nothing (S43).
    fn verify_metrics(&self) -> Result<(), String> {
        for (number, metric) in self.metrics().iter().enumerate() {
            let field = format!("spec.analysis.metrics[{number}]");
            if Builtin::of(metric) == Some(Builtin::SuccessRate) && !can_fail_a_rate(metric) {
                return Err(format!("{field}: {} passes at 0 %, set thresholdRange.min", metric.name));
            }
            let Some(range) = metric.threshold_range else { continue };
            match (range.min, range.max) {
                (None, None) => return Err(format!("{field}.thresholdRange: no value fails, set min or max")),
                (Some(min), Some(max)) if min > max => {
                    return Err(format!("{field}.thresholdRange: no value passes, min {min} is above max {max}"));
                }
                (Some(_) | None, Some(_)) | (Some(_), None) => {}
            }
        }
        Ok(())
    }

    fn verify_addresses(&self, canary: &Canary) -> Result<(), String> {
        let server = canary.spec.metrics_server.as_ref().filter(|address| !address.is_empty());
        if server.is_some_and(|address| !is_address(address.written())) {
            return Err("spec.metricsServer: it is no http or https address".to_owned());
        }
        let mut hooks = self.analysis.iter().flat_map(|analysis| &analysis.webhooks).enumerate();
        match hooks.find(|(_, hook)| !is_address(hook.url.written())) {
            Some((number, hook)) => {
                let name = &hook.name;
                Err(format!("spec.analysis.webhooks[{number}].url: that of {name} is no http or https address"))
            }
            None => Ok(()),
        }
    }

    /// An A/B test is for some of the requests: a condition that holds for all of them would send everybody to a version
    /// that nobody has analysed (S40).
    fn verify_matches(&self) -> Result<(), String> {
        if !matches!(self.strategy, Strategy::AbTesting(_)) || !self.provider.can(Feature::Matches) {
            return Ok(());
        }
        if self.is_tcp() {
            return Err("A/B testing is not supported when using appProtocol tcp".to_owned());
        }
        let conditions = self.analysis.as_ref().map_or(Value::Null, |analysis| plain(&analysis.matches));
        for (number, condition) in items(&conditions).enumerate() {
            let field = format!("spec.analysis.match[{number}]");
            if entries(condition).all(|(name, value)| holds_always(name, value)) {
                return Err(format!("{field}: it matches every request, name a header or another part of some"));
            }
            for (other, request) in items(&self.service_json["match"]).enumerate() {
                let both = |name: &&str| differ(&condition[*name], &request[*name]);
                if let Some(name) = ["uri", "scheme", "method", "authority", "port"].into_iter().find(both) {
                    return Err(format!("{field}.{name}: spec.service.match[{other}] has another one, leave one out"));
                }
            }
        }
        Ok(())
    }
}

fn differ(one: &Value, other: &Value) -> bool {
    !one.is_null() && !other.is_null() && one != other
}

/// Whether a part of a condition says nothing of a request.
fn holds_always(name: &str, value: &Value) -> bool {
    if matches!(name, "name" | "ignoreUriCase") {
        return true;
    }
    let Some((_, odd)) = ODD.iter().find(|(part, _)| *part == name) else {
        return value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    };
    let is_any = |way: &str, text: &str| match way {
        "prefix" => odd.iter().all(|odd| odd.starts_with(text)),
        "regex" => expression::matches_all(text, odd),
        _ => false,
    };
    entries(value).all(|(way, text)| is_any(way, text.as_str().unwrap_or_default()))
}

/// Whether a request meets a part of a condition although it sends nothing for it.
fn holds_by_default(name: &str, value: &Value) -> bool {
    match name {
        "gateways" => true,
        "withoutHeaders" => entries(value).all(|(header, _)| !ALWAYS_SENT.contains(&header.to_lowercase().as_str())),
        _ => holds_always(name, value),
    }
}

fn verify_duration(field: &str, text: Option<&String>) -> Result<(), String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
    match GoDuration::parse(text) {
        Err(error) => Err(format!("{field}: {error}")),
        Ok(duration) if duration.nanoseconds() <= 0 => Err(format!("{field}: {text} is not longer than nothing")),
        Ok(_) => Ok(()),
    }
}

/// Whether Prometheus reads a text as a window: whole numbers, the greatest unit first, none twice.
fn is_window(text: &str) -> bool {
    let mut rest = text;
    for unit in ["h", "m", "s", "ms"] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let is_next =
            after.strip_prefix(unit).filter(|after| !after.starts_with(|letter: char| letter.is_ascii_alphabetic()));
        if let Some(after) = is_next.filter(|_| !number.is_empty()) {
            rest = after;
        }
    }
    rest.is_empty()
}

fn doubtful_weights(weights: &[i64]) -> Vec<String> {
    let field = "spec.analysis.stepWeights";
    let pairs = || weights.iter().zip(weights.iter().skip(1));
    let mut doubts = Vec::new();
    if let Some((before, after)) = pairs().find(|(before, after)| before > after) {
        doubts.push(format!("{field}: {before} is followed by {after}, the canary gives traffic back"));
    }
    if let Some((weight, _)) = pairs().find(|(before, after)| before == after) {
        doubts.push(format!("{field}: {weight} repeats, it is held for an interval each time"));
    }
    if weights.contains(&0) {
        doubts.push(format!("{field}: 0 is no step, it is left out"));
    }
    doubts
}

/// Whether there is a success rate, between 0 and 100, that fails.
fn can_fail_a_rate(metric: &Metric) -> bool {
    match metric.threshold_range {
        Some(range) => range.min.is_some_and(|min| min > 0.0) || range.max.is_some_and(|max| max < 100.0),
        None => metric.threshold.is_some_and(|least| least > 0.0),
    }
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests;
