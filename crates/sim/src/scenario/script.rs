//! The lines of a script: when, and what happens then. It reads them and does nothing.

use burgee_api::GoDuration;
use burgee_core::order::Word;
use burgee_core::world::Kind;
use serde_json::Value;

use crate::outside::Reply;
use crate::prometheus::Scrapes;
use crate::stage::Brake;

/// What a script may say after `at TIME`, for error messages and help.
pub const COMMANDS: &str = "  new-revision                       an edit of the target's pod template
  image IMAGE                        the target's first container gets another image
  success-rate PERCENT|none|silence  what the success rate is from now on; `99,97` are two series
  latency MILLISECONDS|none|silence  what the request duration is from now on
  metric NAME NUMBER|none|silence    what a metric of another name is from now on; `+Inf` is a number
  prometheus down|up                 whether the metrics providers answer
  prometheus restart                 Prometheus is started again and knows nothing of before
  scrapes off|on                     whether Prometheus looks at the counters, every 5 s
  hook NAME fails [TEXT]|passes      what a webhook answers from now on
  hook NAME silent                   a webhook answers nothing from now on
  hook NAME takes TIME               a webhook takes so long for its answer from now on
  pods ready-after TIME              how long new pods take to get ready
  nodes NUMBER                       on how many nodes DaemonSets have pods, 2 at first
  pods NAME stuck TEXT               pods of workload NAME whose template mentions TEXT never get ready
  pods NAME crash NUMBER             so many pods of workload NAME are not ready from now on, as if they crashed
  pods NAME refused|admitted         whether pods of workload NAME can be made, as by a quota
  controllers notice-after TIME      how long controllers take to notice an edit
  set OBJECT POINTER VALUE           an edit, such as `set canary /spec/suspend true`
  remove OBJECT POINTER              an edit that takes a field away
  create KIND NAME                   the object stands among the documents, and is made only now
  delete OBJECT
  order WORD ACTOR                   a person orders abort, promote, retry, pause or resume
  brake on|off                       whether new runs are paused
  unreadable KIND                    objects of this kind cannot be read, `readable KIND` ends it
  show OBJECT POINTER                the film says what stands there
  restart                            the operator is started again
  writes take TIME                   each write takes so long from now on, and is answered; `writes take 0s` ends it
  stand-still TIME                   the operator stops for so long at its next write; another one takes the lease
  end                                the film goes on until here
OBJECT is `canary`, `target`, or KIND NAME, such as `ConfigMap podinfo`. `for TIME` after success-rate, latency, metric,
prometheus down, scrapes off, hook … fails, hook … silent, pods … crash, pods … refused or unreadable ends it again. The
NAME of a metric or a hook that has a space in it stands in quotes.";

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    /// Seconds since the beginning.
    pub(crate) second: i64,
    /// The number of the line, counted from 1.
    pub(crate) line: usize,
    /// The line, without its time.
    pub(crate) text: String,
    pub(crate) command: Command,
}

impl Timed {
    /// An error of this line.
    pub(crate) fn failed(&self, error: &str) -> String {
        format!("line {}: `at {} {}`: {error}", self.line, GoDuration::from_seconds(self.second), self.text)
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    NewRevision,
    Image(String),
    Metric(String, Reply),
    Prometheus(Line),
    PrometheusRestart,
    Scrapes(Scrapes),
    Hook(String, Result<(), String>),
    HookSilent(String),
    HookTakes(String, i64),
    ReadyAfter(i64),
    Stuck(String, String),
    Crash(String, usize),
    Refused(String),
    Admitted(String),
    NoticeAfter(i64),
    Nodes(usize),
    Set(Place, String, Value),
    Remove(Place, String),
    Create(Kind, String),
    Delete(Place),
    Order(Word, String),
    Brake(Brake),
    Unreadable(Kind),
    Readable(Kind),
    Show(Place, String),
    Restart,
    StandStill(i64),
    WritesTake(i64),
    End,
}

/// Whether somebody answers at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Up,
    Down,
}

/// Which object a user means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Canary,
    Target,
    Named(Kind, String),
}

/// The commands of a script. Empty lines and those that begin with `#` say nothing. The error names the line.
pub(crate) fn read(script: &str) -> Result<Vec<Timed>, String> {
    let mut commands = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let read = timed(line).map_err(|error| format!("line {}: `{line}`: {error}", number + 1))?;
            commands.extend(read.into_iter().map(|timed| Timed { line: number + 1, ..timed }));
        }
    }
    Ok(commands)
}

/// The command of a line, and the one that ends it again if it says for how long.
fn timed(line: &str) -> Result<Vec<Timed>, String> {
    let rest = line.strip_prefix("at ").ok_or("a line begins with `at`, such as `at 40s new-revision`")?;
    let (time, text) = rest.trim_start().split_once(' ').ok_or("a command follows the time, such as `at 40s end`")?;
    let second = seconds(time)?;
    let text = text.trim();
    let lasting = text.rsplit_once(" for ").and_then(|(text, last)| Some((text, Some(seconds(last).ok()?))));
    let (text, duration) = lasting.unwrap_or((text, None));
    let command = command(text)?;
    let end = duration.map(|duration| (second + duration, opposite(&command)));
    let mut commands = vec![Timed { second, line: 0, text: text.to_owned(), command }];
    if let Some((second, opposite)) = end {
        let (text, command) = opposite.ok_or_else(|| format!("`for` does not go with {text}"))?;
        commands.push(Timed { second, line: 0, text, command });
    }
    Ok(commands)
}

fn seconds(text: &str) -> Result<i64, String> {
    let duration = GoDuration::parse(text).map_err(|_| format!("{text} is no time, such as 40s or 1m30s"))?;
    let seconds = duration.nanoseconds() / 1_000_000_000;
    if seconds < 0 { Err(format!("{text} is before the beginning")) } else { Ok(seconds) }
}

/// What ends a command, in the words of a script.
fn opposite(command: &Command) -> Option<(String, Command)> {
    match command {
        Command::Prometheus(Line::Down) => Some(("prometheus up".to_owned(), Command::Prometheus(Line::Up))),
        Command::Scrapes(Scrapes::Off) => Some(("scrapes on".to_owned(), Command::Scrapes(Scrapes::On))),
        Command::Hook(name, Err(_)) | Command::HookSilent(name) => {
            Some((format!("hook {name} passes"), Command::Hook(name.clone(), Ok(()))))
        }
        Command::Unreadable(kind) => Some((format!("readable {}", kind.name()), Command::Readable(*kind))),
        Command::Metric(name, _) => {
            Some((format!("{name} is good again"), Command::Metric(name.clone(), Reply::Usual)))
        }
        Command::Crash(name, _) => Some((format!("pods {name} crash 0"), Command::Crash(name.clone(), 0))),
        Command::Refused(name) => Some((format!("pods {name} admitted"), Command::Admitted(name.clone()))),
        Command::Prometheus(Line::Up)
        | Command::Hook(_, Ok(()))
        | Command::PrometheusRestart
        | Command::Scrapes(Scrapes::On)
        | Command::HookTakes(..)
        | Command::NewRevision
        | Command::Image(_)
        | Command::ReadyAfter(_)
        | Command::Stuck(..)
        | Command::Admitted(_)
        | Command::NoticeAfter(_)
        | Command::Nodes(_)
        | Command::Set(..)
        | Command::Remove(..)
        | Command::Create(..)
        | Command::Delete(_)
        | Command::Order(..)
        | Command::Brake(_)
        | Command::Readable(_)
        | Command::Show(..)
        | Command::Restart
        | Command::StandStill(_)
        | Command::WritesTake(_)
        | Command::End => None,
    }
}

/// The words of a line. The name of a metric or a hook may stand in quotes.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let may_be_quoted = first == '"' && matches!(words.as_slice(), ["metric" | "hook"]);
        let quoted = rest.strip_prefix('"').filter(|_| may_be_quoted).and_then(|inner| inner.split_once('"'));
        let (word, after) = quoted.unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn command(text: &str) -> Result<Command, String> {
    let words = words(text);
    Ok(match words.as_slice() {
        ["end"] => Command::End,
        ["restart"] => Command::Restart,
        ["writes", "take", time] => Command::WritesTake(seconds(time)?),
        ["stand-still", time] => Command::StandStill(seconds(time)?),
        ["new-revision"] => Command::NewRevision,
        ["image", image] => Command::Image((*image).to_owned()),
        ["prometheus", "down"] => Command::Prometheus(Line::Down),
        ["prometheus", "up"] => Command::Prometheus(Line::Up),
        ["prometheus", "restart"] => Command::PrometheusRestart,
        ["scrapes", "off"] => Command::Scrapes(Scrapes::Off),
        ["scrapes", "on"] => Command::Scrapes(Scrapes::On),
        ["success-rate", value] => Command::Metric("success-rate".to_owned(), within(reply(value)?, 100.0)?),
        ["latency", value] => Command::Metric("latency".to_owned(), within(reply(value)?, f64::MAX)?),
        ["metric", name, value] => Command::Metric((*name).to_owned(), reply(value)?),
        ["hook", name, "passes"] => Command::Hook((*name).to_owned(), Ok(())),
        ["hook", name, "silent"] => Command::HookSilent((*name).to_owned()),
        ["hook", name, "takes", time] => Command::HookTakes((*name).to_owned(), seconds(time)?),
        ["hook", name, "fails", text @ ..] => Command::Hook((*name).to_owned(), Err(text.join(" "))),
        ["pods", "ready-after", time] => Command::ReadyAfter(seconds(time)?),
        ["nodes", number] => Command::Nodes(number.parse().map_err(|_| format!("{number} is no number of nodes"))?),
        ["controllers", "notice-after", time] => Command::NoticeAfter(seconds(time)?),
        ["pods", name, "crash", number] => {
            let number = number.parse().map_err(|_| format!("{number} is no number of pods"))?;
            Command::Crash((*name).to_owned(), number)
        }
        ["pods", name, "refused"] => Command::Refused((*name).to_owned()),
        ["pods", name, "admitted"] => Command::Admitted((*name).to_owned()),
        ["pods", name, "stuck", mention] => Command::Stuck((*name).to_owned(), (*mention).to_owned()),
        ["order", word, actor] => Command::Order(known_word(word)?, (*actor).to_owned()),
        ["brake", "on"] => Command::Brake(Brake::On),
        ["brake", "off"] => Command::Brake(Brake::Off),
        ["create", kind, name] => Command::Create(known_kind(kind)?, (*name).to_owned()),
        ["unreadable", kind] => Command::Unreadable(known_kind(kind)?),
        ["readable", kind] => Command::Readable(known_kind(kind)?),
        ["show", rest @ ..] => match place(rest)? {
            (place, [pointer]) => Command::Show(place, known_pointer(pointer)?),
            _ => return Err("show OBJECT POINTER".to_owned()),
        },
        ["set", rest @ ..] => {
            let (place, rest) = place(rest)?;
            let [pointer, value @ ..] = rest else { return Err("set OBJECT POINTER VALUE".to_owned()) };
            let value = yaml_serde::from_str(&value.join(" ")).map_err(|error| format!("the value: {error}"))?;
            Command::Set(place, known_pointer(pointer)?, value)
        }
        ["remove", rest @ ..] => match place(rest)? {
            (place, [pointer]) => Command::Remove(place, known_pointer(pointer)?),
            _ => return Err("remove OBJECT POINTER".to_owned()),
        },
        ["delete", rest @ ..] => match place(rest)? {
            (place, []) => Command::Delete(place),
            _ => return Err("delete OBJECT".to_owned()),
        },
        _ => return Err(format!("not a command; there are\n{COMMANDS}")),
    })
}

fn place<'a, 'b>(words: &'a [&'b str]) -> Result<(Place, &'a [&'b str]), String> {
    match words {
        ["canary", rest @ ..] => Ok((Place::Canary, rest)),
        ["target", rest @ ..] => Ok((Place::Target, rest)),
        [kind, name, rest @ ..] => Ok((Place::Named(known_kind(kind)?, (*name).to_owned()), rest)),
        _ => Err("which object? `canary`, `target`, or KIND NAME".to_owned()),
    }
}

fn known_kind(name: &str) -> Result<Kind, String> {
    let all = Kind::all();
    let names: Vec<&str> = all.iter().map(|kind| kind.name()).collect();
    let known = all.iter().copied().find(|kind| kind.name() == name);
    known.ok_or_else(|| format!("{name} is no kind; there are {}", names.join(", ")))
}

fn known_word(text: &str) -> Result<Word, String> {
    let words = Word::ALL.map(Word::as_str);
    let known = Word::ALL.into_iter().find(|word| word.as_str() == text);
    known.ok_or_else(|| format!("{text} is no order; there are {}", words.join(", ")))
}

fn known_pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!("{text} is no pointer to a field, such as /spec/suspend"))
}

fn reply(value: &str) -> Result<Reply, String> {
    match value {
        "none" => Ok(Reply::NoValues),
        "silence" => Ok(Reply::Silence),
        series if series.contains(',') => {
            let numbers = series.split(',').map(str::parse);
            numbers.collect::<Result<_, _>>().map(Reply::Series).map_err(|_| format!("{series} are not all numbers"))
        }
        number => number.parse().map(Reply::Value).map_err(|_| format!("{number} is no number")),
    }
}

/// A number that is neither negative nor above the most that it can be.
fn within(reply: Reply, most: f64) -> Result<Reply, String> {
    match reply {
        Reply::Value(value) if !(0.0..=most).contains(&value) => Err(format!("{value} is not between 0 and {most}")),
        Reply::Value(_) | Reply::Series(_) | Reply::NoValues | Reply::Silence | Reply::Usual => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[(i64, &str)]) {
        let read = read(script).unwrap_or_default();
        let read: Vec<(i64, &str)> = read.iter().map(|timed| (timed.second, timed.text.as_str())).collect();
        assert_eq!(read, expected, "{script}");
    }

    fn check_error(script: &str, expected: &str) {
        let error = read(script).err().unwrap_or_default();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_line_is_a_time_and_a_command() {
        check(
            "# a bad version\n\nat 1m30s image podinfo:6.0.1\nat 2m end",
            &[(90, "image podinfo:6.0.1"), (120, "end")],
        );
    }

    #[test]
    fn a_name_with_a_space_stands_in_quotes() {
        let command = |line: &str| read(line).map(|read| read[0].command.clone());
        let metric = |name: &str| Ok(Command::Metric(name.to_owned(), Reply::Value(5.0)));
        assert_eq!(command("at 5s metric \"error rate\" 5"), metric("error rate"));
        assert_eq!(command("at 5s metric errors 5"), metric("errors"));
        let hook = |name: &str| Ok(Command::Hook(name.to_owned(), Err("it said \"no\"".to_owned())));
        assert_eq!(command("at 5s hook \"smoke test\" fails it said \"no\""), hook("smoke test"));
        check_error("at 5s metric error rate 5", "not a command");
    }

    #[test]
    fn what_lasts_for_a_time_is_ended_again() {
        check("at 60s prometheus down for 2m", &[(60, "prometheus down"), (180, "prometheus up")]);
        check("at 10s hook gate fails not yet for 20s", &[(10, "hook gate fails not yet"), (30, "hook gate passes")]);
        check("at 5s success-rate 97 for 5s", &[(5, "success-rate 97"), (10, "success-rate is good again")]);
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        check_error("at 1s end\nat 70s dance", "line 2: `at 70s dance`: not a command");
        check_error("new-revision", "begins with `at`");
        check_error("at soon end", "soon is no time");
        check_error("at 5s set canary spec/suspend true", "no pointer");
        check_error("at 5s delete Deploment podinfo", "Deploment is no kind; there are");
        check_error("at 5s end for 5s", "does not go with");
        check_error("at 5s latency fast", "fast is no number");
        check_error("at -5s end", "-5s is before the beginning");
        check_error("at 5s success-rate 970", "970 is not between 0 and 100");
        check_error("at 5s success-rate 99,many", "99,many are not all numbers");
    }
}
