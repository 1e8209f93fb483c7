//! What a row of the table of notifiers says: names, form of the message, addresses. It sends nothing.

use serde_json::Value;
use url::Url;

use super::message::{Alert, Poster};

/// One notifier.
pub(super) struct Row {
    /// Its word in `spec.type` of an `AlertProvider`.
    pub(super) name: &'static str,
    /// What the contract's errors call its address.
    pub(super) address: &'static str,
    /// What the contract's errors call it where it wants a username and a channel; none where it wants neither.
    pub(super) poster: Option<&'static str>,
    /// What it does with the Secret's token.
    pub(super) token: Token,
    /// Where at its address alerts are posted.
    pub(super) url: fn(Url) -> Url,
    /// The form of a message for what is at such an address.
    pub(super) form: fn(&Url) -> Form,
    /// How a webhook is known that is this chat in truth.
    pub(super) hook: Hook,
    /// An address of each of its forms, with the name of its goldens.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the goldens are made with them"))]
    pub(super) examples: &'static [(&'static str, &'static str)],
}

/// What is done with the Secret's token.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// It is shown as a bearer.
    Bearer,
    /// The address lets in whoever knows it.
    Ignored,
}

/// The form of a message.
pub(super) struct Form {
    /// What takes every effect from words that others wrote.
    pub(super) escape: fn(&str) -> String,
    /// The body, of an alert whose words are escaped.
    pub(super) payload: fn(Poster<'_>, &Alert) -> Value,
}

/// How a webhook is known that is a chat in truth, as older articles write it.
pub(crate) struct Hook {
    /// What `metadata.type` may call it, in lower case.
    pub(crate) words: &'static [&'static str],
    /// Whether an address is this chat's and nobody else's.
    pub(crate) is_own: fn(&Url) -> bool,
    /// Whether an address is this chat's if `metadata.type` says so: others live there as well.
    pub(crate) may_be_own: fn(&Url) -> bool,
}

impl Hook {
    /// No webhook is taken for it.
    pub(super) const NONE: Self = Self { words: &[], is_own: |_| false, may_be_own: |_| false };
}
