//! The YAML documents of a text, each with its place for error messages. It knows nothing of what they mean.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::admission::Segment;

/// One document that says something, or one item of a `List`, as kubectl has it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it is, such as `document 2 at line 14`.
    pub place: String,
    /// What it says.
    pub value: Value,
    /// The text from the top of the file, and the way to the value in it.
    text: Arc<str>,
    path: Vec<Segment>,
}

impl Document {
    /// The line of a field, counted from 1 at the top of the file; of what is not there, the line of what would hold it.
    pub fn line_of(&self, path: &[Segment]) -> Option<usize> {
        let path = [&self.path, path].concat();
        (0..=path.len()).rev().find_map(|length| line_of(&self.text, &path[..length]))
    }
}

/// All documents of a text. The error names document and line.
pub fn documents(text: &str) -> Result<Vec<Document>, String> {
    let mut found = Vec::new();
    for (number, (line, document)) in split(text).into_iter().enumerate() {
        let place = format!("document {} at line {line}", number + 1);
        // Blank lines before it make the parser count as the reader does.
        let text: Arc<str> = format!("{}{document}", "\n".repeat(line - 1)).into();
        let value: Value = yaml_serde::from_str(&text).map_err(|error| format!("{place}: {error}"))?;
        found.extend(items(value).into_iter().map(|(path, value)| Document {
            place: place.clone(),
            value,
            text: Arc::clone(&text),
            path,
        }));
    }
    Ok(found)
}

fn items(mut value: Value) -> Vec<(Vec<Segment>, Value)> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    if value.is_null() {
        return Vec::new();
    }
    let Some(items) = value.get_mut("items").filter(|_| is_list).and_then(Value::as_array_mut).map(std::mem::take)
    else {
        return vec![(Vec::new(), value)];
    };
    let path = |place| vec![Segment::Field("items".to_owned()), Segment::Item(place)];
    items.into_iter().enumerate().map(|(place, item)| (path(place), item)).collect()
}

/// The line of what stands at the end of a path, if it is there.
fn line_of(text: &str, path: &[Segment]) -> Option<usize> {
    // The parser alone knows its lines, and tells them with an error only.
    let error = Finder(path).deserialize(yaml_serde::Deserializer::from_str(text)).err()?;
    error.location().map(|location| location.line())
}

/// Goes along a path, and fails at its end.
struct Finder<'a>(&'a [Segment]);

impl Finder<'_> {
    fn stop<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom("here")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.stop()?;
        while let Some(key) = map.next_key::<Value>()? {
            match self.0 {
                [Segment::Field(name), rest @ ..] if key == **name => map.next_value_seed(Finder(rest))?,
                _ => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        self.stop()?;
        let [Segment::Item(wanted), rest @ ..] = self.0 else {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut place = 0;
        while place != *wanted && sequence.next_element::<IgnoredAny>()?.is_some() {
            place += 1;
        }
        sequence.next_element_seed(Finder(rest))?;
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.stop()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.stop()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.stop()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.stop()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.stop()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.stop()
    }
}

/// The documents with the number of their first line that is not blank.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (index, line) in text.lines().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push((0, String::new()));
            continue;
        }
        let Some((first, document)) = documents.last_mut() else { continue };
        if *first == 0 && line.trim().is_empty() {
            continue;
        }
        if *first == 0 {
            *first = index + 1;
        }
        document.push_str(line);
        document.push('\n');
    }
    documents.retain(|(first, _)| *first > 0);
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = documents(text).map(|documents| {
            let shown = documents.into_iter().map(|document| format!("{}: {}", document.place, document.value));
            shown.collect::<Vec<_>>().join("; ")
        });
        let found = found.unwrap_or_else(|error| error);
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn each_document_knows_its_line() {
        check("a: 1\n---\n\n# why\nb: 2\n", r#"document 1 at line 1: {"a":1}; document 2 at line 4: {"b":2}"#);
        check("---\na: 1\n---\n", r#"document 1 at line 1: {"a":1}"#.replace("line 1", "line 2").as_str());
    }

    #[test]
    fn a_list_is_its_items() {
        check("kind: List\nitems: [{a: 1}, {b: 2}]\n", r#"{"a":1}; document 1 at line 1: {"b":2}"#);
    }

    #[test]
    fn an_error_counts_lines_from_the_top_of_the_file() {
        check("a: 1\n---\nb: 2\nc: [1\nd: 4\n", "line 5");
    }

    #[test]
    fn a_field_knows_its_line() {
        let text = "a: 1\n---\nkind: List\nitems:\n- {b: {c: 1}}\n- b:\n    # why\n    c: [1,\n      2]\n";
        let documents = documents(text).unwrap_or_default();
        let field = |name: &str| Segment::Field(name.to_owned());
        let line = |path: &[Segment]| documents[2].line_of(path);
        assert_eq!(documents[1].line_of(&[field("b"), field("c")]), Some(5));
        assert_eq!(line(&[field("b"), field("c")]), Some(8));
        assert_eq!(line(&[field("b"), field("c"), Segment::Item(1)]), Some(9));
        assert_eq!(line(&[field("b"), field("missing")]), line(&[field("b")]));
    }
}
