//! Whom a rollout asks: webhooks and metrics providers that answer as they were told to.

use std::collections::BTreeMap;

use burgee_core::question::{Answer, Ask, MeasureError};

/// What a metrics provider answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A number.
    Value(f64),
    /// That there is nothing.
    NoValues,
    /// Nothing at all.
    Silence,
}

/// The answers that are given from now on.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    metrics: BTreeMap<String, Reply>,
    hooks: BTreeMap<String, Result<(), String>>,
    is_silent: bool,
}

impl Outside {
    /// Sets what is answered to queries that mention this text.
    pub fn set_metric(&mut self, mention: &str, reply: Reply) {
        self.metrics.insert(mention.to_owned(), reply);
    }

    /// Sets what a webhook answers.
    pub fn set_hook(&mut self, name: &str, answer: Result<(), String>) {
        self.hooks.insert(name.to_owned(), answer);
    }

    /// All metrics providers stop answering.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// They answer again.
    pub fn speak(&mut self) {
        self.is_silent = false;
    }

    /// Answers one question. Whatever was not told passes.
    pub fn answer(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Hook { webhook, .. } => Answer::Hook(self.hooks.get(&webhook.name).cloned().unwrap_or(Ok(()))),
            Ask::Online { .. } | Ask::Measure { .. } if self.is_silent => Answer::Measured(Err(silence())),
            Ask::Online { .. } => Answer::Measured(Ok(1.0)),
            Ask::Measure { query, .. } => Answer::Measured(self.measure(query)),
        }
    }

    fn measure(&self, query: &str) -> Result<f64, MeasureError> {
        let told = self.metrics.iter().find(|(mention, _)| query.contains(mention.as_str()));
        match told.map(|(_, reply)| reply) {
            Some(Reply::Value(value)) => Ok(*value),
            Some(Reply::NoValues) => Err(MeasureError::NoValues("no values found".to_owned())),
            Some(Reply::Silence) => Err(silence()),
            None if query.contains("http_request_duration_seconds_bucket") => Ok(0.05),
            None if query.contains("histogram_quantile") => Ok(50.0),
            None => Ok(100.0),
        }
    }
}

fn silence() -> MeasureError {
    MeasureError::Unavailable("connection refused".to_owned())
}
