//! What a decision has to know from outside before it can go on, and what was answered.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metric::error::MeasureError;
use crate::plan::Step;
pub use crate::round::Round;
use burgee_api::{Address, Webhook};

/// Names a question, so that its answer is found again on a fresh world: what is asked, and for which moment of the
/// rollout. The same question at a later moment is another question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AskKey {
    /// What is asked, such as `webhook load-test` or `metric request-duration`.
    pub what: String,
    /// The revision and step that it is asked for.
    pub moment: String,
}

/// What follows the moment of a question that is asked while a hook is slow.
const BESIDE: &str = " beside a hook";

impl AskKey {
    /// The moment of what is asked while a hook that belongs to `moment` is slow.
    pub(crate) fn beside(moment: &str) -> String {
        format!("{moment}{BESIDE}")
    }

    /// The revision and step, also of what is asked while a hook is slow.
    pub fn step(&self) -> &str {
        self.moment.strip_suffix(BESIDE).unwrap_or(&self.moment)
    }
}

/// Where a metric is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSource {
    /// `prometheus`, `datadog`, … (contract: api §2).
    pub provider_type: String,
    /// Base URL; empty means the provider's own default.
    pub address: Address,
    /// Extra request headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Region, for the clouds that want one.
    pub region: String,
    /// Skip the check of the server's certificate.
    pub insecure_skip_verify: bool,
    /// Namespace and name of the Secret that holds the credentials.
    pub secret: Option<(String, String)>,
    /// Namespace and name of the MetricTemplate that it stands in; none for the builtin provider.
    pub template: Option<(String, String)>,
}

/// One thing to find out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Call a webhook with this payload.
    Hook {
        /// The webhook as written by the user.
        webhook: Webhook,
        /// The JSON body.
        payload: Value,
    },
    /// Ask a provider for one number.
    Measure {
        /// Name of the metric, as on `/metrics`.
        metric: String,
        /// What the number is multiplied by on `/metrics`: durations are shown in seconds (contract: metrics §7).
        scale: f64,
        /// Where.
        source: ProviderSource,
        /// The rendered query.
        query: String,
        /// How far the metric looks back: its `interval`.
        window: SignedDuration,
    },
    /// Ask whether a provider answers at all.
    Online {
        /// Where.
        source: ProviderSource,
    },
}

/// Why a decision cannot be taken yet: everything in it is asked at the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What drifted and is put back before asking, because the answer may take minutes.
    pub repairs: Vec<Step>,
    /// What is told before asking.
    pub first: Vec<Step>,
    /// What to ask.
    pub asks: Vec<(AskKey, Ask)>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The hook passed, or why it did not.
    Hook(Result<(), HookError>),
    /// The provider's number, or why there is none.
    Measured(Result<f64, MeasureError>),
}

/// Why a hook did not pass, with the contract's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum HookError {
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It gave no answer, or cannot be asked as it is written.
    #[error("{0}")]
    Unanswered(String),
    /// It said no, in an answer that is longer than what is read of one.
    #[error("{0}")]
    TooLong(String),
}

impl HookError {
    /// Why, in one word, as it stands on `/metrics`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
            Self::TooLong(_) => "too-long",
        }
    }
}

/// What has been answered so far in one round for one canary. Whoever acts on a plan then calls [`Answers::end_round`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    given: Vec<Given>,
    awaited: Vec<Awaited>,
    quiet_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Given {
    key: AskKey,
    answer: Answer,
    at: Timestamp,
}

/// A question that is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Awaited {
    key: AskKey,
    since: Timestamp,
}

impl Answers {
    /// Notes that a question goes out at `at`. False if it is out already.
    pub fn ask(&mut self, key: &AskKey, at: Timestamp) -> bool {
        let is_new = self.awaited.iter().all(|awaited| awaited.key != *key);
        if is_new {
            self.awaited.push(Awaited { key: key.clone(), since: at });
        }
        is_new
    }

    /// A question will not be answered: it may be asked again.
    pub fn withdraw(&mut self, key: &AskKey) {
        self.awaited.retain(|awaited| awaited.key != *key);
    }

    /// No question that is out will be answered.
    pub fn withdraw_all(&mut self) {
        self.awaited.clear();
    }

    /// The clock of the canary was set by so much: what is remembered of the time before moves along, so that no wait
    /// gets longer or shorter by it.
    pub(crate) fn move_along(&mut self, by: SignedDuration) {
        let given = self.given.iter_mut().map(|given| &mut given.at);
        let awaited = self.awaited.iter_mut().map(|awaited| &mut awaited.since);
        for time in given.chain(awaited).chain(&mut self.quiet_until) {
            *time = time.saturating_add(by).unwrap_or(*time);
        }
    }

    /// Whether a question has been out since before `since`.
    pub fn is_awaited_longer(&self, key: &AskKey, since: Timestamp) -> bool {
        let awaited = self.awaited.iter().find(|awaited| awaited.key == *key);
        awaited.is_some_and(|awaited| awaited.since <= since)
    }

    /// Records an answer that came at `at`.
    pub fn insert(&mut self, key: AskKey, answer: Answer, at: Timestamp) {
        self.withdraw(&key);
        self.given.retain(|given| given.key != key);
        self.given.push(Given { key, answer, at });
    }

    /// The answer to a question.
    pub fn get(&self, key: &AskKey) -> Option<&Answer> {
        self.given(key).map(|given| &given.answer)
    }

    /// The answer to a question, if it came after `since`.
    pub fn get_since(&self, key: &AskKey, since: Timestamp) -> Option<&Answer> {
        self.given(key).filter(|given| given.at > since).map(|given| &given.answer)
    }

    fn given(&self, key: &AskKey) -> Option<&Given> {
        self.given.iter().find(|given| given.key == *key)
    }

    /// Whether nothing was answered.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Forgets the answers if the round is over, and asks nothing before `quiet_until`.
    pub fn end_round(&mut self, round: Round, quiet_until: Option<Timestamp>) {
        match round {
            Round::Over => self.given.clear(),
            Round::Open => {}
        }
        self.quiet_until = quiet_until.or(self.quiet_until);
    }

    /// When the next question may be asked, if that is later than `now`.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.quiet_until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_question_goes_out_once_until_it_is_answered() {
        let key = AskKey { what: "webhook load-test".to_owned(), moment: "b1 10 0 0".to_owned() };
        let mut answers = Answers::default();
        assert!(answers.ask(&key, at(10)));
        assert!(!answers.ask(&key, at(20)));
        assert!(!answers.is_awaited_longer(&key, at(9)));
        assert!(answers.is_awaited_longer(&key, at(10)));
        answers.insert(key.clone(), Answer::Hook(Ok(())), at(21));
        assert!(!answers.is_awaited_longer(&key, at(12)));
        assert!(answers.ask(&key, at(22)));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_wait_longer_and_nothing_younger() {
        let key = |what: &str| AskKey { what: what.to_owned(), moment: String::new() };
        let mut answers = Answers::default();
        answers.insert(key("given"), Answer::Hook(Ok(())), at(100));
        answers.ask(&key("awaited"), at(100));
        answers.end_round(Round::Open, Some(at(110)));
        answers.move_along(SignedDuration::from_secs(-90));
        assert_eq!(answers.quiet_until(at(10)), Some(at(20)));
        assert!(
            answers.get_since(&key("given"), at(10)).is_none() && answers.get_since(&key("given"), at(9)).is_some()
        );
        assert!(
            answers.is_awaited_longer(&key("awaited"), at(10)) && !answers.is_awaited_longer(&key("awaited"), at(9))
        );
    }
}
