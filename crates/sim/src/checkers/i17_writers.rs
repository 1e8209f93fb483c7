//! I17: one operator writes at a time: nothing takes effect that was decided before another operator wrote. That a lease
//! is left and taken in time is tested where it is decided (core: lease) and held (the lab).

use std::collections::BTreeMap;

use burgee_core::plan::Step;

use super::{Checker, Moment, Verdict};

/// For each operator, the number of its decision that was written last.
#[derive(Clone, Debug, Default)]
pub(super) struct Writers {
    wrote: BTreeMap<usize, u64>,
}

impl Checker for Writers {
    fn look(&mut self, moment: &Moment) -> Verdict {
        let Some(step) = moment.step() else { return Ok(()) };
        if !matches!(step, Step::Status(_)) {
            return Ok(());
        }
        let own = moment.sight.number;
        let later = self.wrote.iter().find(|(operator, number)| **operator != moment.operator && **number > own);
        if let Some((operator, _)) = later {
            return Err(format!(
                "operator {} wrote a status that it decided on before {operator} did",
                moment.operator
            ));
        }
        self.wrote.insert(moment.operator, own);
        Ok(())
    }
}
