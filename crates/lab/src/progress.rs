//! Shows what the lab is doing and for how long. Writes to standard error only, and draws only on a terminal.
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// One piece of work under way: a bar with elapsed time on a terminal, plain lines elsewhere.
pub(crate) struct Task {
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Task {
    /// Begins to show work that usually takes `usual_seconds`.
    pub(crate) fn begin(name: &str, what: &str, usual_seconds: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| draw(name, what, usual_seconds));
        if bar.is_none() {
            eprintln!("lab: {name}: {what} (usually about {usual_seconds} s)");
        }
        Self { name: name.to_owned(), started: Instant::now(), bar }
    }

    /// Moves the bar to the elapsed time; called while waiting.
    pub(crate) fn tick(&self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.started.elapsed().as_secs());
        }
    }

    /// Ends the work and leaves one line that says how long it took.
    pub(crate) fn finish(self) {
        let elapsed = self.started.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("lab: {}: done in {}", self.name, seconds(elapsed));
    }

    /// Takes the bar away without a word; the caller reports the failure.
    pub(crate) fn abandon(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says one line about the lab.
pub fn say(line: &str) {
    eprintln!("lab: {line}");
}

/// A duration as people read it: `0.4 s`, `12.0 s`, `4 min 47 s`.
pub fn seconds(elapsed: Duration) -> String {
    if elapsed.as_secs() < 60 {
        return format!("{:.1} s", elapsed.as_secs_f64());
    }
    format!("{} min {} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

fn draw(name: &str, what: &str, usual_seconds: u64) -> ProgressBar {
    let bar = ProgressBar::new(usual_seconds.max(1));
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {prefix:18} [{bar:28}] {elapsed} of about {len} s  {msg}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name.to_owned());
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::seconds;
    use std::time::Duration;

    #[test]
    fn durations_read_as_seconds_below_a_minute_and_minutes_above() {
        assert_eq!(seconds(Duration::from_millis(400)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(287)), "4 min 47 s");
    }
}
