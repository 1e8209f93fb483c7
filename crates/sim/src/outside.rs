//! Whom a rollout asks: webhooks and metrics providers that answer as they were told to.

use std::collections::BTreeMap;

use burgee_api::{GoDuration, Metric, Webhook, WebhookType};
use burgee_core::metric::builtin::Builtin;
use burgee_core::metric::error::MeasureError;
use burgee_core::metric::provider::{self, Next, Query};
use burgee_core::question::{Answer, Ask, HookError, ProviderSource};
use bytes::Bytes;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::prometheus::{Load, Prometheus, Quality, Window};

/// What a metrics provider answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A number.
    Value(f64),
    /// Several series, each with its number: somebody forgot to sum them up.
    Series(Vec<f64>),
    /// That there is nothing.
    NoValues,
    /// Nothing at all.
    Silence,
    /// What it answers when nobody said anything else: all is well.
    Usual,
}

/// Milliseconds that a request takes when nobody said anything else.
const USUAL_LATENCY: f64 = 50.0;

/// A question to a metrics provider.
#[derive(Clone, Copy)]
struct Inquiry<'a> {
    metric: &'a str,
    scale: f64,
    query: &'a str,
    now: Timestamp,
}

/// The answers that are given from now on.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// What answers the builtin queries, unless somebody said that there is no answer.
    pub prometheus: Prometheus,
    metrics: BTreeMap<String, Reply>,
    usual: BTreeMap<String, f64>,
    hooks: BTreeMap<String, Result<(), HookError>>,
    slow: BTreeMap<String, SignedDuration>,
    late: BTreeMap<String, SignedDuration>,
    is_silent: bool,
}

impl Outside {
    /// Sets what is answered for `success-rate` (percent), for `latency` (milliseconds), for a metric of this name, or
    /// to queries that mention this text.
    pub fn set_metric(&mut self, topic: &str, reply: Reply) {
        self.metrics.insert(topic.to_owned(), reply);
    }

    /// From now on every metric of a canary is good by its own thresholds, unless something else is said of it.
    pub fn please(&mut self, metrics: &[Metric]) {
        for metric in metrics {
            let range = metric.threshold_range.unwrap_or_default();
            let is_builtin = Builtin::from_name(&metric.name).is_some();
            let good = range.min.or(range.max).or(metric.threshold).filter(|_| !is_builtin);
            self.usual.extend(good.map(|good| (metric.name.clone(), good)));
        }
    }

    /// Sets what a webhook answers.
    pub fn set_hook(&mut self, name: &str, answer: Result<(), String>) {
        self.hooks.insert(name.to_owned(), answer.map_err(HookError::Refused));
    }

    /// From now on a webhook does not answer.
    pub fn silence_hook(&mut self, name: &str) {
        self.hooks.insert(name.to_owned(), Err(hung()));
    }

    /// From now on a webhook answers only after this time, as one that hangs; zero ends it.
    pub fn slow_down(&mut self, name: &str, delay: SignedDuration) {
        self.slow.insert(name.to_owned(), delay);
    }

    /// From now on a webhook takes this time for its answer, whatever that is.
    pub fn delay_hook(&mut self, name: &str, delay: SignedDuration) {
        self.late.insert(name.to_owned(), delay);
    }

    /// All metrics providers stop answering.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// They answer again.
    pub fn speak(&mut self) {
        self.is_silent = false;
    }

    /// Time has passed until `now`, and from now on this load reaches the canary's workload.
    pub fn pass(&mut self, now: Timestamp, load: Load) {
        self.prometheus.pass(now, self.quality(), load);
    }

    /// How the requests to the canary's workload are answered from now on: as good as the metrics were said to be.
    fn quality(&self) -> Quality {
        let told = |topic: &str, usual: f64| match self.metrics.get(topic) {
            Some(Reply::Value(value)) => *value,
            Some(Reply::Series(_) | Reply::NoValues | Reply::Silence | Reply::Usual) | None => usual,
        };
        Quality { success_rate: told("success-rate", 100.0), latency: told("latency", USUAL_LATENCY) }
    }

    /// Answers one question that is asked at `now`, and says how long that takes.
    pub fn answer_after(&self, ask: &Ask, now: Timestamp) -> (SignedDuration, Answer) {
        let Ask::Hook { webhook, .. } = ask else { return (SignedDuration::ZERO, self.answer(ask, now)) };
        let of = |delays: &BTreeMap<String, SignedDuration>| delays.get(&webhook.name).copied().unwrap_or_default();
        let hangs_for = of(&self.slow);
        if hangs_for.is_zero() {
            (of(&self.late), self.answer(ask, now))
        } else {
            (hangs_for, Answer::Hook(Err(hung())))
        }
    }

    /// Answers one question. Whatever was not told passes.
    fn answer(&self, ask: &Ask, now: Timestamp) -> Answer {
        match ask {
            Ask::Hook { webhook, .. } => {
                let told = self.hooks.get(&webhook.name).cloned();
                Answer::Hook(told.unwrap_or_else(|| usual_answer(webhook)))
            }
            Ask::Online { .. } | Ask::Measure { .. } if self.is_silent => Answer::Measured(Err(silence())),
            Ask::Online { .. } => Answer::Measured(Ok(1.0)),
            Ask::Measure { metric, scale, query, .. } => {
                Answer::Measured(self.measure(Inquiry { metric, scale: *scale, query, now }))
            }
        }
    }

    fn measure(&self, inquiry: Inquiry) -> Result<f64, MeasureError> {
        let told = self.metrics.iter().find(|(topic, _)| inquiry.is_about(topic));
        match told {
            Some((topic, Reply::Value(_))) if topic == "latency" || topic == "success-rate" => self.count(inquiry),
            Some((_, Reply::Value(value))) => told_by_prometheus(&[*value]),
            Some((_, Reply::Series(values))) => told_by_prometheus(values),
            Some((_, Reply::NoValues)) => Err(no_values()),
            Some((_, Reply::Silence)) => Err(silence()),
            Some((_, Reply::Usual)) | None => match self.usual.get(inquiry.metric) {
                Some(usual) => Ok(*usual),
                None => self.count(inquiry),
            },
        }
    }

    /// How many of the requests that a builtin query looks back on at `now` reached another version than the target's. Two
    /// windows after the run has `begun` that is nobody's fault: pods of before that never go put no verdict off for ever.
    pub(crate) fn foreign(&self, ask: &Ask, now: Timestamp, begun: Timestamp) -> f64 {
        let Ask::Measure { metric, scale, query, .. } = ask else { return 0.0 };
        let inquiry = Inquiry { metric, scale: *scale, query, now };
        let window = inquiry.window().filter(|_| Builtin::from_name(metric).is_some());
        let early = window.filter(|window| now.duration_since(begun) < window.length.saturating_mul(2));
        early.map_or(0.0, |window| self.prometheus.foreign(window))
    }

    /// What the counters of the canary's workload say.
    fn count(&self, inquiry: Inquiry) -> Result<f64, MeasureError> {
        let (Some(builtin), Some(window)) = (Builtin::from_name(inquiry.metric), inquiry.window()) else {
            return Ok(inquiry.usual());
        };
        let counted = self.prometheus.ask(builtin, window, self.quality()).ok_or_else(no_values)?;
        match builtin {
            Builtin::SuccessRate => told_by_prometheus(&[counted]),
            Builtin::Duration { .. } => Ok(inquiry.milliseconds(counted)),
        }
    }
}

impl Inquiry<'_> {
    fn is_about(&self, topic: &str) -> bool {
        match topic {
            "success-rate" => Builtin::from_name(self.metric) == Some(Builtin::SuccessRate),
            "latency" => self.is_duration(),
            _ => self.metric == topic || self.query.contains(topic),
        }
    }

    fn is_duration(&self) -> bool {
        matches!(Builtin::from_name(self.metric), Some(Builtin::Duration { .. }))
    }

    /// A duration in the provider's own unit: what it is multiplied by gives seconds.
    fn milliseconds(&self, value: f64) -> f64 {
        value / (1000.0 * self.scale)
    }

    fn usual(&self) -> f64 {
        if self.is_duration() { self.milliseconds(USUAL_LATENCY) } else { 100.0 }
    }

    /// What a builtin query looks back on: the range of its last `rate`, as all of them are alike.
    fn window(&self) -> Option<Window> {
        let range = self.query.rsplit_once('[')?.1.split_once(']')?.0;
        let length = SignedDuration::from_nanos(GoDuration::parse(range).ok()?.nanoseconds());
        Some(Window { now: self.now, length })
    }
}

/// What an answer of Prometheus with these series means, as the operator reads it (S9).
fn told_by_prometheus(values: &[f64]) -> Result<f64, MeasureError> {
    let number = |value: &f64| if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
    let series = values
        .iter()
        .zip(1..)
        .map(|(value, pod)| json!({"metric": {"pod": format!("podinfo-{pod}")}, "value": [0, number(value)]}));
    let result: Vec<Value> = series.collect();
    let answer = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    let source = &ProviderSource { address: "http://prometheus".into(), ..ProviderSource::default() };
    let query = Query { source, text: "", window: SignedDuration::ZERO, now: Timestamp::UNIX_EPOCH };
    let asked = provider::row("prometheus")?.start(&query, None)?;
    match (asked.answered)(&Response::new(Bytes::from(answer.to_string())), query.now)? {
        Next::Sample(value) => Ok(value),
        Next::Send(_) => Err(silence()),
    }
}

/// Hooks pass; one that would roll back does not ask for it.
fn usual_answer(webhook: &Webhook) -> Result<(), HookError> {
    match webhook.kind {
        WebhookType::Rollback => Err(HookError::Refused("no rollback is wanted".to_owned())),
        WebhookType::Untyped
        | WebhookType::ConfirmRollout
        | WebhookType::PreRollout
        | WebhookType::Rollout
        | WebhookType::ConfirmTrafficIncrease
        | WebhookType::ConfirmPromotion
        | WebhookType::PostRollout
        | WebhookType::Event => Ok(()),
    }
}

fn hung() -> HookError {
    HookError::Unanswered("request failed: timeout".to_owned())
}

fn no_values() -> MeasureError {
    MeasureError::no_values()
}

fn silence() -> MeasureError {
    MeasureError::Unavailable("connection refused".to_owned())
}
