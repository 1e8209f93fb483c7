//! The lab's Prometheus: it turns the gateway's counters into Istio's metrics. It judges nothing.
use crate::cluster::Cluster;
use crate::network::NODE_ADDRESS;
use crate::parts::Parts;
use crate::process::{Component, Spec};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// Address of Prometheus for the operator.
pub const ADDRESS: &str = "http://prometheus.istio-system:9090";

/// How Prometheus is started.
pub(crate) fn spec(parts: &Parts, state: &Path) -> Spec {
    Spec {
        component: Component::Prometheus,
        program: parts.program("prometheus"),
        arguments: vec![
            format!("--config.file={}", state.join("prometheus.yaml").display()),
            format!("--storage.tsdb.path={}", state.join("prometheus").display()),
            format!("--web.listen-address={NODE_ADDRESS}:9090"),
            "--storage.tsdb.retention.time=6h".to_owned(),
            "--log.level=warn".to_owned(),
        ],
        environment: Vec::new(),
    }
}

/// Asks an instant query and returns its one value, or nothing when there is no series.
///
/// # Errors
/// When Prometheus or the API server does not answer, or the answer holds no number.
pub fn query(cluster: &Cluster, expression: &str) -> Result<Option<f64>> {
    let answer = cluster.read_prometheus(&format!("/api/v1/query?query={}", encode(expression)))?;
    value(&answer).with_context(|| format!("query {expression}"))
}

fn value(answer: &str) -> Result<Option<f64>> {
    let answer: Value = serde_json::from_str(answer).context("parse the answer of prometheus")?;
    let Some(text) = answer.pointer("/data/result/0/value/1").and_then(Value::as_str) else {
        return Ok(None);
    };
    text.parse().map(Some).context("parse the value of prometheus")
}

/// Percent encoding of everything but letters, digits and `-._~`.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_percent_encoded() {
        assert_eq!(encode("sum(a{b=\"c\"})"), "sum%28a%7Bb%3D%22c%22%7D%29");
    }

    #[test]
    fn no_series_is_no_value_and_one_series_is_its_value() {
        assert_eq!(value(r#"{"data":{"result":[]}}"#).unwrap(), None);
        assert_eq!(value(r#"{"data":{"result":[{"value":[1.0,"99.5"]}]}}"#).unwrap(), Some(99.5));
        assert!(value("no json").is_err());
    }
}
