//! What providers have in common on the wire: addresses, logins, headers that nobody sees, statuses, hostile answers. It
//! knows no provider.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_api::Address;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use super::row::{Protocol, Secret};
use crate::metric::error::MeasureError;

/// Who asks, where a header `Authorization` says it. `Debug` shows the kind and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// A bearer token.
    Bearer(String),
    /// A name and its password.
    Basic {
        /// The name.
        username: String,
        /// Its password.
        password: String,
    },
}

impl Login {
    /// `username` and `password` of a Secret.
    pub(super) fn basic(provider: &str, secret: &Secret) -> Result<Self, String> {
        match (entry(secret, "username"), entry(secret, "password")) {
            (Some(username), Some(password)) => Ok(Self::Basic { username, password }),
            _ => Err(format!("{provider} credentials does not contain a username/password")),
        }
    }

    fn header(&self) -> Result<HeaderValue, MeasureError> {
        let text = match self {
            Self::Bearer(token) => format!("Bearer {token}"),
            Self::Basic { username, password } => format!("Basic {}", BASE64.encode(format!("{username}:{password}"))),
        };
        secret_value(&text).ok_or_else(|| MeasureError::Wrong("credentials cannot stand in a header".to_owned()))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// An entry of a Secret as text.
pub(super) fn entry(secret: &Secret, key: &str) -> Option<String> {
    secret.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The base URL with a host, by default the provider's own, or the contract's error.
pub(super) fn base_url<P: Protocol>(address: &Address) -> Result<Url, MeasureError> {
    let written = P::ADDRESS.filter(|_| address.is_empty()).unwrap_or(address.written());
    Url::parse(written)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| MeasureError::Wrong(format!("{} address {address} is not a valid URL", P::NAME)))
}

/// The URL with this at the end of its path, and nothing behind that.
pub(super) fn within(mut url: Url, path: &str) -> Url {
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Headers of a MetricTemplate.
pub(super) type Headers = BTreeMap<String, Vec<String>>;

/// A GET. A login in the URL is moved to where it belongs, into a header that no log shows, unless there is another one.
pub(super) fn get(mut url: Url, headers: &Headers, login: Option<Login>) -> Result<Request<Bytes>, MeasureError> {
    let shown = Address::from(url.as_str());
    let wrong = |what: &str| MeasureError::Wrong(format!("request to {shown}: {what}"));
    let login = login.or_else(|| url_login(&url));
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| wrong("credentials in the URL of a host that takes none"))?;
    let mut request = Request::get(url.as_str()).body(Bytes::new()).map_err(|error| wrong(&error.to_string()))?;
    add_headers(request.headers_mut(), headers)?;
    if let Some(login) = login {
        request.headers_mut().insert(http::header::AUTHORIZATION, login.header()?);
    }
    Ok(request)
}

fn add_headers(headers: &mut HeaderMap, more: &Headers) -> Result<(), MeasureError> {
    for (name, values) in more {
        let wrong = || MeasureError::Wrong(format!("header {name} of the metric provider is not valid"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        for value in values {
            headers.append(header.clone(), secret_value(value).ok_or_else(wrong)?);
        }
    }
    Ok(())
}

fn url_login(url: &Url) -> Option<Login> {
    let decode = |text: &str| {
        let encoded = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let username = decode(url.username())?;
    let password = decode(url.password().unwrap_or_default())?;
    (!username.is_empty() || !password.is_empty()).then_some(Login::Basic { username, password })
}

/// A header's value that `Debug` does not show.
pub(super) fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The error of a status of 300 or more, with what may be told of the answer. Those that time or an administrator may mend
/// hold the run; those that only the author of the query can mend fail the check.
pub(super) fn refused(status: StatusCode, words: &str) -> MeasureError {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let text = format!("error response: Status {} {reason}: {words}", status.as_u16());
    match status.as_u16() {
        // A redirect that is not followed: somebody wants to see credentials first, or the address is an old one.
        300..=399 | 401 | 403 | 407 | 408 | 425 | 429 | 500.. => MeasureError::Unavailable(text),
        _ => MeasureError::Wrong(text),
    }
}

/// The body of an answer whose status says that it is one.
pub(super) fn body(response: &Response<Bytes>) -> Result<&[u8], MeasureError> {
    match response.status().as_u16() {
        ..300 => Ok(response.body()),
        _ => Err(refused(response.status(), &length(response.body()))),
    }
}

/// What is told of an answer that the protocol does not explain: not its words, for the author of a query may aim it at
/// whatever the operator reaches, and reads the events (S31).
pub(super) fn length(body: &[u8]) -> String {
    format!("answer of {} bytes", body.len())
}

/// Reads JSON of this kind of answer.
pub(super) fn read<'a, T: Deserialize<'a>>(whose: &str, body: &'a [u8]) -> Result<T, MeasureError> {
    serde_json::from_slice(body).map_err(|error| unreadable(whose, &error))
}

/// Where an answer stops being what it should be. The parser's own words would quote it.
pub(super) fn unreadable(whose: &str, error: &serde_json::Error) -> MeasureError {
    let (line, column) = (error.line(), error.column());
    let text = format!("error unmarshaling result: not an answer of {whose} at line {line} column {column}");
    MeasureError::Unavailable(text)
}

/// A number of JSON. One that is too large for JSON's readers is infinity, which Graphite writes so.
pub(super) fn json_number(raw: &RawValue) -> Result<f64, MeasureError> {
    let unread = || MeasureError::Unavailable("error unmarshaling result: a value is no number".to_owned());
    let value: f64 = raw.get().parse().map_err(|_| unread())?;
    if value.is_finite() { Ok(value) } else { Err(infinite(raw.get())) }
}

pub(super) fn infinite(text: &str) -> MeasureError {
    MeasureError::Wrong(format!("query returned {}, expected a finite number", brief(text)))
}

/// What a stranger wrote, short enough for a sentence.
pub(super) fn brief(text: &str) -> String {
    cut(text, 80)
}

pub(super) fn cut(text: &str, limit: usize) -> String {
    let mut letters = text.chars();
    let head: String = letters.by_ref().take(limit).collect();
    if letters.next().is_some() { format!("{head}…") } else { head }
}

/// The first two of a list and how many there are: an answer of megabytes is not kept, only counted.
pub(super) struct Few<T> {
    pub(super) kept: Vec<T>,
    pub(super) count: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(std::marker::PhantomData))
    }
}

struct FewVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut few = Few { kept: Vec::new(), count: 0 };
        while few.count < 2 {
            let Some(one) = list.next_element()? else { return Ok(few) };
            few.kept.push(one);
            few.count += 1;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            few.count += 1;
        }
        Ok(few)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_login() {
        let shown = format!("{:?}", Login::Basic { username: "user-x".into(), password: "secret-x".into() });
        assert!(!shown.contains("user-x") && !shown.contains("secret-x"), "{shown}");
        let url = Url::parse("http://in-url:pass-x@p").expect("a URL");
        for login in [None, Some(Login::Bearer("secret-x".into()))] {
            let request = get(url.clone(), &Headers::new(), login).expect("a valid login");
            assert!(request.headers().contains_key("authorization"));
            let shown = format!("{request:?}");
            assert!(!shown.contains("secret-x") && !shown.contains("pass-x"), "{shown}");
        }
    }

    #[test]
    fn statuses_hold_or_fail() {
        let error = |status| refused(StatusCode::from_u16(status).expect("a status"), "why");
        for status in [301, 302, 307, 401, 403, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(error(status), MeasureError::Unavailable(_)), "{status}");
        }
        for status in [400, 404, 405, 422] {
            assert!(matches!(error(status), MeasureError::Wrong(_)), "{status}");
        }
    }
}
