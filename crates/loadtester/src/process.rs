//! A command as a process: with a deadline, in a group of its own, and nothing of it is left when it is over. It knows
//! nothing of canaries.

mod group;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, PipeReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burgee_operator::lock::lock;
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::group::Group;
use crate::output::Output;

/// What is still on its way in the pipe when all processes are gone is there by then.
const DRAIN: Duration = Duration::from_millis(500);

/// How a command went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// What it wrote to either stream, in the order in which it was written.
    pub(crate) output: String,
    /// Why it failed, in the words of Go; none if it did not.
    pub(crate) error: Option<String>,
}

impl Report {
    /// Something that could not even be begun.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self { output: String::new(), error: Some(reason.into()) }
    }
}

/// Everything that was started and is not over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Processes {
    /// Runs a command to its end, or to the deadline, or until nobody waits for it any more: dropping the future ends the
    /// processes too.
    pub(crate) async fn run(&self, words: &[String], deadline: Duration) -> Report {
        let Some((program, arguments)) = words.split_first() else { return Report::refused("no command") };
        if self.stop.is_cancelled() {
            return Report::refused("the load tester is shutting down");
        }
        let cancel = self.stop.child_token();
        let _ends_when_dropped = cancel.clone().drop_guard();
        let started = Keeper::start(program, arguments);
        let keeper = match started {
            Ok(keeper) => keeper,
            Err(error) => return Report::refused(cannot_start(program, &error)),
        };
        // A task of its own goes on when whoever waits has gone.
        let kept = self.tracker.spawn(keeper.keep(deadline, cancel));
        kept.await.unwrap_or_else(|error| Report::refused(format!("internal error: {error}")))
    }

    /// Ends everything that runs, and returns when nothing does.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn cannot_start(program: &str, error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        return format!("exec: {program:?}: executable file not found in $PATH");
    }
    format!("exec: {program:?}: {error}")
}

/// Whoever keeps one process until it is gone with all that it started.
struct Keeper {
    child: Child,
    group: Group,
    pipe: PipeReader,
}

impl Keeper {
    fn start(program: &str, arguments: &[String]) -> std::io::Result<Self> {
        let (pipe, writer) = std::io::pipe()?;
        let marker = group::marker();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        command.process_group(0).env(group::MARKER, &marker);
        let (child, leader) = group::spawned(|| {
            let child = command.spawn()?;
            let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
            Ok((child, leader.ok_or(ErrorKind::NotFound)?))
        })?;
        Ok(Self { child, group: Group { leader, marker }, pipe })
    }

    async fn keep(self, deadline: Duration, cancel: CancellationToken) -> Report {
        let Self { mut child, group, pipe } = self;
        let output: Arc<Mutex<Output>> = Arc::default();
        let mut reader = tokio::spawn(read(pipe, output.clone()));
        let cut_short = tokio::select! {
            () = group.leader_exits() => None,
            () = tokio::time::sleep(deadline) => Some(format!("timed out after {}", spoken(deadline))),
            () = cancel.cancelled() => Some("it was ended, as nobody waits for it any more".to_owned()),
        };
        group.end().await;
        // Only now: as long as the leader is not reaped, nobody else can get the number of its group.
        let status = child.wait().await;
        group::forget(group.leader);
        if tokio::time::timeout(DRAIN, &mut reader).await.is_err() {
            reader.abort();
        }
        let error = cut_short.or_else(|| match status {
            Ok(status) => failure(status),
            Err(error) => Some(error.to_string()),
        });
        let output = lock(&output).text();
        Report { output, error }
    }
}

/// Reads the pipe to its end.
async fn read(pipe: PipeReader, output: Arc<Mutex<Output>>) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe.into()) else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        lock(&output).push(&buffer[..count]);
    }
}

/// Why a status is a failure, in the words of Go; none for success.
fn failure(status: ExitStatus) -> Option<String> {
    if status.success() {
        return None;
    }
    let of_signal = |signal: i32| match signal {
        9 => "signal: killed".to_owned(),
        15 => "signal: terminated".to_owned(),
        number => format!("signal: {number}"),
    };
    Some(status.code().map_or_else(
        || status.signal().map_or_else(|| status.to_string(), of_signal),
        |code| format!("exit status {code}"),
    ))
}

/// A duration for people.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) if seconds < 10 => format!("{} ms", duration.as_millis()),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
