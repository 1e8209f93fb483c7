//! What a page says that its commands print, beside what they have printed. It runs nothing.
use super::super::story::matches;
use std::fmt::Write as _;

/// Compares line by line. `*` stands for anything within a line, a line `*` for any number of lines; blanks at the end of a
/// line are nobody's.
///
/// # Errors
/// With both, and the first expected line that no way of reading the stars reaches.
pub(super) fn compare(expected: &str, printed: &str) -> Result<(), String> {
    let expected: Vec<&str> = expected.lines().map(str::trim_end).collect();
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    // How many of the printed lines the expected ones so far can have covered.
    let mut covered = vec![0];
    for (number, line) in expected.iter().enumerate() {
        let next = covered_by(line, &lines, &covered);
        if next.is_empty() {
            return Err(table(&expected, &lines, number));
        }
        covered = next;
    }
    if covered.contains(&lines.len()) { Ok(()) } else { Err(table(&expected, &lines, expected.len())) }
}

/// What one more expected line can make of it.
fn covered_by(line: &str, printed: &[&str], covered: &[usize]) -> Vec<usize> {
    match covered.first() {
        Some(&first) if line == "*" => (first..=printed.len()).collect(),
        _ => {
            let is_met = |at: &&usize| printed.get(**at).is_some_and(|text| matches(text, line));
            covered.iter().filter(is_met).map(|at| at + 1).collect()
        }
    }
}

fn table(expected: &[&str], printed: &[&str], first: usize) -> String {
    let mut text = String::from("printed was\n");
    for line in printed {
        let _ = writeln!(text, "    | {line}");
    }
    text.push_str("expected was\n");
    for (number, line) in expected.iter().enumerate() {
        let mark = if number == first { '!' } else { ' ' };
        let _ = writeln!(text, "  {mark} | {line}");
    }
    if first == expected.len() {
        text.push_str("  ! | (the end)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(expected: &str, printed: &str) -> bool {
        compare(expected, printed).is_ok()
    }

    #[test]
    fn a_line_of_one_star_stands_for_any_number_of_lines() {
        assert!(accepts("*\nb\n*\nd\n", "a\nb\nc\nd\n"));
        assert!(accepts("*\nb\n*\nb\n", "b\nb\n"));
        assert!(!accepts("*\nb\n", "b\nc\n"));
        assert!(accepts("*\n", ""));
        assert!(accepts("*\na\n", "a\nb\na\n"));
    }

    #[test]
    fn a_star_stands_for_anything_within_its_line_and_nothing_else_may_differ() {
        assert!(accepts("pod-* 1/1 *\n", "pod-x 1/1 Running 3s   \n"));
        assert!(!accepts("pod-*\n", "pod-x\npod-y\n"));
        assert!(!accepts("a\n", ""));
        assert!(!accepts("", "a\n"));
        assert!(!accepts("a\nb\n", "a\n"));
    }

    #[test]
    fn the_first_line_that_is_not_met_is_marked() {
        let error = compare("a\nb\nc\n", "a\nx\nc\n").unwrap_err();
        assert!(error.contains("  ! | b\n"), "{error}");
    }
}
