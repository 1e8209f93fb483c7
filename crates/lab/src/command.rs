//! Runs one command to its end. It keeps no state.
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Runs a command and returns what it printed.
///
/// # Errors
/// With what the command wrote to its standard error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = describe(&words);
    let output = command.output().with_context(|| format!("run {line}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { output.status.to_string() } else { said.trim().to_owned() };
    bail!("{line}: {said}")
}

/// The command as a person would type it: without the way into the namespace and without the program's directory.
fn describe(words: &[String]) -> String {
    let inside =
        words.iter().position(|word| word == "--").filter(|_| words.first().is_some_and(|word| word == "nsenter"));
    let rest = words.get(inside.map_or(0, |at| at + 1)..).unwrap_or_default();
    let Some((program, arguments)) = rest.split_first() else { return String::new() };
    let name = Path::new(program).file_name().map_or(program.clone(), |name| name.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments.iter().cloned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(describe(&words), expected);
    }

    #[test]
    fn a_failed_command_is_named_as_a_person_would_type_it() {
        check("nsenter --net=/run/netns/x -- /parts/kubectl get pods", "kubectl get pods");
        check("/usr/bin/ldd /bin/sh", "ldd /bin/sh");
        check("kubectl exec pod -- ls", "kubectl exec pod -- ls");
    }

    #[test]
    fn a_failed_command_tells_what_it_said_or_how_it_ended() {
        let failed = |script: &str| run(Command::new("sh").args(["-c", script])).unwrap_err().to_string();
        assert!(failed("echo no >&2; exit 3").ends_with(": no"));
        assert!(failed("exit 3").ends_with(": exit status: 3"));
    }
}
