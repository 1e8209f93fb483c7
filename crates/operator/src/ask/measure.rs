//! Conversations with metric providers: whatever a provider asks for is sent, waited for and bounded here, for all alike. It
//! knows no provider.

use std::time::{Duration, Instant};

use burgee_core::metric::error::MeasureError;
use burgee_core::metric::provider::{self, Exchange, Next, Query};
use burgee_core::question::ProviderSource;
use burgee_core::world::{Kind, ObjectKey};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use crate::http::{Aim, Limits, SendError, Trust};
use crate::operator::Operator;
use crate::secrets::{Content, Reading, SecretError};

/// A provider that has not given its number by then does not answer (contract: metrics §6).
const DEADLINE: Duration = Duration::from_secs(5);
/// More than this is not read of a provider's answers.
const BYTES: usize = 256 << 10;
/// A conversation that is longer leads nowhere.
const STEPS: usize = 8;

/// A number of a provider.
pub(super) async fn measure(
    operator: &Operator,
    source: &ProviderSource,
    (text, window): (&str, SignedDuration),
) -> Result<f64, MeasureError> {
    let row = provider::row(&source.provider_type)?;
    let query = Query { source, text, window, now: Timestamp::now() };
    with_secret(operator, source, |secret| row.start(&query, secret)).await
}

/// Whether a provider answers: a number that means nothing, or why not.
pub(super) async fn online(operator: &Operator, source: &ProviderSource) -> Result<f64, MeasureError> {
    let row = provider::row(&source.provider_type)?;
    with_secret(operator, source, |secret| row.online(source, secret, Timestamp::now())).await
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

/// A conversation with the content of the Secret. If credentials that were kept are refused, they are read again at once,
/// and it is begun anew.
async fn with_secret(
    operator: &Operator,
    source: &ProviderSource,
    start: impl Fn(Option<&Content>) -> Result<Exchange, MeasureError>,
) -> Result<f64, MeasureError> {
    let started = Instant::now();
    let key = source.secret.as_ref().map(|(namespace, name)| ObjectKey::new(Kind::Secret, namespace, name));
    let Some(key) = key else { return converse(operator, source, start(None)?).await.result };
    let metadata = operator.stores.peek(&key);
    let read = operator.secrets.read(&operator.cluster, &key, &metadata, started).await;
    let secret = found(&key, read)?;
    let end = converse(operator, source, start(Some(&secret.content))?).await;
    if !end.is_refused() || !secret.is_older_than(started) {
        return end.result;
    }
    let read = operator.secrets.read_again(&operator.cluster, &key, &secret, Instant::now()).await;
    let renewed = found(&key, read)?;
    if renewed.content == secret.content {
        return end.result;
    }
    converse(operator, source, start(Some(&renewed.content))?).await.result
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

/// How a conversation ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) result: Result<f64, MeasureError>,
    /// The status of the last answer.
    status: Option<StatusCode>,
}

impl End {
    /// Whether it ended because the credentials were not taken.
    fn is_refused(&self) -> bool {
        self.result.is_err() && matches!(self.status, Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }
}

/// Sends what is to be sent until there is a number. Deadline and bytes are those of the whole conversation.
pub(super) async fn converse(operator: &Operator, source: &ProviderSource, first: Exchange) -> End {
    let mut left = Left { until: Instant::now() + DEADLINE, bytes: BYTES };
    let (mut exchange, mut status) = (first, None);
    for _ in 0..STEPS {
        let Exchange { pause, request, answered } = exchange;
        let response = match step(operator, source, (pause, request), &mut left).await {
            Ok(response) => response,
            Err(error) => return End { result: Err(error), status: None },
        };
        status = Some(response.status());
        match answered(&response, Timestamp::now()) {
            Ok(Next::Send(next)) => exchange = *next,
            Ok(Next::Sample(value)) => return End { result: Ok(value), status },
            Err(error) => return End { result: Err(error), status },
        }
    }
    let text = format!("request failed: no number after {STEPS} answers");
    End { result: Err(MeasureError::Unavailable(text)), status }
}

/// What a conversation may still use.
struct Left {
    until: Instant,
    bytes: usize,
}

/// Waits, sends, and reads the answer.
async fn step(
    operator: &Operator,
    source: &ProviderSource,
    (pause, request): (Duration, Request<Bytes>),
    left: &mut Left,
) -> Result<Response<Bytes>, MeasureError> {
    let time = |left: &Left| left.until.saturating_duration_since(Instant::now());
    if !pause.is_zero() {
        if pause >= time(left) {
            return Err(MeasureError::Unavailable("request failed: operation timed out".to_owned()));
        }
        tokio::time::sleep(pause).await;
    }
    let trust = if source.insecure_skip_verify { Trust::Blind } else { Trust::Verified };
    // Whoever names the very address that the flag names asks what the builtin queries ask.
    let is_ours = source.template.is_none() && source.address == operator.settings.metrics_server;
    let aim = if is_ours { Aim::Administrator } else { Aim::Object };
    let limits = Limits { deadline: time(left), bytes: left.bytes, trust, aim };
    let response = operator.outside.send(request, limits).await.map_err(|error| match error {
        // Only whoever wrote the address can mend it: waiting would hold the run for ever.
        SendError::Refused(refusal) => MeasureError::Wrong(format!("request refused: {refusal}")),
        SendError::Failed(cause) => MeasureError::Unavailable(format!("request failed: {cause}")),
    })?;
    left.bytes = left.bytes.saturating_sub(response.body().len());
    if left.bytes == 0 && response.status().is_success() {
        // What was cut off cannot be parsed; that error would hide the reason. It is no verdict either (S10): what stands in
        // between may answer at length as well.
        let limit = BYTES >> 10;
        return Err(MeasureError::Unavailable(format!("answer longer than {limit} KiB, a query must give one number")));
    }
    Ok(response)
}
