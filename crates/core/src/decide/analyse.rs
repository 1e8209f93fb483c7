//! The metrics of a step: all asked together, joined into one verdict; a provider that does not answer is no verdict
//! (S10, I20; contract: metrics §1).

use burgee_api::{CatchingUp, Metric, MetricErrors, MetricTemplate};

use super::ask::Asker;
use super::builder::PlanBuilder;
use super::facts::Facts;
use super::foreign;
use super::proposal::{Decision, Proposal};
use super::stamp::{fraction, time};
use crate::ending;
use crate::metric::builtin::{Builtin, Observer};
use crate::metric::error::MeasureError;
use crate::metric::template::{Model, render};
use crate::metric::verdict::{self, Bounds, Fault, Outcome, Source, Subject, Unready};
use crate::notice::Notice;
use crate::question::{Answer, Ask, ProviderSource};
use crate::rollout::Rollout;
use crate::workload::{self, Side};
use crate::world::{Kind, ObjectKey, Observed, World};
use jiff::{SignedDuration, Timestamp};

/// What the metrics of a step say together.
pub(super) enum Verdict {
    /// All is well.
    Passed,
    /// A failed check, with what is said of it.
    Failed(Notice),
    /// The provider is waited for.
    Held(Silence),
    /// This metric is the first whose window holds nothing but this run, and that from this time on; the others pass so far.
    Unclean((String, Timestamp)),
}

/// Why a provider is waited for.
#[derive(Debug)]
pub(super) enum Silence {
    /// It does not answer, for this reason.
    Unanswered(String),
    /// It answers again, and its data may be on its way.
    CatchingUp(CatchingUp),
}

/// One metric, ready to be asked or already lost.
struct Check<'a> {
    metric: &'a Metric,
    source: Source,
    ask: Result<Ask, Lost>,
}

/// Why a metric cannot even be asked for.
enum Lost {
    /// The template or provider is unusable; the sentence is complete.
    Fault(Fault),
    /// The query cannot be rendered.
    Query(String),
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Asks for all metrics and joins what came back.
pub(super) fn analyse(asker: &Asker) -> Decision<Verdict> {
    let checks = checks(asker.facts);
    // What cannot even be asked for fails whatever its window holds.
    let clean_at = |check: &Check| foreign::clean_at(asker.facts, check.metric).filter(|_| check.ask.is_ok());
    let unclean = checks.iter().filter_map(|check| Some((clean_at(check)?, &check.metric.name)));
    // Of those that are clean at the same time the first one of the spec is named.
    let unclean = unclean.min_by_key(|(clean_at, _)| *clean_at);
    let asks = checks.iter().enumerate().filter(|(_, check)| clean_at(check).is_none()).filter_map(|(place, check)| {
        let ask = check.ask.as_ref().ok()?.clone();
        Some((format!("metric {place} {}", check.metric.name), ask))
    });
    let mut answers = asker.all(asks.collect())?.into_iter();
    let outcomes: Vec<Outcome> = checks
        .iter()
        .filter(|check| clean_at(check).is_none())
        .map(|check| match &check.ask {
            Err(Lost::Fault(fault)) => Outcome::Failed(fault.to_string()),
            Err(Lost::Query(error)) => subject(asker.facts, check).explain(&MeasureError::Wrong(error.clone())),
            Ok(_) => judge(asker.facts, check, answers.next()),
        })
        .collect();
    Ok(match (conclude(asker.facts, &outcomes), unclean) {
        (Verdict::Passed, Some((clean_at, metric))) => Verdict::Unclean((metric.clone(), clean_at)),
        (verdict, _) => verdict,
    })
}

/// The first sentence in the order of the spec is told. After an outage, "no data" holds too, until one metric interval
/// after the first good answer: a provider that has just restarted has no rate yet, and has one of some series before it
/// has one of others. One that gives no value at all has an interval as well, so that nothing is held for ever.
fn conclude(facts: &Facts, outcomes: &[Outcome]) -> Verdict {
    let counts_errors =
        facts.rollout.analysis.as_ref().is_some_and(|analysis| analysis.metric_errors == Some(MetricErrors::Fail));
    match verdict::join(outcomes) {
        verdict::Verdict::Passed => Verdict::Passed,
        verdict::Verdict::Failed(texts) => {
            Verdict::Failed(Notice::MetricHalt(texts.into_iter().next().unwrap_or_default()))
        }
        verdict::Verdict::NoData(text) => {
            let in_part = outcomes.iter().any(|one| matches!(one, Outcome::Passed(_)));
            let now = CatchingUp { since: fraction(facts.now), in_part };
            let failed = || Verdict::Failed(Notice::MetricHalt(text));
            catching_up(facts, now).map_or_else(failed, |catching_up| Verdict::Held(Silence::CatchingUp(catching_up)))
        }
        verdict::Verdict::Hold(text) if counts_errors => Verdict::Failed(Notice::MetricHalt(text)),
        verdict::Verdict::Hold(text) => Verdict::Held(Silence::Unanswered(text)),
    }
}

/// Since when a provider that came back has been catching up; nothing if the run was not held, or has been for long enough.
/// Values that come and go begin nothing anew.
fn catching_up(facts: &Facts, now: CatchingUp) -> Option<CatchingUp> {
    let run = facts.run().filter(|run| run.held_since.is_some())?;
    let known = run.catching_up.as_ref().filter(|known| known.in_part || !now.in_part);
    let Some((known, since)) = known.and_then(|known| Some((known, time(&known.since)?))) else { return Some(now) };
    (facts.now.duration_since(since) < longest_interval(facts.rollout)).then(|| known.clone())
}

/// What is said of a provider that answers again, and has nothing to answer yet, or not all.
fn progress(catching_up: &CatchingUp) -> String {
    let CatchingUp { since, in_part } = catching_up;
    let data = if *in_part { "with part of the data" } else { "without data" };
    format!("provider answers {data} since {since}")
}

/// The longest window that any of the metrics looks back.
fn longest_interval(rollout: &Rollout) -> SignedDuration {
    rollout.metrics().iter().map(foreign::window).max().unwrap_or(SignedDuration::from_mins(1))
}

fn subject<'a>(facts: &Facts<'a>, check: &Check<'a>) -> Subject<'a> {
    Subject {
        canary: &facts.rollout.name,
        namespace: &facts.rollout.namespace,
        target: &facts.rollout.target.name,
        metrics_provider: &facts.rollout.metrics_provider,
        metric: &check.metric.name,
        source: check.source,
    }
}

fn judge(facts: &Facts, check: &Check, answer: Option<Answer>) -> Outcome {
    let subject = subject(facts, check);
    match answer {
        Some(Answer::Measured(Ok(value))) => {
            let value = match check.source {
                Source::Builtin(builtin) => observer(facts.rollout).value(builtin, value),
                Source::Inline | Source::Template => value,
            };
            subject.judge(value, Bounds::of(check.metric))
        }
        Some(Answer::Measured(Err(MeasureError::Secret(text)))) => {
            Outcome::Failed(secret_fault(check, text).to_string())
        }
        Some(Answer::Measured(Err(error))) => subject.explain(&error),
        Some(Answer::Hook(_)) | None => Outcome::Unanswered("the answer was lost".to_owned()),
    }
}

fn secret_fault(check: &Check, error: String) -> Fault {
    let source = match &check.ask {
        Ok(Ask::Measure { source, .. }) => source.clone(),
        Ok(Ask::Hook { .. } | Ask::Online { .. }) | Err(_) => ProviderSource::default(),
    };
    let (namespace, name) = source.template.unwrap_or_default();
    Fault::Secret { name, namespace, secret: source.secret.unwrap_or_default().1, error }
}

/// The checks in the contract's order: builtin and inline ones first, then those with templates (metrics §1).
fn checks<'a>(facts: &Facts<'a>) -> Vec<Check<'a>> {
    let metrics = facts.rollout.metrics();
    let first = metrics.iter().flat_map(|metric| direct_checks(facts, metric));
    let second = metrics.iter().filter_map(|metric| template_check(facts, metric));
    first.chain(second).collect()
}

fn direct_checks<'a>(facts: &Facts, metric: &'a Metric) -> Vec<Check<'a>> {
    let rollout = facts.rollout;
    let mut checks = Vec::new();
    if let Some(builtin) = Builtin::of(metric) {
        let query = observer(rollout).render(builtin, &model(facts, metric));
        checks.push(Check {
            metric,
            source: Source::Builtin(builtin),
            ask: prometheus_ask(rollout, metric, query, scale(rollout, builtin)),
        });
    }
    if let Some(query) = metric.query.as_deref().filter(|query| !query.is_empty()) {
        let query = render(query, &model(facts, metric));
        checks.push(Check { metric, source: Source::Inline, ask: prometheus_ask(rollout, metric, query, 1.0) });
    }
    checks
}

fn prometheus_ask<E: ToString>(
    rollout: &Rollout,
    metric: &Metric,
    query: Result<String, E>,
    scale: f64,
) -> Result<Ask, Lost> {
    let query = query.map_err(|error| Lost::Query(error.to_string()))?;
    Ok(measure(metric, scale, prometheus(rollout), query))
}

fn measure(metric: &Metric, scale: f64, source: ProviderSource, query: String) -> Ask {
    Ask::Measure { metric: metric.name.clone(), scale, source, query, window: foreign::window(metric) }
}

/// From what the provider answers to what `/metrics` shows.
fn scale(rollout: &Rollout, builtin: Builtin) -> f64 {
    match builtin {
        Builtin::SuccessRate => 1.0,
        Builtin::Duration { .. } => observer(rollout).value(builtin, 1.0) / 1000.0,
    }
}

fn template_check<'a>(facts: &Facts<'a>, metric: &'a Metric) -> Option<Check<'a>> {
    let usable = Builtin::of(metric).is_some() || metric.query.as_deref().is_some_and(|query| !query.is_empty());
    let Some(key) = template_key(facts.rollout, metric) else {
        let ask = Err(Fault::NothingConfigured.into());
        return (!usable).then_some(Check { metric, source: Source::Template, ask });
    };
    Some(Check { metric, source: Source::Template, ask: template_ask(facts, metric, &key) })
}

fn template_ask(facts: &Facts, metric: &Metric, key: &ObjectKey) -> Result<Ask, Lost> {
    let template = template(facts.world, key)?;
    let model = model(facts, metric);
    let query = render(&template.spec.query, &model).map_err(|error| Fault::Render {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        error: error.to_string(),
    })?;
    Ok(measure(metric, 1.0, template_source(&template, key), query))
}

fn template(world: &World, key: &ObjectKey) -> Result<MetricTemplate, Fault> {
    let object = world.look(key).map_err(|error| template_fault(key, error))?.ok_or_else(|| missing(key))?;
    burgee_api::read_object(object).map_err(|error| template_fault(key, error))
}

fn template_source(template: &MetricTemplate, key: &ObjectKey) -> ProviderSource {
    let provider = &template.spec.provider;
    ProviderSource {
        provider_type: provider.kind.clone(),
        address: provider.address.clone().unwrap_or_default(),
        headers: provider.headers.clone(),
        region: provider.region.clone().unwrap_or_default(),
        insecure_skip_verify: provider.insecure_skip_verify,
        secret: provider.secret_ref.as_ref().map(|secret| (key.namespace.clone(), secret.name.clone())),
        template: Some((key.namespace.clone(), key.name.clone())),
    }
}

/// What is wrong with the first MetricTemplate that is not there; nobody asks for it while the analysis is skipped.
pub(super) fn missing_template(facts: &Facts) -> Option<String> {
    let metrics = if facts.rollout.skip_analysis { &[] } else { facts.rollout.metrics() };
    let mut keys = metrics.iter().filter_map(|metric| template_key(facts.rollout, metric));
    keys.find(|key| facts.world.seen(key) == Observed::Absent).map(|key| missing(&key).to_string())
}

fn missing(key: &ObjectKey) -> Fault {
    template_fault(key, format!("metrictemplates.flagger.app \"{}\" not found", key.name))
}

fn template_fault(key: &ObjectKey, error: String) -> Fault {
    Fault::Template { name: key.name.clone(), namespace: key.namespace.clone(), error }
}

/// The MetricTemplate that a metric names.
pub fn template_key(rollout: &Rollout, metric: &Metric) -> Option<ObjectKey> {
    let reference = metric.template_ref.as_ref()?;
    let namespace = reference.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    Some(ObjectKey::new(Kind::MetricTemplate, namespace.unwrap_or(&rollout.namespace), &reference.name))
}

/// Every provider that the canary's metrics ask, with the words for it (contract: metrics §5).
pub(super) fn sources(rollout: &Rollout, world: &World) -> Result<Vec<(String, ProviderSource)>, Unready> {
    let mut sources: Vec<(String, ProviderSource)> = Vec::new();
    for metric in rollout.metrics() {
        if Builtin::of(metric).is_some() && !sources.iter().any(|(what, _)| what == "prometheus") {
            sources.push(("prometheus".to_owned(), prometheus(rollout)));
        }
        if let Some(key) = template_key(rollout, metric) {
            let template = template(world, &key)?;
            sources.push((
                format!("{} in metric template {}.{}", template.spec.provider.kind, key.name, key.namespace),
                template_source(&template, &key),
            ));
        }
    }
    Ok(sources)
}

/// Why the provider at a source is not ready, in the contract's words.
pub(super) fn unready(source: &ProviderSource, error: MeasureError) -> Unready {
    let Some((namespace, name)) = source.template.clone() else { return Unready::Prometheus(error.to_string()) };
    match error {
        MeasureError::Secret(error) => {
            let secret = source.secret.clone().unwrap_or_default().1;
            Fault::Secret { name, namespace, secret, error }.into()
        }
        error @ (MeasureError::NoValues(_) | MeasureError::Wrong(_) | MeasureError::Unavailable(_)) => {
            Unready::Provider { name, namespace, provider: source.provider_type.clone(), error: error.to_string() }
        }
    }
}

fn prometheus(rollout: &Rollout) -> ProviderSource {
    ProviderSource {
        provider_type: "prometheus".to_owned(),
        address: rollout.metrics_server.clone(),
        ..ProviderSource::default()
    }
}

fn observer(rollout: &Rollout) -> Observer {
    Observer::for_provider(&rollout.metrics_provider)
}

fn model(facts: &Facts, metric: &Metric) -> Model {
    let rollout = facts.rollout;
    let revision = workload::revision(rollout, facts.world, Side::Canary).map(|revision| revision.name);
    let interval = metric.interval.clone().filter(|interval| !interval.is_empty());
    Model {
        name: rollout.name.clone(),
        namespace: rollout.namespace.clone(),
        target: rollout.target.name.clone(),
        service: rollout.apex.clone(),
        ingress: rollout.ingress.clone(),
        route: revision.unwrap_or_else(|| rollout.route.clone()),
        interval: interval.unwrap_or_else(|| "1m".to_owned()),
        variables: metric.template_variables.clone(),
    }
}

/// The provider does not answer: weight and counters stay, it is said once, and asked again every interval (S10).
pub(super) fn hold(facts: &Facts, mut builder: PlanBuilder, silence: Silence) -> Proposal {
    let (reason, catching_up) = match silence {
        Silence::Unanswered(reason) => (reason, None),
        Silence::CatchingUp(catching_up) => (progress(&catching_up), Some(catching_up)),
    };
    if builder.run().held_since.is_none() {
        builder.tell(Notice::ProviderSilent(reason.clone()));
        builder.run().held_since = Some(fraction(facts.now));
        builder.set_condition("Held", "True", "ProviderNotAnswering", &reason);
    }
    let run = builder.run();
    (run.held_reason, run.catching_up) = (Some(reason), catching_up);
    builder.wait_an_interval()
}

/// The provider answers again.
pub(super) fn resume(builder: &mut PlanBuilder) {
    if builder.run().held_since.is_some() {
        builder.tell(Notice::ProviderAnswersAgain);
        ending::forget_hold(builder.run());
        builder.drop_condition("Held");
    }
}
