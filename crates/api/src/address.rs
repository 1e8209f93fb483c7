//! An address as somebody wrote it. Whoever knows all of it may be let in by it: it shows no more of itself than scheme,
//! host and port.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use url::Url;

/// The address of a webhook, a provider, a chat or a proxy. `Display` and `Debug` leave out user, password, path and query:
/// chats are let in by their path, others by a query (S32).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// All of it, for a request.
    pub fn written(&self) -> &str {
        &self.0
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(url) = Url::parse(&self.0).ok().filter(Url::has_host) else {
            return formatter.write_str(bare(&self.0).unwrap_or("(not shown)"));
        };
        write!(formatter, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        url.port().map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

/// What is no URL is not shown, for nobody knows what it is, unless it is nothing, or a host and a port without a scheme.
fn bare(text: &str) -> Option<&str> {
    let is_host = |host: &str| host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-".contains(letter));
    let is_place = |(host, port): (&str, &str)| !host.is_empty() && is_host(host) && port.parse::<u16>().is_ok();
    (text.is_empty() || text.split_once(':').is_some_and(is_place)).then_some(text)
}

/// A string, as in the contract.
impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_host_are_all_that_is_shown() {
        fn check(written: &str, expected: &str) {
            let address = Address::from(written);
            assert_eq!((address.to_string(), address.written()), (expected.to_owned(), written));
            assert_eq!(format!("{address:?}"), format!("Address({expected})"));
        }
        check("https://hooks.slack.com/services/T0/B0/s3cr3t", "https://hooks.slack.com");
        check("http://user:s3cr3t@prometheus:9090/path?token=s3cr3t#s3cr3t", "http://prometheus:9090");
        check("http://s3cr3t@[fd00::1]:80/", "http://[fd00::1]");
        check("https://example.org:443", "https://example.org");
        check("prometheus:9090", "prometheus:9090");
        check("", "");
        for text in ["s3cr3t", "s3cr3t:s3cr3t", "/s3cr3t", "mailto:s3cr3t", "://s3cr3t", "a:1/s3cr3t", "http://"] {
            check(text, "(not shown)");
        }
    }
}
