//! The command line of the load tester: Go-style flags. It parses; it starts nothing.

use std::time::Duration;

use burgee_operator::args::{LogFormat, VERSION, level};
use burgee_operator::flags::Shape::{Duration as Span, Number, Switch, Text};
use burgee_operator::flags::{self, Flag, Trouble, Values, milliseconds};
use regex::Regex;

use crate::words::Allowed;

const SERVER: &str = "Server:";
const TASKS: &str = "Tasks:";
const LIMITS: &str = "Limits:";
const JOBS: &str = "Kubernetes Jobs:";
const IGNORED: &str = "Accepted for compatibility, without effect:";

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    Flag::new(SERVER, "port", Text, "9090", "Port of the gates, the tasks, /metrics and /healthz."),
    Flag::new(SERVER, "log-level", Text, "debug", "debug, info, warn, error, fatal or panic."),
    Flag::new(SERVER, "zap-encoding", Text, "json", "Form of the logs: json or console."),
    Flag::new(SERVER, "version", Switch, "false", "Print the version and exit."),
    Flag::new(TASKS, "timeout", Span, "1h", "The longest that one task may take."),
    Flag::new(TASKS, "namespace-regexp", Text, "", "Serve only canaries of namespaces in which this expression is found, as ^(test|prod)$; empty is all."),
    Flag::new(TASKS, "command-allow-list", Text, "", "Programs that commands may begin with, as hey,curl,grep, also concord and ngrinder; a shell's syntax but for pipes is then refused. Empty is everything."),
    Flag::new(LIMITS, "max-tasks", Number, "64", "So many tasks run in the background at a time, and as many that somebody waits for."),
    Flag::new(LIMITS, "max-queued", Number, "256", "So many tasks wait to run in the background; one more is refused with 503."),
    Flag::new(JOBS, "enable-run-job", Switch, "false", "Run Kubernetes Jobs for canaries (run-job). Whoever reaches this port can then run pods in the namespaces of -namespace-regexp, which must be set."),
    Flag::new(JOBS, "kubeconfig", Text, "", "Path to a kubeconfig, when not running in a cluster."),
    Flag::new(IGNORED, "zap-replace-globals", Switch, "false", "There are no globals."),
];

/// What the load tester's command line asks for.
pub(crate) type Request = flags::Request<Options>;

/// Whether Jobs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enabled {
    Yes,
    No,
}

/// Everything the load tester can be told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) log_level: &'static str,
    pub(crate) log_format: LogFormat,
    pub(crate) timeout: Duration,
    /// None serves every namespace.
    pub(crate) namespaces: Option<Regex>,
    pub(crate) allowed: Allowed,
    pub(crate) tasks_max: usize,
    pub(crate) queued_max: usize,
    pub(crate) jobs: Enabled,
    pub(crate) kubeconfig: String,
}

/// Reads the arguments after the program's name and subcommand.
pub(crate) fn read(arguments: &[String]) -> Request {
    let values = match flags::parse(FLAGS, arguments) {
        Ok(values) => values,
        Err(Trouble::Help) => return Request::Show(usage()),
        Err(Trouble::Wrong(reason)) => return Request::Refuse(format!("{reason}\n{}", usage())),
    };
    if values.switch("version") {
        return Request::Show(format!("Burgee load tester version {VERSION}\n"));
    }
    match options(&values) {
        Ok(options) => Request::Run(Box::new(options)),
        Err(reason) => Request::Refuse(format!("{reason}\n{}", usage())),
    }
}

fn options(values: &Values) -> Result<Options, String> {
    let wrong = |name: &str, what: &str| format!("invalid value {:?} for flag -{name}: {what}", values.text(name));
    let expression = values.text("namespace-regexp");
    let namespaces = (!expression.is_empty()).then(|| Regex::new(&expression)).transpose();
    let namespaces = namespaces.map_err(|_| wrong("namespace-regexp", "not a regular expression"))?;
    let jobs = if values.switch("enable-run-job") { Enabled::Yes } else { Enabled::No };
    if jobs == Enabled::Yes && namespaces.is_none() {
        return Err("-enable-run-job needs -namespace-regexp: it says in which namespaces pods may be run".to_owned());
    }
    let count = |name: &str| {
        let number = usize::try_from(values.number(name)).ok().filter(|number| (1..=100_000).contains(number));
        number.ok_or_else(|| wrong(name, "not from 1 to 100000"))
    };
    Ok(Options {
        port: values.text("port").parse().map_err(|_| wrong("port", "not a port"))?,
        log_level: level(&values.text("log-level")),
        log_format: if values.text("zap-encoding") == "console" { LogFormat::Console } else { LogFormat::Json },
        timeout: Duration::from_millis(milliseconds(&values.text("timeout")).unwrap_or_default()),
        namespaces,
        allowed: Allowed(values.list("command-allow-list")),
        tasks_max: count("max-tasks")?,
        queued_max: count("max-queued")?,
        jobs,
        kubeconfig: values.text("kubeconfig"),
    })
}

fn usage() -> String {
    format!(
        "burgee loadtester {VERSION}: gates and tasks that canaries call with webhooks\n\n\
         Usage: burgee loadtester [-flag] [-flag=value] [-flag value]\n{}\n\
         A canary calls it with a webhook such as\n\n\
         \x20 webhooks:\n\
         \x20   - name: load-test\n\
         \x20     url: http://flagger-loadtester.test/\n\
         \x20     metadata:\n\
         \x20       cmd: \"hey -z 1m -q 10 -c 2 http://podinfo-canary.test:9898/\"\n\n\
         and a person opens its gate with\n\n\
         \x20 curl -d '{{\"name\": \"podinfo\", \"namespace\": \"test\"}}' http://flagger-loadtester.test/gate/open\n",
        flags::lines(FLAGS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Request {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    pub(crate) fn options(line: &str) -> Options {
        match given(line) {
            Request::Run(options) => *options,
            other @ (Request::Show(_) | Request::Refuse(_)) => panic!("{line}: {other:?}"),
        }
    }

    fn check_refused(line: &str, expected: &str) {
        let Request::Refuse(text) = given(line) else { panic!("{line} is taken") };
        assert_eq!(text.lines().next(), Some(expected), "{line}");
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let options = options("");
        assert_eq!((options.port, options.log_level, options.timeout), (9090, "debug", Duration::from_hours(1)));
        assert_eq!((options.log_format, options.jobs), (LogFormat::Json, Enabled::No));
        assert!(options.namespaces.is_none() && options.allowed.0.is_empty());
    }

    #[test]
    fn the_flags_of_the_charts_are_taken() {
        let options = options("-port=8080 -log-level=info -timeout=30m -namespace-regexp=^test$ -zap-replace-globals");
        assert_eq!((options.port, options.log_level, options.timeout), (8080, "info", Duration::from_mins(30)));
        assert!(options.namespaces.is_some_and(|namespaces| namespaces.is_match("test")));
    }

    #[test]
    fn wrong_flags_are_refused() {
        check_refused("-nonsense", "flag provided but not defined: -nonsense");
        check_refused("-port=http", "invalid value \"http\" for flag -port: not a port");
        check_refused(
            "-namespace-regexp=(",
            "invalid value \"(\" for flag -namespace-regexp: not a regular expression",
        );
        check_refused("-max-tasks=0", "invalid value \"0\" for flag -max-tasks: not from 1 to 100000");
        let reason = "-enable-run-job needs -namespace-regexp: it says in which namespaces pods may be run";
        check_refused("-enable-run-job", reason);
    }

    #[test]
    fn help_shows_the_flags_and_how_it_is_called() {
        let Request::Show(help) = given("-help") else { panic!("no help") };
        assert!(help.contains("  -timeout duration\n    \tThe longest that one task may take. (default 1h)\n"));
        assert!(help.contains("cmd: \"hey -z 1m") && help.contains("'{\"name\": \"podinfo\""), "{help}");
    }
}
