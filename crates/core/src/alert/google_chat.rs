//! Google Chat's cards (contract: webhooks §4). It must not use channel or username: the address holds both.

use serde_json::{Value, json};

use super::markup;
use super::message::{Alert, Poster};
use super::row::{Form, Hook, Row, Token};

pub(super) static ROW: Row = Row {
    name: "gchat",
    address: "Google Chat webhook URL",
    poster: None,
    token: Token::Ignored,
    url: |url| url,
    form: |_| Form { escape: markup::entities, payload },
    hook: Hook {
        words: &["gchat", "googlechat", "google-chat"],
        is_own: |url| url.host_str() == Some("chat.googleapis.com"),
        may_be_own: |_| false,
    },
    examples: &[("gchat", "https://chat.googleapis.com/v1/spaces/x/messages")],
};

fn payload(_: Poster<'_>, alert: &Alert) -> Value {
    let fields = alert.fields.iter().map(|(name, value)| section(&format!("{name}<br>{}", strong(value))));
    let sections: Vec<Value> = std::iter::once(section(&strong(&alert.message))).chain(fields).collect();
    json!({
        "cards": [{
            "header": {
                "title": "Flagger",
                "subtitle": alert.subject(),
                "imageUrl": "https://flagger.app/favicon.png",
            },
            "sections": sections,
        }],
    })
}

fn section(text: &str) -> Value {
    json!({ "widgets": [{ "textParagraph": { "text": text } }] })
}

fn strong(text: &str) -> String {
    format!("<font color=#848484><strong>{text}</strong></font>")
}
