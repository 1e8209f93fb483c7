//! Metric providers: what is sent to them and what their answers mean. They never send anything, and never show a
//! credential (contract: metrics §6).

mod prometheus;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_api::Address;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use url::Url;

/// Where a provider is and how to talk to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL.
    pub address: Address,
    /// More request headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// Whether the server's certificate is accepted unchecked; for whoever sends the request.
    pub insecure_skip_verify: bool,
}

/// Who asks. `Debug` shows the kind and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
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

impl Credentials {
    /// Reads the content of a Secret: `token`, or `username` and `password`. White space around a token is dropped, for
    /// no header could carry a line's end.
    pub fn from_secret(provider: Provider, secret: &BTreeMap<String, Vec<u8>>) -> Result<Self, ProviderError> {
        let text = |key: &str| secret.get(key).map(|value| String::from_utf8_lossy(value).into_owned());
        if let Some(token) = text("token") {
            return Ok(Self::Bearer(token.trim().to_owned()));
        }
        match (text("username"), text("password")) {
            (Some(username), Some(password)) => Ok(Self::Basic { username, password }),
            _ => Err(ProviderError::Wrong(format!("{provider} credentials does not contain a username/password"))),
        }
    }

    fn header(&self) -> Result<HeaderValue, ProviderError> {
        let text = match self {
            Self::Bearer(token) => format!("Bearer {token}"),
            Self::Basic { username, password } => format!("Basic {}", BASE64.encode(format!("{username}:{password}"))),
        };
        secret_value(&text).ok_or_else(|| ProviderError::Wrong("credentials cannot stand in a header".to_owned()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// Why a provider gave no number (S10). The text is the contract's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It answered that there is nothing: a failed check.
    #[error("{0}")]
    NoValues(String),
    /// The question is wrong, and asking again cannot help: a failed check.
    #[error("{0}")]
    Wrong(String),
    /// It does not answer as a provider would: the run is held.
    #[error("{0}")]
    Unavailable(String),
}

impl ProviderError {
    /// The contract's text for an answer without a number.
    pub fn no_values() -> Self {
        Self::NoValues("no values found".to_owned())
    }
}

/// Who is asked (contract: metrics §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Prometheus, and everything that speaks its HTTP API.
    Prometheus,
    /// Known to the contract, but not to this version: its name in `spec.provider.type`.
    Unsupported(&'static str),
}

const UNSUPPORTED: [&str; 10] = [
    "influxdb",
    "datadog",
    "externalmetrics",
    "stackdriver",
    "cloudwatch",
    "newrelic",
    "graphite",
    "dynatrace",
    "keptn",
    "splunk",
];

impl Provider {
    /// The provider of `spec.provider.type`; unknown types are Prometheus, as in the contract.
    pub fn from_type(name: &str) -> Self {
        UNSUPPORTED.into_iter().find(|known| *known == name).map_or(Self::Prometheus, Self::Unsupported)
    }

    /// The request that asks for a number.
    pub fn request(self, endpoint: &Endpoint, query: &str) -> Result<Request<Bytes>, ProviderError> {
        match self {
            Self::Prometheus => prometheus::request(endpoint, query),
            Self::Unsupported(name) => Err(unsupported(name)),
        }
    }

    /// The number in an answer: one finite number or an error that says what came back instead.
    pub fn parse(self, response: &Response<Bytes>) -> Result<f64, ProviderError> {
        match self {
            Self::Prometheus => prometheus::parse(response),
            Self::Unsupported(name) => Err(unsupported(name)),
        }
    }

    /// The request that asks whether the provider answers at all.
    pub fn online_request(self, endpoint: &Endpoint) -> Result<Request<Bytes>, ProviderError> {
        match self {
            Self::Prometheus => prometheus::online_request(endpoint),
            Self::Unsupported(name) => Err(unsupported(name)),
        }
    }

    /// Whether the answer to [`Self::online_request`] is as it should be.
    pub fn online(self, response: &Response<Bytes>) -> Result<(), ProviderError> {
        match self {
            Self::Prometheus => prometheus::online(response),
            Self::Unsupported(name) => Err(unsupported(name)),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Prometheus => "prometheus",
            Self::Unsupported(name) => name,
        })
    }
}

fn unsupported(name: &str) -> ProviderError {
    ProviderError::Wrong(format!("metric provider {name} is not supported yet"))
}

/// The error of a status of 300 or more, with what may be told of the answer. Those that time or an administrator may mend hold the run; those that only the
/// author of the query can mend fail the check.
fn refused(status: StatusCode, words: &str) -> ProviderError {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let text = format!("error response: Status {} {reason}: {words}", status.as_u16());
    match status.as_u16() {
        // A redirect that is not followed: somebody wants to see credentials first, or the address is an old one.
        300..=399 | 401 | 403 | 407 | 408 | 425 | 429 | 500.. => ProviderError::Unavailable(text),
        _ => ProviderError::Wrong(text),
    }
}

/// What is told of an answer that the protocol does not explain: not its words, for the author of a query may aim it at
/// whatever the operator reaches, and reads the events (S31).
fn length(body: &[u8]) -> String {
    format!("answer of {} bytes", body.len())
}

/// A base URL with a host, or the contract's error.
fn base_url(provider: Provider, address: &Address) -> Result<Url, ProviderError> {
    Url::parse(address.written())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| ProviderError::Wrong(format!("{provider} address {address} is not a valid URL")))
}

/// A GET with the endpoint's headers and credentials. Credentials in the URL are moved to where they belong: into a
/// header that no log shows.
fn get(mut url: Url, endpoint: &Endpoint) -> Result<Request<Bytes>, ProviderError> {
    let wrong = |what: &str| ProviderError::Wrong(format!("request to {}: {what}", endpoint.address));
    let credentials = endpoint.credentials.clone().or_else(|| url_credentials(&url));
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| wrong("credentials in the URL of a host that takes none"))?;
    let mut request = Request::get(url.as_str()).body(Bytes::new()).map_err(|error| wrong(&error.to_string()))?;
    add_headers(request.headers_mut(), &endpoint.headers)?;
    if let Some(credentials) = credentials {
        request.headers_mut().insert(http::header::AUTHORIZATION, credentials.header()?);
    }
    Ok(request)
}

fn add_headers(headers: &mut HeaderMap, more: &BTreeMap<String, Vec<String>>) -> Result<(), ProviderError> {
    for (name, values) in more {
        let wrong = || ProviderError::Wrong(format!("header {name} of the metric provider is not valid"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        for value in values {
            headers.append(header.clone(), secret_value(value).ok_or_else(wrong)?);
        }
    }
    Ok(())
}

fn url_credentials(url: &Url) -> Option<Credentials> {
    let decode = |text: &str| {
        let encoded = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let username = decode(url.username())?;
    let password = decode(url.password().unwrap_or_default())?;
    (!username.is_empty() || !password.is_empty()).then_some(Credentials::Basic { username, password })
}

/// A header's value that `Debug` does not show.
fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn secrets_hold_a_token_or_a_name_and_password() {
        fn check(entries: &[(&str, &str)], expected: Result<Credentials, &str>) {
            let read = Credentials::from_secret(Provider::Prometheus, &secret(entries));
            assert_eq!(read.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
        }
        let basic = Credentials::Basic { username: "u".into(), password: "p".into() };
        let missing = "prometheus credentials does not contain a username/password";
        check(&[("token", "t\n")], Ok(Credentials::Bearer("t".into())));
        check(&[("username", "u"), ("password", "p")], Ok(basic));
        check(&[("username", "u")], Err(missing));
        check(&[], Err(missing));
    }

    #[test]
    fn debug_shows_no_credential() {
        let shown = format!("{:?}", Credentials::Basic { username: "user-x".into(), password: "secret-x".into() });
        assert!(!shown.contains("user-x") && !shown.contains("secret-x"), "{shown}");
        let endpoint = Endpoint {
            address: "http://in-url:pass-x@p".into(),
            credentials: Some(Credentials::Bearer("secret-x".into())),
            ..Endpoint::default()
        };
        let request = Provider::Prometheus.request(&endpoint, "up").expect("a valid endpoint");
        let shown = format!("{request:?}");
        assert!(!shown.contains("secret-x") && !shown.contains("pass-x"), "{shown}");
    }

    #[test]
    fn types_choose_their_provider() {
        fn check(name: &str, expected: Provider) {
            assert_eq!(Provider::from_type(name), expected);
        }
        check("prometheus", Provider::Prometheus);
        check("nobody-knows", Provider::Prometheus);
        check("datadog", Provider::Unsupported("datadog"));
        let error = Provider::from_type("splunk").request(&Endpoint::default(), "q").expect_err("not supported");
        assert_eq!(error, ProviderError::Wrong("metric provider splunk is not supported yet".into()));
    }

    #[test]
    fn statuses_hold_or_fail() {
        let error = |status| refused(StatusCode::from_u16(status).expect("a status"), "why");
        for status in [301, 302, 307, 401, 403, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(error(status), ProviderError::Unavailable(_)), "{status}");
        }
        for status in [400, 404, 405, 422] {
            assert!(matches!(error(status), ProviderError::Wrong(_)), "{status}");
        }
    }
}
