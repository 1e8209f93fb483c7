//! HTTP to the world outside the cluster's API: webhooks, metric providers, chats. Everything has a deadline and a limit,
//! and nothing secret follows a redirect to another host. It knows nothing of what is sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode};

/// Longest chain of redirects.
const REDIRECTS: usize = 5;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// Whether a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It must be valid. Proxies of the environment are used.
    Verified,
    /// `disableTLS`, `insecureSkipVerify`: anything goes, and proxies of the environment are ignored.
    Blind,
}

/// How long to wait for an answer, and how much of it to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte sent to the last one read.
    pub deadline: Duration,
    /// The rest of the body is cut off.
    pub bytes: usize,
    /// Whether the server's certificate is checked.
    pub trust: Trust,
}

/// The clients for everything outside.
#[derive(Clone, Debug)]
pub struct Outside {
    verified: Client,
    blind: Client,
}

impl Outside {
    /// Clients with an own pool each. The error says what the TLS library lacks.
    pub fn new() -> Result<Self, String> {
        // Another part of the program may have chosen the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .redirect(Policy::custom(redirect))
                .connect_timeout(CONNECT)
                .pool_idle_timeout(Duration::from_secs(30))
                .user_agent(concat!("burgee/", env!("CARGO_PKG_VERSION")))
        };
        let verified = builder().build().map_err(|error| chain(&error))?;
        let blind = builder().no_proxy().tls_danger_accept_invalid_certs(true).build();
        Ok(Self { verified, blind: blind.map_err(|error| chain(&error))? })
    }

    /// A client like the verified one that goes through a proxy (`spec.proxy` of an `AlertProvider`).
    pub fn through(&self, proxy: &str) -> Result<Self, String> {
        let proxy = reqwest::Proxy::all(proxy).map_err(|error| chain(&error))?;
        let client = Client::builder().redirect(Policy::custom(redirect)).connect_timeout(CONNECT).proxy(proxy).build();
        let verified = client.map_err(|error| chain(&error))?;
        Ok(Self { verified, blind: self.blind.clone() })
    }

    /// Sends a request and reads its answer. The error is the cause, without the URL, which may hold a secret.
    pub async fn send(&self, request: http::Request<Bytes>, limits: Limits) -> Result<http::Response<Bytes>, String> {
        let client = match limits.trust {
            Trust::Verified => &self.verified,
            Trust::Blind => &self.blind,
        };
        let mut request = reqwest::Request::try_from(request).map_err(|error| chain(&error.without_url()))?;
        *request.timeout_mut() = Some(limits.deadline);
        let mut answer = client.execute(request).await.map_err(|error| chain(&error.without_url()))?;
        let mut response = http::Response::builder().status(answer.status()).body(Bytes::new()).unwrap_or_default();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let mut body = BytesMut::new();
        while body.len() < limits.bytes {
            let Some(chunk) = answer.chunk().await.map_err(|error| chain(&error.without_url()))? else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(limits.bytes - body.len())]);
        }
        *response.body_mut() = body.freeze();
        Ok(response)
    }
}

/// Follows a redirect, but never sends a body again to another host: 307 and 308 would do that.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("stopped after 5 redirects");
    }
    let replays = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&attempt.status());
    let host = |url: &reqwest::Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    let moves = attempt.previous().last().is_some_and(|last| host(last) != host(attempt.url()));
    if replays && moves { attempt.stop() } else { attempt.follow() }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
