//! Foreign words as they may stand in a terminal, an event, a chat or a log: nothing in them moves the cursor, ends a line
//! or turns the direction in which it is read. It judges no words.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A text with everything escaped that is no letter but an order to whoever shows it: `\n`, `\u{1b}`, `\u{202e}`. What is
/// escaped already stays as it is (S32).
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 16), |mut whole, letter| {
        if commands(letter) {
            whole.extend(letter.escape_default());
        } else {
            whole.push(letter);
        }
        whole
    }))
}

/// The same for a text of several lines, whose line ends are meant.
pub fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// A JSON text that means the same and in which nothing is left that commands a terminal. What JSON escapes by itself is
/// escaped already; line ends between its tokens stay.
pub fn plain_json(text: &str) -> Cow<'_, str> {
    let is_left = |letter: char| !letter.is_ascii_whitespace() && commands(letter);
    if !text.contains(is_left) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 16), |mut whole, letter| {
        if is_left(letter) {
            let _ = write!(whole, "\\u{:04x}", u32::from(letter));
        } else {
            whole.push(letter);
        }
        whole
    }))
}

/// Control characters (C0, DEL, C1), what turns the direction of writing, and Unicode's own line ends.
fn commands(letter: char) -> bool {
    let turns =
        matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns || matches!(letter, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped_once_and_nothing_else_is_touched() {
        fn check(text: &str, expected: &str) {
            assert_eq!(plain(text), expected);
            assert_eq!(plain(expected), expected, "a second time");
        }
        check("a\x1b[2Jb", "a\\u{1b}[2Jb");
        check("one\ntwo\r\tthree\0", "one\\ntwo\\r\\tthree\\u{0}");
        check("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m");
        check("\u{202e}gpj\u{202c}\u{2066}\u{200f}\u{61c}", "\\u{202e}gpj\\u{202c}\\u{2066}\\u{200f}\\u{61c}");
        check("a\u{2028}b", "a\\u{2028}b");
        for fine in ["", "Größe 10 % → \"ok\" \\n", "日本語 עברית", "👩‍🚀"] {
            check(fine, fine);
        }
        assert_eq!(plain_lines("a\x1b\nb\r"), "a\\u{1b}\nb\\r");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let text = "a\u{9b}\u{202e}\u{7f}\n\x1bb\u{2028}";
        let written = serde_json::to_string_pretty(&serde_json::json!({ "text": text })).expect("plain data");
        let escaped = plain_json(&written);
        assert!(!escaped.contains(|letter: char| letter != '\n' && commands(letter)), "{escaped:?}");
        let read: serde_json::Value = serde_json::from_str(&escaped).expect("it is still JSON");
        assert_eq!(read["text"], text);
    }
}
