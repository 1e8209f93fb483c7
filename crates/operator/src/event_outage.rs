//! How long the API server has taken no event of a canary. A rollout waits for its events, but not for ever. It has no
//! clock and asks nobody.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// After so long a plan goes on without its event.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// A failure that comes so long after the last one belongs to another outage: a plan is retried much sooner.
const GAP: SignedDuration = SignedDuration::from_secs(30);
/// How long one request may take, and how long once events have been given up. The second is shorter than the standstill
/// that ends a plan, so that an API server that never answers costs moments.
const REQUEST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// What is to become of a plan whose event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is carried out from its beginning once more.
    Again,
    /// It goes on without the event.
    On,
}

/// The failures in a row, none of which was followed by an event that was taken.
#[derive(Debug, Default)]
pub struct EventOutage {
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    since: Timestamp,
    last: Timestamp,
    is_given_up: bool,
}

impl EventOutage {
    /// How long a request for an event may take.
    pub(crate) fn patience(&self) -> Duration {
        if self.row.as_ref().is_some_and(|row| row.is_given_up) { REQUEST.1 } else { REQUEST.0 }
    }

    /// Notes that an event which was sent at `sent` had not been taken at `now`. Once one has been given up, the others are
    /// tried once each until one is taken.
    pub(crate) fn goes_on(&mut self, sent: Timestamp, now: Timestamp) -> Way {
        let known = self.row.take().filter(|row| row.is_given_up || sent.duration_since(row.last) <= GAP);
        let mut row = known.unwrap_or(Row { since: sent, last: now, is_given_up: false });
        row.last = now;
        row.is_given_up |= now.duration_since(row.since) >= PATIENCE;
        let way = if row.is_given_up { Way::On } else { Way::Again };
        self.row = Some(row);
        way
    }

    /// The API server has taken an event, or has said why it will not.
    pub(crate) fn end(&mut self) {
        self.row = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn an_event_is_waited_for_half_a_minute_and_the_next_ones_are_tried_once_until_one_is_taken() {
        let mut silence = EventOutage::default();
        let ways: Vec<Way> = [0, 5, 29].map(|second| silence.goes_on(at(second), at(second))).to_vec();
        assert_eq!((ways, silence.patience()), (vec![Way::Again; 3], REQUEST.0));
        assert_eq!((silence.goes_on(at(30), at(30)), silence.patience()), (Way::On, REQUEST.1));
        assert_eq!(silence.goes_on(at(9_000), at(9_002)), Way::On);
        silence.end();
        assert_eq!((silence.goes_on(at(9_003), at(9_003)), silence.patience()), (Way::Again, REQUEST.0));
    }

    #[test]
    fn a_request_that_hangs_counts_from_its_beginning() {
        assert_eq!(EventOutage::default().goes_on(at(0), at(30)), Way::On);
    }

    #[test]
    fn a_failure_long_after_another_one_begins_anew() {
        let mut silence = EventOutage::default();
        assert_eq!(silence.goes_on(at(0), at(0)), Way::Again);
        assert_eq!(silence.goes_on(at(3_600), at(3_601)), Way::Again);
        assert_eq!(silence.goes_on(at(3_629), at(3_629)), Way::Again);
        assert_eq!(silence.goes_on(at(3_630), at(3_630)), Way::On);
    }
}
