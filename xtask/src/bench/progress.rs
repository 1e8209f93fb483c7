//! Lines that say how far long work is: written over on a terminal, now and then elsewhere. To standard error only.
use burgee_lab::seconds;
use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often progress is shown: on a terminal, and elsewhere.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// One piece of long work.
pub(super) struct Progress {
    what: &'static str,
    started: Instant,
    shown: Cell<Instant>,
}

impl Progress {
    /// Begins to show work.
    pub(super) fn begin(what: &'static str) -> Self {
        let now = Instant::now();
        if !std::io::stderr().is_terminal() {
            eprintln!("bench: {what}");
        }
        Self { what, started: now, shown: Cell::new(now) }
    }

    /// Shows how far it is, unless that was shown just before.
    pub(super) fn show(&self, how_far: &str) {
        let is_terminal = std::io::stderr().is_terminal();
        if self.shown.get().elapsed() < if is_terminal { PAUSE.0 } else { PAUSE.1 } {
            return;
        }
        self.shown.set(Instant::now());
        let line = format!("bench: {}: {how_far}, {}", self.what, seconds(self.started.elapsed()));
        if is_terminal {
            eprint!("\r{line}\x1b[K");
        } else {
            eprintln!("{line}");
        }
    }

    /// Leaves one line that says how long it took.
    pub(super) fn finish(self) {
        let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        eprintln!("{clear}bench: {}: done in {}", self.what, seconds(self.started.elapsed()));
    }
}
