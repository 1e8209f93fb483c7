//! The door to one API server: the connection, and how long the server wants to be left alone. Nothing is repeated here: a
//! repeated write would not look at the lease again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use serde_json::Value;
use tower::ServiceBuilder;

use crate::cluster::ApiError;
use crate::lock::lock;

/// A connection that cannot be had in this time cannot be had.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing is heard is tried after the first, then every second, and is dead after so many tries: the
/// other side went away without a word, or something between has forgotten the connection.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
/// What was sent and is not acknowledged in this time was lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A server may ask to be left alone for so long at most; more than this is not believed.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// More than this is not quoted of an error.
const QUOTED: usize = 1024;

/// A client of the API server. Deadlines are set by whoever asks: a watch is meant to take long.
pub fn connect(mut config: Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(KEEPALIVE.0));
    tcp.set_keepalive_interval(Some(KEEPALIVE.1));
    tcp.set_keepalive_retries(Some(KEEPALIVE.2));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    if config.proxy_url.is_some() {
        config.default_retry = false;
        config.read_timeout = None;
        // It says which proxies cannot be used.
        return Client::try_from(config);
    }
    let mut connector = hyper_timeout::TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(Some(CONNECT));
    let client: hyper_util::client::legacy::Client<_, Body> =
        hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// One API server.
#[derive(Clone)]
pub(crate) struct Door {
    client: Client,
    rest: Arc<Rest>,
}

impl Door {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, rest: Arc::default() }
    }

    /// Returns when the server no longer wants to be left alone.
    pub(crate) async fn rested(&self) {
        let left = self.rest.left(Instant::now());
        if !left.is_zero() {
            // They do not all come back in the same moment.
            tokio::time::sleep(left.mul_f64(fastrand::f64().mul_add(0.25, 1.0))).await;
        }
    }

    /// Sends a request, and answers when the headers of a success have come.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Body>, ApiError> {
        let response = self.client.send(request.map(Body::from)).await?;
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let wanted = response.headers().get(http::header::RETRY_AFTER).and_then(|text| text.to_str().ok());
        self.rest.note(status.as_u16(), wanted, Instant::now());
        let body = collect(response).await.unwrap_or_default();
        Err(ApiError::of(status.as_u16(), message(&body)))
    }
}

/// The whole body of an answer.
pub(crate) async fn collect(response: Response<Body>) -> Result<Bytes, ApiError> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// What an error says: the message of a `Status`, or the text of whoever stands in between.
fn message(body: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let said = status.as_ref().and_then(|status| status["message"].as_str()).filter(|said| !said.is_empty());
    let text = String::from_utf8_lossy(body);
    said.unwrap_or_else(|| text.trim()).chars().take(QUOTED).collect()
}

/// Until when a server wants to be left alone: it says so with 429, and sometimes with 503.
#[derive(Debug, Default)]
struct Rest {
    until: Mutex<Option<Instant>>,
}

impl Rest {
    fn note(&self, code: u16, wanted: Option<&str>, now: Instant) {
        let seconds = wanted.and_then(|text| text.trim().parse().ok());
        let seconds = match (code, seconds) {
            (429 | 503, Some(seconds)) => seconds,
            // A 429 without a number asks for a moment all the same.
            (429, None) => 1,
            (_, _) => return,
        };
        let until = now + Duration::from_secs(seconds).min(LONGEST_REST);
        let mut known = lock(&self.until);
        *known = Some(known.map_or(until, |known| known.max(until)));
    }

    fn left(&self, now: Instant) -> Duration {
        lock(&self.until).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_for_as_long_as_it_says_within_reason() {
        let check = |code, wanted, expected: u64| {
            let (rest, now) = (Rest::default(), Instant::now());
            rest.note(code, wanted, now);
            assert_eq!(rest.left(now), Duration::from_secs(expected), "{code} {wanted:?}");
        };
        check(429, Some("7"), 7);
        check(503, Some("2"), 2);
        check(429, None, 1);
        check(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), 1);
        check(429, Some("86400"), 30);
        check(503, None, 0);
        check(500, Some("9"), 0);
    }

    #[test]
    fn an_error_is_quoted_by_its_message_and_not_at_length() {
        assert_eq!(message(br#"{"kind": "Status", "message": "no"}"#), "no");
        assert_eq!(message(b"404 page not found\n"), "404 page not found");
        assert_eq!(message(&[b'x'; 9_000]).len(), QUOTED);
    }
}
