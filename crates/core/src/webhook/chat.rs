//! Webhooks that are really chats: older articles put a chat's address into `webhooks`, and mean a message, not a check.
//! It must not send.

use burgee_api::analysis::Severity;
use burgee_api::hook::{Webhook, WebhookType};
use url::Url;

use crate::alert::{Chat, Destination, is_of_workflows};

/// The chat whose address a URL is, by its host alone.
pub fn chat_of(url: &str) -> Option<Chat> {
    let url = Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    match url.host_str()? {
        "hooks.slack.com" => Some(Chat::Slack),
        "discord.com" | "discordapp.com" => url.path().starts_with("/api/webhooks/").then_some(Chat::Discord),
        "chat.googleapis.com" => Some(Chat::GoogleChat),
        host if host.ends_with(".webhook.office.com") => Some(Chat::Teams),
        _ => None,
    }
}

/// The chat of a webhook. A workflow of Teams is one only if the metadata say so: others than Teams' live at these hosts.
fn chat_of_hook(webhook: &Webhook) -> Option<Chat> {
    let url = webhook.url.written();
    let host = || Url::parse(url).ok().and_then(|url| Some(url.host_str()?.to_owned()));
    let means_teams = || webhook.metadata.get("type").is_some_and(|name| names_teams(&name.to_ascii_lowercase()));
    let is_workflow = || means_teams() && host().is_some_and(|host| is_of_workflows(&host));
    chat_of(url).or_else(|| is_workflow().then_some(Chat::Teams))
}

/// Where the messages of a webhook go, if it is a chat in disguise: the URL is a chat's, and the hook is of type `event`,
/// or has no type and its metadata names a chat. It is then never asked as a check. `metadata.type` alone changes nothing.
pub fn destination(webhook: &Webhook) -> Option<Destination> {
    let chat = chat_of_hook(webhook)?;
    let meant = match webhook.kind {
        WebhookType::Event => true,
        WebhookType::Untyped => webhook.metadata.get("type").is_some_and(|name| names_a_chat(name)),
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

fn names_a_chat(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    names_teams(&name) || ["slack", "discord", "gchat", "googlechat", "google-chat"].contains(&name.as_str())
}

fn names_teams(name: &str) -> bool {
    matches!(name, "teams" | "msteams")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: &str = "https://hooks.slack.com/services/T0/B0/X";

    #[test]
    fn a_chat_is_known_by_its_host() {
        fn check(url: &str, expected: Option<Chat>) {
            assert_eq!(chat_of(url), expected, "{url}");
        }
        check(SLACK, Some(Chat::Slack));
        check("https://HOOKS.slack.com/services/x", Some(Chat::Slack));
        check("https://discord.com/api/webhooks/1/x", Some(Chat::Discord));
        check("https://discordapp.com/api/webhooks/1/x", Some(Chat::Discord));
        check("https://discord.com/channels/1", None);
        check("https://acme.webhook.office.com/webhookb2/x", Some(Chat::Teams));
        check("https://webhook.office.com.evil.example/x", None);
        check("https://chat.googleapis.com/v1/spaces/x", Some(Chat::GoogleChat));
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
                chat: Chat::Slack,
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
            assert_eq!(chat(kind, &[("type", "msteams")]), Some(Chat::Teams));
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
