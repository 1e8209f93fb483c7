//! Fills the blanks of the lab's configuration files. Knows nothing of what they mean.

/// Replaces each `{name}` by its value.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn every_blank_of_a_name_is_filled_and_other_braces_stay() {
        assert_eq!(fill("a: {x}/{x}, b: {y: 1}", &[("x", "1")]), "a: 1/1, b: {y: 1}");
    }
}
