//! How long something has been waited for. Nobody is blamed for the time in which whoever holds the lease stood still, or
//! waited because the API server had failed his write: only who looks and is heard can mend anything.

use jiff::{SignedDuration, Timestamp};

use super::Moment;

/// Since when something has been waited for; none while nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait(Option<Timestamp>);

impl Wait {
    /// To be called at every moment: during a standstill the wait begins anew, and for a failed write it pauses.
    pub(super) fn heed(&mut self, moment: &Moment) {
        if moment.is_still {
            self.renew(moment.after.now);
        } else {
            self.postpone(moment.held_up);
        }
    }

    /// How long it has lasted, from the first call on.
    pub(super) fn goes_on(&mut self, now: Timestamp) -> SignedDuration {
        now.duration_since(*self.0.get_or_insert(now))
    }

    /// It is over.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// It began, or begins anew, at `now`.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.0 = Some(now);
    }

    /// If it lasts, it begins anew at `now`.
    pub(super) fn renew(&mut self, now: Timestamp) {
        self.0 = self.0.map(|_| now);
    }

    /// It counts so much later: what lay in between was nobody's doing.
    pub(super) fn postpone(&mut self, by: SignedDuration) {
        self.0 = self.0.and_then(|since| since.checked_add(by).ok());
    }

    /// How long it has lasted so far.
    pub(super) fn so_far(&self, now: Timestamp) -> Option<SignedDuration> {
        self.0.map(|since| now.duration_since(since))
    }
}
