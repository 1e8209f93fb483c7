//! Who runs tasks: so many at a time, no two that are equal, none longer than it may take, and none after a stop. What a task
//! does stands elsewhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use burgee_operator::lock::lock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hey;
use crate::numbers::{Counted, Numbers};
use crate::options::Options;
use crate::process::{Processes, Report, spoken};
use crate::task::{Command, Shown, Work};

/// What became of a task for the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It runs, or will.
    Yes,
    /// An equal one runs, or will.
    Skipped,
    /// Too many wait already.
    Full,
}

/// A task for the background: whose it is, and what it is called in logs.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) canary: String,
    pub(crate) kind: &'static str,
    pub(crate) written: String,
    pub(crate) logged: Shown,
}

/// The tasks of this process.
pub(crate) struct Runner {
    pub(crate) numbers: Numbers,
    pub(crate) options: Options,
    processes: Processes,
    background: Semaphore,
    blocking: Semaphore,
    /// Those that run or will, by canary and command.
    known: Mutex<BTreeSet<(String, String)>>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Runner {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            numbers: Numbers::default(),
            processes: Processes::default(),
            background: Semaphore::new(options.tasks_max),
            blocking: Semaphore::new(options.tasks_max),
            known: Mutex::default(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            options,
        })
    }

    /// Takes a task for the background.
    pub(crate) fn enqueue<F>(self: &Arc<Self>, ticket: Ticket, work: F) -> Taken
    where
        F: Future<Output = Report> + Send + 'static,
    {
        let key = (ticket.canary.clone(), ticket.written.clone());
        {
            let mut known = lock(&self.known);
            if known.contains(&key) {
                tracing::info!(canary = ticket.canary, "command skipped {} is already running", ticket.written);
                self.numbers.ended(ticket.kind, "skipped");
                return Taken::Skipped;
            }
            if known.len() >= self.options.tasks_max + self.options.queued_max {
                self.numbers.ended(ticket.kind, "refused");
                return Taken::Full;
            }
            known.insert(key.clone());
        }
        let runner = self.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = runner.stop.cancelled() => tracing::info!(canary = ticket.canary, "command {} ended", ticket.written),
                () = runner.wait_and_work(&ticket, work) => {}
            }
            lock(&runner.known).remove(&key);
        });
        Taken::Yes
    }

    async fn wait_and_work(&self, ticket: &Ticket, work: impl Future<Output = Report>) {
        let waiting = Counted::one_more(&self.numbers, Numbers::queued);
        let Ok(_permit) = self.background.acquire().await else { return };
        drop(waiting);
        let _running = Counted::one_more(&self.numbers, Numbers::running);
        tracing::info!(canary = ticket.canary, "command {} started", ticket.written);
        let report = work.await;
        tell(ticket, &report);
        self.numbers.ended(ticket.kind, if report.error.is_none() { "succeeded" } else { "failed" });
    }

    /// Does what somebody waits for, unless too many do.
    pub(crate) async fn attend<T>(
        &self,
        kind: &'static str,
        work: impl Future<Output = Result<T, String>>,
    ) -> Option<Result<T, String>> {
        let Ok(_permit) = self.blocking.try_acquire() else {
            self.numbers.ended(kind, "refused");
            return None;
        };
        let _running = Counted::one_more(&self.numbers, Numbers::running);
        let abandoned = Abandoned { numbers: &self.numbers, kind };
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err("the load tester is shutting down".to_owned()),
            result = work => result,
        };
        std::mem::forget(abandoned);
        self.numbers.ended(kind, if result.is_ok() { "succeeded" } else { "failed" });
        Some(result)
    }

    /// Carries out a command, within the time that one may take.
    pub(crate) async fn execute(&self, command: &Command) -> Report {
        let limit = self.options.timeout;
        match &command.work {
            Work::Process(words) => self.processes.run(words, limit).await,
            Work::Usage(text) => Report { output: text.clone(), error: Some("exit status 1".to_owned()) },
            Work::Load(load) => match tokio::time::timeout(limit, hey::run(load)).await {
                Ok(output) => Report { output, error: None },
                Err(_) => Report::refused(format!("timed out after {}", spoken(limit))),
            },
        }
    }

    /// Ends every task, and returns when nothing of them is left.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.processes.end().await;
    }
}

/// Logs how a task went.
pub(crate) fn tell(ticket: &Ticket, report: &Report) {
    let Ticket { canary, kind: _, written, logged } = ticket;
    match (&report.error, logged) {
        (Some(error), _) => tracing::error!(canary, "command {written} failed: {}: {error}", report.output),
        (None, Shown::Yes) => tracing::info!(canary, "command {written} finished: {}", report.output),
        (None, Shown::No) => tracing::info!(canary, "command {written} finished"),
    }
}

/// Counts a task whose client went away.
struct Abandoned<'a> {
    numbers: &'a Numbers,
    kind: &'static str,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.numbers.ended(self.kind, "abandoned");
    }
}
