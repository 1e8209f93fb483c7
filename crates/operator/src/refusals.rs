//! Whether an answer 403 is to be believed. An API server that has just started refuses everybody until it has read its
//! roles, so only a refusal that stands is a missing permission. It has no clock and asks nobody.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::cluster::ApiError;
use crate::lock::lock;

/// A refusal that has stood this long is a missing permission.
pub(crate) const DOUBT: Duration = Duration::from_secs(10);
/// A refusal that is not believed yet is looked at again this often.
pub(crate) const DOUBT_RETRY: Duration = Duration::from_millis(500);

/// Since when the same request has been refused, without any other answer in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    since: Option<Instant>,
}

impl Refusals {
    /// How long refusals have stood at `now`, this failure included; zero if it is none.
    pub(crate) fn lasted(&mut self, failure: &ApiError, now: Instant) -> Duration {
        if !matches!(failure, ApiError::Forbidden(_)) {
            self.end();
            return Duration::ZERO;
        }
        now.saturating_duration_since(*self.since.get_or_insert(now))
    }

    /// The request was granted.
    pub(crate) const fn end(&mut self) {
        self.since = None;
    }
}

/// What is to be made of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// It was not refused.
    NotRefused,
    /// It was, but not for long; that is known after so much more time.
    Doubted(Duration),
    /// It has been refused for so long that a permission must be missing.
    Believed(News),
}

/// Whether a missing permission was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was not.
    New,
    /// It was, and has been told.
    Old,
}

/// Requests that are refused at present; beyond so many all of them are doubted anew.
const REQUESTS: usize = 4096;

/// The refusals of all requests, by the namespace and what they wanted in it.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    standing: Mutex<BTreeMap<(String, String), (Refusals, News)>>,
}

impl Doubts {
    /// Notes what became of a request at `now`.
    pub(crate) fn weigh<T>(&self, namespace: &str, wanted: &str, answer: &Result<T, ApiError>, now: Instant) -> Belief {
        let mut standing = lock(&self.standing);
        let place = (namespace.to_owned(), wanted.to_owned());
        let Some(failure @ ApiError::Forbidden(_)) = answer.as_ref().err() else {
            standing.remove(&place);
            return Belief::NotRefused;
        };
        if standing.len() >= REQUESTS && !standing.contains_key(&place) {
            standing.clear();
        }
        let (refusals, news) = standing.entry(place).or_insert((Refusals::default(), News::New));
        match DOUBT.checked_sub(refusals.lasted(failure, now)) {
            Some(left) if !left.is_zero() => Belief::Doubted(left),
            Some(_) | None => Belief::Believed(std::mem::replace(news, News::Old)),
        }
    }

    /// How much is remembered, by what.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { standing } = self;
        vec![("doubts", lock(standing).len())]
    }

    /// Forgets the refusals of a namespace in which a canary is gone. Those of the others there are doubted anew, which
    /// costs a moment and one more word.
    pub(crate) fn forget(&self, namespace: &str) {
        lock(&self.standing).retain(|(known, _), _| known != namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_from_the_first_one_after_any_other_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let refusal = ApiError::Forbidden("no".to_owned());
        let mut refusals = Refusals::default();
        assert_eq!(refusals.lasted(&refusal, at(0)), Duration::ZERO);
        assert_eq!(refusals.lasted(&refusal, at(9)), Duration::from_secs(9));
        refusals.end();
        assert_eq!(refusals.lasted(&refusal, at(10)), Duration::ZERO);
        assert_eq!(refusals.lasted(&ApiError::Failed("down".to_owned()), at(19)), Duration::ZERO);
        assert_eq!(refusals.lasted(&refusal, at(20)), Duration::ZERO, "a server that was down may have started anew");
        assert_eq!(refusals.lasted(&refusal, at(31)), Duration::from_secs(11));
    }
    #[test]
    fn a_request_is_doubted_by_itself_until_its_refusal_has_stood_and_is_news_once() {
        let (doubts, start) = (Doubts::default(), Instant::now());
        let refusal: Result<(), _> = Err(ApiError::Forbidden("no".to_owned()));
        let weigh = |wanted, answer: &Result<(), ApiError>, seconds| {
            doubts.weigh("test", wanted, answer, start + Duration::from_secs(seconds))
        };
        assert_eq!(weigh("create a", &refusal, 0), Belief::Doubted(DOUBT));
        assert_eq!(weigh("create b", &refusal, 9), Belief::Doubted(DOUBT));
        assert_eq!(weigh("create a", &refusal, 9), Belief::Doubted(Duration::from_secs(1)));
        assert_eq!(weigh("create a", &refusal, 10), Belief::Believed(News::New));
        assert_eq!(weigh("create a", &refusal, 99), Belief::Believed(News::Old));
        assert_eq!(weigh("create a", &Ok(()), 99), Belief::NotRefused);
        assert_eq!(weigh("create a", &refusal, 100), Belief::Doubted(DOUBT));
        assert_eq!(weigh("create a", &Err(ApiError::Failed("down".to_owned())), 105), Belief::NotRefused);
        assert_eq!(weigh("create a", &refusal, 111), Belief::Doubted(DOUBT), "the server may have started anew");
        doubts.forget("other");
        assert_eq!(weigh("create a", &refusal, 121), Belief::Believed(News::New));
        doubts.forget("test");
        assert_eq!(weigh("create a", &refusal, 122), Belief::Doubted(DOUBT));
    }
}
