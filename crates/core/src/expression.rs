//! Whether a text is a regular expression as proxies read them (RE2), and whether it holds for whole texts.

use regex::RegexBuilder;
use regex_syntax::ParserBuilder;

/// The most repetitions that RE2 takes.
const MOST_REPETITIONS: u32 = 1000;

/// How deep groups may be nested.
const DEEPEST: u32 = 100;

/// What an expression may take in memory to be tried, in bytes.
const SIZE_MAX: usize = 256 << 10;

/// Whether an expression matches each of these texts from end to end, as proxies match. One that is none, or too large to be
/// tried, matches nothing.
pub fn matches_all(expression: &str, texts: &[&str]) -> bool {
    let Ok(known) = translated(expression) else { return false };
    let built = RegexBuilder::new(&format!("^(?:{known})$"))
        .nest_limit(DEEPEST)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX)
        .build();
    built.is_ok_and(|expression| texts.iter().all(|text| expression.is_match(text)))
}

/// Why a text is no regular expression, if it is none. Where RE2 takes what the parser here does not, such as a brace that
/// begins no repetition, it is taken: what proxies read is never refused.
pub fn verify(expression: &str) -> Result<(), String> {
    let refuse = |reason: &str| format!("{expression:?} is no regular expression, {reason}");
    let known = translated(expression).map_err(|reason| refuse(&reason))?;
    match ParserBuilder::new().nest_limit(DEEPEST).build().parse(&known) {
        Ok(_) => Ok(()),
        Err(regex_syntax::Error::Parse(error)) => Err(refuse(&error.kind().to_string())),
        Err(regex_syntax::Error::Translate(error)) => Err(refuse(&error.kind().to_string())),
        Err(_) => Err(refuse("it cannot be read")),
    }
}

/// The same in the words of the parser here, which knows sets of characters in sets, octal numbers and braces otherwise.
fn translated(expression: &str) -> Result<String, String> {
    let mut known = String::new();
    let mut rest = expression;
    let mut is_in_set = false;
    while let Some(next) = rest.chars().next() {
        let (text, length) = match (next, is_in_set) {
            ('\\', _) => escaped(rest),
            ('[', false) => {
                is_in_set = true;
                opened(rest)
            }
            (']', true) => {
                is_in_set = false;
                ("]".to_owned(), 1)
            }
            ('[', true) if rest.starts_with("[:") => ("[".to_owned(), 1),
            ('[' | '&' | '~', true) => (format!("\\{next}"), 1),
            ('{', false) => braced(rest)?,
            _ => (next.to_string(), next.len_utf8()),
        };
        known.push_str(&text);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(known)
}

/// A backslash with what it belongs to.
fn escaped(rest: &str) -> (String, usize) {
    if let Some(literal) = rest.strip_prefix("\\Q") {
        let (literal, end) = literal.split_once("\\E").map_or((literal, 2), |(literal, _)| (literal, 4));
        return (regex_syntax::escape(literal), literal.len() + end);
    }
    let mut after = rest.chars().skip(1);
    match (after.next(), after.next()) {
        (Some('0'), _) => ("x".to_owned(), 2),
        (Some('1'..='7'), Some('0'..='7')) => ("x".to_owned(), 3),
        (Some('x' | 'p' | 'P'), Some('{')) => {
            let named = rest.split_inclusive('}').next().unwrap_or(rest);
            (named.to_owned(), named.len())
        }
        (Some(next), _) => (format!("\\{next}"), 1 + next.len_utf8()),
        (None, _) => ("\\".to_owned(), 1),
    }
}

/// The beginning of a set: a bracket that closes nothing yet is one of its characters.
fn opened(rest: &str) -> (String, usize) {
    let length = if rest.starts_with("[^") { 2 } else { 1 };
    let begin = rest.get(..length).unwrap_or_default();
    if rest.get(length..).is_some_and(|rest| rest.starts_with(']')) {
        return (format!("{begin}\\]"), length + 1);
    }
    (begin.to_owned(), length)
}

/// A repetition, or a brace that stands for itself.
fn braced(rest: &str) -> Result<(String, usize), String> {
    let inner = rest.get(1..).and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(least) || !(most.is_empty() || is_number(most)) {
        return Ok(("\\{".to_owned(), 1));
    }
    let is_many = |text: &str| is_number(text) && text.parse().is_ok_and(|number: u32| number <= MOST_REPETITIONS);
    if [least, most].iter().any(|text| !text.is_empty() && !is_many(text)) {
        return Err(format!("it repeats more than {MOST_REPETITIONS} times"));
    }
    Ok((format!("{{{inner}}}"), inner.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_reads_is_taken() {
        let texts = [
            "",
            "^/api/{id}$",
            "a{,5}",
            "^(.*?;)?(canary=always)(;.*)?$",
            r"[[:alpha:]_]+\.(?i)example\.com",
            r"\Q(a\E+",
            r"[]a]|[^]]|[a&&b~~[]",
            r"(?P<name>x){1,1000}\012\0",
            r"\x{10FFFF}\pN\d\z",
            "ü{2}",
        ];
        for text in texts {
            assert_eq!(verify(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn whole_texts_are_matched_within_bounds() {
        let texts = ["/", "/a/b"];
        for expression in [".*", "/.*", "^/.*$", r"\Q/\E.*", "/|/a/b", "/(a/b)?"] {
            assert!(matches_all(expression, &texts), "{expression}");
        }
        for expression in ["", "/", "/a.*", "b$", "(", "(.{1000}){1000}", "((.*){1000}){1000}"] {
            assert!(!matches_all(expression, &texts), "{expression}");
        }
    }

    #[test]
    fn what_re2_does_not_read_is_refused() {
        for text in
            ["(a", "a)", "[a", "*a", r"\", "(?=a)", r"(a)\1", "a{1001}", "a{2,1}", "[b-a]", r"\Q(\E)", "(?<!a)b"]
        {
            assert!(verify(text).is_err(), "{text}");
        }
    }
}
