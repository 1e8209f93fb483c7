//! What a payload asks for, parsed once (contract: webhooks §5). It runs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use burgee_operator::flags::{milliseconds, truth};

use crate::hey;
use crate::payload::Payload;
use crate::words::{Allowed, pipeline};

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// In the background: it is answered before it is over.
    Background(Command),
    /// Whoever asks waits for it.
    Blocking(Command),
    Concord(Concord),
    Ngrinder(Ngrinder),
    Job,
}

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The type of the task.
    pub(crate) kind: &'static str,
    /// As it was written.
    pub(crate) written: String,
    pub(crate) work: Work,
    /// `logCmdOutput`; blocking tasks are always logged.
    pub(crate) logged: Shown,
    /// `returnCmdOutput`
    pub(crate) returned: Shown,
}

/// How a command is carried out.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A program and its arguments.
    Process(Vec<String>),
    /// The built-in generator.
    Load(Box<hey::Load>),
    /// What `hey` says of arguments that it does not take.
    Usage(String),
}

/// Whether an output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Yes,
    No,
}

impl Shown {
    fn of(payload: &Payload, key: &str) -> Self {
        if truth(payload.text(key)) == Some(true) { Self::Yes } else { Self::No }
    }
}

/// A process of a Concord server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Concord {
    pub(crate) server: String,
    pub(crate) key_path: String,
    /// The fields of the form.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) poll_interval: Duration,
    /// For the whole wait.
    pub(crate) poll_timeout: Duration,
}

/// A performance test of an nGrinder server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ngrinder {
    pub(crate) server: String,
    pub(crate) clone: u64,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) poll_interval: Duration,
}

/// The task of a payload. The error is the text of a 400.
pub(crate) fn parse(payload: &Payload, allowed: &Allowed) -> Result<Task, String> {
    if payload.metadata.is_empty() {
        return Err("metadata not found in payload".to_owned());
    }
    let words = |start: &[&str]| start.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match payload.text("type") {
        "" | "cmd" => {
            let command = shell("cmd", words(&["sh", "-c"]), payload, allowed)?;
            let logged = Shown::of(payload, "logCmdOutput");
            Ok(Task::Background(Command { logged, ..command }))
        }
        "bash" => Ok(Task::Blocking(shell("bash", words(&["bash", "-c"]), payload, allowed)?)),
        "helm" => Ok(Task::Blocking(program("helm", "helm", payload, allowed)?)),
        "helmv3" => Ok(Task::Blocking(program("helmv3", "helm", payload, allowed)?)),
        "kubectl" => Ok(Task::Blocking(program("kubectl", "kubectl", payload, allowed)?)),
        "concord" => allowed.name("concord").and_then(|()| concord(payload)).map(Task::Concord),
        "ngrinder" => allowed.name("ngrinder").and_then(|()| ngrinder(payload)).map(Task::Ngrinder),
        "job" => Ok(Task::Job),
        other => Err(format!("unknown task type {other}")),
    }
}

fn written(payload: &Payload) -> Result<String, String> {
    let command = payload.metadata.get("cmd").ok_or("cmd not found in metadata")?;
    if command.contains('\0') {
        return Err("cmd holds a zero byte".to_owned());
    }
    Ok(command.clone())
}

fn command(kind: &'static str, written: String, work: Work, payload: &Payload) -> Command {
    Command { kind, written, work, logged: Shown::Yes, returned: Shown::of(payload, "returnCmdOutput") }
}

/// A command for a shell, or for the built-in generator if it is nothing but a call of `hey`.
fn shell(kind: &'static str, shell: Vec<String>, payload: &Payload, allowed: &Allowed) -> Result<Command, String> {
    let text = written(payload)?;
    allowed.judge(&text)?;
    let work = match plain_hey(&text).map(|arguments| hey::read(&arguments)) {
        Some(hey::Request::Load(load)) => Work::Load(load),
        Some(hey::Request::Usage(usage)) => Work::Usage(usage),
        Some(hey::Request::Unknown(reason)) if hey::installed().is_none() => return Err(format!("hey: {reason}")),
        Some(hey::Request::Unknown(_)) | None => Work::Process([shell, vec![text.clone()]].concat()),
    };
    Ok(command(kind, text, work, payload))
}

/// The arguments of a command that is a call of `hey` and nothing else.
fn plain_hey(command: &str) -> Option<Vec<String>> {
    let [words]: [Vec<String>; 1] = pipeline(command).ok()?.try_into().ok()?;
    let (program, arguments) = words.split_first()?;
    (program == "hey").then(|| arguments.to_vec())
}

/// A program whose arguments are split at blanks, as in the contract: nothing in them is quoted.
fn program(kind: &'static str, program: &str, payload: &Payload, allowed: &Allowed) -> Result<Command, String> {
    let text = written(payload)?;
    allowed.name(program)?;
    let words = [program].into_iter().chain(text.split_whitespace()).map(str::to_owned).collect();
    Ok(command(kind, text, Work::Process(words), payload))
}

fn wanted<'a>(payload: &'a Payload, key: &str) -> Result<&'a str, String> {
    Some(payload.text(key)).filter(|text| !text.is_empty()).ok_or_else(|| format!("{key} not found in metadata"))
}

/// A number of seconds, or a duration of Go.
fn seconds(payload: &Payload, key: &str, default: u64) -> Result<Duration, String> {
    let text = payload.text(key);
    let plain = text.parse().ok().map(Duration::from_secs);
    let found = plain.or_else(|| milliseconds(text).map(Duration::from_millis));
    match found {
        _ if text.is_empty() => Ok(Duration::from_secs(default)),
        Some(duration) if !duration.is_zero() => Ok(duration),
        Some(_) | None => Err(format!("{key} {text:?} is no number of seconds")),
    }
}

fn concord(payload: &Payload) -> Result<Concord, String> {
    let mut fields = BTreeMap::new();
    for (key, field) in [
        ("org", "org"),
        ("project", "project"),
        ("repo", "repo"),
        ("entrypoint", "entryPoint"),
        ("endpoint", "arguments.endpoint"),
    ] {
        fields.insert(field.to_owned(), wanted(payload, key)?.to_owned());
    }
    for (key, value) in payload.metadata.iter().filter(|(key, _)| key.starts_with("arguments.")) {
        fields.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let key_path = wanted(payload, "apiKeyPath")?.to_owned();
    if !std::path::Path::new(&key_path).is_file() {
        return Err(format!("apiKeyPath {key_path} is no file"));
    }
    Ok(Concord {
        server: wanted(payload, "server")?.trim_end_matches('/').to_owned(),
        key_path,
        fields,
        poll_interval: seconds(payload, "pollInterval", 5)?,
        poll_timeout: seconds(payload, "pollTimeout", 30)?,
    })
}

fn ngrinder(payload: &Payload) -> Result<Ngrinder, String> {
    use base64::Engine as _;
    let clone = wanted(payload, "clone")?;
    let password = base64::engine::general_purpose::STANDARD.decode(wanted(payload, "passwd")?.trim());
    let password = password.ok().and_then(|password| String::from_utf8(password).ok());
    Ok(Ngrinder {
        server: wanted(payload, "server")?.trim_end_matches('/').to_owned(),
        clone: clone.parse().map_err(|_| format!("clone {clone:?} is no number"))?,
        user: wanted(payload, "username")?.to_owned(),
        password: password.ok_or("passwd is not base64")?,
        poll_interval: seconds(payload, "pollInterval", 1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(metadata: &[(&str, &str)]) -> Result<Task, String> {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let payload = Payload { name: "a".to_owned(), namespace: "b".to_owned(), metadata, ..Payload::default() };
        parse(&payload, &Allowed::default())
    }

    fn check_refused(metadata: &[(&str, &str)], expected: &str) {
        assert_eq!(parsed(metadata).unwrap_err(), expected, "{metadata:?}");
    }

    #[test]
    fn what_is_missing_is_named_in_the_words_of_the_contract() {
        check_refused(&[], "metadata not found in payload");
        check_refused(&[("type", "nonsense")], "unknown task type nonsense");
        for kind in ["cmd", "bash", "helm", "helmv3", "kubectl"] {
            check_refused(&[("type", kind)], "cmd not found in metadata");
        }
        check_refused(&[("logCmdOutput", "true")], "cmd not found in metadata");
        check_refused(&[("type", "concord")], "org not found in metadata");
        check_refused(
            &[("type", "ngrinder"), ("clone", "x"), ("passwd", "YQ=="), ("server", "s"), ("username", "u")],
            "clone \"x\" is no number",
        );
    }

    fn words(metadata: &[(&str, &str)]) -> Vec<String> {
        let (Task::Background(command) | Task::Blocking(command)) = parsed(metadata).unwrap() else {
            panic!("{metadata:?} is no command")
        };
        let Work::Process(words) = command.work else { panic!("{metadata:?} is no process") };
        words
    }

    #[test]
    fn commands_go_to_a_shell_and_arguments_of_programs_are_split_at_blanks() {
        assert_eq!(words(&[("cmd", "curl 'a b' | grep c")]), ["sh", "-c", "curl 'a b' | grep c"]);
        assert_eq!(words(&[("type", "bash"), ("cmd", "hey a | grep c")]), ["bash", "-c", "hey a | grep c"]);
        assert_eq!(words(&[("type", "helmv3"), ("cmd", "test  'a b' ; c")]), ["helm", "test", "'a", "b'", ";", "c"]);
        assert_eq!(words(&[("type", "kubectl"), ("cmd", "get pods")]), ["kubectl", "get", "pods"]);
    }

    #[test]
    fn a_plain_hey_is_built_in() {
        let is_load = |metadata: &[(&str, &str)]| {
            let (Task::Background(command) | Task::Blocking(command)) = parsed(metadata).unwrap() else { return false };
            matches!(command.work, Work::Load(_))
        };
        assert!(is_load(&[("cmd", "hey -z 1m -q 10 -c 2 http://podinfo-canary.test:9898/")]));
        assert!(is_load(&[("type", "bash"), ("cmd", "hey -d '{\"a\": 1}' -m POST http://a/")]));
        assert!(!is_load(&[("cmd", "hey http://a/ | grep 200")]));
        assert!(!is_load(&[("cmd", "hey $URL")]));
    }

    #[test]
    fn the_interval_of_ngrinder_is_scaled_once() {
        let base =
            [("type", "ngrinder"), ("clone", "7"), ("passwd", "cHc="), ("server", "http://s/"), ("username", "u")];
        let check = |given: &str, expected: u64| {
            let Task::Ngrinder(task) = parsed(&[&base[..], &[("pollInterval", given)]].concat()).unwrap() else {
                panic!("no task of nGrinder")
            };
            assert_eq!((task.poll_interval, task.password.as_str()), (Duration::from_secs(expected), "pw"), "{given}");
            assert_eq!((task.server.as_str(), task.clone), ("http://s", 7));
        };
        check("", 1);
        check("5s", 5);
        check("10s", 10);
        check("3", 3);
        check_refused(&[&base[..], &[("pollInterval", "0s")]].concat(), "pollInterval \"0s\" is no number of seconds");
    }
}
