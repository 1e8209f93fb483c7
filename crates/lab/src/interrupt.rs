//! What ctrl-C, SIGTERM and SIGHUP do: take the running instances down, then end the process with 130.
use crate::instance::Instance;
use crate::process::start_no_more;
use crate::progress::say;
use crate::teardown::take_down;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

static RUNNING: OnceLock<Mutex<Vec<Instance>>> = OnceLock::new();

/// From now on an interrupted process takes this instance down before it ends.
pub(crate) fn take_down_when_interrupted(instance: &Instance) {
    let running = RUNNING.get_or_init(|| {
        if let Err(error) = ctrlc::set_handler(end) {
            say(&format!("ctrl-C will not take the lab down: {error}"));
        }
        Mutex::default()
    });
    running.lock().unwrap_or_else(PoisonError::into_inner).push(instance.clone());
}

fn end() {
    say("interrupted; taking everything down");
    start_no_more();
    // Held until the end, so that no lab begins to boot meanwhile.
    let instances = RUNNING.get().map(|running| running.lock().unwrap_or_else(PoisonError::into_inner));
    for instance in instances.iter().flat_map(|instances| instances.iter()) {
        if let Err(error) = take_down(instance) {
            say(&format!("could not take {} down: {error:#}", instance.name()));
        }
    }
    std::process::exit(INTERRUPTED)
}
