//! Alerts: whether a message goes to a chat or a program, and what is sent there. It never sends, and never shows such an
//! address, which is a secret (contract: webhooks §4).

mod alertmanager;
mod discord;
mod google_chat;
mod markup;
mod rocket;
mod slack;
mod teams;
mod webhook;

pub(crate) use self::teams::is_of_workflows;

use std::collections::BTreeMap;
use std::fmt;

use burgee_api::alert_provider::AlertProviderSpec;
use burgee_api::analysis::{Analysis, Severity};
use burgee_api::{Address, Phase};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

/// A message for people, and what programs want to know besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Name of the canary.
    pub canary: String,
    /// Its namespace.
    pub namespace: String,
    /// The text.
    pub message: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is said besides, in order: title and value.
    pub fields: Vec<(String, String)>,
    /// Kind and name of the target; no chat shows them outside the fields.
    pub target: (String, String),
    /// `-cluster-name`; empty if it has none.
    pub cluster_name: String,
    /// The phase of the canary.
    pub phase: Phase,
    /// When it arose: it is the same however often, and however late, the alert is sent.
    pub time: Timestamp,
}

impl Alert {
    /// The same with every text that others wrote changed in this way.
    fn each(&self, escape: fn(&str) -> String) -> Self {
        let Self { canary, namespace, message, severity, fields, target: (kind, name), cluster_name, phase, time } =
            self;
        Self {
            canary: escape(canary),
            namespace: escape(namespace),
            message: escape(message),
            severity: *severity,
            fields: fields.iter().map(|(title, value)| (escape(title), escape(value))).collect(),
            target: (escape(kind), escape(name)),
            cluster_name: escape(cluster_name),
            phase: *phase,
            time: *time,
        }
    }

    /// `<canary>.<namespace>`, as every chat shows it.
    fn subject(&self) -> String {
        format!("{}.{}", self.canary, self.namespace)
    }

    fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The severity in the words of the spec.
    const fn severity_name(&self) -> &'static str {
        match self.severity {
            Severity::Unset | Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }

    /// The time as RFC 3339, in UTC.
    fn rfc3339(&self) -> String {
        format!("{:.3}", self.time)
    }
}

/// Whether an alert of the spec wants a message. A severity that is not set means info, as documented (the peer sends
/// such alerts never).
pub fn is_wanted(wanted: Severity, message: Severity) -> bool {
    let loudness = |severity| match severity {
        Severity::Unset | Severity::Info => 0,
        Severity::Warn => 1,
        Severity::Error => 2,
    };
    loudness(message) >= loudness(wanted)
}

/// The fields of an alert that tells the whole canary (contract: webhooks §4, "Fields").
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Kind of the target.
    pub target_kind: &'a str,
    /// Name of the target.
    pub target: &'a str,
    /// Namespace of the canary.
    pub namespace: &'a str,
    /// Progress deadline in seconds.
    pub progress_deadline_seconds: i64,
    /// The analysis as written.
    pub analysis: Option<&'a Analysis>,
}

/// The fields of an alert: the cluster if it has a name, and the facts if the alert's table has them.
pub fn fields(cluster_name: &str, facts: Option<&Facts<'_>>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut add = |title: &str, value: String| fields.push((title.to_owned(), value));
    if !cluster_name.is_empty() {
        add("Cluster", cluster_name.to_owned());
    }
    if let Some(facts) = facts {
        add("Target", format!("{}/{}.{}", facts.target_kind, facts.target, facts.namespace));
        let threshold = facts.analysis.and_then(|analysis| analysis.threshold).unwrap_or_default();
        add("Failed checks threshold", threshold.to_string());
        add("Progress deadline", format!("{}s", facts.progress_deadline_seconds));
        if let Some(routing) = facts.analysis.and_then(routing) {
            add("Traffic routing", routing);
        }
    }
    fields
}

fn routing(analysis: &Analysis) -> Option<String> {
    let max = analysis.max_weight.unwrap_or_default();
    if !analysis.matches.is_empty() {
        return Some("A/B Testing".to_owned());
    }
    if analysis.iterations.unwrap_or_default() > 0 {
        return Some("Blue/Green".to_owned());
    }
    if let Some(step) = analysis.step_weight.filter(|step| *step > 0) {
        return Some(format!("Weight step: {step} max: {max}"));
    }
    if analysis.step_weights.is_empty() {
        return None;
    }
    let steps: Vec<String> = analysis.step_weights.iter().map(ToString::to_string).collect();
    Some(format!("Weight steps: {} max: {max}", steps.join(",")))
}

/// A kind of chat (contract: api §3), or a program that is none: the last two are additions to the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// Slack, with a hook's address or a token.
    Slack,
    /// Discord, through its Slack compatible address.
    Discord,
    /// Rocket.Chat.
    Rocket,
    /// Microsoft Teams.
    Teams,
    /// Google Chat.
    GoogleChat,
    /// Whatever takes the alert as JSON.
    Webhook,
    /// Prometheus' Alertmanager.
    Alertmanager,
}

impl Chat {
    /// The chat of `spec.type`.
    pub fn from_type(name: &str) -> Option<Self> {
        match name {
            "slack" => Some(Self::Slack),
            "discord" => Some(Self::Discord),
            "rocket" => Some(Self::Rocket),
            "msteams" => Some(Self::Teams),
            "gchat" => Some(Self::GoogleChat),
            "webhook" => Some(Self::Webhook),
            "alertmanager" => Some(Self::Alertmanager),
            _ => None,
        }
    }

    fn payload(self, destination: &Destination, url: &Url, alert: &Alert) -> Value {
        let takes_cards = self == Self::Teams && teams::takes_adaptive_cards(url);
        let alert = &alert.each(match self {
            Self::Slack | Self::GoogleChat => markup::entities,
            Self::Discord | Self::Rocket => markup::without_mentions,
            // An adaptive card knows no entities.
            Self::Teams if takes_cards => markup::without_mentions,
            Self::Teams => markup::without_links,
            Self::Webhook | Self::Alertmanager => markup::without_commands,
        });
        match self {
            Self::Slack => slack::payload(destination, alert),
            Self::Discord => discord::payload(destination, alert),
            Self::Rocket => rocket::payload(destination, alert),
            Self::Teams if takes_cards => teams::adaptive_card(alert),
            Self::Teams => teams::payload(alert),
            Self::GoogleChat => google_chat::payload(alert),
            Self::Webhook => webhook::payload(alert),
            Self::Alertmanager => alertmanager::payload(alert),
        }
    }

    /// What the contract's errors call its address.
    const fn address_name(self) -> &'static str {
        match self {
            Self::Slack => "Slack hook URL",
            Self::Discord => "Discord hook URL",
            Self::Rocket => "Rocket hook URL",
            Self::Teams => "MS Teams webhook URL",
            Self::GoogleChat => "Google Chat webhook URL",
            Self::Webhook => "webhook URL",
            Self::Alertmanager => "Alertmanager URL",
        }
    }

    /// What the contract's errors call it where it wants a username and a channel.
    const fn poster_name(self) -> Option<&'static str> {
        match self {
            Self::Slack => Some("Slack"),
            Self::Discord => Some("Discord"),
            Self::Rocket => Some("Rocket"),
            Self::Teams | Self::GoogleChat | Self::Webhook | Self::Alertmanager => None,
        }
    }

    /// Whether it is shown the Secret's token.
    const fn takes_a_token(self) -> bool {
        match self {
            Self::Slack | Self::Webhook | Self::Alertmanager => true,
            Self::Discord | Self::Rocket | Self::Teams | Self::GoogleChat => false,
        }
    }
}

/// Where alerts go. `Debug` shows neither address nor token.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    /// Kind of chat.
    pub chat: Chat,
    /// Its address, which lets everybody post who knows it. Empty: alerts go nowhere.
    pub address: Address,
    /// Channel to post to.
    pub channel: String,
    /// Name to post under.
    pub username: String,
    /// Bearer token; Slack, webhooks and Alertmanager take one.
    pub token: Option<String>,
}

impl Destination {
    /// Channel when none is written.
    pub const CHANNEL: &str = "general";
    /// Username when none is written.
    pub const USERNAME: &str = "flagger";

    /// Reads an alert provider and the content of its Secret, if it names one.
    pub fn from_provider(
        spec: &AlertProviderSpec,
        secret: Option<&BTreeMap<String, Vec<u8>>>,
    ) -> Result<Self, AlertError> {
        let kind = spec.kind.as_deref().unwrap_or_default();
        let chat = Chat::from_type(kind).ok_or_else(|| AlertError(format!("provider {kind} not supported")))?;
        let entry = |key: &str| {
            let value = secret.and_then(|secret| secret.get(key))?;
            Some(String::from_utf8_lossy(value).trim().to_owned())
        };
        let address = match secret {
            Some(_) => entry("address")
                .map(Address::from)
                .ok_or_else(|| AlertError("secret does not contain an address".to_owned()))?,
            None => spec.address.clone().unwrap_or_default(),
        };
        let or = |text: &Option<String>, default: &str| {
            text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            chat,
            address,
            channel: or(&spec.channel, Self::CHANNEL),
            username: or(&spec.username, Self::USERNAME),
            token: entry("token"),
        })
    }

    /// The request that posts an alert; none if there is no address.
    pub fn request(&self, alert: &Alert) -> Result<Option<Request<Bytes>>, AlertError> {
        if self.address.is_empty() {
            return Ok(None);
        }
        let url = self.url()?;
        let body = self.chat.payload(self, &url, alert).to_string();
        let mut request = Request::post(url.as_str()).body(Bytes::from(body)).map_err(|_| self.invalid_address())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let token = self.token.as_deref().filter(|token| self.chat.takes_a_token() && !token.is_empty());
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, slack::authorization(token)?);
        }
        Ok(Some(request))
    }

    fn url(&self) -> Result<Url, AlertError> {
        let url = Url::parse(self.address.written()).ok().filter(Url::has_host);
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| self.invalid_address())?;
        if let Some(name) = self.chat.poster_name() {
            for (what, text) in [("username", &self.username), ("channel", &self.channel)] {
                if text.is_empty() {
                    return Err(AlertError(format!("empty {name} {what}")));
                }
            }
        }
        Ok(match self.chat {
            Chat::Discord => discord::slack_compatible(url),
            Chat::Alertmanager => alertmanager::taker_of_alerts(url),
            Chat::Slack | Chat::Rocket | Chat::Teams | Chat::GoogleChat | Chat::Webhook => url,
        })
    }

    /// The contract's text prints the address; it is a secret, so here it is left out.
    fn invalid_address(&self) -> AlertError {
        AlertError(format!("invalid {} (redacted)", self.chat.address_name()))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chat, address: _, channel, username, token: _ } = self;
        write!(formatter, "Destination({chat:?}, channel {channel}, username {username})")
    }
}

/// Why an alert cannot be sent; never with an address in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AlertError(String);

/// What a chat's answer means: 200 to 299 is a success. What else it says is quoted nowhere (S31).
pub fn sent(response: &Response<Bytes>) -> Result<(), AlertError> {
    if response.status().is_success() {
        return Ok(());
    }
    let (status, bytes) = (response.status().as_u16(), response.body().len());
    Err(AlertError(format!("sending notification bad response {status}: {bytes} bytes")))
}

#[cfg(test)]
mod tests;
