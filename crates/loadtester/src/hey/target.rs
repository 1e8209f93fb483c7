//! Where requests go: scheme, host, port, path. It opens nothing.

use http::HeaderValue;
use http::uri::PathAndQuery;
use url::Url;

/// A choice between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    On,
    Off,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Plain,
    Tls,
    /// HTTP/2, if the server takes it.
    TlsWithHttp2,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) protocol: Protocol,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A place on a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    /// The `Host` header.
    pub(crate) host: HeaderValue,
    pub(crate) path: PathAndQuery,
    url: Url,
    h2: Choice,
}

impl Target {
    /// The target of a URL. The error is Go's.
    pub(crate) fn of(text: &str, h2: Choice) -> Result<Self, String> {
        Self::at(url(text)?, h2)
    }

    fn at(url: Url, h2: Choice) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let protocol = match (url.scheme(), h2) {
            ("https", Choice::On) => Protocol::TlsWithHttp2,
            ("https", Choice::Off) => Protocol::Tls,
            _ => Protocol::Plain,
        };
        let origin = Origin {
            protocol,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
        };
        Ok(Self {
            origin,
            host: HeaderValue::from_str(&authority).map_err(|error| error.to_string())?,
            path: path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?,
            url,
            h2,
        })
    }

    /// As it was written.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Where a redirect leads.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, String> {
        let joined = self.url.join(location).map_err(|_| format!("failed to parse Location header {location:?}"))?;
        Self::at(url(joined.as_str())?, self.h2)
    }
}

/// A URL that can be asked for; the error is Go's.
fn url(text: &str) -> Result<Url, String> {
    let unsupported = |scheme: &str| format!("unsupported protocol scheme \"{scheme}\"");
    let url = Url::parse(text).map_err(|_| unsupported(""))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(url),
        ("http" | "https", None) => Err("http: no Host in request URL".to_owned()),
        (other, _) => Err(unsupported(other)),
    }
}
