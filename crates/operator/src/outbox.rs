//! Letters on their way: event webhooks, chats, alerts. They go in order for each canary, with deadlines, and delay no
//! rollout (S17). What cannot be sent is logged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_api::{Address, AlertProvider, AlertProviderSpec, Phase, Severity, Webhook, WebhookType};
use burgee_core::alert::{self, Alert, Chat, Destination, Facts};
use burgee_core::notice::{AlertText, Detail, EventType, Gate, Loudness, Notice};
use burgee_core::plan::Telling;
use burgee_core::webhook::{EventPayload, chat};
use burgee_core::world::{Kind, ObjectKey};
use jiff::Timestamp;

use crate::hooks;
use crate::http::{Aim, Limits, Outside, Trust};
use crate::operator::{Operator, lock};
use crate::secrets::{Content, Reading, SecretError};
use crate::stores::Look;
use crate::supervise::caught;
use crate::tell::{self, Story};

/// What may wait for one canary; beyond that the oldest is dropped.
const OF_CANARY: Waiting = Waiting { letters: 256, bytes: 2 << 20 };
/// What may wait for all canaries of a namespace, and for all; beyond that nothing new is taken.
const OF_NAMESPACE_BYTES: usize = 6 << 20;
const OF_ALL_BYTES: usize = 32 << 20;
/// A letter that is not delivered by then is given up.
const DEADLINE: Duration = Duration::from_mins(1);
/// First and longest wait before an event that could not be written is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A chat has this long to answer (contract: webhooks §4).
const CHAT_DEADLINE: Duration = Duration::from_secs(5);
/// Nothing in a chat's answer is of interest but its status.
const CHAT_BYTES: usize = 1 << 10;

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
    Alert(AlertText),
}

/// A letter as it will be sent: the message and the address. It waits for as long as others do not answer, so it holds
/// nothing else of its canary.
#[derive(Debug)]
enum Letter {
    /// To a webhook. Its metadata stands in the payload.
    Hook { webhook: Webhook, payload: Box<str>, aim: Aim },
    /// To a chat, by way of a proxy if one is named.
    Chat { to: (Destination, Aim), proxy: Address, alert: Arc<Alert>, failure: &'static str },
    /// To an alert provider, whose address may stand in a Secret, which is read when it is sent.
    Provider { key: ObjectKey, alert: Arc<Alert> },
}

impl Letter {
    /// How much it holds, about.
    fn bytes(&self) -> usize {
        let size = |alert: &Alert| {
            let fields = alert.fields.iter().map(|(name, value)| name.len() + value.len());
            alert.message.len() + fields.sum::<usize>()
        };
        size_of::<Self>()
            + match self {
                Self::Hook { webhook, payload, aim: _ } => webhook.url.written().len() + payload.len(),
                Self::Chat { to: (to, _), proxy: _, alert, failure: _ } => to.address.written().len() + size(alert),
                Self::Provider { key: _, alert } => size(alert),
            }
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    letters: usize,
    bytes: usize,
}

/// The letters of one canary.
#[derive(Debug, Default)]
struct Queue {
    letters: VecDeque<Letter>,
    /// Of those that wait, and of the one that is being delivered.
    bytes: usize,
}

impl Queue {
    /// Takes the oldest letter out. Its bytes count until it is delivered.
    fn next(&mut self, delivered: usize) -> Option<Letter> {
        self.bytes = self.bytes.saturating_sub(delivered);
        self.letters.pop_front()
    }

    /// Drops the oldest letters until no more waits than may. Answers how many.
    fn shrink(&mut self) -> usize {
        let before = self.letters.len();
        while self.letters.len() > OF_CANARY.letters || (self.bytes > OF_CANARY.bytes && self.letters.len() > 1) {
            let oldest = self.letters.pop_front();
            self.bytes = self.bytes.saturating_sub(oldest.map_or(0, |letter| letter.bytes()));
        }
        before - self.letters.len()
    }
}

/// The letters that wait, by canary. A canary that is in the map has a task that delivers.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Post-rollout hooks that are being called.
    calls: Arc<AtomicUsize>,
    queues: Mutex<BTreeMap<ObjectKey, Queue>>,
}

impl Outbox {
    /// Puts letters at the end of a canary's queue. Answers how many were dropped, and whether nobody delivers yet.
    fn put(&self, canary: &ObjectKey, letters: Vec<Letter>) -> (usize, bool) {
        let mut queues = lock(&self.queues);
        let bytes = |queues: &BTreeMap<ObjectKey, Queue>, is_in: &dyn Fn(&ObjectKey) -> bool| -> usize {
            queues.iter().filter(|(key, _)| is_in(key)).map(|(_, queue)| queue.bytes).sum()
        };
        let is_idle = !queues.contains_key(canary);
        let mut dropped = 0;
        for letter in letters {
            let size = letter.bytes();
            let of_namespace = bytes(&queues, &|key| key.namespace == canary.namespace);
            let is_full = of_namespace + size > OF_NAMESPACE_BYTES || bytes(&queues, &|_| true) + size > OF_ALL_BYTES;
            if is_full {
                dropped += 1;
                continue;
            }
            let queue = queues.entry(canary.clone()).or_default();
            queue.bytes += size;
            queue.letters.push_back(letter);
            dropped += queue.shrink();
        }
        (dropped, is_idle && queues.contains_key(canary))
    }

    /// The next letter of a canary, after one of so many bytes was delivered. Without one the canary is forgotten.
    fn next(&self, canary: &ObjectKey, delivered: usize) -> Option<Letter> {
        let mut queues = lock(&self.queues);
        let next = queues.get_mut(canary).and_then(|queue| queue.next(delivered));
        if next.is_none() {
            queues.remove(canary);
        }
        next
    }

    /// Canaries for which something waits or is on its way.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { calls, queues } = self;
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
            News::Alert(alert) => alert_letters(self, story, alert),
        };
        let (dropped, is_first) = self.outbox.put(&story.key, letters);
        if dropped > 0 {
            tracing::warn!(canary = story.title(), "too many notifications wait, {dropped} dropped");
            let count = f64::from(u32::try_from(dropped).unwrap_or(u32::MAX));
            self.show(&story.key, |telemetry| telemetry.dropped(&crate::gauges::subject(&story.canary), count));
        }
        if is_first {
            tokio::spawn(deliver_all(self.clone(), story.key.clone()));
        }
    }

    /// Whether every letter has been delivered, and every hook that was due after a rollout called.
    pub fn is_delivered(&self) -> bool {
        lock(&self.outbox.queues).is_empty() && self.outbox.calls.load(Ordering::SeqCst) == 0
    }

    /// Calls the post-rollout hooks one after the other until one fails, and tells how it went.
    pub fn call_post_rollout(self: &Arc<Self>, story: &Story, phase: Phase) {
        let (operator, story) = (self.clone(), story.clone());
        let under_way = UnderWay::begin(&self.outbox.calls);
        let ended = lock(&self.memory(&story.key)).questions.clone();
        tokio::spawn(ended.run_until_cancelled_owned(async move {
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
        }));
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

async fn deliver_all(operator: Arc<Operator>, key: ObjectKey) {
    let title = format!("{}.{}", key.name, key.namespace);
    let mut delivered = 0;
    while let Some(letter) = operator.outbox.next(&key, delivered) {
        delivered = letter.bytes();
        let _place = operator.budgets.letters.place(&key).await;
        // Whatever becomes of one letter, the next ones are delivered.
        match caught(tokio::time::timeout(DEADLINE, deliver(&operator, &key, letter))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                tracing::error!(canary = title, "a notification was not delivered in {} s", DEADLINE.as_secs());
            }
            Err(panic) => tracing::error!(canary = title, "internal error in a notification: {panic}"),
        }
    }
    operator.sweep_after(&key);
}

async fn deliver(operator: &Operator, canary: &ObjectKey, letter: Letter) {
    let title = format!("{}.{}", canary.name, canary.namespace);
    match letter {
        Letter::Hook { webhook, payload, aim } => {
            let payload = serde_json::from_str(&payload).unwrap_or_default();
            if let Err(error) = hooks::call(&operator.outside, &webhook, &payload, aim).await {
                tracing::error!(canary = title, "error sending event to webhook: {error}");
            }
        }
        Letter::Chat { to, proxy, alert, failure } => {
            if let Err(error) = chat_through(operator, &proxy, (&to.0, to.1), &alert).await {
                tracing::error!(canary = title, "{failure}: {error}");
            }
        }
        Letter::Provider { key, alert } => {
            if let Err(error) = alert_provider(operator, (canary, &key), &alert).await {
                tracing::error!(canary = title, "alert provider {}.{} {error}", key.name, key.namespace);
            }
        }
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
            let alert = Arc::new(Alert {
                phase,
                time: at,
                ..worded(operator, story, text, chat::severity_of(event.event_type))
            });
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

/// An alert for the canary's providers, or for the global one if the canary names none (contract: webhooks §4).
fn alert_letters(operator: &Operator, story: &Story, text: &AlertText) -> Vec<Letter> {
    let severity = match text.loudness {
        Loudness::Info => Severity::Info,
        Loudness::Warn => Severity::Warn,
        Loudness::Error => Severity::Error,
    };
    let fields = fields(operator, story, text.detail);
    let alert = Arc::new(Alert { fields, ..worded(operator, story, &text.text, severity) });
    let wanted = story.canary.analysis().map(|analysis| analysis.alerts.as_slice()).unwrap_or_default();
    if wanted.is_empty() {
        let global = global_destination(operator);
        let failure = "alert can't be sent";
        let letter = |(to, proxy)| Letter::Chat { to: (to, Aim::Administrator), proxy, alert: alert.clone(), failure };
        return global.into_iter().map(letter).collect();
    }
    let wanted = wanted.iter().filter(|wanted| alert::is_wanted(wanted.severity, severity));
    let letters = wanted.map(|wanted| {
        let reference = &wanted.provider_ref;
        let namespace = reference.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let key = ObjectKey::new(Kind::AlertProvider, namespace.unwrap_or(&story.key.namespace), &reference.name);
        Letter::Provider { key, alert: alert.clone() }
    });
    letters.collect()
}

fn fields(operator: &Operator, story: &Story, detail: Detail) -> Vec<(String, String)> {
    let facts = Facts {
        target_kind: &story.names.target_kind,
        target: &story.names.target,
        namespace: &story.key.namespace,
        progress_deadline_seconds: story.canary.spec.progress_deadline_seconds.unwrap_or(600),
        analysis: story.canary.analysis(),
    };
    let facts = match detail {
        Detail::Cluster => None,
        Detail::Full => Some(&facts),
    };
    alert::fields(&operator.settings.cluster_name, facts)
}

async fn alert_provider(operator: &Operator, by: (&ObjectKey, &ObjectKey), alert: &Alert) -> Result<(), String> {
    let (canary, key) = by;
    // Whoever aborts a canary that is refused for this very reference is told of it elsewhere, too.
    if operator.settings.no_cross_namespace_refs && key.namespace != canary.namespace {
        return Err("error: cross-namespace references are disabled".to_owned());
    }
    let object = match operator.stores.peek(key) {
        Look::Present(object) => Some((*object).clone()),
        Look::Absent => None,
        Look::Ask | Look::Unknown(_) => operator.cluster.get(key).await.map_err(|error| format!("error: {error}"))?,
    };
    let object = object.ok_or_else(|| format!("error: alertproviders.flagger.app {:?} not found", key.name))?;
    let provider: AlertProvider = serde_json::from_value(object).map_err(|error| format!("error: {error}"))?;
    let Some(reference) = &provider.spec.secret_ref else { return notify(operator, &provider.spec, None, alert).await };
    let secret = ObjectKey::new(Kind::Secret, &key.namespace, &reference.name);
    notify_by(operator, &provider.spec, &secret, alert).await
}

/// Sends an alert where a Secret says. If that fails with what was kept of the Secret, it is read again at once.
async fn notify_by(
    operator: &Operator,
    spec: &AlertProviderSpec,
    key: &ObjectKey,
    alert: &Alert,
) -> Result<(), String> {
    let (started, metadata) = (Instant::now(), operator.stores.peek(key));
    let read = operator.secrets.read(&operator.cluster, key, &metadata, started).await;
    let secret = found(read)?;
    let sent = notify(operator, spec, Some(&secret.content), alert).await;
    if sent.is_ok() || !secret.is_older_than(started) {
        return sent;
    }
    let read = operator.secrets.read_again(&operator.cluster, key, &secret, Instant::now()).await;
    let renewed = found(read)?;
    if renewed.content == secret.content {
        return sent;
    }
    notify(operator, spec, Some(&renewed.content), alert).await
}

fn found(read: Result<Reading, SecretError>) -> Result<Reading, String> {
    read.map_err(|error| format!("secretRef error: {error}"))
}

async fn notify(
    operator: &Operator,
    spec: &AlertProviderSpec,
    secret: Option<&Content>,
    alert: &Alert,
) -> Result<(), String> {
    let destination = Destination::from_provider(spec, secret).map_err(|error| error.to_string())?;
    let proxy = spec.proxy.clone().unwrap_or_default();
    let sent = chat_through(operator, &proxy, (&destination, Aim::Object), alert).await;
    sent.map_err(|error| format!("send error: {error}"))
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
        return Some((destination(Chat::Teams, &notifier.msteams_url, ""), proxy));
    }
    let slack = destination(Chat::Slack, &notifier.slack_url, &notifier.slack_token);
    (!notifier.slack_url.is_empty()).then(|| (slack, notifier.slack_proxy_url.clone()))
}

async fn chat_through(
    operator: &Operator,
    proxy: &Address,
    (to, aim): (&Destination, Aim),
    alert: &Alert,
) -> Result<(), String> {
    if proxy.is_empty() {
        return chat_to(&operator.outside, to, alert, aim).await;
    }
    let through = operator.outside.through(proxy, aim).await.map_err(|error| error.to_string())?;
    chat_to(&through, to, alert, aim).await
}

/// Posts to a chat. A destination without an address takes nothing.
async fn chat_to(outside: &Outside, to: &Destination, alert: &Alert, aim: Aim) -> Result<(), String> {
    let Some(request) = to.request(alert).map_err(|error| error.to_string())? else { return Ok(()) };
    let limits = Limits { deadline: CHAT_DEADLINE, bytes: CHAT_BYTES, trust: Trust::Verified, aim };
    let response = outside.send(request, limits).await.map_err(|error| error.to_string())?;
    alert::sent(&response).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
