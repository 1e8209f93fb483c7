//! The way of a letter: it is tried again until it is taken, or until nobody would care for it any more. What a receiver
//! does delays no letter to another one. It writes no letters.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burgee_api::{Address, AlertProvider, AlertProviderSpec};
use burgee_core::alert::{self, Alert, Destination};
use burgee_core::webhook::call::{Again, Attempt};
use burgee_core::world::{Kind, ObjectKey};
use jiff::Timestamp;

use super::{Lane, Letter};
use crate::cluster::{ApiError, Seen};
use crate::hooks;
use crate::http::{Aim, Limits, Outside, SendError, Trust};
use crate::operator::Operator;
use crate::secrets::{Content, Reading, SecretError};
use crate::sized::too_large;
use crate::stores::Look;
use crate::supervise::caught;

/// One attempt with all that belongs to it, such as reading a Secret, takes no longer.
const DEADLINE: Duration = Duration::from_mins(1);
/// A chat has this long to answer (contract: webhooks §4).
const CHAT_DEADLINE: Duration = Duration::from_secs(5);
/// Nothing in a chat's answer is of interest but its status.
const CHAT_BYTES: usize = 1 << 10;

/// Why a letter was not taken. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) text: String,
    pub(super) again: Again,
}

impl Trouble {
    /// Something that is as it is until somebody changes it.
    pub(super) fn for_good(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), again: Again::Never }
    }

    /// Something that passes.
    pub(super) fn passing(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), again: Again::Later { asked: None } }
    }

    /// The same with the words before it that say what failed.
    fn of(self, what: &str) -> Self {
        Self { text: format!("{what}{}", self.text), again: self.again }
    }
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Refused(refusal) => Self::for_good(refusal),
            SendError::Failed(cause) => Self::passing(cause),
        }
    }
}

/// Delivers the letters of a lane until there are none.
pub(super) async fn deliver_all(operator: Arc<Operator>, key: ObjectKey, lane: Lane) {
    let mut delivered = 0;
    while let Some(letter) = operator.outbox.next(&key, &lane, delivered) {
        delivered = letter.bytes();
        see_through(&operator, &key, &letter).await;
    }
    operator.sweep_after(&key);
}

/// Tries until the letter is taken. Whatever becomes of it, the next ones are delivered.
async fn see_through(operator: &Operator, key: &ObjectKey, letter: &Letter) {
    let title = format!("{}.{}", key.name, key.namespace);
    let pace = operator.outbox.pace;
    let (began, mut wait) = (Instant::now(), pace.first);
    let mut is_first = true;
    loop {
        let permit = operator.budgets.letters.place(key).await;
        let attempt = caught(tokio::time::timeout(DEADLINE, deliver(operator, key, letter))).await;
        // Whoever waits to try again keeps nobody from trying.
        drop(permit);
        let trouble = match attempt {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(trouble))) => trouble,
            Ok(Err(_)) => overdue(letter),
            Err(panic) => return tracing::error!(canary = title, "internal error in a notification: {panic}"),
        };
        let pause = match trouble.again {
            Again::Never => None,
            Again::Later { asked } => Some(asked.unwrap_or_default().max(wait)),
        };
        // Of a canary that is gone nothing is kept for long (I31).
        let is_wanted = |pause: &Duration| began.elapsed() + *pause < pace.patience && !operator.stores.is_gone(key);
        let Some(pause) = pause.filter(is_wanted) else {
            return tracing::error!(canary = title, "{}", trouble.text);
        };
        if std::mem::take(&mut is_first) {
            tracing::warn!(
                canary = title,
                "{}; it is tried again for {} min",
                trouble.text,
                pace.patience.as_secs() / 60
            );
        }
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(pace.longest);
    }
}

/// A webhook has its own repetitions, which its `retries` say.
fn overdue(letter: &Letter) -> Trouble {
    let text = format!("a notification was not delivered in {} s", DEADLINE.as_secs());
    match letter {
        Letter::Hook { .. } => Trouble::for_good(text),
        Letter::Chat { .. } | Letter::Provider { .. } => Trouble::passing(text),
    }
}

async fn deliver(operator: &Operator, canary: &ObjectKey, letter: &Letter) -> Result<(), Trouble> {
    match letter {
        Letter::Hook { webhook, payload, aim } => {
            let payload = serde_json::from_str(payload).unwrap_or_default();
            let called = hooks::call(&operator.outside, webhook, &payload, *aim).await;
            called.map_err(|error| Trouble::for_good(format!("error sending event to webhook: {error}")))
        }
        Letter::Chat { to: (to, aim), proxy, alert, failure } => {
            let sent = chat_through(operator, proxy, (to, *aim), &alert.alert).await;
            sent.map_err(|trouble| trouble.of(&format!("{failure}: ")))
        }
        Letter::Provider { key, alert } => {
            let sent = alert_provider(operator, (canary, key), &alert.alert).await;
            sent.map_err(|trouble| trouble.of(&format!("alert provider {}.{} ", key.name, key.namespace)))
        }
    }
}

/// An alert through a provider. The text of a trouble names what failed, as the contract does.
pub(super) async fn alert_provider(
    operator: &Operator,
    by: (&ObjectKey, &ObjectKey),
    alert: &Alert,
) -> Result<(), Trouble> {
    let (canary, key) = by;
    // Whoever aborts a canary that is refused for this very reference is told of it elsewhere, too.
    if operator.settings.no_cross_namespace_refs && key.namespace != canary.namespace {
        return Err(Trouble::for_good("error: cross-namespace references are disabled"));
    }
    let object = match operator.stores.peek(key) {
        Look::Present(object) => Some((*object).clone()),
        Look::Absent => None,
        Look::Ask | Look::Unknown(_) => match operator.cluster.look(key).await.map_err(|error| unread(&error))? {
            Some(Seen::TooLarge(_)) => return Err(Trouble::for_good(format!("error: {key} {}", too_large()))),
            seen => seen.map(Seen::known),
        },
    };
    let missing = || Trouble::for_good(format!("error: alertproviders.flagger.app {:?} not found", key.name));
    let read = burgee_api::read_object(&object.ok_or_else(missing)?);
    let provider: AlertProvider = read.map_err(|error| Trouble::for_good(format!("error: {error}")))?;
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
) -> Result<(), Trouble> {
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

fn found(read: Result<Reading, SecretError>) -> Result<Reading, Trouble> {
    read.map_err(|error| {
        let text = format!("secretRef error: {error}");
        match error {
            SecretError::Missing(_) | SecretError::Refused { .. } => Trouble::for_good(text),
            SecretError::Unread(_) => Trouble::passing(text),
        }
    })
}

fn unread(error: &ApiError) -> Trouble {
    Trouble::passing(format!("error: {error}"))
}

async fn notify(
    operator: &Operator,
    spec: &AlertProviderSpec,
    secret: Option<&Content>,
    alert: &Alert,
) -> Result<(), Trouble> {
    let destination = Destination::from_provider(spec, secret).map_err(Trouble::for_good)?;
    let proxy = spec.proxy.clone().unwrap_or_default();
    let sent = chat_through(operator, &proxy, (&destination, Aim::Object), alert).await;
    sent.map_err(|trouble| trouble.of("send error: "))
}

async fn chat_through(
    operator: &Operator,
    proxy: &Address,
    (to, aim): (&Destination, Aim),
    alert: &Alert,
) -> Result<(), Trouble> {
    if proxy.is_empty() {
        return chat_to(&operator.outside, to, alert, aim).await;
    }
    let through = operator.outside.through(proxy, aim).await?;
    chat_to(&through, to, alert, aim).await
}

/// Posts to a chat. A destination without an address takes nothing.
async fn chat_to(outside: &Outside, to: &Destination, alert: &Alert, aim: Aim) -> Result<(), Trouble> {
    let Some(request) = to.request(alert).map_err(Trouble::for_good)? else { return Ok(()) };
    let limits = Limits { deadline: CHAT_DEADLINE, bytes: CHAT_BYTES, trust: Trust::Verified, aim };
    let response = outside.send(request, limits).await?;
    let again = Attempt::Answered(&response).again(Timestamp::now());
    alert::sent(&response).map_err(|error| Trouble { text: error.to_string(), again })
}
