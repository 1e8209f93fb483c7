//! Who may act: one decision about the leader lease. It never reads a clock and trusts no other clock (S16).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Name of the Lease.
pub const NAME: &str = "flagger-leader-election";
/// How long a lease lasts after its last renewal.
pub const DURATION: SignedDuration = SignedDuration::from_secs(15);
/// How often the holder renews it, and others look at it.
pub const RENEWAL: SignedDuration = SignedDuration::from_secs(5);
/// No write starts with less than this left of the lease.
pub const MARGIN: SignedDuration = SignedDuration::from_secs(3);

/// What of a Lease matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSeen {
    /// Who holds it; none when it was released.
    pub holder: Option<String>,
    /// `renewTime` as written by the holder; only ever compared for equality.
    pub renewed: String,
    /// How often it changed hands.
    pub transitions: i64,
}

/// What this process remembers of the lease between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The lease as last seen, and when by our own clock it first looked so.
    last: Option<(LeaseSeen, Timestamp)>,
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// There is no lease: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder has been silent for [`DURATION`] by our own clock: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

impl Memory {
    /// Decides from the lease as it is now. Another's lease is judged by how long we saw it unchanged.
    pub fn decide(&mut self, seen: Option<&LeaseSeen>, own: &str, now: Timestamp) -> Move {
        let Some(lease) = seen else { return Move::Create };
        let Some(holder) = lease.holder.as_deref().filter(|holder| !holder.is_empty()) else { return Move::Take };
        if holder == own {
            return Move::Renew;
        }
        match &self.last {
            Some((known, since)) if known == lease => {
                if now.duration_since(*since) >= DURATION {
                    Move::Take
                } else {
                    Move::Wait
                }
            }
            Some(_) | None => {
                self.last = Some((lease.clone(), now));
                Move::Wait
            }
        }
    }
}

/// Whether a write may start: the lease was renewed by us at `renewed` and enough of it is left.
pub fn may_write(renewed: Option<Timestamp>, now: Timestamp) -> bool {
    renewed.is_some_and(|renewed| {
        let age = now.duration_since(renewed);
        !age.is_negative() && age < DURATION - MARGIN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn held(holder: &str, renewed: &str) -> LeaseSeen {
        LeaseSeen { holder: Some(holder.to_owned()), renewed: renewed.to_owned(), transitions: 0 }
    }

    #[test]
    fn a_missing_or_released_lease_is_taken_at_once_and_our_own_resumed() {
        let mut memory = Memory::default();
        assert_eq!(memory.decide(None, "me", at(0)), Move::Create);
        assert_eq!(memory.decide(Some(&LeaseSeen::default()), "me", at(0)), Move::Take);
        assert_eq!(memory.decide(Some(&held("me", "x")), "me", at(0)), Move::Renew);
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_we_ourselves_watched_it_being_silent() {
        let mut memory = Memory::default();
        assert_eq!(memory.decide(Some(&held("other", "1970")), "me", at(100)), Move::Wait);
        assert_eq!(memory.decide(Some(&held("other", "1970")), "me", at(114)), Move::Wait);
        assert_eq!(memory.decide(Some(&held("other", "1971")), "me", at(115)), Move::Wait);
        assert_eq!(memory.decide(Some(&held("other", "1971")), "me", at(129)), Move::Wait);
        assert_eq!(memory.decide(Some(&held("other", "1971")), "me", at(130)), Move::Take);
    }

    #[test]
    fn no_write_starts_late_in_a_lease_nor_before_it_nor_without_one() {
        assert!(may_write(Some(at(100)), at(111)));
        assert!(!may_write(Some(at(100)), at(112)));
        assert!(!may_write(Some(at(100)), at(99)));
        assert!(!may_write(None, at(100)));
    }
}
