//! How the scene looks: pure, from state to lines of tinted text. It writes nowhere.
use super::scene::{Health, Scene, Side, Told, Traffic};
use std::time::Duration;

/// The success rate below which podinfo's analysis fails, in percent.
const LEAST_SUCCESS_PERCENT: f64 = 99.0;
/// The p99 above which podinfo's analysis fails, in milliseconds.
const MOST_MILLISECONDS: f64 = 500.0;
/// Columns by which the rest of a folded line is indented: below the text, after the time.
const INDENT: usize = 8;
/// Columns that the panel takes at most.
const WIDEST: usize = 92;

/// What a piece of text means; a terminal gives each meaning a colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tint {
    /// Nothing special.
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Strong,
    /// The primary's.
    Primary,
    /// The canary's.
    Canary,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// A line: pieces of text from left to right.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Line(pub Vec<(Tint, String)>);

impl Line {
    /// A line of one piece.
    pub(super) fn of(tint: Tint, text: impl Into<String>) -> Self {
        Self(vec![(tint, text.into())])
    }

    /// The line with one more piece at its end.
    #[must_use]
    pub(super) fn and(mut self, tint: Tint, text: impl Into<String>) -> Self {
        self.0.push((tint, text.into()));
        self
    }

    /// The text alone.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text with colours.
    pub(super) fn painted(&self) -> String {
        let paint = |(tint, text): &(Tint, String)| match code(*tint) {
            "" => text.clone(),
            code => format!("\x1b[{code}m{text}\x1b[0m"),
        };
        self.0.iter().map(paint).collect()
    }

    /// The line cut to a width in columns.
    pub(super) fn cut(&self, width: usize) -> Self {
        let mut left = width;
        let mut pieces = Vec::new();
        for (tint, text) in &self.0 {
            let piece: String = text.chars().take(left).collect();
            left -= piece.chars().count();
            pieces.push((*tint, piece));
        }
        Self(pieces)
    }
}

impl Line {
    /// The line broken between words to a width in columns; what follows the first line is indented.
    pub(super) fn fold(&self, width: usize) -> Vec<Self> {
        let mut lines = vec![Self::default()];
        let mut used = 0;
        let words = self.0.iter().flat_map(|(tint, text)| text.split_inclusive(' ').map(|word| (*tint, word)));
        for (tint, word) in words {
            if used + word.trim_end().chars().count() > width && used > INDENT {
                lines.push(Self::of(Tint::Plain, " ".repeat(INDENT)));
                used = INDENT;
            }
            used += word.chars().count();
            if let Some(line) = lines.last_mut() {
                line.0.push((tint, word.to_owned()));
            }
        }
        lines
    }
}

/// The panel: what is going on, the weights, and both workloads side by side.
pub(super) fn panel(scene: &Scene, since_start: Duration, columns: usize) -> Vec<Line> {
    let width = columns.saturating_sub(1).min(WIDEST);
    let room = width.saturating_sub(9);
    let title = format!("{:<room$.room$} {:>6} ", scene.title, clock(since_start));
    let heading = format!(" {:<14}{:<9}{:<7}{:<12}{}", "", "version", "ready", "success", "p99");
    let lines = [
        Line::of(Tint::Dim, "─".repeat(width)),
        Line::of(Tint::Strong, format!(" {title}")),
        weights(scene, width),
        Line::of(Tint::Dim, heading),
        side("primary", Tint::Primary, &scene.primary),
        side("canary", Tint::Canary, &scene.canary),
        users(&scene.traffic),
    ];
    lines.iter().map(|line| line.cut(width)).collect()
}

/// A line to tell, after the time since the start.
pub(super) fn told(scene: &Scene, told: &Told, since_start: Duration) -> Line {
    let line = Line::of(Tint::Dim, format!("{:>6}  ", clock(since_start)));
    match told {
        Told::Event(text) if text.starts_with("Promotion completed") => line.and(Tint::Good, text.clone()),
        Told::Event(text) => line.and(Tint::Plain, text.clone()),
        // Waiting is no fault, though its events are warnings.
        Told::Warning(text) if text.contains(" not ready: ") => line.and(Tint::Dim, text.clone()),
        Told::Warning(text) => line.and(Tint::Bad, text.clone()),
        Told::Change => line.and(Tint::Plain, change(scene)),
    }
}

/// The state in one line, for output that is not a terminal.
fn change(scene: &Scene) -> String {
    let Traffic { primary, canary, .. } = scene.traffic;
    format!(
        "= {}, {}; primary {}; canary {}; {} requests, {} failed",
        phase(scene),
        split(scene.weight),
        health(&scene.primary.health),
        health(&scene.canary.health),
        grouped(primary.0 + canary.0),
        grouped(primary.1 + canary.1)
    )
}

fn split(weight: u64) -> String {
    format!("traffic {}/{weight}", 100_u64.saturating_sub(weight))
}

fn health(health: &Health) -> String {
    if health.success_percent.is_none() {
        return "-".to_owned();
    }
    format!("{} {}", percent(health.success_percent), milliseconds(health.p99_milliseconds))
}

fn phase(scene: &Scene) -> &str {
    if scene.phase.is_empty() { "not seen yet" } else { &scene.phase }
}

fn weights(scene: &Scene, width: usize) -> Line {
    let before = format!(" {:<14}primary {:>3} % ", phase(scene), 100_u64.saturating_sub(scene.weight));
    let after = format!(" {:>2} % canary", scene.weight);
    let room = width.saturating_sub(before.chars().count() + after.chars().count());
    let room = u64::try_from(room).unwrap_or_default();
    // A share that is not nothing is seen, however small.
    let canary = (room * scene.weight.min(100) / 100).max(u64::from(scene.weight > 0)).min(room);
    let bar = |cell: &str, count: u64| cell.repeat(usize::try_from(count).unwrap_or_default());
    Line::of(phase_tint(&scene.phase), before)
        .and(Tint::Primary, bar("█", room - canary))
        .and(Tint::Canary, bar("░", canary))
        .and(Tint::Plain, after)
}

fn phase_tint(phase: &str) -> Tint {
    match phase {
        "Succeeded" => Tint::Good,
        "Failed" => Tint::Bad,
        _ => Tint::Plain,
    }
}

fn side(name: &str, tint: Tint, side: &Side) -> Line {
    let Side { version, pods: (ready, wanted), health } = side;
    let version = if version.is_empty() { "-" } else { version };
    let success = format!("{:<12}", percent(health.success_percent));
    let misses = health.success_percent.is_some_and(|percent| percent < LEAST_SUCCESS_PERCENT);
    let drags = health.p99_milliseconds.is_some_and(|value| value > MOST_MILLISECONDS);
    let judged = |is_bad: bool| if is_bad { Tint::Bad } else { Tint::Plain };
    Line::of(tint, format!(" {name:<14}"))
        .and(Tint::Plain, format!("{version:<9}{:<7}", format!("{ready}/{wanted}")))
        .and(judged(misses), success)
        .and(judged(drags), milliseconds(health.p99_milliseconds))
}

fn users(traffic: &Traffic) -> Line {
    let Traffic { primary, canary, .. } = traffic;
    let failed = primary.1 + canary.1;
    let tint = if failed == 0 { Tint::Plain } else { Tint::Bad };
    let line = Line::of(Tint::Plain, format!(" {:<14}{} requests, ", "users", grouped(primary.0 + canary.0)))
        .and(tint, format!("{} failed", grouped(failed)));
    if failed == 0 { line } else { line.and(Tint::Plain, format!(" ({} at the canary)", grouped(canary.1))) }
}

/// A time as a clock shows it: `1:05`.
pub(super) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// A number with its thousands apart: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(value: Option<f64>) -> String {
    // Cut, not rounded: 99.996 is not 100.
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2} %", (value * 100.0).floor() / 100.0))
}

fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1} ms"),
        Some(value) => format!("{value:.0} ms"),
    }
}

/// The parameter of ANSI's "select graphic rendition".
fn code(tint: Tint) -> &'static str {
    match tint {
        Tint::Plain => "",
        Tint::Dim => "2",
        Tint::Strong => "1",
        Tint::Primary => "36",
        Tint::Canary => "33",
        Tint::Good => "32",
        Tint::Bad => "31",
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Report;
    use super::*;
    use burgee_lab::Counters;

    fn scene() -> Scene {
        let side = |version: &str, success, p99| Side {
            version: version.to_owned(),
            pods: (2, 2),
            health: Health { success_percent: success, p99_milliseconds: p99 },
        };
        let mut scene = Scene::default();
        scene.begin("2 of 2  a bad version, 6.0.2", Counters::default());
        scene.take(Report::Canary { phase: "Progressing".to_owned(), weight: 10 });
        scene.primary = side("6.0.1", Some(100.0), Some(4.83));
        scene.canary = side("6.0.2", Some(88.888), Some(612.2));
        scene.traffic = Traffic { primary: (1090, 0), canary: (121, 41), retried: 0 };
        scene
    }

    fn check(columns: usize, expected: &[&str]) {
        let lines: Vec<String> = panel(&scene(), Duration::from_secs(65), columns)
            .iter()
            .map(|line| line.text().trim_end().to_owned())
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_panel_shows_the_weights_and_both_workloads_side_by_side() {
        check(
            61,
            &[
                "────────────────────────────────────────────────────────────",
                " 2 of 2  a bad version, 6.0.2                          1:05",
                " Progressing   primary  90 % ██████████████████░ 10 % canary",
                "               version  ready  success     p99",
                " primary       6.0.1    2/2    100.00 %    4.8 ms",
                " canary        6.0.2    2/2    88.88 %     612 ms",
                " users         1,211 requests, 41 failed (41 at the canary)",
            ],
        );
    }

    #[test]
    fn no_line_of_the_panel_is_wider_than_the_terminal() {
        for columns in [0, 1, 5, 20, 40, 80, 300] {
            for line in panel(&scene(), Duration::from_secs(5), columns) {
                let width = line.text().chars().count();
                assert!(width <= columns.saturating_sub(1).min(WIDEST), "{columns}: {}", line.text());
            }
        }
    }

    #[test]
    fn a_change_is_one_line_with_everything_in_it() {
        let line = told(&scene(), &Told::Change, Duration::from_secs(125)).text();
        let expected = "  2:05  = Progressing, traffic 90/10; primary 100.00 % 4.8 ms; canary 88.88 % 612 ms; \
                        1,211 requests, 41 failed";
        assert_eq!(line, expected);
        let nothing = told(&Scene::default(), &Told::Change, Duration::ZERO).text();
        assert_eq!(nothing, "  0:00  = not seen yet, traffic 100/0; primary -; canary -; 0 requests, 0 failed");
    }

    #[test]
    fn a_long_line_is_folded_between_words_below_its_text() {
        let line = Line::of(Tint::Dim, "  0:05  ").and(Tint::Plain, "canary is not ready");
        let folded = |width: usize| line.fold(width).iter().map(Line::text).collect::<Vec<String>>();
        assert_eq!(folded(80), ["  0:05  canary is not ready"]);
        assert_eq!(folded(18), ["  0:05  canary is ", "        not ready"]);
        assert_eq!(folded(3), ["  0:05  canary ", "        is ", "        not ", "        ready"]);
    }

    #[test]
    fn only_painted_text_has_colours_and_plain_pieces_have_none() {
        let line = Line::of(Tint::Plain, "a ").and(Tint::Bad, "b");
        assert_eq!(line.text(), "a b");
        assert_eq!(line.painted(), "a \u{1b}[31mb\u{1b}[0m");
    }

    #[test]
    fn numbers_read_well() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(percent(Some(99.999)), "99.99 %");
        assert_eq!(clock(Duration::from_secs(605)), "10:05");
    }
}
