//! An unkind outside: what a seed has chosen happens on a stage.

use crate::fault::Fault;
use crate::faults::{Faults, OF_STEPS};
use crate::stage::Stage;
use crate::trouble;
use crate::users;

/// Something happens: whatever this seed has, by its rates.
pub(crate) fn disturb(faults: &mut Faults, stage: &mut Stage) -> Result<(), String> {
    let Some(fault) = faults.choose(|fault| !OF_STEPS.contains(&fault)) else { return Ok(()) };
    bring(faults, stage, fault)
}

/// Somebody edits something between two steps.
pub(crate) fn edit(faults: &mut Faults, stage: &mut Stage) -> Result<(), String> {
    let Some(fault) = faults.choose(users::is_users) else { return Ok(()) };
    bring(faults, stage, fault)
}

fn bring(faults: &mut Faults, stage: &mut Stage, fault: Fault) -> Result<(), String> {
    let phase = stage.phase();
    let done = if users::is_users(fault) {
        users::act(faults, stage, fault)?
    } else {
        trouble::bring(faults, stage, fault);
        true
    };
    if done {
        faults.coverage.note(fault, phase);
    }
    Ok(())
}

/// From now on nothing goes wrong any more.
pub(crate) fn end(faults: &mut Faults, stage: &mut Stage) -> Result<(), String> {
    faults.stop();
    trouble::end(stage);
    users::make_peace(stage)
}
