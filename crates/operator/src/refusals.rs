//! Whether an answer 403 is to be believed. An API server that has just started refuses everybody until it has read its
//! roles, so only a refusal that stands is a missing permission. It has no clock and asks nobody.

use std::time::{Duration, Instant};

use crate::cluster::ApiError;

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
}
