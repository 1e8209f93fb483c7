//! Flags in the manner of Go's `flag` package: tables, parsing, and the text of `-help`. It knows no flag by itself; the
//! controller, the load tester and its `hey` have a table each.

use std::fmt::Write as _;

use burgee_api::duration::GoDuration;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<Options> {
    /// Run with these options.
    Run(Box<Options>),
    /// Print this text to stdout and exit with 0.
    Show(String),
    /// Print this text to stderr and exit with 2.
    Refuse(String),
}

impl<Options> Request<Options> {
    /// The options, if it shall run. Otherwise its text is printed, and a refusal ends the program.
    pub fn settle(self) -> Option<Options> {
        match self {
            Self::Run(options) => Some(*options),
            Self::Show(text) => {
                print!("{text}");
                None
            }
            Self::Refuse(text) => {
                eprint!("{text}");
                std::process::exit(2)
            }
        }
    }
}

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Anything.
    Text,
    /// A whole number.
    Number,
    /// A number, which need not be whole.
    Real,
    /// `true` or `false`; without a value it is `true`.
    Switch,
    /// `1m30s`
    Duration,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without its dash.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Its value when it is not given.
    pub default: &'static str,
    /// Environment variable that overrides it, or nothing.
    pub variable: &'static str,
    /// Its heading in `-help`.
    pub group: &'static str,
    /// What it does, as a sentence.
    pub help: &'static str,
}

impl Flag {
    /// A flag that no environment variable overrides.
    pub const fn new(
        group: &'static str,
        name: &'static str,
        shape: Shape,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, shape, default, variable: "", group, help }
    }

    /// The same, overridden by an environment variable.
    #[must_use]
    pub const fn or(mut self, variable: &'static str) -> Self {
        self.variable = variable;
        self
    }

    /// Its line in `-help`.
    fn line(&self) -> String {
        let word = match self.shape {
            Shape::Text => " string",
            Shape::Number => " int",
            Shape::Real => " float",
            Shape::Switch => "",
            Shape::Duration => " duration",
        };
        let default = if self.default.is_empty() { String::new() } else { format!(" (default {})", self.default) };
        let variable = if self.variable.is_empty() { String::new() } else { format!(" [${}]", self.variable) };
        format!("  -{}{word}\n    \t{}{default}{variable}\n", self.name, self.help)
    }
}

/// All flags of a table under their groups.
pub fn lines(table: &[Flag]) -> String {
    let mut text = String::new();
    let mut group = "";
    for flag in table {
        if flag.group != group {
            group = flag.group;
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n{group}\n");
        }
        text.push_str(&flag.line());
    }
    text
}

/// Why arguments are not what a table wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Help is asked for.
    Help,
    /// The reason, in the words of Go.
    Wrong(String),
}

/// What was given: a flag that is repeated wins with its last value.
#[derive(Clone, Debug)]
pub struct Values {
    table: &'static [Flag],
    given: Vec<(&'static str, String)>,
    /// What follows the flags.
    pub rest: Vec<String>,
}

/// Splits arguments as Go's `flag` package does.
pub fn parse(table: &'static [Flag], arguments: &[String]) -> Result<Values, Trouble> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.clone().next() {
        let Some(body) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else { break };
        if body.is_empty() {
            // Two dashes end the flags and are none of them; one dash is an argument.
            if argument == "--" {
                rest.next();
            }
            break;
        }
        rest.next();
        let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value.to_owned())));
        let Some(flag) = table.iter().find(|flag| flag.name == name) else {
            let asks_for_help = ["help", "h"].contains(&name);
            let wrong = || Trouble::Wrong(format!("flag provided but not defined: -{name}"));
            return Err(if asks_for_help { Trouble::Help } else { wrong() });
        };
        let value = match (value, flag.shape) {
            (Some(value), _) => value,
            (None, Shape::Switch) => "true".to_owned(),
            (None, Shape::Text | Shape::Number | Shape::Real | Shape::Duration) => match rest.next() {
                Some(value) => value.clone(),
                None => return Err(Trouble::Wrong(format!("flag needs an argument: -{name}"))),
            },
        };
        verify(flag, &value)?;
        given.push((flag.name, value));
    }
    Ok(Values { table, given, rest: rest.cloned().collect() })
}

fn verify(flag: &Flag, value: &str) -> Result<(), Trouble> {
    let (is_fine, what) = match flag.shape {
        Shape::Text => (true, ""),
        Shape::Switch => (truth(value).is_some(), "boolean "),
        Shape::Number => (value.parse::<i64>().is_ok(), ""),
        Shape::Real => (value.parse::<f64>().is_ok(), ""),
        Shape::Duration => (milliseconds(value).is_some(), ""),
    };
    let name = flag.name;
    if is_fine {
        Ok(())
    } else {
        Err(Trouble::Wrong(format!("invalid {what}value {value:?} for flag -{name}: parse error")))
    }
}

/// What Go takes for a boolean.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A duration of Go, which must not be negative.
pub fn milliseconds(value: &str) -> Option<u64> {
    let duration = GoDuration::parse(value).ok()?;
    u64::try_from(duration.nanoseconds() / 1_000_000).ok()
}

impl Values {
    /// Lets the environment override the flags that have a variable, unless it is empty.
    pub fn override_by(&mut self, environment: &dyn Fn(&str) -> Option<String>) {
        for flag in self.table.iter().filter(|flag| !flag.variable.is_empty()) {
            let value = environment(flag.variable).filter(|value| !value.is_empty());
            self.given.extend(value.map(|value| (flag.name, value)));
        }
    }

    /// Every value of a flag that may be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// The value, or the default.
    pub fn text(&self, name: &str) -> String {
        let default = || self.table.iter().find(|flag| flag.name == name).map_or("", |flag| flag.default);
        self.all(name).last().unwrap_or_else(default).to_owned()
    }

    /// Whether it is on.
    pub fn switch(&self, name: &str) -> bool {
        truth(&self.text(name)).unwrap_or_default()
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// What stands between its commas, without blanks around it.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name);
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] =
        &[Flag::new("All:", "H", Shape::Text, "", "Repeated."), Flag::new("All:", "q", Shape::Real, "0", "A rate.")];

    fn given(line: &str) -> Result<Values, Trouble> {
        parse(TABLE, &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_follows_the_flags_is_kept_with_its_dashes() {
        let check = |line: &str, expected: &[&str]| assert_eq!(given(line).unwrap().rest, expected, "{line}");
        check("-q 1 url -H a", &["url", "-H", "a"]);
        check("-q 1 -- -H", &["-H"]);
        check("- -H", &["-", "-H"]);
        check("-q 1", &[]);
    }

    #[test]
    fn a_flag_may_be_repeated_and_a_rate_have_a_point() {
        let values = given("-H a --H=b=c -q 0.5").unwrap();
        assert_eq!(values.all("H").collect::<Vec<_>>(), ["a", "b=c"]);
        assert_eq!((values.text("H").as_str(), values.text("q").as_str()), ("b=c", "0.5"));
        let wrong = Trouble::Wrong("invalid value \"x\" for flag -q: parse error".to_owned());
        assert_eq!(given("-q x").unwrap_err(), wrong);
    }
}
