//! What was answered for a step, and what that has to mean: an oracle beside the decisions, so that
//! a mistake in them is not made twice. It decides nothing.

use std::collections::BTreeMap;

use burgee_api::{Metric, WebhookType};
use burgee_core::metric::builtin::Builtin;
use burgee_core::metric::error::MeasureError;
use burgee_core::question::{Answer, Ask, AskKey};
use burgee_core::rollout::Rollout;

/// What one metric says, in the order in which they prevail (I20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Within its bounds.
    Passed,
    /// The provider does not answer.
    Silent,
    /// The provider has nothing to say.
    NoData,
    /// Out of its bounds, or a question that is wrong.
    Failed,
}

/// The answers for one moment of a step of the rollout that have not led to a status yet, by what was asked; a later one
/// replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Round {
    moment: String,
    step: String,
    answers: BTreeMap<String, (Ask, Answer)>,
    /// What was asked, the latest last.
    heard: Vec<String>,
}

impl Round {
    /// Something is asked for this step: what was asked for another one comes too late for anybody.
    pub fn turn_to(&mut self, key: &AskKey) {
        if self.step != key.step() {
            self.end();
            key.step().clone_into(&mut self.step);
        }
    }

    /// Its answers have led to a status.
    pub fn end(&mut self) {
        self.answers.clear();
        self.heard.clear();
    }

    /// Notes an answer. Those for different moments of a step do not count together.
    pub fn hear(&mut self, key: &AskKey, ask: &Ask, answer: &Answer) {
        if self.step != key.step() {
            return;
        }
        if self.moment != key.moment {
            self.moment.clone_from(&key.moment);
            self.end();
        }
        self.heard.retain(|what| *what != key.what);
        self.heard.push(key.what.clone());
        self.answers.insert(key.what.clone(), (ask.clone(), answer.clone()));
    }

    /// What the metrics said, one by one. Of a metric that has been asked in another place since, because somebody edited
    /// those before it, only the latest counts.
    pub fn outcomes(&self, rollout: &Rollout) -> Vec<Outcome> {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        let latest = self.heard.iter().rev().filter_map(|what| self.answers.get(what));
        let counts = latest.filter(|(ask, _)| {
            let Ask::Measure { metric, .. } = ask else { return false };
            let asked = counted.entry(metric).or_default();
            *asked += 1;
            *asked <= rollout.metrics().iter().filter(|known| known.name == *metric).count()
        });
        counts.filter_map(|(ask, answer)| outcome(rollout, ask, answer)).collect()
    }

    /// What the metrics say together; none if none was asked.
    pub fn verdict(&self, rollout: &Rollout) -> Option<Outcome> {
        self.outcomes(rollout).into_iter().max()
    }

    /// Whether a hook of this type has answered.
    pub fn has_answer_of(&self, kind: WebhookType) -> bool {
        self.answers.values().any(|(ask, _)| matches!(ask, Ask::Hook { webhook, .. } if webhook.kind == kind))
    }

    /// Whether a hook failed that fails the check with it.
    pub fn has_failed_hook(&self) -> bool {
        self.answers.values().any(|(ask, answer)| {
            let Ask::Hook { webhook, .. } = ask else { return false };
            let counts = webhook.kind.is_rollout() || webhook.kind == WebhookType::PreRollout;
            counts && matches!(answer, Answer::Hook(Err(_)))
        })
    }
}

fn outcome(rollout: &Rollout, ask: &Ask, answer: &Answer) -> Option<Outcome> {
    let (Ask::Measure { metric, scale, .. }, Answer::Measured(answer)) = (ask, answer) else { return None };
    let metric = rollout.metrics().iter().find(|known| known.name == *metric)?;
    Some(match answer {
        Ok(value) if value.is_nan() => Outcome::NoData,
        Ok(value) if is_within(metric, *scale, *value) => Outcome::Passed,
        Ok(_) | Err(MeasureError::Wrong(_) | MeasureError::Secret(_)) => Outcome::Failed,
        Err(MeasureError::NoValues(_)) => Outcome::NoData,
        Err(MeasureError::Unavailable(_)) => Outcome::Silent,
    })
}

/// Whether a value is within the bounds of its metric. Durations count in whole milliseconds (contract: metrics §3).
fn is_within(metric: &Metric, scale: f64, value: f64) -> bool {
    let is_own = metric.query.is_some() || metric.template_ref.is_some();
    let builtin = Builtin::from_name(&metric.name).filter(|_| !is_own);
    let value = match builtin {
        Some(Builtin::Duration { .. }) => (value * scale * 1000.0).trunc(),
        Some(Builtin::SuccessRate) | None => value,
    };
    let legacy = metric.threshold.unwrap_or_default();
    let (least, most) = match (metric.threshold_range, builtin) {
        (Some(range), _) => (range.min, range.max),
        (None, Some(Builtin::SuccessRate)) => (Some(legacy), None),
        (None, Some(Builtin::Duration { .. }) | None) => (None, Some(legacy)),
    };
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}
