//! `burgee controller`: its flags, then the runtime. Also what a Deployment of Flagger gets whose image alone was changed.

use std::path::Path;

use burgee_operator::args;

/// The controller's flags when it is meant without being named: the program is called `flagger`, or the first argument
/// is a flag that is not one of ours.
pub(crate) fn implied(mut arguments: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let program = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let is_called = |known: &str| Path::new(&program).file_name().is_some_and(|name| name == known);
    let own = ["--help", "-h", "--version", "-V"];
    let is_flag = rest.first().is_some_and(|first| first.starts_with('-') && !own.contains(&first.as_str()));
    // As a plugin of kubectl it is in the hands of a person, who never means the controller.
    (is_called("flagger") || is_flag && !is_called("kubectl-burgee")).then_some(rest)
}

/// The arguments when the program is called by this name: a link to it.
pub(crate) fn called(known: &str, mut arguments: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let program = arguments.next()?;
    Path::new(&program).file_name().is_some_and(|name| name == known).then(|| arguments.collect())
}

/// Runs the controller until a signal ends it.
pub(crate) fn run(flags: &[String]) -> anyhow::Result<()> {
    let Some(options) = args::read(flags, &|name| std::env::var(name).ok()).settle() else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(burgee_operator::run::run(options));
    // Tasks that wait for the outside do not hold up the end.
    runtime.shutdown_background();
    if ended.is_err() {
        // It has been logged in the form in which logs are read.
        std::process::exit(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{called, implied};

    fn check(line: &str, expected: Option<&[&str]>) {
        let found = implied(line.split_whitespace().map(str::to_owned));
        let expected = expected.map(|flags| flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn the_controller_is_meant_when_called_flagger_or_given_its_flags() {
        check("./flagger -log-level=info", Some(&["-log-level=info"]));
        check("/flagger", Some(&[]));
        check("burgee -log-level=info -port 1", Some(&["-log-level=info", "-port", "1"]));
        check("burgee -version", Some(&["-version"]));
        check("burgee", None);
        check("burgee --help", None);
        check("burgee controller -port=1", None);
        check("burgee crds", None);
        check("/usr/bin/kubectl-burgee -n test status podinfo", None);
    }

    #[test]
    fn a_link_to_the_program_names_what_is_meant() {
        let check = |line: &str, expected: Option<&[&str]>| {
            let found = called("loadtester", line.split_whitespace().map(str::to_owned));
            let expected = expected.map(|flags| flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
            assert_eq!(found, expected, "{line}");
        };
        check("./loadtester -port=8080", Some(&["-port=8080"]));
        check("/home/app/loadtester", Some(&[]));
        check("/loadtester/burgee -port=8080", None);
    }
}
