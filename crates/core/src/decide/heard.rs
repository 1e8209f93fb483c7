//! The answers of a tick, and whether any of them was needed. It asks nothing.

use std::cell::Cell;

use jiff::Timestamp;

use crate::question::{Answer, Answers, AskKey};

/// The answers of a tick. It remembers whether the decision came to a point at which it needed one.
pub(super) struct Heard<'a> {
    answers: &'a Answers,
    was_needed: Cell<bool>,
}

impl<'a> Heard<'a> {
    pub(super) const fn of(answers: &'a Answers) -> Self {
        Self { answers, was_needed: Cell::new(false) }
    }

    /// The answer to a question, without which the decision cannot go on.
    pub(super) fn needed(&self, key: &AskKey) -> Option<&'a Answer> {
        self.was_needed.set(true);
        self.answers.get(key)
    }

    /// The same, if it came after `since`.
    pub(super) fn needed_since(&self, key: &AskKey, since: Timestamp) -> Option<&'a Answer> {
        self.was_needed.set(true);
        self.answers.get_since(key, since)
    }

    /// The answer to a question, if there happens to be one: the decision goes on without it.
    pub(super) fn known(&self, key: &AskKey) -> Option<&'a Answer> {
        self.answers.get(key)
    }

    /// Whether a question has been out since before `since`.
    pub(super) fn is_awaited_longer(&self, key: &AskKey, since: Timestamp) -> bool {
        self.answers.is_awaited_longer(key, since)
    }

    /// When the next question may be asked, if that is later than `now`. Only whoever has one wants to know.
    pub(super) fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.answers.quiet_until(now);
        self.was_needed.set(self.was_needed.get() || until.is_some());
        until
    }

    /// Whether there are answers, and the decision was taken without any: it would be the same without them.
    pub(super) fn is_between(&self) -> bool {
        !self.answers.is_empty() && !self.was_needed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(what: &str) -> AskKey {
        AskKey { what: what.to_owned(), moment: "b1 10 0 0".to_owned() }
    }

    /// Whether a plan that looked so at the answer of one hook has come in between.
    fn is_between(look: impl FnOnce(&Heard)) -> bool {
        let mut answers = Answers::default();
        answers.insert(key("given"), Answer::Hook(Ok(())), at(100));
        answers.end_round(crate::question::Round::Open, Some(at(110)));
        let heard = Heard::of(&answers);
        look(&heard);
        heard.is_between()
    }

    #[test]
    fn a_plan_has_come_in_between_if_it_needed_no_answer() {
        assert!(is_between(|_| {}));
        assert!(!is_between(|heard| assert!(heard.needed(&key("given")).is_some())));
        assert!(!is_between(|heard| assert!(heard.needed_since(&key("given"), at(99)).is_some())));
        assert!(!is_between(|heard| assert!(heard.needed_since(&key("given"), at(100)).is_none())), "it was too old");
        assert!(!is_between(|heard| assert!(heard.needed(&key("other")).is_none())), "and was not there");
    }

    #[test]
    fn what_is_only_known_besides_changes_nothing_of_that() {
        assert!(is_between(|heard| assert!(heard.known(&key("given")).is_some())));
        assert!(is_between(|heard| assert!(!heard.is_awaited_longer(&key("given"), at(100)))));
    }

    #[test]
    fn a_plan_that_waits_because_of_an_answer_has_not_come_in_between() {
        assert!(!is_between(|heard| assert_eq!(heard.quiet_until(at(109)), Some(at(110)))));
        assert!(is_between(|heard| assert_eq!(heard.quiet_until(at(110)), None)));
    }

    #[test]
    fn without_answers_nothing_comes_in_between() {
        assert!(!Heard::of(&Answers::default()).is_between());
    }
}
