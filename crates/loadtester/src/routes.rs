//! The endpoints: gates, rollback gates, tasks, health and metrics (contract: webhooks §5). They answer; what a task does stands elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use crate::gates::Gates;
use crate::job::{Jobs, Wanted};
use crate::options::Options;
use crate::payload::Payload;
use crate::process::Report;
use crate::remote::Remote;
use crate::runner::{Runner, Taken, Ticket, tell};
use crate::task::{self, Command, Shown, Task};

/// A payload is no longer than this, as is an argument of a command on Linux.
const BODY: usize = 128 << 10;
/// And has come by then.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What all requests share.
pub(crate) struct Desk {
    pub(crate) gates: Gates,
    pub(crate) runner: Arc<Runner>,
    pub(crate) remote: Remote,
    /// None where Jobs are not run.
    pub(crate) jobs: Option<Jobs>,
}

/// What a request found: a status and a text.
type Answer = (StatusCode, String);

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

/// Whether a request has been read to its end: then a task may be under way, for hours.
pub(crate) type IsRead = AtomicBool;

/// Answers a request, whatever its method, as in the contract. Every path that is none of the others is that of tasks.
pub(crate) async fn answer(desk: &Desk, request: Request<Incoming>, is_read: &IsRead) -> Response<Full<Bytes>> {
    let path = known(request.uri().path());
    let (code, text) = match path {
        "/healthz" | "/gate/approve" => (StatusCode::OK, "OK".to_owned()),
        "/gate/halt" => (FORBIDDEN, "Forbidden".to_owned()),
        "/metrics" => (StatusCode::OK, desk.runner.numbers.render()),
        _ => desk.consider(path, request.into_body(), is_read).await,
    };
    desk.runner.numbers.answered(path, code.as_u16());
    let of_metrics = "text/plain; version=0.0.4; charset=utf-8";
    let media = if path == "/metrics" { of_metrics } else { "text/plain; charset=utf-8" };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// The name under which a path is counted; the paths of tasks are all one.
fn known(path: &str) -> &'static str {
    const PATHS: [&str; 12] = [
        "/healthz",
        "/metrics",
        "/gate/approve",
        "/gate/halt",
        "/gate/check",
        "/gate/open",
        "/gate/close",
        "/rollback/check",
        "/rollback/open",
        "/rollback/close",
        "/run-job",
        "/",
    ];
    PATHS.into_iter().find(|known| *known == path).unwrap_or("/")
}

impl Desk {
    /// A desk with all gates closed and no task.
    pub(crate) fn new(options: Options, jobs: Option<Jobs>) -> anyhow::Result<Self> {
        let (gates, remote) = (Gates::default(), Remote::new()?);
        Ok(Self { gates, runner: Runner::new(options), remote, jobs })
    }

    /// Everything that needs a payload, from a namespace that is served.
    async fn consider(&self, path: &'static str, body: Incoming, is_read: &IsRead) -> Answer {
        let Ok(body) = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY).collect()).await else {
            return (StatusCode::REQUEST_TIMEOUT, String::new());
        };
        is_read.store(true, Ordering::Relaxed);
        let Some(payload) = body.ok().and_then(|body| Payload::read(&body.to_bytes())) else {
            return (StatusCode::BAD_REQUEST, String::new());
        };
        let served = &self.runner.options.namespaces;
        if served.as_ref().is_some_and(|served| !served.is_match(&payload.namespace)) {
            return (FORBIDDEN, "Forbidden".to_owned());
        }
        match (path, path.strip_prefix("/rollback/")) {
            (_, Some(verb)) => self.gate(verb, format!("rollback.{}", payload.key())),
            ("/run-job", None) => self.run_job(&payload).await,
            (path, None) => match path.strip_prefix("/gate/") {
                Some(verb) => self.gate(verb, payload.key()),
                None => self.task(&payload).await,
            },
        }
    }

    fn gate(&self, verb: &str, key: String) -> Answer {
        match verb {
            "open" => {
                tracing::info!("gate {key} opened");
                if self.gates.open(key) {
                    (StatusCode::ACCEPTED, String::new())
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "too many gates are open".to_owned())
                }
            }
            "close" => {
                tracing::info!("gate {key} closed");
                self.gates.close(&key);
                (StatusCode::ACCEPTED, String::new())
            }
            _ if self.gates.is_open(&key) => (StatusCode::OK, "Approved".to_owned()),
            _ => (FORBIDDEN, "Forbidden".to_owned()),
        }
    }

    async fn task(&self, payload: &Payload) -> Answer {
        let (runner, written) = (self.runner.clone(), payload.clone());
        let task = match aside(move || task::parse(&written, &runner.options.allowed)).await {
            Ok(task) => task,
            Err(reason) => return (StatusCode::BAD_REQUEST, reason),
        };
        match task {
            Task::Background(command) => self.in_background(payload, command),
            Task::Blocking(command) => self.blocking(payload, &command).await,
            Task::Concord(concord) => {
                let limit = self.runner.options.timeout;
                self.attended("concord", self.remote.run_process(&concord, limit)).await
            }
            Task::Ngrinder(test) => {
                let written = format!("ngrinder {}/{}", test.server, test.clone);
                let ticket = Ticket { canary: payload.key(), kind: "ngrinder", written, logged: Shown::Yes };
                let (remote, limit) = (self.remote.clone(), self.runner.options.timeout);
                self.taken(self.runner.enqueue(ticket, async move { remote.run_test(&test, limit).await }))
            }
            Task::Job => self.run_job(payload).await,
        }
    }

    fn in_background(&self, payload: &Payload, command: Command) -> Answer {
        let ticket = ticket(payload, &command);
        let runner = self.runner.clone();
        self.taken(self.runner.enqueue(ticket, async move { runner.execute(&command).await }))
    }

    /// The peer answers so, whatever becomes of the task.
    fn taken(&self, taken: Taken) -> Answer {
        let options = &self.runner.options;
        match taken {
            Taken::Yes | Taken::Skipped => (StatusCode::ACCEPTED, String::new()),
            Taken::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{} tasks run and {} wait, no more are taken now", options.tasks_max, options.queued_max),
            ),
        }
    }

    async fn blocking(&self, payload: &Payload, command: &Command) -> Answer {
        let ticket = ticket(payload, command);
        let work = async {
            let report = self.runner.execute(command).await;
            tell(&ticket, &report);
            match report {
                Report { output, error: None } => Ok(output),
                Report { output, error: Some(error) } => {
                    Err(format!("command {} failed: {output}: {error}", command.written))
                }
            }
        };
        let (code, text) = self.attended(command.kind, work).await;
        let is_shown = code != StatusCode::OK || command.returned == Shown::Yes;
        (code, if is_shown { text } else { String::new() })
    }

    async fn attended(&self, kind: &'static str, work: impl Future<Output = Result<String, String>>) -> Answer {
        match self.runner.attend(kind, work).await {
            Some(Ok(text)) => (StatusCode::OK, text),
            Some(Err(text)) => (StatusCode::INTERNAL_SERVER_ERROR, text),
            None => {
                let many = self.runner.options.tasks_max;
                (StatusCode::SERVICE_UNAVAILABLE, format!("{many} tasks are waited for already, no more are taken now"))
            }
        }
    }

    async fn run_job(&self, payload: &Payload) -> Answer {
        let Some(jobs) = &self.jobs else {
            return (FORBIDDEN, "run-job is not enabled: see -enable-run-job of the load tester".to_owned());
        };
        let written = payload.clone();
        match aside(move || Wanted::of(&written)).await {
            Ok(wanted) => self.attended("job", jobs.run(&wanted, self.runner.options.timeout)).await,
            Err(reason) => (StatusCode::BAD_REQUEST, reason),
        }
    }
}

/// Reads what may take a while, such as a file, where no other request waits for it.
async fn aside<T, F>(read: F) -> Result<T, String>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, String> + Send + 'static,
{
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn ticket(payload: &Payload, command: &Command) -> Ticket {
    let Command { kind, written, logged, work: _, returned: _ } = command;
    Ticket { canary: payload.key(), kind, written: written.clone(), logged: *logged }
}

#[cfg(test)]
mod tests;
