//! What happened, one row for each thing that was told, and for what was asked without anything being told. It only
//! writes down.

use std::fmt;

use burgee_core::plain::plain;
use burgee_core::split::Split;
use jiff::Timestamp;
use serde::Serialize;

/// What was asked goes on in a line of its own after so many characters.
const ASKED_WIDTH: usize = 50;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Seconds since the film began.
    pub second: i64,
    /// The phase that was reached.
    pub phase: String,
    /// How the routes split the traffic; none before there are routes.
    pub split: Option<Split>,
    /// Ready pods of the primary.
    pub primary_pods: usize,
    /// Ready pods of the target.
    pub canary_pods: usize,
    /// What was asked since the row before, each with its answer: `load-test:ok`, `success-rate=97`.
    pub asked: Vec<String>,
    /// How often it was asked with the same answers and nothing to tell: 1, or more where several rows are one.
    pub times: usize,
    /// What was told; empty if something was asked and nothing told.
    pub text: String,
}

/// Something that was done from outside: an edit, or a change of what is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Seconds since the film began.
    pub second: i64,
    /// What was done.
    pub text: String,
    /// How many rows came before.
    pub frames_before: usize,
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Film {
    /// In order of time.
    pub frames: Vec<Frame>,
    /// What was done from outside, in order of time.
    pub marks: Vec<Mark>,
    /// What was asked since the last row.
    asked: Vec<String>,
}

impl Film {
    /// Seconds between the beginning and a time.
    pub fn second(start: Timestamp, now: Timestamp) -> i64 {
        now.duration_since(start).as_secs()
    }

    /// Writes down that something was done from outside.
    pub fn mark(&mut self, second: i64, text: &str) {
        self.marks.push(Mark { second, text: text.to_owned(), frames_before: self.frames.len() });
    }

    /// Writes down that something was asked; the next row shows it.
    pub fn ask(&mut self, words: String) {
        self.asked.push(words);
    }

    /// Whether something was asked that no row shows yet.
    pub fn owes_a_row(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Adds a row, with what was asked since the last one. One that only asks again what the row before it asked, with
    /// the same answers, is counted there.
    pub fn add(&mut self, mut frame: Frame) {
        frame.asked = std::mem::take(&mut self.asked);
        let is_marked = self.marks.last().is_some_and(|mark| mark.frames_before == self.frames.len());
        match self.frames.last_mut().filter(|last| !is_marked && last.is_repeated_by(&frame)) {
            Some(last) => last.times += 1,
            None => self.frames.push(frame),
        }
    }

    /// The texts alone.
    pub fn texts(&self) -> Vec<&str> {
        self.told().map(|frame| frame.text.as_str()).collect()
    }

    /// The rows in which something was told.
    pub fn told(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.text.is_empty())
    }
}

impl Frame {
    /// Whether both rows tell nothing and are alike but for their times.
    fn is_repeated_by(&self, later: &Self) -> bool {
        let Self { second: _, phase, split, primary_pods, canary_pods, asked, times: _, text } = self;
        let is_alike = (primary_pods, canary_pods, split) == (&later.primary_pods, &later.canary_pods, &later.split);
        is_alike && phase == &later.phase && asked == &later.asked && text.is_empty() && later.text.is_empty()
    }

    fn traffic(&self) -> String {
        self.split.map_or_else(|| "-".to_owned(), |split| split.to_string())
    }

    fn pods(&self) -> String {
        format!("{}+{}", self.primary_pods, self.canary_pods)
    }

    /// What was asked, in as many lines as it needs.
    fn asked(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in &self.asked {
            let line = lines.last().map_or(0, |line| line.chars().count());
            if line > 0 && line + 1 + word.chars().count() > ASKED_WIDTH {
                lines.push(String::new());
            }
            let Some(line) = lines.last_mut() else { continue };
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
        if let Some(line) = lines.last_mut().filter(|_| self.times > 1) {
            *line = format!("{line} ×{}", self.times);
        }
        lines
    }
}

/// How wide the columns are: as wide as what stands in them.
struct Columns {
    phase: usize,
    traffic: usize,
    asked: usize,
}

impl Columns {
    fn of(frames: &[Frame]) -> Self {
        let widest =
            |cell: &dyn Fn(&Frame) -> usize, title: &str| frames.iter().map(cell).fold(title.len(), usize::max);
        let asked = |frame: &Frame| frame.asked().iter().map(|line| line.chars().count()).max().unwrap_or(0);
        Self {
            phase: widest(&|frame| frame.phase.len(), "phase"),
            traffic: widest(&|frame| frame.traffic().len(), "traffic"),
            asked: widest(&asked, "asked"),
        }
    }

    fn line(&self, cells: [&str; 6]) -> String {
        let [time, phase, traffic, pods, asked, told] = cells.map(plain);
        let Self { phase: phase_width, traffic: traffic_width, asked: asked_width } = self;
        let line = format!(
            "{time:>6}  {phase:<phase_width$}  {traffic:>traffic_width$}  {pods:>4}  {asked:<asked_width$}  {told}"
        );
        line.trim_end().to_owned()
    }

    fn row(&self, frame: &Frame) -> String {
        let mut lines = frame.asked().into_iter();
        let first = lines.next().unwrap_or_default();
        let (time, traffic, pods) = (format!("{}s", frame.second), frame.traffic(), frame.pods());
        let row = self.line([&time, &frame.phase, &traffic, &pods, &first, &frame.text]);
        lines.fold(row, |row, line| row + "\n" + &self.line(["", "", "", "", &line, ""]))
    }
}

impl fmt::Display for Film {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Columns::of(&self.frames);
        writeln!(formatter, "{}", columns.line(["time", "phase", "traffic", "pods", "asked", "told"]))?;
        let mut marks = self.marks.iter().peekable();
        for (place, frame) in self.frames.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.frames_before <= place) {
                mark.fmt(formatter)?;
            }
            writeln!(formatter, "{}", columns.row(frame))?;
        }
        marks.try_for_each(|mark| mark.fmt(formatter))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { second, text, .. } = self;
        writeln!(formatter, "{second:>5}s  > {}", plain(text))
    }
}
