//! Ask: webhooks and metric providers, outside the tick. An answer is kept for the canary and wakes it; how slow it is
//! delays nobody else. It decides nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_core::metric::provider::{Credentials, Endpoint, Provider, ProviderError};
use burgee_core::question::{Answer, Ask, AskKey, HookError, MeasureError, ProviderSource};
use burgee_core::world::{Kind, ObjectKey};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::hooks;
use crate::http::{Aim, Limits, SendError, Trust};
use crate::memory::Memory;
use crate::operator::{Operator, lock};
use crate::secrets::{Content, Reading, SecretError};
use crate::supervise::caught;
use crate::tell::Story;

/// A provider that has not answered by then does not answer (contract: metrics §6).
const PROVIDER_DEADLINE: Duration = Duration::from_secs(5);
/// More than this is not read of a provider's answer.
const PROVIDER_BYTES: usize = 256 << 10;

/// Asks everything in `asks` that is not being asked already.
pub fn ask(operator: &Arc<Operator>, story: &Story, asks: Vec<(AskKey, Ask)>) {
    let memory = operator.memory(&story.key);
    for (key, question) in asks {
        let ended = {
            let mut memory = lock(&memory);
            let at = memory.hours.at(clock::steady());
            if !memory.answers.ask(&key, at) {
                continue;
            }
            memory.questions.clone()
        };
        let (operator, story) = (operator.clone(), story.clone());
        let out = Out { memory: memory.clone(), key: Some(key), ended: ended.clone() };
        let (after, canary) = (operator.clone(), story.key.clone());
        let asking = Box::pin(ended.run_until_cancelled_owned(async move {
            let answer = answered(&story, &question, answer(&operator, &story, &question)).await;
            show(&operator, &story, &question, &answer);
            if out.came(answer) {
                operator.wish(&story.key, clock::steady());
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
        let at = memory.hours.at(clock::steady());
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
async fn answered(story: &Story, question: &Ask, answer: impl Future<Output = Answer>) -> Answer {
    let panic = match caught(answer).await {
        Ok(answer) => return answer,
        Err(panic) => panic,
    };
    tracing::error!(canary = story.title(), "internal error while asking, please report it: {panic}");
    let text = "internal error while asking".to_owned();
    match question {
        Ask::Hook { .. } => Answer::Hook(Err(HookError::Unanswered(text))),
        Ask::Measure { .. } | Ask::Online { .. } => Answer::Measured(Err(MeasureError::Unavailable(text))),
    }
}

async fn answer(operator: &Operator, story: &Story, question: &Ask) -> Answer {
    let budget = match question {
        Ask::Hook { .. } => &operator.budgets.hooks,
        Ask::Measure { .. } | Ask::Online { .. } => &operator.budgets.metrics,
    };
    let _place = budget.place(&story.key).await;
    match question {
        Ask::Hook { webhook, payload } => Answer::Hook(hooks::ask(operator, story, webhook, payload).await),
        Ask::Measure { source, query, .. } => Answer::Measured(match verify_reference(operator, story, source) {
            Ok(()) => measure(operator, source, query).await,
            Err(error) => Err(error),
        }),
        Ask::Online { source } => Answer::Measured(match verify_reference(operator, story, source) {
            Ok(()) => online(operator, source).await,
            Err(error) => Err(error),
        }),
    }
}

/// A template of another namespace is refused where it is used as well as where it is read: whatever way a question came
/// about, `-no-cross-namespace-refs` holds.
fn verify_reference(operator: &Operator, story: &Story, source: &ProviderSource) -> Result<(), MeasureError> {
    let is_foreign = |(namespace, _): &(String, String)| *namespace != story.key.namespace;
    let is_refused = [&source.template, &source.secret].into_iter().flatten().any(is_foreign);
    if operator.settings.no_cross_namespace_refs && is_refused {
        return Err(MeasureError::Wrong("cross-namespace references are disabled".to_owned()));
    }
    Ok(())
}

async fn measure(operator: &Operator, source: &ProviderSource, query: &str) -> Result<f64, MeasureError> {
    let provider = Provider::from_type(&source.provider_type);
    let response = exchange(operator, source, |endpoint| provider.request(endpoint, query)).await?;
    provider.parse(&response).map_err(judge)
}

/// Says whether the metrics server of the builtin queries answers; nothing depends on it (contract: metrics §6).
pub(crate) async fn greet(operator: &Operator) {
    let address = operator.settings.metrics_server.clone();
    let source = ProviderSource { provider_type: "prometheus".to_owned(), address, ..ProviderSource::default() };
    match online(operator, &source).await {
        Ok(_) => tracing::info!("Connected to metrics server {}", source.address),
        Err(error) => tracing::error!("Metrics server {} unreachable {error}", source.address),
    }
}

/// Whether a provider answers: a number that means nothing, or why not.
async fn online(operator: &Operator, source: &ProviderSource) -> Result<f64, MeasureError> {
    let provider = Provider::from_type(&source.provider_type);
    let response = exchange(operator, source, |endpoint| provider.online_request(endpoint)).await?;
    provider.online(&response).map(|()| 1.0).map_err(judge)
}

/// One request and its answer. Credentials that were kept and are refused are read again at once.
async fn exchange(
    operator: &Operator,
    source: &ProviderSource,
    request: impl Fn(&Endpoint) -> Result<Request<Bytes>, ProviderError>,
) -> Result<Response<Bytes>, MeasureError> {
    let started = Instant::now();
    let key = source.secret.as_ref().map(|(namespace, name)| ObjectKey::new(Kind::Secret, namespace, name));
    let Some(key) = key else {
        return send(operator, source, request(&endpoint(source, None)?).map_err(judge)?).await;
    };
    let metadata = operator.stores.peek(&key);
    let read = operator.secrets.read(&operator.cluster, &key, &metadata, started).await;
    let secret = found(&key, read)?;
    let response = send(operator, source, request(&endpoint(source, Some(&secret.content))?).map_err(judge)?).await?;
    let is_refused = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if !is_refused || !secret.is_older_than(started) {
        return Ok(response);
    }
    let read = operator.secrets.read_again(&operator.cluster, &key, &secret, Instant::now()).await;
    let renewed = found(&key, read)?;
    if renewed.content == secret.content {
        return Ok(response);
    }
    send(operator, source, request(&endpoint(source, Some(&renewed.content))?).map_err(judge)?).await
}

async fn send(
    operator: &Operator,
    source: &ProviderSource,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, MeasureError> {
    let trust = if source.insecure_skip_verify { Trust::Blind } else { Trust::Verified };
    // Whoever names the very address that the flag names asks what the builtin queries ask.
    let is_ours = source.template.is_none() && source.address == operator.settings.metrics_server;
    let aim = if is_ours { Aim::Administrator } else { Aim::Object };
    let limits = Limits { deadline: PROVIDER_DEADLINE, bytes: PROVIDER_BYTES, trust, aim };
    let response = operator.outside.send(request, limits).await.map_err(|error| match error {
        // Only whoever wrote the address can mend it: waiting would hold the run for ever.
        SendError::Refused(refusal) => MeasureError::Wrong(format!("request refused: {refusal}")),
        SendError::Failed(cause) => MeasureError::Unavailable(format!("request failed: {cause}")),
    })?;
    if response.body().len() >= PROVIDER_BYTES && response.status().is_success() {
        // What was cut off cannot be parsed; that error would hide the reason. It is no verdict either (S10): what stands in
        // between may answer at length as well.
        let limit = PROVIDER_BYTES >> 10;
        return Err(MeasureError::Unavailable(format!("answer longer than {limit} KiB, a query must give one number")));
    }
    Ok(response)
}

fn judge(error: ProviderError) -> MeasureError {
    match error {
        ProviderError::NoValues(text) => MeasureError::NoValues(text),
        ProviderError::Wrong(text) => MeasureError::Wrong(text),
        ProviderError::Unavailable(text) => MeasureError::Unavailable(text),
    }
}

/// Where to ask, with the credentials of the Secret.
fn endpoint(source: &ProviderSource, secret: Option<&Content>) -> Result<Endpoint, MeasureError> {
    let provider = Provider::from_type(&source.provider_type);
    let credentials = secret.map(|content| Credentials::from_secret(provider, content)).transpose();
    Ok(Endpoint {
        address: source.address.clone(),
        headers: source.headers.clone(),
        credentials: credentials.map_err(|error| MeasureError::Secret(error.to_string()))?,
        insecure_skip_verify: source.insecure_skip_verify,
    })
}

/// A Secret that is missing or no credentials fails the check; an API server that does not answer holds the run.
fn found(key: &ObjectKey, read: Result<Reading, SecretError>) -> Result<Reading, MeasureError> {
    let ObjectKey { name, namespace, .. } = key;
    read.map_err(|error| match error {
        SecretError::Missing(_) | SecretError::Refused { .. } => MeasureError::Secret(error.to_string()),
        SecretError::Unread(error) => {
            MeasureError::Unavailable(format!("secret {name}.{namespace} cannot be read: {error}"))
        }
    })
}

/// Shows a number on `/metrics`, or counts that there is none; a request duration is shown in seconds, as in the contract.
fn show(operator: &Operator, story: &Story, ask: &Ask, answer: &Answer) {
    let (Ask::Measure { metric, scale, .. }, Answer::Measured(measured)) = (ask, answer) else { return };
    let subject = crate::gauges::subject(&story.canary);
    operator.show(&story.key, |telemetry| match measured {
        Ok(value) => telemetry.measured(&subject, metric, value * scale),
        Err(error) => telemetry.provider_failed(&subject, metric, reason(error)),
    });
}

/// Why there is no number, in one word.
const fn reason(error: &MeasureError) -> &'static str {
    match error {
        MeasureError::NoValues(_) => "no-values",
        MeasureError::Wrong(_) => "wrong",
        MeasureError::Secret(_) => "secret",
        MeasureError::Unavailable(_) => "unanswered",
    }
}

#[cfg(test)]
mod tests;
