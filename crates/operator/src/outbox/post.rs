//! What is to be told becomes letters, one for each receiver, and somebody sets out to deliver them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use burgee_api::{Address, AlertDetail, Delivery, DeliveryKind, Phase, Severity, Webhook, WebhookType};
use burgee_core::alert::{self, Alert, Chat, Destination, Facts, Recipients};
use burgee_core::notice::{EventType, Gate, Notice};
use burgee_core::plan::Telling;
use burgee_core::webhook::{EventPayload, chat};
use jiff::Timestamp;

use super::{Delivered, Letter, Post, Receipt, delivery};
use crate::clock;
use crate::hooks;
use crate::http::Aim;
use crate::lock::lock;
use crate::operator::Operator;
use crate::tell;
use crate::tick_context::TickContext;

/// An event of the outbox' own that is not written by then is given up.
const DEADLINE: Duration = Duration::from_mins(1);
/// First and longest wait before an event that could not be written is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Something to tell.
#[derive(Clone, Debug)]
pub enum Announcement {
    /// An event, for the event webhooks.
    Event {
        /// Its message.
        text: String,
        /// Its type.
        event_type: EventType,
        /// The phase that the webhooks see.
        phase: Phase,
        /// When it happened.
        at: Timestamp,
    },
    /// An alert, for the alert providers.
    Alert(Delivery),
}

impl Operator {
    /// Posts what is to be told and returns at once.
    pub fn post(self: &Arc<Self>, context: &TickContext, news: &Announcement) {
        let letters = match news {
            Announcement::Event { text, event_type, phase, at } => {
                event_letters(self, context, (text.as_str(), *event_type, *phase, *at))
            }
            Announcement::Alert(delivery) => alert_letters(self, context, delivery),
        };
        let (dropped, idle) = self.outbox.put(&context.key, letters);
        if dropped > 0 {
            tracing::warn!(canary = context.title(), "too many notifications wait, {dropped} dropped");
            let count = f64::from(u32::try_from(dropped).unwrap_or(u32::MAX));
            self.show(&context.key, |telemetry| telemetry.dropped(&crate::gauges::subject(&context.canary), count));
        }
        for lane in idle {
            tokio::spawn(delivery::deliver_all(self.clone(), context.key.clone(), lane));
        }
    }

    /// Whether every letter has been delivered, and every hook that was due after a rollout called.
    pub fn is_delivered(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Hands over what others get, and returns at once.
    pub fn deliver(self: &Arc<Self>, context: &TickContext, delivery: &Delivery) {
        match delivery.kind {
            DeliveryKind::Alert => self.post(context, &Announcement::Alert(delivery.clone())),
            DeliveryKind::PostRollout => self.call_post_rollout(context, delivery),
        }
    }

    /// Calls the post-rollout hooks one after the other until one fails, and tells how it went.
    fn call_post_rollout(self: &Arc<Self>, context: &TickContext, delivery: &Delivery) {
        let (operator, context, phase) = (self.clone(), context.clone(), delivery.phase);
        let receipt = receipt(self, &context, delivery);
        let under_way = UnderWay::begin(&self.outbox.calls);
        let ended = lock(&self.memory(&context.key)).questions.clone();
        let calls = async move {
            let _under_way = under_way;
            let checksum = hooks::checksum(&context);
            for webhook in hooks::of_type(&context, WebhookType::PostRollout) {
                let payload = hooks::payload(&context, phase.as_str(), &checksum).body(&webhook.metadata);
                let place = operator.budgets.hooks.place(&context.key).await;
                let answer = hooks::ask(&operator, &context, &webhook, &payload).await;
                drop(place);
                let failed = answer.is_err();
                let notice = match answer {
                    Ok(()) => Notice::GatePassed(Gate::PostRollout, webhook.name),
                    Err(error) => Notice::PostRolloutFailed(webhook.name, error.to_string()),
                };
                tell_later(&operator, &context, notice, phase).await;
                if failed {
                    break;
                }
            }
        };
        tokio::spawn(async move {
            if ended.run_until_cancelled_owned(calls).await.is_none() {
                receipt.give_back();
            }
        });
    }
}

/// The receipt of something that is handed over now.
fn receipt(operator: &Arc<Operator>, context: &TickContext, delivery: &Delivery) -> Receipt {
    lock(&operator.memory(&context.key)).deliveries.take(delivery);
    let (operator, canary, delivery) = (operator.clone(), context.key.clone(), delivery.clone());
    Receipt::of(move |delivered| {
        let memory = operator.memory(&canary);
        match delivered {
            Delivered::Over => {
                lock(&memory).deliveries.settle(&delivery);
                operator.wish(&canary, clock::steady());
            }
            Delivered::Not => lock(&memory).deliveries.give_back(&delivery),
        }
    })
}

/// Something that is counted as long as it is under way, whatever becomes of it.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells something besides a plan: nobody else would try it again.
async fn tell_later(operator: &Arc<Operator>, context: &TickContext, notice: Notice, phase: Phase) {
    let event_suffix = format!("{:016x}", Timestamp::now().as_nanosecond());
    let telling = Telling { notice, event_suffix, phase };
    let (deadline, mut wait) = (Instant::now() + DEADLINE, RETRY.0);
    while let Err(error) = tell::tell(operator, context, &telling).await {
        if Instant::now() > deadline {
            tracing::error!(canary = context.title(), "event cannot be written: {error}");
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// An event for every webhook that wants it; for the global one if there is none (contract: webhooks §3).
fn event_letters(
    operator: &Operator,
    context: &TickContext,
    (text, event_type, phase, at): (&str, EventType, Phase, Timestamp),
) -> Vec<Letter> {
    let event =
        EventPayload { message: text, event_type: event_type.as_str(), timestamp_milliseconds: at.as_millisecond() };
    let own = hooks::of_type(context, WebhookType::Event).into_iter().map(|webhook| (webhook, Aim::Object));
    let mut webhooks: Vec<(Webhook, Aim)> = own.collect();
    let global = &operator.notifier.event_webhook;
    if webhooks.is_empty() && !global.is_empty() {
        let kind = WebhookType::Event;
        let webhook = Webhook { name: "events".to_owned(), kind, url: global.clone(), ..Webhook::default() };
        webhooks.push((webhook, Aim::Administrator));
    }
    let untyped = hooks::of_type(context, WebhookType::Untyped).into_iter();
    let chats = untyped.filter(|webhook| chat::destination(webhook).is_some());
    webhooks.extend(chats.map(|webhook| (webhook, Aim::Object)));
    let checksum = hooks::checksum(context);
    let letter = |(webhook, aim): (Webhook, Aim)| {
        if let Some(to) = chat::destination(&webhook) {
            let worded = worded(operator, context, text, chat::severity_of(event.event_type));
            let alert = Arc::new(Post { alert: Alert { phase, time: at, ..worded }, _receipt: None });
            let failure = "error sending event to webhook";
            return Letter::Chat { to: (to, aim), proxy: Address::default(), alert, failure };
        }
        let payload = hooks::payload(context, phase.as_str(), &checksum).event_body(&event, &webhook.metadata);
        let webhook = Webhook { metadata: BTreeMap::default(), ..webhook };
        Letter::Hook { webhook, payload: payload.to_string().into(), aim }
    };
    webhooks.into_iter().map(letter).collect()
}

/// What everybody is told of a canary now, without fields.
fn worded(operator: &Operator, context: &TickContext, message: &str, severity: Severity) -> Alert {
    let (canary, namespace) = (context.key.name.clone(), context.key.namespace.clone());
    let target = (context.names.target_kind.clone(), context.names.target.clone());
    let cluster_name = operator.settings.cluster_name.clone();
    let (phase, time, fields) = (context.phase(), Timestamp::now(), Vec::new());
    Alert { canary, namespace, message: message.to_owned(), severity, fields, target, cluster_name, phase, time }
}

/// An alert for whoever gets it.
fn alert_letters(operator: &Arc<Operator>, context: &TickContext, delivery: &Delivery) -> Vec<Letter> {
    let fields = fields(operator, context, delivery.detail);
    let worded = worded(operator, context, &delivery.text, delivery.severity);
    let alert = Alert { fields, phase: delivery.phase, time: delivery.at.parse().unwrap_or(worded.time), ..worded };
    let alert = Arc::new(Post { alert, _receipt: Some(receipt(operator, context, delivery)) });
    let alerts = context.canary.analysis().map(|analysis| analysis.alerts.as_slice()).unwrap_or_default();
    match alert::recipients(alerts, &context.key.namespace, delivery.severity, operator.settings.audience) {
        Recipients::Providers(keys) => {
            keys.into_iter().map(|key| Letter::Provider { key, alert: alert.clone() }).collect()
        }
        Recipients::Global => {
            let letter = |(to, proxy)| {
                let failure = "alert can't be sent";
                Letter::Chat { to: (to, Aim::Administrator), proxy, alert: alert.clone(), failure }
            };
            global_destination(operator).into_iter().map(letter).collect()
        }
        Recipients::Nobody => Vec::new(),
    }
}

fn fields(operator: &Operator, context: &TickContext, detail: AlertDetail) -> Vec<(String, String)> {
    let facts = Facts {
        target_kind: &context.names.target_kind,
        target: &context.names.target,
        namespace: &context.key.namespace,
        progress_deadline_seconds: context.canary.spec.progress_deadline_seconds.unwrap_or(600),
        analysis: context.canary.analysis(),
    };
    let facts = match detail {
        AlertDetail::Cluster => None,
        AlertDetail::Full => Some(&facts),
    };
    alert::fields(&operator.settings.cluster_name, facts)
}

/// Where alerts of canaries go that name no provider: Teams if it has an address, else Slack.
fn global_destination(operator: &Operator) -> Option<(Destination, Address)> {
    let notifier = &operator.notifier;
    let destination = |chat, address: &Address, token: &str| Destination {
        chat,
        address: address.clone(),
        channel: notifier.slack_channel.clone(),
        username: notifier.slack_user.clone(),
        token: (!token.is_empty()).then(|| token.to_owned()),
    };
    if !notifier.msteams_url.is_empty() {
        let proxy = notifier.msteams_proxy_url.clone();
        return Some((destination(Chat::TEAMS, &notifier.msteams_url, ""), proxy));
    }
    let slack = destination(Chat::SLACK, &notifier.slack_url, &notifier.slack_token);
    (!notifier.slack_url.is_empty()).then(|| (slack, notifier.slack_proxy_url.clone()))
}

#[cfg(test)]
mod tests;
