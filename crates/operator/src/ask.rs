//! Ask: webhooks and metric providers, outside the tick. An answer is kept for the canary and wakes it; how slow it is
//! delays nobody else. It decides nothing.

mod measure;

pub(crate) use self::measure::greet;

use std::sync::{Arc, Mutex};

use burgee_core::metric::error::MeasureError;
use burgee_core::question::{Answer, Ask, AskKey, HookError, ProviderSource};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::hooks;
use crate::lock::lock;
use crate::memory::Memory;
use crate::operator::Operator;
use crate::supervise::caught;
use crate::tick_context::TickContext;

/// Asks everything in `asks` that is not being asked already.
pub fn ask(operator: &Arc<Operator>, context: &TickContext, asks: Vec<(AskKey, Ask)>) {
    let memory = operator.memory(&context.key);
    for (key, question) in asks {
        let ended = {
            let mut memory = lock(&memory);
            let at = memory.canary_clock.at(clock::steady());
            if !memory.answers.ask(&key, at) {
                continue;
            }
            memory.questions.clone()
        };
        let (operator, context) = (operator.clone(), context.clone());
        let out = Out { memory: memory.clone(), key: Some(key), ended: ended.clone() };
        let (after, canary) = (operator.clone(), context.key.clone());
        let asking = Box::pin(ended.run_until_cancelled_owned(async move {
            let answer = answered(&context, &question, answer(&operator, &context, &question)).await;
            show(&operator, &context, &question, &answer);
            if out.came(answer) {
                operator.wish(&context.key, clock::steady());
            }
        }));
        tokio::spawn(async move {
            asking.await;
            after.sweep_after(&canary);
        });
    }
}

/// A question that is out. However its task ends, the canary does not go on waiting for it: a panic leaves no question that
/// can never be asked again.
struct Out {
    memory: Arc<Mutex<Memory>>,
    /// None once it is answered.
    key: Option<AskKey>,
    ended: CancellationToken,
}

impl Out {
    /// Enters the answer. False if nobody waits for it any more.
    fn came(mut self, answer: Answer) -> bool {
        let mut memory = lock(&self.memory);
        let Some(key) = self.key.take().filter(|_| !self.ended.is_cancelled()) else { return false };
        let at = memory.canary_clock.at(clock::steady());
        memory.answers.insert(key, answer, at);
        true
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut memory = lock(&self.memory);
        // Whoever ended it has withdrawn it, and the same may be out again since.
        if !self.ended.is_cancelled() {
            memory.answers.withdraw(&key);
        }
    }
}

/// What a question comes to. One that panics is an answer too, or it would be awaited for ever; it says nothing of the
/// version that is analysed.
async fn answered(context: &TickContext, question: &Ask, answer: impl Future<Output = Answer>) -> Answer {
    let panic = match caught(answer).await {
        Ok(answer) => return answer,
        Err(panic) => panic,
    };
    tracing::error!(canary = context.title(), "internal error while asking, please report it: {panic}");
    let text = "internal error while asking".to_owned();
    match question {
        Ask::Hook { .. } => Answer::Hook(Err(HookError::Unanswered(text))),
        Ask::Measure { .. } | Ask::Online { .. } => Answer::Measured(Err(MeasureError::Unavailable(text))),
    }
}

async fn answer(operator: &Operator, context: &TickContext, question: &Ask) -> Answer {
    let budget = match question {
        Ask::Hook { .. } => &operator.budgets.hooks,
        Ask::Measure { .. } | Ask::Online { .. } => &operator.budgets.metrics,
    };
    let _place = budget.place(&context.key).await;
    match question {
        Ask::Hook { webhook, payload } => Answer::Hook(hooks::ask(operator, context, webhook, payload).await),
        Ask::Measure { source, query, window, .. } => {
            Answer::Measured(match verify_reference(operator, context, source) {
                Ok(()) => measure::measure(operator, source, (query, *window)).await,
                Err(error) => Err(error),
            })
        }
        Ask::Online { source } => Answer::Measured(match verify_reference(operator, context, source) {
            Ok(()) => measure::online(operator, source).await,
            Err(error) => Err(error),
        }),
    }
}

/// A template of another namespace is refused where it is used as well as where it is read: whatever way a question came
/// about, `-no-cross-namespace-refs` holds.
fn verify_reference(operator: &Operator, context: &TickContext, source: &ProviderSource) -> Result<(), MeasureError> {
    let is_foreign = |(namespace, _): &(String, String)| *namespace != context.key.namespace;
    let is_refused = [&source.template, &source.secret].into_iter().flatten().any(is_foreign);
    if operator.settings.no_cross_namespace_refs && is_refused {
        return Err(MeasureError::Wrong("cross-namespace references are disabled".to_owned()));
    }
    Ok(())
}

/// Shows a number on `/metrics`, or counts that there is none; a request duration is shown in seconds, as in the contract.
fn show(operator: &Operator, context: &TickContext, ask: &Ask, answer: &Answer) {
    let (Ask::Measure { metric, scale, .. }, Answer::Measured(measured)) = (ask, answer) else { return };
    let subject = crate::gauges::subject(&context.canary);
    operator.show(&context.key, |telemetry| match measured {
        Ok(value) => telemetry.measured(&subject, metric, value * scale),
        Err(error) => telemetry.provider_failed(&subject, metric, error.reason()),
    });
}

#[cfg(test)]
mod tests;
