//! Durations as Go reads and writes them. It must not round what Go does not round.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::go_format;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A span of time in nanoseconds, read as `time.ParseDuration` and written as `time.Duration.String` do
/// (contract: api §1.3, lifecycle §14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration {
    nanoseconds: i64,
}

/// Why a text is not a duration, in Go's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// The text is not a sequence of numbers with units, or does not fit.
    Invalid(String),
    /// A number has no unit.
    MissingUnit(String),
    /// A unit is unknown.
    UnknownUnit {
        /// What stood in the unit's place.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl fmt::Display for DurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = go_format::quoted;
        match self {
            Self::Invalid(text) => write!(formatter, "time: invalid duration {}", quote(text)),
            Self::MissingUnit(text) => write!(formatter, "time: missing unit in duration {}", quote(text)),
            Self::UnknownUnit { unit, text } => {
                write!(formatter, "time: unknown unit {} in duration {}", quote(unit), quote(text))
            }
        }
    }
}

impl std::error::Error for DurationError {}

impl GoDuration {
    /// A duration of so many nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// A duration of so many seconds; the longest possible if there are too many.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { nanoseconds: seconds.saturating_mul(1_000_000_000) }
    }

    /// Reads a duration as `time.ParseDuration` does.
    ///
    /// # Errors
    /// In Go's words when the text is no duration or does not fit in 64 bits of nanoseconds.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(Self::default());
        }
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let magnitude = parse_terms(unsigned, text)?;
        let nanoseconds = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
        nanoseconds.map(Self::from_nanoseconds).ok_or_else(invalid)
    }

    /// The duration in nanoseconds.
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The duration in seconds.
    #[expect(clippy::cast_precision_loss, reason = "as in Go, whole seconds and fraction are converted apart")]
    pub fn seconds(self) -> f64 {
        (self.nanoseconds / 1_000_000_000) as f64 + (self.nanoseconds % 1_000_000_000) as f64 / 1e9
    }

    /// The duration for the standard library, zero if it is negative.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or_default())
    }
}

impl From<Duration> for GoDuration {
    /// The longest possible duration if it does not fit.
    fn from(duration: Duration) -> Self {
        Self::from_nanoseconds(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Sums the terms of a duration without sign. Go's largest magnitude is 2^63, for the least negative duration.
fn parse_terms(unsigned: &str, text: &str) -> Result<u64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = unsigned;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (term, after) = parse_term(rest, text)?;
        total = total.checked_add(term).filter(|sum| *sum <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(total)
}

/// Reads one number with its unit, and gives what follows.
fn parse_term<'a>(rest: &'a str, text: &str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (whole, after_whole) = digits(rest);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let unit_length =
        after_number.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(after_number.len());
    let (unit, after) = after_number.split_at(unit_length);
    let unit_nanoseconds = unit_nanoseconds(unit, text)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())? };
    let nanoseconds = whole
        .checked_mul(unit_nanoseconds)
        .and_then(|value| value.checked_add(fraction_nanoseconds(fraction, unit_nanoseconds)))
        .ok_or_else(invalid)?;
    Ok((nanoseconds, after))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit_nanoseconds(unit: &str, text: &str) -> Result<u64, DurationError> {
    Ok(match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        unknown => return Err(DurationError::UnknownUnit { unit: unknown.to_owned(), text: text.to_owned() }),
    })
}

/// Go multiplies the fraction as a double and cuts; digits beyond 18 cannot matter.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the same conversions as in Go give the same nanoseconds"
)]
fn fraction_nanoseconds(fraction: &str, unit_nanoseconds: u64) -> u64 {
    let kept = fraction.get(..fraction.len().min(18)).unwrap_or_default();
    let Ok(value) = kept.parse::<u64>() else { return 0 };
    let scale = 10_f64.powi(i32::try_from(kept.len()).unwrap_or(18));
    (value as f64 * (unit_nanoseconds as f64 / scale)) as u64
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanoseconds.unsigned_abs();
        let sign = if self.nanoseconds < 0 { "-" } else { "" };
        let text = if magnitude < SECOND { below_a_second(magnitude) } else { from_a_second(magnitude) };
        formatter.pad(&format!("{sign}{text}"))
    }
}

fn below_a_second(magnitude: u64) -> String {
    match magnitude {
        0 => "0s".to_owned(),
        1..MICROSECOND => format!("{magnitude}ns"),
        MICROSECOND..MILLISECOND => format!("{}µs", with_fraction(magnitude, MICROSECOND)),
        MILLISECOND.. => format!("{}ms", with_fraction(magnitude, MILLISECOND)),
    }
}

fn from_a_second(magnitude: u64) -> String {
    let seconds = with_fraction(magnitude % MINUTE, SECOND);
    let minutes = magnitude / MINUTE % 60;
    let hours = magnitude / HOUR;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A decimal number of units, without trailing zeros.
fn with_fraction(nanoseconds: u64, unit: u64) -> String {
    let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(i64, &str), &str>) {
        match (GoDuration::parse(text), expected) {
            (Ok(duration), Ok((nanoseconds, written))) => {
                assert_eq!(duration.nanoseconds(), nanoseconds, "{text}");
                assert_eq!(duration.to_string(), written, "{text}");
            }
            (Err(error), Err(message)) => assert_eq!(error.to_string(), message),
            (parsed, expected) => panic!("{text}: {parsed:?} is not {expected:?}"),
        }
    }

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        check("0", Ok((0, "0s")));
        check("0s", Ok((0, "0s")));
        check("500ms", Ok((500_000_000, "500ms")));
        check("1.515s", Ok((1_515_000_000, "1.515s")));
        check("61s", Ok((61_000_000_000, "1m1s")));
        check("1h0m1s", Ok((3_601_000_000_000, "1h0m1s")));
        check("1m30s", Ok((90_000_000_000, "1m30s")));
        check("1.5h", Ok((5_400_000_000_000, "1h30m0s")));
        check("10m", Ok((600_000_000_000, "10m0s")));
        check("600s", Ok((600_000_000_000, "10m0s")));
        check("-1m", Ok((-60_000_000_000, "-1m0s")));
        check("+5s", Ok((5_000_000_000, "5s")));
        check("1.5µs", Ok((1_500, "1.5µs")));
        check("1us1ns", Ok((1_001, "1.001µs")));
        check("7ns", Ok((7, "7ns")));
        check(".5s", Ok((500_000_000, "500ms")));
        check("5.s", Ok((5_000_000_000, "5s")));
        check("0.100000000000000000000h", Ok((360_000_000_000, "6m0s")));
    }

    #[test]
    fn the_ends_of_the_range_are_those_of_go() {
        check("9223372036854775807ns", Ok((i64::MAX, "2562047h47m16.854775807s")));
        check("-9223372036854775808ns", Ok((i64::MIN, "-2562047h47m16.854775808s")));
        check("9223372036854775808ns", Err("time: invalid duration \"9223372036854775808ns\""));
        check("99999999999h", Err("time: invalid duration \"99999999999h\""));
    }

    #[test]
    fn what_is_no_duration_is_refused_in_the_words_of_go() {
        check("", Err("time: invalid duration \"\""));
        check("-", Err("time: invalid duration \"-\""));
        check("abc", Err("time: invalid duration \"abc\""));
        check(".s", Err("time: invalid duration \".s\""));
        check("5", Err("time: missing unit in duration \"5\""));
        check("1d", Err("time: unknown unit \"d\" in duration \"1d\""));
        check("1m 30s", Err("time: unknown unit \"m \" in duration \"1m 30s\""));
    }

    #[test]
    fn conversions_keep_the_length() {
        assert_eq!(GoDuration::from_seconds(90).to_std(), Duration::from_secs(90));
        assert_eq!(GoDuration::from_seconds(-1).to_std(), Duration::ZERO);
        assert_eq!(GoDuration::from(Duration::from_millis(1_515)).to_string(), "1.515s");
        assert!((GoDuration::from_nanoseconds(1_500_000_000).seconds() - 1.5).abs() < f64::EPSILON);
    }
}
