//! Alerts: who gets one, and what is sent there. It never sends, and never shows such an address, which is a secret (contract:
//! webhooks §4).

mod alertmanager;
mod discord;
mod google_chat;
mod markup;
mod message;
mod recipients;
mod rocket;
mod row;
mod slack;
mod teams;
mod webhook;

pub use self::message::Alert;
use self::message::Poster;
pub use self::recipients::{Recipients, recipients};
pub(crate) use self::row::Hook;
use self::row::{Row, Token};

use std::collections::BTreeMap;
use std::fmt;

use burgee_api::Address;
use burgee_api::alert_provider::AlertProviderSpec;
use burgee_api::analysis::Analysis;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use serde_json::Value;
use url::Url;

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

/// The rows of all notifiers. Where an address could be several ones', the first that knows it as its own is meant.
const TABLE: [&Row; 7] =
    [&slack::ROW, &discord::ROW, &rocket::ROW, &teams::ROW, &google_chat::ROW, &webhook::ROW, &alertmanager::ROW];

/// A kind of chat (contract: api §3), or a program that is none: a row of the table.
#[derive(Clone, Copy)]
pub struct Chat(&'static Row);

impl Chat {
    /// The chat of the flags `-slack-url` and the like.
    pub const SLACK: Self = Self(&slack::ROW);
    /// The chat of the flags `-msteams-url` and the like.
    pub const TEAMS: Self = Self(&teams::ROW);

    /// The chat of `spec.type`.
    pub fn from_type(name: &str) -> Option<Self> {
        Self::all().find(|chat| chat.0.name == name)
    }

    /// Every chat, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().map(Self)
    }

    /// Its word in `spec.type`.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// How a webhook is known that is this chat in truth.
    pub(crate) const fn hook(self) -> &'static Hook {
        &self.0.hook
    }

    /// The same alert has the same body, however often and late it is sent.
    fn payload(self, poster: Poster<'_>, url: &Url, alert: &Alert) -> Value {
        let form = (self.0.form)(url);
        (form.payload)(poster, &alert.each(form.escape))
    }
}

/// Rows have one name each.
impl PartialEq for Chat {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Chat {}

impl fmt::Debug for Chat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name)
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
        let poster = Poster { channel: &self.channel, username: &self.username };
        let body = self.chat.payload(poster, &url, alert).to_string();
        let mut request = Request::post(url.as_str()).body(Bytes::from(body)).map_err(|_| self.invalid_address())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        match (self.chat.0.token, token) {
            (Token::Bearer, Some(token)) => {
                request.headers_mut().insert(AUTHORIZATION, authorization(token)?);
            }
            (Token::Bearer, None) | (Token::Ignored, _) => {}
        }
        Ok(Some(request))
    }

    fn url(&self) -> Result<Url, AlertError> {
        let url = Url::parse(self.address.written()).ok().filter(Url::has_host);
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| self.invalid_address())?;
        if let Some(name) = self.chat.0.poster {
            for (what, text) in [("username", &self.username), ("channel", &self.channel)] {
                if text.is_empty() {
                    return Err(AlertError(format!("empty {name} {what}")));
                }
            }
        }
        Ok((self.chat.0.url)(url))
    }

    /// The contract's text prints the address; it is a secret, so here it is left out.
    fn invalid_address(&self) -> AlertError {
        AlertError(format!("invalid {} (redacted)", self.chat.0.address))
    }
}

fn authorization(token: &str) -> Result<HeaderValue, AlertError> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| AlertError("token cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
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
