//! Discord, through its Slack compatible address (contract: webhooks §4). It must not have a format of its own.

use url::Url;

use super::row::{Form, Hook, Row, Token};
use super::{markup, slack};

pub(super) static ROW: Row = Row {
    name: "discord",
    address: "Discord hook URL",
    poster: Some("Discord"),
    token: Token::Ignored,
    url: slack_compatible,
    form: |_| Form { escape: markup::without_mentions, payload: slack::payload },
    hook: Hook {
        words: &["discord"],
        is_own: |url| {
            matches!(url.host_str(), Some("discord.com" | "discordapp.com")) && url.path().starts_with("/api/webhooks/")
        },
        may_be_own: |_| false,
    },
    examples: &[("discord", "https://discord.com/api/webhooks/1/x")],
};

/// The address with `/slack` at its end.
fn slack_compatible(mut url: Url) -> Url {
    if !url.path().ends_with("/slack") {
        let path = format!("{}/slack", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}
