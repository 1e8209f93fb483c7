//! Queries of triggers: one that asks about the target is made to ask about the primary. Label values are changed, and
//! nothing else: the name of a metric may hold the target's without meaning it (S54).

use super::Source;
use crate::rollout::Rollout;
use crate::workload::Selector;

/// Triggers whose queries have label matchers as Prometheus has them.
const WITH_MATCHERS: [&str; 3] = ["prometheus", "loki", "predictkube"];

/// Ends of labels that name places. A namespace may well be called like a Deployment in it.
const PLACES: [&str; 2] = ["namespace", "cluster"];

/// Ends of labels that are the same in the primary's pods.
const SAME: [&str; 4] = ["container", "container_name", "image", "__name__"];

/// Who is meant by a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    target: &'a str,
    selector: Option<&'a Selector>,
}

impl<'a> Names<'a> {
    pub(super) fn of(rollout: &'a Rollout, source: &Source<'a>) -> Self {
        Self { target: &rollout.target.name, selector: source.selector }
    }

    /// The query about the primary; the same one if it is not about the target. None if it names the target where no label
    /// value tells target and primary apart.
    pub(super) fn pointed(&self, kind: &str, query: &str) -> Option<String> {
        if !WITH_MATCHERS.contains(&kind) {
            return (!self.are_mentioned(query)).then(|| query.to_owned());
        }
        let mut pointed = String::new();
        // What counts as naming the target if no value was changed.
        let mut rest = String::new();
        let mut is_changed = false;
        let mut end = 0;
        for Matcher { label, operator, value } in matchers(query)? {
            let text = &query[value.0..value.1];
            pointed.push_str(&query[end..value.0]);
            rest.push_str(&query[end..value.0]);
            end = value.1;
            let is_fixed = PLACES.iter().chain(&SAME).any(|name| label.ends_with(name));
            let (changed, names_primary) =
                if is_fixed { (text.to_owned(), false) } else { self.renamed(label, operator, text) };
            if names_primary && operator.starts_with('!') {
                return None;
            }
            if !PLACES.iter().any(|place| label.ends_with(place)) {
                rest.push_str(text);
            }
            is_changed |= changed != text || names_primary;
            pointed.push_str(&changed);
        }
        pointed.push_str(&query[end..]);
        rest.push_str(&query[end..]);
        (is_changed || !self.are_mentioned(&rest)).then_some(pointed)
    }

    /// A value that means the primary where it meant the target, and whether it names the primary already.
    fn renamed(&self, label: &str, operator: &str, value: &str) -> (String, bool) {
        let mut renamed = String::new();
        let mut names_primary = false;
        let is_regex = operator.ends_with('~');
        let pieces = if is_regex { pieces_of_pattern(value) } else { pieces_of_name(value) };
        for piece in pieces {
            match piece {
                Piece::Name(name) => {
                    let stem = if is_regex { name.trim_end_matches('-') } else { name };
                    let primary = self.primary_of(label, stem);
                    names_primary |= primary.as_deref() == Some(stem);
                    renamed.push_str(primary.as_deref().unwrap_or(stem));
                    renamed.push_str(&name[stem.len()..]);
                }
                Piece::Other(text) => renamed.push_str(text),
            }
        }
        (renamed, names_primary)
    }

    /// The primary's name for one of the target's; none for anybody else's.
    fn primary_of(&self, label: &str, name: &str) -> Option<String> {
        let primary = format!("{}-primary", self.target);
        if name == self.target || name == primary || name.strip_suffix("-canary") == Some(self.target) {
            return Some(primary);
        }
        let selector = self.selector.filter(|selector| label.ends_with(&as_label(&selector.label)))?;
        let is_own = name == selector.value || name == selector.primary_value();
        is_own.then(|| selector.primary_value())
    }

    /// Whether the target's name stands in a text as a word. Of a metric's name, words are what is between underscores.
    fn are_mentioned(&self, text: &str) -> bool {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
        let is_word = |(place, name): (usize, &str)| {
            !text[..place].ends_with(is_part) && !text[place + name.len()..].starts_with(is_part)
        };
        !self.target.is_empty() && text.match_indices(self.target).any(is_word)
    }
}

/// A label selector as in `kubectl get -l`, pointed at the primary's pods.
pub(super) fn pod_selector(text: &str, selector: &Selector) -> String {
    let is_end = |character: char| "=!(), ".contains(character);
    let mut depth = 0;
    let requirements = text.split(|character: char| {
        depth += i32::from(character == '(') - i32::from(character == ')');
        character == ',' && depth == 0
    });
    let pointed = requirements.map(|requirement| {
        if requirement.trim_start().split(is_end).next() != Some(selector.label.as_str()) {
            return requirement.to_owned();
        }
        let words = requirement.split_inclusive(is_end).map(|word| {
            let value = word.trim_end_matches(is_end);
            if value == selector.value { word.replacen(value, &selector.primary_value(), 1) } else { word.to_owned() }
        });
        words.collect()
    });
    pointed.collect::<Vec<String>>().join(",")
}

/// A label as Prometheus writes it.
fn as_label(label: &str) -> String {
    label.replace(|character: char| !character.is_ascii_alphanumeric(), "_")
}

/// Part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// What may be somebody's name.
    Name(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// A name in pieces: of one with dots the first part alone is somebody's, and what follows is the domain.
fn pieces_of_name(value: &str) -> Vec<Piece<'_>> {
    let end = value.find('.').unwrap_or(value.len());
    vec![Piece::Name(&value[..end]), Piece::Other(&value[end..])]
}

/// A pattern in pieces: a name ends where the pattern goes on, and character classes hold none.
fn pieces_of_pattern(value: &str) -> Vec<Piece<'_>> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let mut pieces = Vec::new();
    let mut rest = value;
    let mut is_domain = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            // The query's own text has two backslashes for the pattern's one.
            '\\' => {
                rest.char_indices().nth(if rest.starts_with("\\\\") { 3 } else { 2 }).map_or(rest.len(), |(end, _)| end)
            }
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            _ if is_of_name(first) => rest.find(|character| !is_of_name(character)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        let is_name = is_of_name(first) && !is_domain;
        pieces.push(if is_name { Piece::Name(piece) } else { Piece::Other(piece) });
        is_domain = piece.ends_with('.');
        rest = after;
    }
    pieces
}

/// A label matcher of a query.
struct Matcher<'a> {
    label: &'a str,
    operator: &'a str,
    /// Where its value begins and ends, without the quotes.
    value: (usize, usize),
}

/// A part of a query that matters here, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Word(usize, usize),
    Operator(usize, usize),
    /// What stands between quotes.
    Text(usize, usize),
    Open,
    Close,
    Other,
}

/// The label matchers of a query in order; none if it cannot be read.
fn matchers(query: &str) -> Option<Vec<Matcher<'_>>> {
    let tokens = tokens(query)?;
    let mut matchers = Vec::new();
    let mut is_inside = false;
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Open | Token::Close => {
                let opens = *token == Token::Open;
                if is_inside == opens {
                    return None;
                }
                is_inside = opens;
            }
            Token::Text(begin, end) if is_inside && place >= 2 => {
                let (label, operator) = (tokens[place - 2], tokens[place - 1]);
                if let (Token::Word(from, to) | Token::Text(from, to), Token::Operator(start, stop)) = (label, operator)
                {
                    let (label, operator) = (&query[from..to], &query[start..stop]);
                    matchers.push(Matcher { label, operator, value: (*begin, *end) });
                }
            }
            Token::Text(..) | Token::Word(..) | Token::Operator(..) | Token::Other => {}
        }
    }
    (!is_inside).then_some(matchers)
}

/// The tokens of a query; none if a quote is never closed.
fn tokens(query: &str) -> Option<Vec<Token>> {
    let is_of_word = |character: char| character.is_ascii_alphanumeric() || "_:.".contains(character);
    let is_of_operator = |character: char| "=!~".contains(character);
    let mut tokens = Vec::new();
    let mut begin = 0;
    while let Some(first) = query[begin..].chars().next() {
        let rest = &query[begin..];
        let length_of = |is_part: fn(char) -> bool| rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let length = match first {
            '"' | '\'' | '`' => {
                let inner = length_of_text(&rest[1..], first)?;
                tokens.push(Token::Text(begin + 1, begin + 1 + inner));
                inner + 2
            }
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ if is_of_word(first) => {
                let length = length_of(is_of_word);
                tokens.push(Token::Word(begin, begin + length));
                length
            }
            _ if is_of_operator(first) => {
                let length = length_of(is_of_operator);
                tokens.push(Token::Operator(begin, begin + length));
                length
            }
            _ => {
                let token = match first {
                    '{' => Some(Token::Open),
                    '}' => Some(Token::Close),
                    _ => Some(Token::Other).filter(|_| !first.is_whitespace()),
                };
                tokens.extend(token);
                first.len_utf8()
            }
        };
        begin += length;
    }
    Some(tokens)
}

/// How long a text is until its quote is closed.
fn length_of_text(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (place, character) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if character == quote {
            return Some(place);
        } else {
            is_escaped = character == '\\' && quote != '`';
        }
    }
    None
}

#[cfg(test)]
mod tests;
