//! Reading what an API server may hold: numbers with or without a fraction, and null for absent.
//! It must not reject what the schema lets through.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whole numbers up to this magnitude are exact in a double.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Broken(f64),
}

impl Number {
    /// The number without its fraction, cut towards zero, saturating at the ends of `i64`.
    fn truncated(self) -> i64 {
        match self {
            Self::Whole(whole) => whole,
            #[expect(clippy::cast_possible_truncation, reason = "cutting the fraction is the purpose")]
            Self::Broken(broken) => broken as i64,
        }
    }
}

/// Reads an optional whole number; a fraction is cut towards zero (the schema says `number`: contract: api §1.3).
///
/// # Errors
/// When the value is neither a number nor null.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.map(Number::truncated))
}

/// Reads a whole number that must be there; a fraction is cut towards zero.
///
/// # Errors
/// When the value is not a number.
pub fn required_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Number::deserialize(deserializer)?.truncated())
}

/// Reads a counter, zero when null.
///
/// # Errors
/// When the value is neither a number nor null.
pub fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(integer(deserializer)?.unwrap_or_default())
}

/// Reads a list of whole numbers, empty when null.
///
/// # Errors
/// When the value is neither a list of numbers nor null.
pub fn integers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    let numbers = Option::<Vec<Number>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(numbers.into_iter().map(Number::truncated).collect())
}

/// Reads a value whose null means its default.
///
/// # Errors
/// When the value is neither null nor of its type.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Readable<T> {
    Read(T),
    Other(IgnoredAny),
}

/// Reads what only we write. What another version of us has left and cannot be read counts as its default: a canary that
/// cannot be read at all would be left alone with its traffic.
///
/// # Errors
/// When it is no value at all.
pub fn if_readable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    match Option::<Readable<T>>::deserialize(deserializer)? {
        Some(Readable::Read(value)) => Ok(value),
        Some(Readable::Other(_)) | None => Ok(T::default()),
    }
}

/// Writes a double as a whole number where it is one, as people write them.
///
/// # Errors
/// When the serializer fails.
pub fn write_number<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        #[expect(clippy::cast_possible_truncation, reason = "the guard proves that it is whole and in range")]
        Some(whole) if whole.fract() == 0.0 && whole.abs() < EXACT_LIMIT => (*whole as i64).serialize(serializer),
        other => other.serialize(serializer),
    }
}

/// Whether a flag is off and need not be written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
pub(crate) fn is_off(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize, Debug, PartialEq, Default)]
    struct Held {
        #[serde(default, deserialize_with = "integer", skip_serializing_if = "Option::is_none")]
        weight: Option<i64>,
        #[serde(default, deserialize_with = "integers", skip_serializing_if = "Vec::is_empty")]
        steps: Vec<i64>,
        #[serde(default, serialize_with = "write_number", skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    }

    #[track_caller]
    fn check(written: &str, expected: &str) {
        let held: Held = serde_json::from_str(written).expect(written);
        assert_eq!(serde_json::to_string(&held).expect("plain data"), expected);
    }

    #[test]
    fn numbers_are_read_with_and_without_a_fraction() {
        check(r#"{"weight":10}"#, r#"{"weight":10}"#);
        check(r#"{"weight":10.0}"#, r#"{"weight":10}"#);
        check(r#"{"weight":2.5}"#, r#"{"weight":2}"#);
        check(r#"{"weight":-2.5}"#, r#"{"weight":-2}"#);
        check(r#"{"weight":1e30}"#, r#"{"weight":9223372036854775807}"#);
        check(r#"{"steps":[1,2.0,3.9]}"#, r#"{"steps":[1,2,3]}"#);
        check(r#"{"max":99}"#, r#"{"max":99}"#);
        check(r#"{"max":99.5}"#, r#"{"max":99.5}"#);
    }

    #[test]
    fn null_is_absent() {
        check(r#"{"weight":null,"steps":null,"max":null}"#, "{}");
    }

    #[test]
    fn text_is_not_a_number() {
        serde_json::from_str::<Held>(r#"{"weight":"10"}"#).expect_err("text must be refused");
    }
}
