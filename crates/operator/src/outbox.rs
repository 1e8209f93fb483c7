//! Letters on their way: event webhooks, chats, alerts. They go in order for each canary and receiver, with deadlines, and
//! delay no rollout (S17). What cannot be sent is logged.

mod delivery;

pub(crate) use self::delivery::Pace;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_api::{Address, AlertDetail, Delivery, DeliveryKind, Phase, Severity, Webhook, WebhookType};
use burgee_core::alert::{self, Alert, Chat, Destination, Facts, Recipients};
use burgee_core::notice::{EventType, Gate, Notice};
use burgee_core::plan::Telling;
use burgee_core::webhook::{EventPayload, chat};
use burgee_core::world::ObjectKey;
use jiff::Timestamp;

use crate::clock;
use crate::hooks;
use crate::http::Aim;
use crate::operator::{Operator, lock};
use crate::tell::{self, Story};

/// What may wait for one canary; beyond that the oldest is dropped.
const OF_CANARY: Waiting = Waiting { letters: 256, bytes: 2 << 20 };
/// What may wait for all canaries of a namespace, and for all; beyond that nothing new is taken.
const OF_NAMESPACE_BYTES: usize = 6 << 20;
const OF_ALL_BYTES: usize = 32 << 20;
/// An event of the outbox' own that is not written by then is given up.
const DEADLINE: Duration = Duration::from_mins(1);
/// First and longest wait before an event that could not be written is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Something to tell.
#[derive(Clone, Debug)]
pub enum News {
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

/// A letter as it will be sent: the message and the address. It waits for as long as others do not answer, so it holds
/// nothing else of its canary.
#[derive(Debug)]
enum Letter {
    /// To a webhook. Its metadata stands in the payload.
    Hook { webhook: Webhook, payload: Box<str>, aim: Aim },
    /// To a chat, by way of a proxy if one is named.
    Chat { to: (Destination, Aim), proxy: Address, alert: Arc<Post>, failure: &'static str },
    /// To an alert provider, whose address may stand in a Secret, which is read when it is sent.
    Provider { key: ObjectKey, alert: Arc<Post> },
}

/// To whom a letter goes: what is slow to one delays nothing to another. It may hold an address, and is shown nowhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Lane(String);

impl fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lane")
    }
}

impl Letter {
    fn lane(&self) -> Lane {
        Lane(match self {
            Self::Hook { webhook, payload: _, aim: _ } => format!("hook {}", webhook.url.written()),
            Self::Chat { to: (to, _), proxy: _, alert: _, failure: _ } => format!("chat {}", to.address.written()),
            Self::Provider { key, alert: _ } => format!("provider {}/{}", key.namespace, key.name),
        })
    }

    /// How much it holds, about.
    fn bytes(&self) -> usize {
        let size = |alert: &Alert| {
            let fields = alert.fields.iter().map(|(name, value)| name.len() + value.len());
            alert.message.len() + fields.sum::<usize>()
        };
        size_of::<Self>()
            + match self {
                Self::Hook { webhook, payload, aim: _ } => webhook.url.written().len() + payload.len(),
                Self::Chat { to: (to, _), proxy: _, alert, failure: _ } => {
                    to.address.written().len() + size(&alert.alert)
                }
                Self::Provider { key: _, alert } => size(&alert.alert),
            }
    }
}

/// An alert for everybody who gets it. When the last letter of it is sent, or given up, it is due no longer.
#[derive(Debug)]
struct Post {
    alert: Alert,
    _receipt: Option<Receipt>,
}

/// Kept as long as something is being delivered. When it goes, the delivery is due no longer, and the next tick has the
/// status say so.
struct Receipt {
    operator: Arc<Operator>,
    canary: ObjectKey,
    delivery: Option<Delivery>,
}

impl Receipt {
    fn of(operator: &Arc<Operator>, story: &Story, delivery: &Delivery) -> Self {
        lock(&operator.memory(&story.key)).deliveries.take(delivery);
        Self { operator: operator.clone(), canary: story.key.clone(), delivery: Some(delivery.clone()) }
    }

    /// What was to be delivered stays due: somebody ended it.
    fn give_back(mut self) {
        if let Some(delivery) = self.delivery.take() {
            lock(&self.operator.memory(&self.canary)).deliveries.give_back(&delivery);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Receipt")
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take() else { return };
        lock(&self.operator.memory(&self.canary)).deliveries.settle(&delivery);
        self.operator.wish(&self.canary, clock::steady());
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    letters: usize,
    bytes: usize,
}

/// The letters of one canary. A lane that is in the map has a task that delivers.
#[derive(Debug, Default)]
struct Queue {
    lanes: BTreeMap<Lane, VecDeque<Letter>>,
    /// Of those that wait, and of those that are being delivered.
    bytes: usize,
}

impl Queue {
    /// Takes the oldest letter of a lane out. Its bytes count until it is delivered. A lane without one is forgotten.
    fn next(&mut self, lane: &Lane, delivered: usize) -> Option<Letter> {
        self.bytes = self.bytes.saturating_sub(delivered);
        let next = self.lanes.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.lanes.remove(lane);
        }
        next
    }

    fn count(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }

    /// Drops the oldest letters of the longest lanes until no more waits than may. Answers how many.
    fn shrink(&mut self) -> usize {
        let before = self.count();
        while self.count() > OF_CANARY.letters || (self.bytes > OF_CANARY.bytes && self.count() > 1) {
            let longest = self.lanes.values_mut().max_by_key(|lane| lane.len());
            let oldest = longest.and_then(VecDeque::pop_front);
            self.bytes = self.bytes.saturating_sub(oldest.map_or(0, |letter| letter.bytes()));
        }
        before - self.count()
    }
}

/// The letters that wait, by canary.
#[derive(Debug, Default)]
pub struct Outbox {
    /// When a letter that was not taken is tried again.
    pub(crate) pace: Pace,
    /// Post-rollout hooks that are being called.
    calls: Arc<AtomicUsize>,
    queues: Mutex<BTreeMap<ObjectKey, Queue>>,
}

impl Outbox {
    /// Puts letters at the end of their lanes. Answers how many were dropped, and the lanes in which nobody delivers yet.
    fn put(&self, canary: &ObjectKey, letters: Vec<Letter>) -> (usize, Vec<Lane>) {
        let mut queues = lock(&self.queues);
        let bytes = |queues: &BTreeMap<ObjectKey, Queue>, is_in: &dyn Fn(&ObjectKey) -> bool| -> usize {
            queues.iter().filter(|(key, _)| is_in(key)).map(|(_, queue)| queue.bytes).sum()
        };
        let (mut dropped, mut idle) = (0, Vec::new());
        for letter in letters {
            let (size, lane) = (letter.bytes(), letter.lane());
            let of_namespace = bytes(&queues, &|key| key.namespace == canary.namespace);
            let is_full = of_namespace + size > OF_NAMESPACE_BYTES || bytes(&queues, &|_| true) + size > OF_ALL_BYTES;
            if is_full {
                dropped += 1;
                continue;
            }
            let queue = queues.entry(canary.clone()).or_default();
            if !queue.lanes.contains_key(&lane) {
                idle.push(lane.clone());
            }
            queue.bytes += size;
            queue.lanes.entry(lane).or_default().push_back(letter);
            dropped += queue.shrink();
        }
        (dropped, idle)
    }

    /// The next letter of a lane, after one of so many bytes was delivered. A canary without lanes is forgotten.
    fn next(&self, canary: &ObjectKey, lane: &Lane, delivered: usize) -> Option<Letter> {
        let mut queues = lock(&self.queues);
        let queue = queues.get_mut(canary)?;
        let next = queue.next(lane, delivered);
        if queue.lanes.is_empty() {
            queues.remove(canary);
        }
        next
    }

    /// Canaries for which something waits or is on its way.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { pace: _, calls, queues } = self;
        vec![("letters", lock(queues).len()), ("calls", calls.load(Ordering::SeqCst))]
    }
}

impl Operator {
    /// Posts what is to be told and returns at once.
    pub fn post(self: &Arc<Self>, story: &Story, news: &News) {
        let letters = match news {
            News::Event { text, event_type, phase, at } => {
                event_letters(self, story, (text.as_str(), *event_type, *phase, *at))
            }
            News::Alert(delivery) => alert_letters(self, story, delivery),
        };
        let (dropped, idle) = self.outbox.put(&story.key, letters);
        if dropped > 0 {
            tracing::warn!(canary = story.title(), "too many notifications wait, {dropped} dropped");
            let count = f64::from(u32::try_from(dropped).unwrap_or(u32::MAX));
            self.show(&story.key, |telemetry| telemetry.dropped(&crate::gauges::subject(&story.canary), count));
        }
        for lane in idle {
            tokio::spawn(delivery::deliver_all(self.clone(), story.key.clone(), lane));
        }
    }

    /// Whether every letter has been delivered, and every hook that was due after a rollout called.
    pub fn is_delivered(&self) -> bool {
        lock(&self.outbox.queues).is_empty() && self.outbox.calls.load(Ordering::SeqCst) == 0
    }

    /// Hands over what others get, and returns at once.
    pub fn deliver(self: &Arc<Self>, story: &Story, delivery: &Delivery) {
        match delivery.kind {
            DeliveryKind::Alert => self.post(story, &News::Alert(delivery.clone())),
            DeliveryKind::PostRollout => self.call_post_rollout(story, delivery),
        }
    }

    /// Calls the post-rollout hooks one after the other until one fails, and tells how it went.
    fn call_post_rollout(self: &Arc<Self>, story: &Story, delivery: &Delivery) {
        let (operator, story, phase) = (self.clone(), story.clone(), delivery.phase);
        let receipt = Receipt::of(self, &story, delivery);
        let under_way = UnderWay::begin(&self.outbox.calls);
        let ended = lock(&self.memory(&story.key)).questions.clone();
        let calls = async move {
            let _under_way = under_way;
            let checksum = hooks::checksum(&story);
            for webhook in hooks::of_type(&story, WebhookType::PostRollout) {
                let payload = hooks::payload(&story, phase.as_str(), &checksum).body(&webhook.metadata);
                let place = operator.budgets.hooks.place(&story.key).await;
                let answer = hooks::ask(&operator, &story, &webhook, &payload).await;
                drop(place);
                let failed = answer.is_err();
                let notice = match answer {
                    Ok(()) => Notice::GatePassed(Gate::PostRollout, webhook.name),
                    Err(error) => Notice::PostRolloutFailed(webhook.name, error.to_string()),
                };
                tell_later(&operator, &story, notice, phase).await;
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
async fn tell_later(operator: &Arc<Operator>, story: &Story, notice: Notice, phase: Phase) {
    let event_suffix = format!("{:016x}", Timestamp::now().as_nanosecond());
    let telling = Telling { notice, event_suffix, phase };
    let (deadline, mut wait) = (Instant::now() + DEADLINE, RETRY.0);
    while let Err(error) = tell::tell(operator, story, &telling).await {
        if Instant::now() > deadline {
            tracing::error!(canary = story.title(), "event cannot be written: {error}");
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// An event for every webhook that wants it; for the global one if there is none (contract: webhooks §3).
fn event_letters(
    operator: &Operator,
    story: &Story,
    (text, event_type, phase, at): (&str, EventType, Phase, Timestamp),
) -> Vec<Letter> {
    let event =
        EventPayload { message: text, event_type: event_type.as_str(), timestamp_milliseconds: at.as_millisecond() };
    let own = hooks::of_type(story, WebhookType::Event).into_iter().map(|webhook| (webhook, Aim::Object));
    let mut webhooks: Vec<(Webhook, Aim)> = own.collect();
    let global = &operator.notifier.event_webhook;
    if webhooks.is_empty() && !global.is_empty() {
        let kind = WebhookType::Event;
        let webhook = Webhook { name: "events".to_owned(), kind, url: global.clone(), ..Webhook::default() };
        webhooks.push((webhook, Aim::Administrator));
    }
    let untyped = hooks::of_type(story, WebhookType::Untyped).into_iter();
    let chats = untyped.filter(|webhook| chat::destination(webhook).is_some());
    webhooks.extend(chats.map(|webhook| (webhook, Aim::Object)));
    let checksum = hooks::checksum(story);
    let letter = |(webhook, aim): (Webhook, Aim)| {
        if let Some(to) = chat::destination(&webhook) {
            let worded = worded(operator, story, text, chat::severity_of(event.event_type));
            let alert = Arc::new(Post { alert: Alert { phase, time: at, ..worded }, _receipt: None });
            let failure = "error sending event to webhook";
            return Letter::Chat { to: (to, aim), proxy: Address::default(), alert, failure };
        }
        let payload = hooks::payload(story, phase.as_str(), &checksum).event_body(&event, &webhook.metadata);
        let webhook = Webhook { metadata: BTreeMap::default(), ..webhook };
        Letter::Hook { webhook, payload: payload.to_string().into(), aim }
    };
    webhooks.into_iter().map(letter).collect()
}

/// What everybody is told of a canary now, without fields.
fn worded(operator: &Operator, story: &Story, message: &str, severity: Severity) -> Alert {
    let (canary, namespace) = (story.key.name.clone(), story.key.namespace.clone());
    let target = (story.names.target_kind.clone(), story.names.target.clone());
    let cluster_name = operator.settings.cluster_name.clone();
    let (phase, time, fields) = (story.phase(), Timestamp::now(), Vec::new());
    Alert { canary, namespace, message: message.to_owned(), severity, fields, target, cluster_name, phase, time }
}

/// An alert for whoever gets it.
fn alert_letters(operator: &Arc<Operator>, story: &Story, delivery: &Delivery) -> Vec<Letter> {
    let fields = fields(operator, story, delivery.detail);
    let worded = worded(operator, story, &delivery.text, delivery.severity);
    let alert = Alert { fields, phase: delivery.phase, time: delivery.at.parse().unwrap_or(worded.time), ..worded };
    let alert = Arc::new(Post { alert, _receipt: Some(Receipt::of(operator, story, delivery)) });
    let alerts = story.canary.analysis().map(|analysis| analysis.alerts.as_slice()).unwrap_or_default();
    match alert::recipients(alerts, &story.key.namespace, delivery.severity, operator.settings.audience) {
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

fn fields(operator: &Operator, story: &Story, detail: AlertDetail) -> Vec<(String, String)> {
    let facts = Facts {
        target_kind: &story.names.target_kind,
        target: &story.names.target,
        namespace: &story.key.namespace,
        progress_deadline_seconds: story.canary.spec.progress_deadline_seconds.unwrap_or(600),
        analysis: story.canary.analysis(),
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
