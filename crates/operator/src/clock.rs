//! The steady clock of this process: it goes on from where the wall's clock was at the start, and nobody sets it. What is
//! remembered or waited for is counted by it; the wall's is for what others read. It says nothing of any canary.

use std::sync::OnceLock;

use jiff::Timestamp;
use tokio::time::Instant;

static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();

/// What it shows.
pub fn steady() -> Timestamp {
    let (start, instant) = START.get_or_init(|| (Timestamp::now(), Instant::now()));
    start.saturating_add(instant.elapsed()).unwrap_or(*start)
}

/// Both clocks at one time.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// What the wall's shows.
    pub wall: Timestamp,
    /// What the steady one shows.
    pub steady: Timestamp,
}

impl Clocks {
    /// Looks at both.
    pub fn read() -> Self {
        Self { wall: Timestamp::now(), steady: steady() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_the_walls_clock_and_never_goes_back() {
        let one = steady();
        assert!(Timestamp::now().duration_since(one).as_secs().abs() < 60);
        assert!(steady() >= one);
    }
}
