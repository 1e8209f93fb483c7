//! The YAML documents of a text, each with its place for error messages. It knows nothing of what they mean.

use serde_json::Value;

/// All documents that say something, each with its place, such as `document 2 at line 14`. The items of a `List` are
/// documents of their own, as kubectl has it. The error names document and line.
pub fn documents(text: &str) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    for (number, (line, document)) in split(text).into_iter().enumerate() {
        let place = format!("document {} at line {line}", number + 1);
        // Blank lines before it make the parser count as the reader does.
        let padded = format!("{}{document}", "\n".repeat(line - 1));
        let value: Value = yaml_serde::from_str(&padded).map_err(|error| format!("{place}: {error}"))?;
        found.extend(items(value).into_iter().map(|value| (place.clone(), value)));
    }
    Ok(found)
}

fn items(mut value: Value) -> Vec<Value> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let items = value.get_mut("items").filter(|_| is_list).and_then(Value::as_array_mut).map(std::mem::take);
    items.unwrap_or_else(|| if value.is_null() { Vec::new() } else { vec![value] })
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
    use super::documents;

    fn check(text: &str, expected: &str) {
        let found = documents(text).map(|documents| {
            let shown = documents.into_iter().map(|(place, value)| format!("{place}: {value}"));
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
}
