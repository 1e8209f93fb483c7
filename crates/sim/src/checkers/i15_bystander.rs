//! I15: one bad object never harms another canary: whoever looks after one of them writes to nothing of another, whatever
//! names stand in its spec. That the other's film stays the same is seen when both are played ([`crate::neighbours`]).

use super::{Checker, Moment, Verdict, What};
use crate::others::Others;

/// Remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Bystander;

impl Checker for Bystander {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let What::Step(_) = moment.what else { return Ok(()) };
        let Some(before) = &moment.before.others else { return Ok(()) };
        let after = moment.after.others.as_deref().unwrap_or(Others::NONE);
        match before.difference(after) {
            Some(key) => Err(format!("{key} belongs to another canary and was touched")),
            None => Ok(()),
        }
    }
}
