//! Commands as a shell reads them, as far as that can be told without one: words, quotes and pipes. Whatever else a shell
//! would do with a command is named as a reason, so that nobody takes for plain what is not.

use std::iter::Peekable;
use std::str::Chars;

/// A command between pipes: its words without their quotes.
pub(crate) type Words = Vec<String>;

/// What a shell would do with one character that stands outside of quotes, in words for people.
const SPECIAL: &str = ";&<>()$`\\\n\r";

/// Reads a command as words and pipes. The error names what only a shell understands.
pub(crate) fn pipeline(command: &str) -> Result<Vec<Words>, String> {
    let mut commands = vec![Words::new()];
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.peek().copied() {
        match letter {
            ' ' | '\t' => drop(letters.next()),
            '|' => {
                letters.next();
                commands.push(Words::new());
            }
            _ => {
                let word = word(&mut letters)?;
                commands.last_mut().into_iter().for_each(|words| words.push(word.clone()));
            }
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err("a command is empty".to_owned());
    }
    Ok(commands)
}

/// A word as if it stood alone: `{` and `~` may stand for several words or another one.
fn word(letters: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(letter) = letters.next_if(|letter| !matches!(letter, ' ' | '\t' | '|')) {
        match letter {
            '\'' => word.push_str(&quoted(letters, '\'')?),
            '"' => word.push_str(&quoted(letters, '"')?),
            _ if SPECIAL.contains(letter) => return Err(format!("{letter:?} is for a shell")),
            '{' | '~' | '#' if word.is_empty() || letter == '{' => return Err(format!("{letter:?} is for a shell")),
            _ => word.push(letter),
        }
    }
    Ok(word)
}

fn quoted(letters: &mut Peekable<Chars<'_>>, quote: char) -> Result<String, String> {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter == quote => return Ok(text),
            // What a backslash quotes in double quotes; before another letter it stands for itself.
            '\\' if quote == '"' => match letters.next_if(|next| "\"\\$`".contains(*next)) {
                Some(escaped) => text.push(escaped),
                None => text.push(letter),
            },
            '$' | '`' if quote == '"' => return Err(format!("{letter:?} is for a shell")),
            _ => text.push(letter),
        }
    }
    Err(format!("{quote} is not closed"))
}

/// Which commands may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed(pub(crate) Vec<String>);

impl Allowed {
    /// Whether the first word of each command of a pipe is in the list. With a list, whatever only a shell understands is
    /// refused: nobody can tell what it would run. The error says why.
    pub(crate) fn judge(&self, command: &str) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let commands =
            pipeline(command).map_err(|reason| format!("{reason}, and -command-allow-list allows no shell"))?;
        commands.iter().filter_map(|words| words.first()).try_for_each(|first| self.name(first))
    }

    /// Whether a program or a task type is in the list. The error says that it is not.
    pub(crate) fn name(&self, name: &str) -> Result<(), String> {
        let is_allowed = self.0.is_empty() || self.0.iter().any(|allowed| allowed == name);
        if is_allowed { Ok(()) } else { Err(format!("{name:?} is not in -command-allow-list")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_pipes_are_read_as_a_shell_reads_them() {
        let check = |command: &str, expected: &[&[&str]]| {
            assert_eq!(pipeline(command).unwrap(), expected, "{command}");
        };
        check("hey -z 1m  http://a/?b=c#d", &[&["hey", "-z", "1m", "http://a/?b=c#d"]]);
        let token = "curl -sd 'test' http://a/token | grep token";
        check(token, &[&["curl", "-sd", "test", "http://a/token"], &["grep", "token"]]);
        check(
            r#"hey -H "A: \"b\"\c" -d '{"a": "$1"}' x''y"#,
            &[&["hey", "-H", r#"A: "b"\c"#, "-d", "{\"a\": \"$1\"}", "xy"]],
        );
        check("hey ''", &[&["hey", ""]]);
    }

    #[test]
    fn what_only_a_shell_understands_is_no_plain_command() {
        for command in [
            "a; b",
            "a & b",
            "a && b",
            "a || b",
            "a > b",
            "a < b",
            "a $(b)",
            "a `b`",
            "a \"$(b)\"",
            "a \"`b`\"",
            "a $B",
            "a\nb",
            "a\r b",
            "a 'b",
            "a \"b",
            "(a)",
            "a \\b",
            "a {b,c}",
            "a x{b,c}",
            "a ~/b",
            "a # b",
            "",
            "  ",
            "a |",
            "| a",
        ] {
            assert!(pipeline(command).is_err(), "{command:?} is taken for plain");
        }
    }

    #[test]
    fn with_a_list_each_command_of_a_pipe_must_be_in_it() {
        let allowed = Allowed(["hey", "curl", "grep"].map(str::to_owned).to_vec());
        let check = |command: &str, expected: Result<(), &str>| {
            assert_eq!(allowed.judge(command), expected.map_err(str::to_owned), "{command}");
        };
        check("hey -z 1m http://a", Ok(()));
        check("curl -s http://a | grep b", Ok(()));
        check("'curl' -s http://a", Ok(()));
        check("curl -s http://a | sh", Err("\"sh\" is not in -command-allow-list"));
        check("/bin/hey http://a", Err("\"/bin/hey\" is not in -command-allow-list"));
        check("A=b hey http://a", Err("\"A=b\" is not in -command-allow-list"));
        check("! hey http://a", Err("\"!\" is not in -command-allow-list"));
        check("hey http://a; id", Err("';' is for a shell, and -command-allow-list allows no shell"));
        check("hey $(id)", Err("'$' is for a shell, and -command-allow-list allows no shell"));
    }

    #[test]
    fn without_a_list_everything_may_run() {
        assert_eq!(Allowed::default().judge("a; b $(c)"), Ok(()));
        assert_eq!(Allowed::default().name("concord"), Ok(()));
    }
}
