//! HTTP to the world outside the cluster's API: webhooks, metric providers, chats. Everything has a deadline and a limit;
//! what an object aims goes only where objects may aim (S31), and nothing follows a redirect to another place. It knows
//! nothing of what is sent.

mod guard;
mod names;
mod places;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_api::Address;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Request};
use url::Url;

use self::guard::Resolver;
pub use self::guard::{Guard, Refusal};
pub use self::places::Exceptions;

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

/// Who chose where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A flag of this process: its administrator may reach what this process reaches.
    Administrator,
    /// An object of the cluster: whoever wrote it may not be able to reach what this process reaches.
    Object,
}

/// How a request is sent, how long to wait for its answer, and how much of that to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte sent to the last one read.
    pub deadline: Duration,
    /// The rest of the body is cut off.
    pub bytes: usize,
    /// Whether the server's certificate is checked.
    pub trust: Trust,
    /// Who chose the address.
    pub aim: Aim,
}

/// Why there is no answer; never with the URL, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may not be sent there: asking again cannot help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was sent, or could not be: the cause.
    #[error("{0}")]
    Failed(String),
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return Self::Refused(refusal.clone());
            }
            source = cause.source();
        }
        Self::Failed(chain(&error))
    }
}

/// The clients for everything outside.
#[derive(Clone, Debug)]
pub struct Outside {
    guard: Arc<Guard>,
    /// For what flags name, and for what objects name. They share no connection: one that was made for the
    /// administrator must not carry a request of somebody else.
    administrator: Clients,
    objects: Clients,
}

#[derive(Clone, Debug)]
struct Clients {
    verified: Client,
    blind: Client,
}

impl Clients {
    fn new(builder: impl Fn() -> ClientBuilder) -> Result<Self, SendError> {
        let verified = builder().build()?;
        let blind = builder().no_proxy().tls_danger_accept_invalid_certs(true).build()?;
        Ok(Self { verified, blind })
    }

    const fn of(&self, trust: Trust) -> &Client {
        match trust {
            Trust::Verified => &self.verified,
            Trust::Blind => &self.blind,
        }
    }
}

/// What all clients have in common. Redirects are followed in here, where it is known what a request carries.
fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("burgee/", env!("CARGO_PKG_VERSION")))
}

impl Outside {
    /// Clients with an own pool each. The error says what the TLS library lacks.
    pub fn new(guard: Guard) -> Result<Self, SendError> {
        // Another part of the program may have chosen the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(guard);
        let administrator = Clients::new(|| builder().dns_resolver(guard.names()))?;
        let objects = Clients::new(|| builder().dns_resolver(Resolver(guard.clone())))?;
        Ok(Self { guard, administrator, objects })
    }

    /// Clients like the verified ones that go through a proxy (`spec.proxy` of an `AlertProvider`, `-slack-proxy-url`).
    /// The proxy resolves the names of what it is asked for; its own is resolved here.
    pub async fn through(&self, proxy: &Address, aim: Aim) -> Result<Self, SendError> {
        let of_object = match aim {
            Aim::Administrator => None,
            Aim::Object => Some(Resolver(self.guard.clone())),
        };
        let proxy = proxy.written();
        let url = Url::parse(proxy).ok().filter(Url::has_host).or_else(|| Url::parse(&format!("http://{proxy}")).ok());
        let url = url.ok_or_else(|| SendError::Failed("the proxy's address is not a valid URL".to_owned()))?;
        match aim {
            Aim::Administrator => {}
            Aim::Object => self.guard.admit(&url).await?,
        }
        let proxy = reqwest::Proxy::all(url)?;
        let clients = Clients::new(|| {
            let builder = builder().proxy(proxy.clone());
            match &of_object {
                Some(resolver) => builder.dns_resolver(resolver.clone()),
                None => builder.dns_resolver(self.guard.names()),
            }
        })?;
        Ok(Self { guard: self.guard.clone(), administrator: clients.clone(), objects: clients })
    }

    /// Sends a request and reads its answer.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Bytes>, SendError> {
        let answered = tokio::time::timeout(limits.deadline, self.exchange(request, limits)).await;
        answered.unwrap_or_else(|_| Err(SendError::Failed("operation timed out".to_owned())))
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Bytes>, SendError> {
        let clients = match limits.aim {
            Aim::Administrator => &self.administrator,
            Aim::Object => &self.objects,
        };
        let mut request = with_credentials(Request::try_from(request)?);
        for _ in 0..=REDIRECTS {
            match limits.aim {
                Aim::Administrator => {}
                Aim::Object => self.guard.admit(request.url()).await?,
            }
            let kept = request.try_clone().ok_or_else(|| SendError::Failed("the request is a stream".to_owned()))?;
            let answer = clients.of(limits.trust).execute(request).await?;
            match redirected(kept, answer.status(), answer.headers().get(LOCATION)) {
                Some(next) => request = next,
                None => return read(answer, limits.bytes).await,
            }
        }
        Err(SendError::Failed(format!("stopped after {REDIRECTS} redirects")))
    }
}

async fn read(mut answer: reqwest::Response, bytes: usize) -> Result<http::Response<Bytes>, SendError> {
    let mut response = http::Response::builder().status(answer.status()).body(Bytes::new()).unwrap_or_default();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let mut body = BytesMut::new();
    while body.len() < bytes {
        let Some(chunk) = answer.chunk().await? else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(bytes - body.len())]);
    }
    *response.body_mut() = body.freeze();
    Ok(response)
}

/// A name and password in the URL become the header that they mean, as clients of the contract do it.
fn with_credentials(mut request: Request) -> Request {
    let url = request.url_mut();
    let decode = |text: &str| {
        // A form is decoded in the same way but for its plus.
        let form = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (name, password) = (decode(url.username()), decode(url.password().unwrap_or_default()));
    if name.is_empty() && password.is_empty() {
        return request;
    }
    // Only a URL without a host takes none, and it has one.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(format!("{name}:{password}")))) {
        value.set_sensitive(true);
        request.headers_mut().entry(AUTHORIZATION).or_insert(value);
    }
    request
}

/// The request that a redirect asks for, if it is followed: within the same scheme, host and port, and only if the
/// request carries nothing but itself. Who gets credentials or headers is for the user to say, not for a server.
fn redirected(mut request: Request, status: StatusCode, location: Option<&HeaderValue>) -> Option<Request> {
    let is_plain = request.headers().keys().all(|name| name == CONTENT_TYPE);
    let to = request.url().join(location?.to_str().ok()?).ok()?;
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host().map(|host| host.to_owned()), url.port_or_known_default());
    let carries_more = !to.username().is_empty() || to.password().is_some();
    if !is_plain || carries_more || place(&to) != place(request.url()) {
        return None;
    }
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            *request.method_mut() = Method::GET;
            *request.body_mut() = None;
            request.headers_mut().remove(CONTENT_TYPE);
        }
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {}
        _ => return None,
    }
    *request.url_mut() = to;
    Some(request)
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
