//! Numbers and texts as Go's `fmt` prints them. It must not depend on a locale.

/// A number as `%v` prints it: shortest digits that read back, exponent form below 1e-4 and from
/// 1e6 on (contract: lifecycle §14).
pub fn number(number: f64) -> String {
    if !number.is_finite() {
        return not_finite(number);
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(power) if !(-4..6).contains(&power) && number != 0.0 => with_exponent(mantissa, power),
        _ => number.to_string(),
    }
}

/// A number as `%.2f` prints it (contract: lifecycle §14).
pub fn two_decimals(number: f64) -> String {
    if number.is_finite() { format!("{number:.2}") } else { not_finite(number) }
}

/// A text as `%q` prints it: in double quotes, with Go's escapes (contract: lifecycle §14).
pub fn quoted(text: &str) -> String {
    let body: String = text.chars().map(escaped).collect();
    format!("\"{body}\"")
}

/// A list as `%v` prints a `[]string`: `[a b]` (contract: lifecycle §14).
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(" "))
}

fn not_finite(number: f64) -> String {
    let text = if number.is_nan() {
        "NaN"
    } else if number.is_sign_positive() {
        "+Inf"
    } else {
        "-Inf"
    };
    text.to_owned()
}

fn with_exponent(mantissa: &str, power: i32) -> String {
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.unsigned_abs())
}

fn escaped(letter: char) -> String {
    match letter {
        '\u{07}' => r"\a".to_owned(),
        '\u{08}' => r"\b".to_owned(),
        '\u{0c}' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\u{0b}' => r"\v".to_owned(),
        '"' => r#"\""#.to_owned(),
        '\\' => r"\\".to_owned(),
        printable if is_printable(printable) => printable.to_string(),
        other => numeric_escape(u32::from(other)),
    }
}

fn numeric_escape(code: u32) -> String {
    match code {
        0..=0x7f => format!(r"\x{code:02x}"),
        0x80..=0xffff => format!(r"\u{code:04x}"),
        _ => format!(r"\U{code:08x}"),
    }
}

/// Whether a letter prints as itself. The standard library's own table is asked, behind another letter, so that
/// combining marks count as printable, as in Go.
fn is_printable(letter: char) -> bool {
    match letter {
        ' '..='~' => true,
        '\0'..='\u{7f}' => false,
        beyond => !format!("a{beyond}").escape_debug().to_string().contains('\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_number(value: f64, expected: &str) {
        assert_eq!(number(value), expected);
    }

    #[test]
    fn numbers_print_as_go_prints_them() {
        check_number(99.0, "99");
        check_number(99.5, "99.5");
        check_number(123_456.0, "123456");
        check_number(500_000.0, "500000");
        check_number(1_000_000.0, "1e+06");
        check_number(1_234_567.5, "1.2345675e+06");
        check_number(0.0001, "0.0001");
        check_number(0.000_01, "1e-05");
        check_number(0.0, "0");
        check_number(-0.0, "-0");
        check_number(-1.5, "-1.5");
        check_number(-12_345_678.0, "-1.2345678e+07");
        check_number(1e100, "1e+100");
        check_number(0.1 + 0.2, "0.30000000000000004");
        check_number(f64::NAN, "NaN");
        check_number(f64::INFINITY, "+Inf");
        check_number(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn two_decimals_round_as_go_rounds() {
        let printed: Vec<String> =
            [99.0, 98.765, 0.125, 0.375, -1.005, f64::NAN, f64::INFINITY].map(two_decimals).into();
        assert_eq!(printed, ["99.00", "98.77", "0.12", "0.38", "-1.00", "NaN", "+Inf"]);
    }

    #[track_caller]
    fn check_quoted(text: &str, expected: &str) {
        assert_eq!(quoted(text), expected);
    }

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        check_quoted("plain", r#""plain""#);
        check_quoted("a \"b\" \\ c", r#""a \"b\" \\ c""#);
        check_quoted("\n\t\r\u{07}\u{08}\u{0b}\u{0c}", r#""\n\t\r\a\b\v\f""#);
        check_quoted("\0\u{1b}\u{7f}", r#""\x00\x1b\x7f""#);
        check_quoted("grün ☺ e\u{301}", "\"grün ☺ e\u{301}\"");
        check_quoted("\u{a0}\u{200b}\u{e0001}", r#""\u00a0\u200b\U000e0001""#);
        check_quoted("it's", r#""it's""#);
    }

    #[test]
    fn lists_are_separated_by_spaces() {
        assert_eq!(list(&["a", "b"]), "[a b]");
        assert_eq!(list::<&str>(&[]), "[]");
    }
}
