//! Words of others in a chat: none of them calls people, hides a link or changes the message around it (S32). It must not
//! escape what the formats themselves write.

use crate::plain::plain;

/// For Slack and Google Chat, whose markup is all within angle brackets: `<!channel>`, `<https://…|text>`, `<a href=…>`.
pub(super) fn entities(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// For Discord and Rocket.Chat, which call people by `@everyone`, `@all` or `<@1>` and know no entities: an invisible space
/// keeps the words and takes their meaning. So does one in a link, `[text](https://…)`.
pub(super) fn without_mentions(text: &str) -> String {
    plain(text).replace('@', "@\u{200b}").replace('<', "<\u{200b}").replace("](", "]\u{200b}(")
}

/// For programs, which read the words as they are: nothing but what commands a terminal is escaped.
pub(super) fn without_commands(text: &str) -> String {
    plain(text).into_owned()
}

/// For Teams, which reads Markdown and some HTML.
pub(super) fn without_links(text: &str) -> String {
    entities(text).replace("](", "]\u{200b}(")
}
