//! Prometheus' Alertmanager, by its own API; an addition to the contract (docs/alerting.md). It must not say when an alert
//! is over: nobody knows when somebody has seen to it.

use serde_json::{Map, Value, json};
use url::Url;

use super::markup;
use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};

/// Where Alertmanager takes alerts.
const PATH: &str = "/api/v2/alerts";

pub(super) static ROW: Row = Row {
    name: "alertmanager",
    address: "Alertmanager URL",
    poster: None,
    token: Token::Bearer,
    url: taker_of_alerts,
    form: |_| Form { escape: markup::without_commands, payload },
    hook: Hook::NONE,
    examples: &[("alertmanager", "http://alertmanager.monitoring:9093")],
};

/// A list of one alert. What is the same in all labels is the same alert to Alertmanager, which tells it once: the text is
/// one of them, so that two things that happen in one phase are two alerts.
fn payload(_: Poster<'_>, alert: &Alert) -> Value {
    let labels = [
        ("alertname", "CanaryAlert"),
        ("canary", &alert.canary),
        ("namespace", &alert.namespace),
        ("cluster", &alert.cluster_name),
        ("phase", alert.phase.as_str()),
        ("severity", alert.severity_name()),
        ("message", &alert.message),
    ];
    // A label without a value is none.
    let labels: Map<String, Value> = labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut annotations: Map<String, Value> =
        alert.fields.iter().map(|(name, value)| (name_of(name), value.clone().into())).collect();
    annotations.insert("summary".to_owned(), format!("{}: {}", alert.subject(), alert.message).into());
    annotations.insert("target".to_owned(), format!("{}/{}", alert.target.0, alert.target.1).into());
    json!([{ "labels": labels, "annotations": annotations, "startsAt": alert.rfc3339() }])
}

/// The address with the path of the API at its end: Prometheus, too, is told where Alertmanager is, and not where in it.
fn taker_of_alerts(mut url: Url) -> Url {
    if !url.path().ends_with(PATH) {
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}

/// A field's title as the name of an annotation: letters, digits and underscores.
fn name_of(title: &str) -> String {
    title.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}
