//! What a canary sends (contract: webhooks §1). It is read once, and nothing but texts is taken from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

const NAME_MAX: usize = 253;

/// The body of a webhook. Fields that are missing are empty, as in Go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Payload {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) checksum: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// `null` means that there is nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Payload {
    /// The payload in a body; none if it is none.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        match serde_json::from_slice(body).ok()? {
            // Go's decoder takes it for nothing at all.
            Value::Null => Some(Self::default()),
            payload @ Value::Object(_) => serde_json::from_value(payload).ok().filter(Self::has_names),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// Nothing of Kubernetes has a longer name, and what is remembered of each must be bounded.
    fn has_names(&self) -> bool {
        self.name.len() <= NAME_MAX && self.namespace.len() <= NAME_MAX
    }

    /// Whose task or gate it is, as `name.namespace`.
    pub(crate) fn key(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// A value of the metadata, empty when it is not there.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.metadata.get(key).map(String::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_go_reads_it() {
        let check = |body: &str, expected: Option<(&str, usize)>| {
            let found = Payload::read(body.as_bytes()).map(|payload| (payload.key(), payload.metadata.len()));
            assert_eq!(found, expected.map(|(key, count)| (key.to_owned(), count)), "{body}");
        };
        let whole =
            r#"{"name": "a", "namespace": "b", "phase": "Progressing", "checksum": "c", "metadata": {"cmd": "d"}}"#;
        check(whole, Some(("a.b", 1)));
        check(r#"{"name": "a", "metadata": null}"#, Some(("a.", 0)));
        check(&format!(r#"{{"name": "{}"}}"#, "x".repeat(254)), None);
        check("null", Some((".", 0)));
        check("", None);
        check("[]", None);
        check(r#"{"metadata": {"cmd": 1}}"#, None);
    }
}
