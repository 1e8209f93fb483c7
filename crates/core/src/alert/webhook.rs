//! The alert as JSON, for whatever is no chat; an addition to the contract (docs/alerting.md). It must not lose a key: what
//! receives it was written by others.

use serde_json::{Map, Value, json};

use super::markup;
use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};

pub(super) static ROW: Row = Row {
    name: "webhook",
    address: "webhook URL",
    poster: None,
    token: Token::Bearer,
    url: |url| url,
    form: |_| Form { escape: markup::without_commands, payload },
    hook: Hook::NONE,
    examples: &[("webhook", "https://alerts.example/burgee")],
};

fn payload(_: Poster<'_>, alert: &Alert) -> Value {
    let (kind, name) = &alert.target;
    let fields: Map<String, Value> =
        alert.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let list: Vec<Value> = alert.fields.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "canary": alert.canary,
        "namespace": alert.namespace,
        "clusterName": alert.cluster_name,
        "target": { "kind": kind, "name": name },
        "phase": alert.phase.as_str(),
        "severity": alert.severity_name(),
        "message": alert.message,
        "fields": fields,
        "fieldList": list,
        "time": alert.rfc3339(),
    })
}
