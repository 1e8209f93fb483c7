//! Where the demo is shown: lines that scroll and, on a terminal, a panel below them that is drawn again in place. It
//! decides no text.
use super::picture::{Line, Tint};
use burgee_lab::wait_if_interrupted;
use console::Term;
use std::io::Write;

/// Standard output, a terminal or not.
pub(super) struct Screen {
    terminal: Option<Term>,
    has_colours: bool,
    panel: Vec<String>,
}

impl Screen {
    /// Standard output as it is; colours only on a terminal and without `NO_COLOR`.
    pub(super) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        let terminal = Some(Term::stdout()).filter(|terminal| terminal.is_term() && !is_dumb);
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { has_colours: terminal.is_some() && !is_refused, terminal, panel: Vec::new() }
    }

    /// Columns of the terminal; nothing when there is none, and no panel is shown.
    pub(super) fn columns(&self) -> Option<usize> {
        self.terminal.as_ref().map(|terminal| usize::from(terminal.size().1))
    }

    /// Writes lines above the panel, folded to the terminal's width.
    pub(super) fn tell(&mut self, lines: &[Line]) {
        match self.columns() {
            None => self.tell_as_is(lines),
            Some(columns) => {
                let fold = |line: &Line| line.fold(columns.saturating_sub(1));
                self.tell_as_is(&lines.iter().flat_map(fold).collect::<Vec<Line>>());
            }
        }
    }

    /// Writes lines above the panel, each in one piece, so that it can be copied.
    pub(super) fn tell_as_is(&mut self, lines: &[Line]) {
        let mut text = self.above();
        for line in lines {
            text.push_str(&self.render(line));
            text.push('\n');
        }
        text.push_str(&below(&self.panel));
        write(&text);
    }

    /// Writes a heading above the panel.
    pub(super) fn head(&mut self, text: &str) {
        self.tell(&[Line::default(), Line::of(Tint::Strong, text)]);
    }

    /// Draws the panel again, cut to the terminal's height.
    pub(super) fn draw(&mut self, panel: &[Line]) {
        let Some(terminal) = &self.terminal else { return };
        let rows = usize::from(terminal.size().0).saturating_sub(1);
        let lines: Vec<String> = panel.iter().take(rows).map(|line| self.render(line)).collect();
        if lines != self.panel {
            let text = self.above() + &below(&lines);
            self.panel = lines;
            write(&text);
        }
    }

    /// Takes the panel away.
    pub(super) fn clear(&mut self) {
        self.draw(&[]);
    }

    fn render(&self, line: &Line) -> String {
        if self.has_colours { line.painted() } else { line.text().trim_end().to_owned() }
    }

    /// Moves to the panel's first line and erases from there on.
    fn above(&self) -> String {
        if self.panel.is_empty() { String::new() } else { format!("\x1b[{}A\r\x1b[J", self.panel.len()) }
    }
}

fn below(panel: &[String]) -> String {
    panel.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn write(text: &str) {
    // What the interrupt handler says stays readable: nothing is drawn over it.
    wait_if_interrupted();
    let mut output = std::io::stdout().lock();
    // A reader that has gone must not end the demo before everything is taken down.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
