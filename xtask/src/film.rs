//! The README's films: a scenario as `burgee simulate` plays it, drawn as a terminal would show it. `cargo xtask bless`
//! writes them. It decides nothing: each row is one of the simulator's.
use anyhow::{Context, Result, anyhow};
use burgee_sim::film::{Film, Frame, Mark};
use burgee_sim::scenario::Scenario;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where the films are.
const FOLDER: &str = "docs/films";
/// The scenarios that are drawn.
const DRAWN: [&str; 2] = ["promotion", "rollback"];
/// The second at which a film begins, when everything is set up.
const BEGIN_SECONDS: i64 = 13;
/// Width of a character, in pixels.
const COLUMN: usize = 8;
/// Height of a line, in pixels.
const LINE: usize = 20;
/// Width of the terminal, in characters.
const COLUMNS: usize = 100;
/// How many seconds of the film go by in one of the picture.
const PACE: f64 = 8.0;
/// How long its end is shown, in seconds.
const STAY_SECONDS: f64 = 5.0;

/// Draws every film anew.
///
/// # Errors
/// When a scenario cannot be played, or a file cannot be written.
pub(crate) fn write_all(root: &Path) -> Result<()> {
    for name in DRAWN {
        let path = file(root, name);
        std::fs::write(&path, drawn(root, name)?).with_context(|| format!("write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn file(root: &Path, name: &str) -> PathBuf {
    root.join(FOLDER).join(name).with_extension("svg")
}

/// The picture of a scenario.
fn drawn(root: &Path, name: &str) -> Result<String> {
    let path = root.join("crates/sim/scenarios").join(name).with_extension("txt");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let scenario = Scenario::parse(&text).map_err(|why| anyhow!("{name}: {why}"))?;
    let stage = scenario.play().map_err(|why| anyhow!("{name}: {why}"))?;
    Ok(picture(&rows(&stage.film)))
}

/// What is printed at one second: pieces of text with their colours.
struct Row {
    second: i64,
    pieces: Vec<(Ink, String)>,
}

/// What a piece of text means; the terminal gives each meaning a colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ink {
    Plain,
    Dim,
    Good,
    Bad,
    Going,
    Hand,
}

impl Ink {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Dim => "dim",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Going => "going",
            Self::Hand => "hand",
        }
    }

    /// That of a phase, as `burgee status` has it.
    fn of_phase(phase: &str) -> Self {
        match phase {
            "Initialized" | "Succeeded" => Self::Good,
            "Failed" => Self::Bad,
            _ => Self::Going,
        }
    }
}

/// The rows of a film since its beginning, without those that only wait.
fn rows(film: &Film) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut marks = film.marks.iter().peekable();
    for (place, frame) in film.frames.iter().enumerate() {
        while let Some(mark) = marks.next_if(|mark| mark.frames_before <= place) {
            rows.push(hand(mark));
        }
        if !frame.text.contains(" not ready: ") {
            rows.push(told(frame));
        }
    }
    rows.extend(marks.map(hand));
    rows.retain(|row| row.second >= BEGIN_SECONDS);
    rows
}

fn hand(mark: &Mark) -> Row {
    let pieces = vec![(Ink::Dim, format!("{:>5}s  ", mark.second)), (Ink::Hand, format!("> {}", mark.text))];
    Row { second: mark.second, pieces }
}

fn told(frame: &Frame) -> Row {
    let traffic = frame.split.map_or_else(|| "-".to_owned(), |split| split.to_string());
    let is_bad = ["Halt ", "Rolling back ", "Canary failed"].iter().any(|start| frame.text.starts_with(start));
    let is_good = frame.text.starts_with("Promotion completed");
    let ink = match (is_bad, is_good) {
        (true, _) => Ink::Bad,
        (false, true) => Ink::Good,
        (false, false) => Ink::Plain,
    };
    let text = if frame.text.is_empty() { frame.asked.join(" ") } else { frame.text.clone() };
    let pods = format!("{}+{}", frame.primary_pods, frame.canary_pods);
    let pieces = vec![
        (Ink::Dim, format!("{:>5}s  ", frame.second)),
        (Ink::of_phase(&frame.phase), format!("{:<13}", frame.phase)),
        (Ink::Plain, format!("{traffic:>7}  {pods:>4}  ")),
        (ink, text),
    ];
    Row { second: frame.second, pieces }
}

const STYLE: &str = "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}\
.plain{fill:#d0d7de}.dim{fill:#7d8590}.good{fill:#3fb950}.bad{fill:#f85149}.going{fill:#d29922}.hand{fill:#58a6ff}";

/// The picture: each row appears when its second has come, and all begin again in the end. Where nothing may move, and where
/// pictures cannot, all rows are there.
fn picture(rows: &[Row]) -> String {
    let last = rows.last().map_or(BEGIN_SECONDS, |row| row.second);
    let length = at(last) + STAY_SECONDS;
    let (width, height) = (COLUMNS * COLUMN, (rows.len() + 3) * LINE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <style>{STYLE}\n@media(prefers-reduced-motion:no-preference){{\n"
    );
    let mut seconds: Vec<i64> = rows.iter().map(|row| row.second).collect();
    seconds.dedup();
    for second in seconds {
        let share = at(second) / length * 100.0;
        let _ = writeln!(
            svg,
            ".s{second}{{animation:s{second} {length:.1}s infinite}}\
             @keyframes s{second}{{0%,{share:.1}%{{opacity:0}}{:.1}%,100%{{opacity:1}}}}",
            share + 0.1
        );
    }
    let _ = write!(svg, "}}</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#0d1117\"/>\n");
    let heading = format!("  {:>4}  {:<13}{:>7}  {}  told", "time", "phase", "traffic", "pods");
    let heading = Row { second: 0, pieces: vec![(Ink::Dim, heading)] };
    for (number, row) in std::iter::once(&heading).chain(rows).enumerate() {
        let class = if number == 0 { String::new() } else { format!(" class=\"s{}\"", row.second) };
        let _ =
            write!(svg, "<text{class} x=\"{COLUMN}\" y=\"{}\" xml:space=\"preserve\">", (number + 2) * LINE - LINE / 4);
        for (ink, text) in &row.pieces {
            let _ = write!(svg, "<tspan class=\"{}\">{}</tspan>", ink.name(), escaped(text));
        }
        svg.push_str("</text>\n");
    }
    svg + "</svg>\n"
}

/// When a second of the film is shown, in seconds since the picture began.
fn at(second: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let since = (second - BEGIN_SECONDS) as f64;
    since / PACE + 0.3
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn the_films_of_the_readme_are_those_that_are_played() {
        for name in DRAWN {
            let there = std::fs::read_to_string(file(&root(), name)).unwrap_or_default();
            let drawn = drawn(&root(), name).unwrap();
            assert!(there == drawn, "{name}.svg shows another film than is played: run `cargo xtask bless`");
        }
    }

    #[test]
    fn the_readme_shows_them() {
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        for name in DRAWN {
            assert!(readme.contains(&format!("{FOLDER}/{name}.svg")), "{name}");
        }
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        for name in DRAWN {
            let text = std::fs::read_to_string(root().join(format!("crates/sim/scenarios/{name}.txt"))).unwrap();
            let stage = Scenario::parse(&text).unwrap().play().unwrap();
            for row in rows(&stage.film) {
                let width: usize = row.pieces.iter().map(|(_, text)| text.chars().count()).sum();
                assert!(width < COLUMNS, "{name} at {} s: {width}", row.second);
            }
        }
    }
}
