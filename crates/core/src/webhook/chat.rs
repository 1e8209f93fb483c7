//! Webhooks that are really chats: older articles put a chat's address into `webhooks`, and mean a message, not a check.
//! It must not send.

use burgee_api::analysis::Severity;
use burgee_api::hook::{Webhook, WebhookType};
use url::Url;

use crate::alert::{Chat, Destination};

/// The chat of a webhook, by its address. Where others than the chat live as well, it is one only if the metadata say so.
fn chat_of(webhook: &Webhook) -> Option<Chat> {
    let url = Url::parse(webhook.url.written()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let meant = |chat: &Chat| webhook.metadata.get("type").is_some_and(|name| is_word_for(name, *chat));
    Chat::all()
        .find(|chat| (chat.hook().is_own)(&url))
        .or_else(|| Chat::all().find(|chat| (chat.hook().may_be_own)(&url) && meant(chat)))
}

fn is_word_for(name: &str, chat: Chat) -> bool {
    chat.hook().words.contains(&name.to_ascii_lowercase().as_str())
}

/// Where the messages of a webhook go, if it is a chat in disguise: the URL is a chat's, and the hook is of type `event`,
/// or has no type and its metadata names a chat. It is then never asked as a check. `metadata.type` alone changes nothing.
pub fn destination(webhook: &Webhook) -> Option<Destination> {
    let chat = chat_of(webhook)?;
    let meant = match webhook.kind {
        WebhookType::Event => true,
        WebhookType::Untyped => {
            webhook.metadata.get("type").is_some_and(|name| Chat::all().any(|chat| is_word_for(name, chat)))
        }
        WebhookType::ConfirmRollout
        | WebhookType::PreRollout
        | WebhookType::Rollout
        | WebhookType::ConfirmTrafficIncrease
        | WebhookType::ConfirmPromotion
        | WebhookType::PostRollout
        | WebhookType::Rollback => false,
    };
    let metadata = |key: &str| webhook.metadata.get(key).filter(|value| !value.is_empty()).cloned();
    meant.then(|| Destination {
        chat,
        address: webhook.url.clone(),
        channel: metadata("channel").unwrap_or_else(|| Destination::CHANNEL.to_owned()),
        username: metadata("user").or_else(|| metadata("username")).unwrap_or_else(|| Destination::USERNAME.to_owned()),
        token: None,
    })
}

/// How grave an event is as a chat message.
pub fn severity_of(event_type: &str) -> Severity {
    if event_type == "Warning" { Severity::Warn } else { Severity::Info }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: &str = "https://hooks.slack.com/services/T0/B0/X";

    #[test]
    fn a_chat_is_known_by_its_host() {
        fn check(url: &str, expected: Option<Chat>) {
            assert_eq!(chat_of(&webhook(WebhookType::Event, url, &[])), expected, "{url}");
        }
        check(SLACK, Some(Chat::SLACK));
        check("https://HOOKS.slack.com/services/x", Some(Chat::SLACK));
        check("https://discord.com/api/webhooks/1/x", Chat::from_type("discord"));
        check("https://discordapp.com/api/webhooks/1/x", Chat::from_type("discord"));
        check("https://discord.com/channels/1", None);
        check("https://acme.webhook.office.com/webhookb2/x", Some(Chat::TEAMS));
        check("https://webhook.office.com.evil.example/x", None);
        check("https://chat.googleapis.com/v1/spaces/x", Chat::from_type("gchat"));
        check("http://tester.test/?to=hooks.slack.com", None);
        check("https://hooks.slack.com.evil.example/", None);
        check("slack", None);
    }

    fn webhook(kind: WebhookType, url: &str, metadata: &[(&str, &str)]) -> Webhook {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Webhook { name: "chat".into(), kind, url: url.into(), metadata, ..Webhook::default() }
    }

    #[test]
    fn the_articles_webhooks_are_chats() {
        fn check(webhook: &Webhook, channel: &str, username: &str) {
            let found = destination(webhook).expect("a chat");
            let expected = Destination {
                chat: Chat::SLACK,
                address: SLACK.into(),
                channel: channel.into(),
                username: username.into(),
                token: None,
            };
            assert_eq!(found, expected);
        }
        check(
            &webhook(WebhookType::Event, SLACK, &[("channel", "#releases"), ("user", "Flagger")]),
            "#releases",
            "Flagger",
        );
        let metadata = [("type", "slack"), ("channel", "deployments"), ("username", "flagger")];
        check(&webhook(WebhookType::Untyped, SLACK, &metadata), "deployments", "flagger");
        check(&webhook(WebhookType::Event, SLACK, &[]), "general", "flagger");
    }

    #[test]
    fn a_workflow_is_a_chat_only_where_the_metadata_say_so() {
        let url = "https://prod-1.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke";
        let chat = |kind, metadata: &[(&str, &str)]| destination(&webhook(kind, url, metadata)).map(|found| found.chat);
        for kind in [WebhookType::Event, WebhookType::Untyped] {
            assert_eq!(chat(kind, &[("type", "msteams")]), Some(Chat::TEAMS));
            assert_eq!(chat(kind, &[]), None, "it takes the event as JSON");
            assert_eq!(chat(kind, &[("type", "slack")]), None);
        }
        assert_eq!(chat(WebhookType::PreRollout, &[("type", "msteams")]), None);
    }

    #[test]
    fn checks_stay_checks() {
        fn check(kind: WebhookType, url: &str, metadata: &[(&str, &str)]) {
            assert_eq!(destination(&webhook(kind, url, metadata)), None);
        }
        check(WebhookType::Untyped, SLACK, &[]);
        check(WebhookType::Untyped, SLACK, &[("type", "bash")]);
        check(WebhookType::PreRollout, SLACK, &[("type", "slack")]);
        check(WebhookType::Untyped, "http://tester.test/", &[("type", "slack")]);
        check(WebhookType::Event, "http://tester.test/", &[("type", "slack")]);
    }
}
