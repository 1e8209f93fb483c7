//! A load as it runs: threads of its own, so that nobody else waits for them, and workers on each that send one request after
//! the other.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burgee_operator::lock::lock;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::hey::args::{Amount, Form, Load};
use crate::hey::client::{Connection, Dialed, Failure, Sent, nanoseconds};
use crate::hey::report;
use crate::hey::tally::{Answered, Tally};
use crate::hey::target::{Choice, Origin, Target};
use crate::output::Output;

/// As many redirects as Go follows.
const REDIRECTS: usize = 10;
/// A request whose time comes so much too late is still sent.
const LAST: Duration = Duration::from_millis(100);
/// As many lines of `-o csv` as `hey` prints.
const ROWS: u64 = 1_000_000;
const TOO_LATE: &str = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

/// Where the lines of `-o csv` go.
type Rows = Arc<Mutex<Box<dyn FnMut(&str) + Send>>>;

/// Runs a load to its end and answers what `hey` would print; dropping the future ends it.
pub(crate) async fn run(load: &Load) -> String {
    let output: Arc<Mutex<Output>> = Arc::default();
    let rows = output.clone();
    let rows: Rows = Arc::new(Mutex::new(Box::new(move |row: &str| lock(&rows).push(row.as_bytes()))));
    let rest = carry_out(load, rows).await;
    let mut output = lock(&output);
    output.push(rest.as_bytes());
    output.text()
}

/// Runs a load to its end and prints what `hey` would print.
pub(super) async fn print(load: &Load) -> anyhow::Result<()> {
    let rows: Rows = Arc::new(Mutex::new(Box::new(|row: &str| {
        // Whoever reads has seen enough; the end of the load tells.
        let _ = std::io::stdout().write_all(row.as_bytes());
    })));
    let rest = carry_out(load, rows).await;
    Ok(std::io::stdout().write_all(rest.as_bytes())?)
}

/// What is printed behind the rows.
async fn carry_out(load: &Load, rows: Rows) -> String {
    let begun = Instant::now();
    if load.form == Form::Csv {
        lock(&rows)(report::HEADINGS);
    }
    let tally = measure(load, begun, rows).await;
    match &load.form {
        Form::Summary => report::summary(&tally, begun.elapsed()),
        Form::Csv => String::new(),
        Form::Literal(text) => format!("{text}\n"),
    }
}

/// All threads of a load, to their end.
async fn measure(load: &Load, begun: Instant, rows: Rows) -> Tally {
    let cancel = CancellationToken::new();
    let _ends_when_dropped = cancel.clone().drop_guard();
    let threads = load.threads.min(usize::try_from(load.workers).unwrap_or(usize::MAX)).max(1) as u64;
    let mut results = Vec::new();
    for thread in 0..threads {
        let (sender, receiver) = oneshot::channel();
        let workers = load.workers / threads + u64::from(thread < load.workers % threads);
        let shared = Shared { load: load.clone(), begun, tally: Mutex::default(), rows: rows.clone() };
        let cancel = cancel.clone();
        // Whoever has gone does not want the result.
        let body = move || drop(sender.send(on_thread(shared, workers, &cancel)));
        match std::thread::Builder::new().name("hey".to_owned()).spawn(body) {
            Ok(_) => results.push(receiver),
            Err(error) => tracing::error!("a thread for a load was not started: {error}"),
        }
    }
    let mut tally = Tally::default();
    for result in results {
        if let Ok(Some(part)) = result.await {
            tally.merge(part);
        }
    }
    tally
}

/// What the workers of a thread share.
struct Shared {
    load: Load,
    begun: Instant,
    tally: Mutex<Tally>,
    rows: Rows,
}

/// The workers of one thread, to their end; none if it was cancelled.
fn on_thread(shared: Shared, workers: u64, cancel: &CancellationToken) -> Option<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let shared = Arc::new(shared);
    let all = async {
        let mut tasks = JoinSet::new();
        (0..workers).for_each(|_| drop(tasks.spawn(Worker::new(shared.clone()).work())));
        while tasks.join_next().await.is_some() {}
    };
    let done = runtime.block_on(async {
        tokio::select! {
            () = all => true,
            () = cancel.cancelled() => false,
        }
    });
    // A name server may be slow, and nobody waits for it any more.
    runtime.shutdown_background();
    done.then(|| std::mem::take(&mut *lock(&shared.tally)))
}

/// Sends one request after the other.
struct Worker {
    shared: Arc<Shared>,
    /// One for each server: redirects may lead to others.
    connections: Vec<(Origin, Connection)>,
}

/// A request that was answered: what was measured of it, and where it leads.
struct Step {
    answered: Answered,
    next: Option<Target>,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connections: Vec::new() }
    }

    async fn work(mut self) {
        let shared = self.shared.clone();
        let load = &shared.load;
        let (most, end) = match load.amount {
            Amount::Each(most) => (most, None),
            Amount::Time(time) => (u64::MAX, Some(shared.begun + time)),
        };
        let mut pace = load.pace.map(|pace| {
            let mut ticks = interval_at(tokio::time::Instant::now() + pace, pace);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        });
        for _ in 0..most {
            if !is_due(pace.as_mut(), end).await {
                return;
            }
            self.count(&shared).await;
        }
    }

    /// Sends one request and counts what became of it.
    async fn count(&mut self, shared: &Shared) {
        let begun = Instant::now();
        let result = match shared.load.timeout {
            Some(limit) => timeout(limit, self.follow(&shared.load)).await,
            None => Ok(self.follow(&shared.load).await),
        };
        match result {
            Ok(Ok(mut answered)) => {
                answered.total = nanoseconds(begun, Instant::now());
                let mut tally = lock(&shared.tally);
                tally.add(&answered);
                if shared.load.form == Form::Csv && tally.answered <= ROWS {
                    let offset = begun.saturating_duration_since(shared.begun);
                    lock(&shared.rows)(&report::row(&answered, offset));
                }
            }
            Ok(Err(reason)) => lock(&shared.tally).fail(reason),
            Err(_) => {
                // The answer may still come, and would be taken for that of the next request.
                self.connections.clear();
                lock(&shared.tally).fail(blamed(&shared.load.method, &shared.load.url, TOO_LATE));
            }
        }
    }

    /// Sends a request and follows where it is led.
    async fn follow(&mut self, load: &Load) -> Result<Answered, String> {
        let mut target = load.target.clone().map_err(|reason| blamed(&load.method, &load.url, &reason))?;
        let mut asked = Asked { method: load.method.clone(), body: load.body.clone(), host: load.host.clone() };
        for _ in 0..=REDIRECTS {
            let step = self.ask(load, &target, &asked).await;
            let step = step.map_err(|reason| blamed(&asked.method, target.url(), &reason))?;
            let Some(next) = step.next else { return Ok(step.answered) };
            asked = asked.redirected(step.answered.status);
            target = next;
        }
        Err(blamed(&asked.method, target.url(), "stopped after 10 redirects"))
    }

    /// Sends a request, on a connection that is open if there is one. A server may end that at any time: what has not been
    /// sent, or asks for nothing but an answer, is sent once more, as Go does.
    async fn ask(&mut self, load: &Load, target: &Target, asked: &Asked) -> Result<Step, String> {
        let open = self.connections.iter().position(|(origin, _)| *origin == target.origin);
        if let Some(open) = open {
            let (origin, mut connection) = self.connections.swap_remove(open);
            if connection.is_usable().await {
                match exchange(load, target, asked, (&mut connection, Dialed::default())).await {
                    Ok(step) => {
                        self.keep(load, origin, connection);
                        return Ok(step);
                    }
                    Err(Failure::Cause(reason)) => return Err(reason),
                    Err(Failure::Ended(sent)) if sent == Sent::No || asked.may_be_repeated() => {}
                    Err(Failure::Ended(_)) => return Err("EOF".to_owned()),
                }
            }
        }
        let (mut connection, dialed) = Connection::open(&target.origin).await?;
        let step = exchange(load, target, asked, (&mut connection, dialed)).await.map_err(|failure| match failure {
            Failure::Cause(reason) => reason,
            Failure::Ended(_) => "EOF".to_owned(),
        })?;
        self.keep(load, target.origin.clone(), connection);
        Ok(step)
    }

    fn keep(&mut self, load: &Load, origin: Origin, connection: Connection) {
        match load.keepalive {
            Choice::On => self.connections.push((origin, connection)),
            Choice::Off => {}
        }
    }
}

/// Waits for the next request's time. Answers whether there is one before the end.
async fn is_due(pace: Option<&mut Interval>, end: Option<Instant>) -> bool {
    match (pace, end) {
        // The last one is due at the very end, and is sent.
        (Some(pace), Some(end)) => {
            let end = end + (pace.period() / 2).min(LAST);
            tokio::time::timeout_at(end.into(), pace.tick()).await.is_ok()
        }
        (Some(pace), None) => {
            pace.tick().await;
            true
        }
        (None, Some(end)) => Instant::now() < end,
        (None, None) => true,
    }
}

/// An error as Go words it.
fn blamed(method: &Method, url: &str, reason: &str) -> String {
    let (first, rest) = method.as_str().split_at(1);
    format!("{first}{} \"{url}\": {reason}", rest.to_lowercase())
}

/// What redirects change of a request.
struct Asked {
    method: Method,
    body: Bytes,
    host: Option<http::HeaderValue>,
}

impl Asked {
    fn redirected(self, status: u16) -> Self {
        let keeps = matches!(status, 307 | 308) || [Method::GET, Method::HEAD].contains(&self.method);
        if keeps { Self { host: None, ..self } } else { Self { method: Method::GET, body: Bytes::new(), host: None } }
    }

    /// Whether a server that sees it twice does nothing twice.
    fn may_be_repeated(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&self.method)
    }

    fn request(&self, load: &Load, target: &Target, connection: &Connection) -> Result<Request<Full<Bytes>>, String> {
        let mut headers: HeaderMap = load.headers.clone();
        let host = self.host.as_ref().unwrap_or(&target.host);
        let uri = if connection.is_second() {
            headers.remove(HOST);
            let uri = Uri::builder().scheme(Scheme::HTTPS).authority(host.as_bytes());
            uri.path_and_query(target.path.clone()).build().map_err(|error| error.to_string())?
        } else {
            headers.insert(HOST, host.clone());
            Uri::from(target.path.clone())
        };
        if self.body.is_empty() && !load.body.is_empty() {
            headers.remove(CONTENT_TYPE);
        }
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// One request and its answer on one connection, with the time that each part took.
async fn exchange(
    load: &Load,
    target: &Target,
    asked: &Asked,
    (connection, dialed): (&mut Connection, Dialed),
) -> Result<Step, Failure> {
    let request = asked.request(load, target, connection).map_err(Failure::Cause)?;
    let begun = Instant::now();
    let response = connection.send(request).await?;
    let headed = Instant::now();
    let written = connection.written().clamp(begun, headed);
    let status = response.status().as_u16();
    let length = length(&response);
    let next = next(load, target, &response).map_err(Failure::Cause)?;
    connection.drain(response.into_body()).await.map_err(Failure::Cause)?;
    let parts = [
        dialed.whole,
        dialed.lookup,
        nanoseconds(begun, written),
        nanoseconds(written, headed),
        nanoseconds(headed, Instant::now()),
    ];
    Ok(Step { answered: Answered { status, length, total: 0, parts }, next })
}

/// The length that an answer names. Go unpacks what is compressed, and then knows no length.
fn length(response: &Response<Incoming>) -> u64 {
    let headers = response.headers();
    if headers.contains_key(CONTENT_ENCODING) {
        return 0;
    }
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default()
}

fn next(load: &Load, target: &Target, response: &Response<Incoming>) -> Result<Option<Target>, String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    match (load.redirects, location) {
        (Choice::On, Some(location)) if is_redirect => target.redirected(location).map(Some),
        (Choice::On | Choice::Off, _) => Ok(None),
    }
}
