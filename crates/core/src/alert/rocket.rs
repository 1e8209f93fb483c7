//! Rocket.Chat: Slack's format in other colours (contract: webhooks §4). It must not differ otherwise.

use serde_json::Value;

use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};
use super::{markup, slack};

pub(super) static ROW: Row = Row {
    name: "rocket",
    address: "Rocket hook URL",
    poster: Some("Rocket"),
    token: Token::Ignored,
    url: |url| url,
    form: |_| Form { escape: markup::without_mentions, payload },
    hook: Hook::NONE,
    examples: &[("rocket", "https://rocket.example/hooks/1/x")],
};

fn payload(poster: Poster<'_>, alert: &Alert) -> Value {
    slack::attachment(poster, alert, if alert.is_error() { "#FF0000" } else { "#0076D7" })
}
