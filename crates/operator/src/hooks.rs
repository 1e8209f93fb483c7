//! Calling webhooks: sends what core prepares, as often as core says (contract: webhooks §1). It knows no rollout.

use std::time::{Duration, Instant};

use burgee_api::{Webhook, WebhookType};
use burgee_core::question::HookError;
use burgee_core::webhook::call::{ANSWER_LIMIT_BYTES, Attempt, Call, Next, request, timeout};
use burgee_core::webhook::{Payload, kind_name};
use jiff::Timestamp;
use serde_json::Value;

use crate::gauges;
use crate::http::{Aim, Limits, Outside, SendError, Trust};
use crate::operator::Operator;
use crate::tick_context::TickContext;

/// Calls a webhook and counts it if it does not pass. The error is the contract's text.
pub(crate) async fn ask(
    operator: &Operator,
    context: &TickContext,
    webhook: &Webhook,
    payload: &Value,
) -> Result<(), HookError> {
    let answer = call(&operator.outside, webhook, payload, Aim::Object).await;
    if let Err(error) = &answer {
        let (subject, kind) = (gauges::subject(&context.canary), kind_name(webhook.kind));
        operator.show(&context.key, |telemetry| telemetry.hook_failed(&subject, &webhook.name, kind, error.reason()));
    }
    answer
}

/// Calls a webhook, repeating as its `retries` say.
pub async fn call(outside: &Outside, webhook: &Webhook, payload: &Value, aim: Aim) -> Result<(), HookError> {
    let trust = if webhook.disable_tls { Trust::Blind } else { Trust::Verified };
    let timeout = timeout(webhook.timeout.as_deref()).map_err(|error| HookError::Unanswered(error.to_string()))?;
    let retries = u32::try_from(webhook.retries.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
    let began = Instant::now();
    let mut call = Call { url: &webhook.url, retries, attempt: 1, elapsed: Duration::ZERO };
    loop {
        let deadline = call.deadline(timeout);
        let request = request(&webhook.url, payload).map_err(HookError::Unanswered)?;
        let sent = outside.send(request, Limits { deadline, bytes: ANSWER_LIMIT_BYTES, trust, aim }).await;
        let attempt = match &sent {
            Ok(response) => Attempt::Answered(response),
            Err(SendError::Refused(refusal)) => return Err(HookError::Unanswered(refusal.to_string())),
            Err(SendError::Failed(cause)) => Attempt::Broken(cause),
        };
        call.elapsed = began.elapsed();
        match call.next(attempt, Timestamp::now()) {
            Next::Passed => return Ok(()),
            Next::Failed(error) => return Err(error),
            Next::Retry { after } => tokio::time::sleep(after).await,
        }
        call.attempt += 1;
        call.elapsed = began.elapsed();
    }
}

/// The webhooks of one type, in the order in which they are written.
pub(crate) fn of_type(context: &TickContext, kind: WebhookType) -> Vec<Webhook> {
    let all = context.canary.analysis().map(|analysis| analysis.webhooks.clone());
    all.unwrap_or_default().into_iter().filter(|webhook| webhook.kind == kind).collect()
}

/// The checksum that stands in every payload.
pub(crate) fn checksum(context: &TickContext) -> String {
    let status = context.canary.status.clone().unwrap_or_default();
    burgee_core::webhook::checksum(status.tracked_configs.as_ref(), &status.last_applied_spec)
}

/// What every payload says of a canary.
pub(crate) fn payload<'a>(context: &'a TickContext, phase: &'a str, checksum: &'a str) -> Payload<'a> {
    Payload { name: &context.key.name, namespace: &context.key.namespace, phase, checksum }
}

#[cfg(test)]
mod tests;
