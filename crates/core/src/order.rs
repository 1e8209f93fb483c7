//! Orders of people to a canary, as they stand in an annotation of it. It reads and writes them, and obeys none.

use std::fmt;

use burgee_api::Canary;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::digest::hex;

/// The annotation that holds the last order.
pub const ANNOTATION: &str = "burgee.flagger.app/order";
/// An order older than this is refused: whoever gave it has looked again since. One from further in the future than
/// this comes from a clock that cannot be believed.
pub const LONGEST_AGE: SignedDuration = SignedDuration::from_mins(10);
/// Longest name of an actor that is shown, in bytes.
const LONGEST_ACTOR: usize = 120;
/// Longest id.
const LONGEST_ID: usize = 64;

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Roll back now.
    Abort,
    /// Promote without further analysis.
    Promote,
    /// Analyse again: the revision that failed, or the one under way.
    Retry,
    /// Hold the weight until `resume`.
    Pause,
    /// Go on after `pause`.
    Resume,
}

impl Word {
    /// Every word.
    pub const ALL: [Self; 5] = [Self::Abort, Self::Promote, Self::Retry, Self::Pause, Self::Resume];

    /// The word as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Promote => "promote",
            Self::Retry => "retry",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// An order of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What tells it from all others; nothing is obeyed twice under the same id.
    pub id: String,
    /// What is ordered.
    pub word: Word,
    /// Who says to have given it; the audit log of the API server knows who did.
    pub actor: String,
    /// When it was given, by the clock of whoever gave it.
    pub at: Timestamp,
}

/// An annotation that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Stands for the text, so that it is refused once.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Order {
    /// The JSON merge patch that gives the order to a Canary.
    pub fn patch(&self) -> Value {
        json!({"metadata": {"annotations": {ANNOTATION: self.text()}}})
    }

    /// The annotation's text.
    pub fn text(&self) -> String {
        let at = format!("{:.3}", self.at);
        json!({"id": self.id, "order": self.word, "actor": self.actor, "at": at}).to_string()
    }

    /// Why the order comes at the wrong time, if it does.
    pub fn mistimed(&self, now: Timestamp) -> Option<String> {
        let age = now.duration_since(self.at);
        let minutes = LONGEST_AGE.as_mins();
        if age > LONGEST_AGE {
            return Some(format!("it is older than {minutes} minutes"));
        }
        (age < -LONGEST_AGE).then(|| format!("it is dated more than {minutes} minutes ahead"))
    }
}

/// The order that stands in a canary's annotation, if it was not answered before.
pub fn pending(canary: &Canary) -> Option<Result<Order, Unreadable>> {
    let order = read(canary)?;
    let id = match &order {
        Ok(order) => &order.id,
        Err(unreadable) => &unreadable.id,
    };
    let run = canary.status.as_ref().and_then(|status| status.run.as_ref());
    let is_answered = run.is_some_and(|run| run.orders.iter().any(|answered| answered.id == *id));
    (!is_answered).then_some(order)
}

fn read(canary: &Canary) -> Option<Result<Order, Unreadable>> {
    let text = canary.metadata.annotations.as_ref()?.get(ANNOTATION)?;
    Some(parse(text).map_err(|reason| Unreadable { id: stand_in(text), reason }))
}

fn parse(text: &str) -> Result<Order, String> {
    let written: Value = serde_json::from_str(text).map_err(|_| "it is no JSON".to_owned())?;
    let field = |name: &str| written[name].as_str().ok_or_else(|| format!("it has no text {name:?}"));
    let id = field("id")?;
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return Err(format!("its id is not made of 1 to {LONGEST_ID} letters and digits"));
    }
    let word = field("order")?;
    let word = Word::ALL.into_iter().find(|known| known.as_str() == word).ok_or_else(|| {
        let known = Word::ALL.map(Word::as_str).join(", ");
        format!("{:?} is not one of {known}", shown(word))
    })?;
    let at = field("at")?.parse().map_err(|_| "its \"at\" is no time such as 2026-01-31T12:00:00Z".to_owned())?;
    Ok(Order { id: id.to_owned(), word, actor: actor(field("actor").unwrap_or_default()), at })
}

/// A name that can be shown in one line.
fn actor(written: &str) -> String {
    let name = shown(written);
    if name.trim().is_empty() { "somebody".to_owned() } else { name }
}

fn shown(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LONGEST_ACTOR)];
    cut.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn stand_in(text: &str) -> String {
    let hash = sha2::Sha256::digest(text.as_bytes());
    hex(&hash[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::canary;

    fn written(text: &str) -> Result<Order, String> {
        let mut canary = canary(&json!({}));
        canary.metadata.annotations = Some([(ANNOTATION.to_owned(), text.to_owned())].into());
        read(&canary).unwrap().map_err(|unreadable| unreadable.reason)
    }

    fn check_refused(text: &str, expected: &str) {
        assert_eq!(written(text), Err(expected.to_owned()), "{text}");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        for word in Word::ALL {
            let order = Order { id: "5e1f".to_owned(), word, actor: "jane".to_owned(), at: at(1_700_000_000) };
            assert_eq!(written(&order.text()), Ok(order));
        }
    }

    #[test]
    fn an_order_that_cannot_be_understood_says_why() {
        check_refused("abort", "it is no JSON");
        check_refused("{}", r#"it has no text "id""#);
        check_refused(r#"{"id": "a b", "order": "abort"}"#, "its id is not made of 1 to 64 letters and digits");
        check_refused(
            r#"{"id": "1", "order": "explode"}"#,
            r#""explode" is not one of abort, promote, retry, pause, resume"#,
        );
        check_refused(
            r#"{"id": "1", "order": "abort", "at": "now"}"#,
            r#"its "at" is no time such as 2026-01-31T12:00:00Z"#,
        );
    }

    #[test]
    fn the_name_of_the_actor_is_one_line_and_never_empty() {
        let order = |actor: &str| json!({"id": "1", "order": "abort", "at": "2026-01-01T00:00:00Z", "actor": actor});
        let named = |actor: &str| written(&order(actor).to_string()).unwrap().actor;
        assert_eq!(named("jane\ndoe"), "jane doe");
        assert_eq!(named(" "), "somebody");
        assert_eq!(named(&"é".repeat(200)).len(), LONGEST_ACTOR);
    }

    #[test]
    fn an_order_counts_for_ten_minutes_around_its_time() {
        let order = Order { id: String::new(), word: Word::Abort, actor: String::new(), at: at(10_000) };
        assert_eq!(order.mistimed(at(10_600)), None);
        assert_eq!(order.mistimed(at(9_400)), None);
        assert_eq!(order.mistimed(at(10_601)).as_deref(), Some("it is older than 10 minutes"));
        assert_eq!(order.mistimed(at(9_399)).as_deref(), Some("it is dated more than 10 minutes ahead"));
    }
}
