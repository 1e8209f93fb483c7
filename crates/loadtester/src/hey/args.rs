//! The arguments of `hey`, read as `hey` reads them: flags first, then one URL. It sends nothing.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use burgee_operator::flags::Shape::{Duration as Span, Number, Real, Switch, Text};
use burgee_operator::flags::{Flag, Trouble, Values, milliseconds, parse};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};

use crate::hey::client::spoken;
use crate::hey::target::{Choice, Target};

const AGENT: &str = "hey/0.0.1";
/// More workers than this are no load that one machine makes.
const WORKERS: u64 = 10_000;
/// And a longer body none that is kept in memory.
const BODY: u64 = 64 << 20;

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    Flag::new("", "n", Number, "200", ""),
    Flag::new("", "c", Number, "50", ""),
    Flag::new("", "q", Real, "0", ""),
    Flag::new("", "z", Span, "0s", ""),
    Flag::new("", "o", Text, "", ""),
    Flag::new("", "m", Text, "GET", ""),
    Flag::new("", "H", Text, "", ""),
    Flag::new("", "h", Text, "", ""),
    Flag::new("", "t", Number, "20", ""),
    Flag::new("", "A", Text, "", ""),
    Flag::new("", "d", Text, "", ""),
    Flag::new("", "D", Text, "", ""),
    Flag::new("", "T", Text, "text/html", ""),
    Flag::new("", "U", Text, "", ""),
    Flag::new("", "a", Text, "", ""),
    Flag::new("", "x", Text, "", ""),
    Flag::new("", "h2", Switch, "false", ""),
    Flag::new("", "host", Text, "", ""),
    Flag::new("", "disable-compression", Switch, "false", ""),
    Flag::new("", "disable-keepalive", Switch, "false", ""),
    Flag::new("", "disable-redirects", Switch, "false", ""),
    Flag::new("", "cpus", Number, "0", ""),
];

const USAGE: &str = "Usage: hey [options...] <url>

Options:
  -n  Number of requests to run. Default is 200.
  -c  Number of workers to run concurrently. Total number of requests cannot
      be smaller than the concurrency level. Default is 50.
  -q  Rate limit, in queries per second (QPS) per worker. Default is no rate limit.
  -z  Duration of application to send requests. When duration is reached,
      application stops and exits. If duration is specified, n is ignored.
      Examples: -z 10s -z 3m.
  -o  \"csv\" prints one line for each request instead of a summary.
  -m  HTTP method, one of GET, POST, PUT, DELETE, HEAD, OPTIONS.
  -H  Custom HTTP header, which may be repeated: -H \"Accept: text/html\".
  -t  Timeout for each request in seconds. Default is 20, use 0 for infinite.
  -A  HTTP Accept header.
  -d  HTTP request body.
  -D  HTTP request body from file.
  -T  Content-type, defaults to \"text/html\".
  -U  User-Agent, defaults to \"hey/0.0.1\".
  -a  Basic authentication, username:password.
  -h2 Enable HTTP/2, with https only.
  -host                 HTTP Host header.
  -disable-compression  Ask for no compression.
  -disable-keepalive    Use a connection for one request only.
  -disable-redirects    Do not follow redirects.
  -cpus                 Number of threads, defaults to the number of cores.
";

/// What the arguments ask for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// A load.
    Load(Box<Load>),
    /// Nothing that `hey` takes: the reason and its usage.
    Usage(String),
    /// Something that `hey` can do and this one cannot.
    Unknown(String),
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// So many requests by each worker.
    Each(u64),
    /// Until so much time is over.
    Time(Duration),
}

/// The form of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Summary,
    Csv,
    /// `hey` takes what it does not know for the form itself, and prints that.
    Literal(String),
}

impl Choice {
    fn of(values: &Values, flag: &str) -> Self {
        if values.switch(flag) { Self::On } else { Self::Off }
    }

    /// What a flag such as `-disable-redirects` leaves.
    fn unless(values: &Values, flag: &str) -> Self {
        match Self::of(values, flag) {
            Self::On => Self::Off,
            Self::Off => Self::On,
        }
    }
}

/// A load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// As it was written, for errors.
    pub(crate) url: String,
    /// None where it cannot be sent, with the cause.
    pub(crate) target: Result<Target, String>,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// `-host`
    pub(crate) host: Option<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) amount: Amount,
    pub(crate) workers: u64,
    /// The time between two requests of one worker.
    pub(crate) pace: Option<Duration>,
    /// None is infinite.
    pub(crate) timeout: Option<Duration>,
    pub(crate) form: Form,
    pub(crate) keepalive: Choice,
    pub(crate) redirects: Choice,
    pub(crate) threads: usize,
}

/// Reads the arguments after the program's name, and the file of `-D`, which takes its time.
pub(crate) fn read(arguments: &[String]) -> Request {
    let values = match parse(FLAGS, arguments) {
        Ok(values) => values,
        Err(Trouble::Help) => return Request::Usage(USAGE.to_owned()),
        Err(Trouble::Wrong(reason)) => return Request::Usage(format!("{reason}\n{USAGE}")),
    };
    if !values.text("x").is_empty() {
        return Request::Unknown("-x (a proxy) needs the binary of hey, which is not installed".to_owned());
    }
    match load(&values) {
        Ok(load) if load.workers > WORKERS => Request::Unknown(format!("-c is at most {WORKERS} without hey's binary")),
        Ok(load) => Request::Load(Box::new(load)),
        Err(reason) if reason.is_empty() => Request::Usage(USAGE.to_owned()),
        Err(reason) => Request::Usage(format!("{reason}\n\n{USAGE}")),
    }
}

fn load(values: &Values) -> Result<Load, String> {
    let url = values.rest.first().ok_or("")?.clone();
    let (amount, workers) = amount(values)?;
    let keepalive = Choice::unless(values, "disable-keepalive");
    let mut headers = headers(values)?;
    if !values.switch("disable-compression") && !headers.contains_key(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if keepalive == Choice::Off {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let host = Some(values.text("host")).filter(|host| !host.is_empty()).map(|host| header(&host)).transpose()?;
    let method = values.text("m").to_uppercase();
    let rate = values.text("q").parse::<f64>().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = usize::try_from(values.number("cpus")).ok().filter(|threads| *threads > 0);
    Ok(Load {
        target: Target::of(&url, Choice::of(values, "h2")),
        method: Method::from_bytes(method.as_bytes()).map_err(|_| format!("net/http: invalid method {method:?}"))?,
        headers,
        host,
        body: body(values)?,
        amount,
        workers,
        pace: (rate > 0.0).then(|| Duration::from_secs_f64((1.0 / rate).clamp(1e-6, 1e6))),
        timeout: u64::try_from(values.number("t")).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs),
        form: match values.text("o").as_str() {
            "" => Form::Summary,
            "csv" => Form::Csv,
            other => Form::Literal(other.to_owned()),
        },
        keepalive,
        redirects: Choice::unless(values, "disable-redirects"),
        threads: threads.unwrap_or(cores).min(cores),
        url,
    })
}

fn amount(values: &Values) -> Result<(Amount, u64), String> {
    let workers = u64::try_from(values.number("c")).unwrap_or_default();
    let requests = u64::try_from(values.number("n")).unwrap_or_default();
    let time = Duration::from_millis(milliseconds(&values.text("z")).unwrap_or_default());
    match (time.is_zero(), workers, requests) {
        (false, 0, _) => Err("-c cannot be smaller than 1.".to_owned()),
        (false, workers, _) => Ok((Amount::Time(time), workers)),
        (true, 0, _) | (true, _, 0) => Err("-n and -c cannot be smaller than 1.".to_owned()),
        (true, workers, requests) if requests < workers => Err("-n cannot be less than -c.".to_owned()),
        // What does not divide is not sent, as in hey.
        (true, workers, requests) => Ok((Amount::Each(requests / workers), workers)),
    }
}

fn body(values: &Values) -> Result<Bytes, String> {
    let file = values.text("D");
    if file.is_empty() {
        return Ok(Bytes::from(values.text("d")));
    }
    let said = |error: &std::io::Error| format!("open {file}: {}", spoken(error));
    // Before it is opened, as a pipe is open only when somebody writes to it.
    let is_file = std::fs::metadata(&file).map_err(|error| said(&error))?.is_file();
    let mut body = Vec::new();
    if is_file {
        let opened = File::open(&file).map_err(|error| said(&error))?;
        // What it says of its length is not believed: files of /proc say 0, and some hardly end. Some are read in words.
        opened.take(BODY + 8).read_to_end(&mut body).map_err(|error| said(&error))?;
    }
    if !is_file || body.len() as u64 > BODY {
        return Err(format!("open {file}: no file of at most {BODY} bytes"));
    }
    Ok(Bytes::from(body))
}

fn header(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| unreadable(text))
}

fn unreadable(input: &str) -> String {
    format!("could not parse the provided input; input = {input}")
}

/// The headers in the order in which `hey` sets them: a later one replaces an earlier one.
fn headers(values: &Values) -> Result<HeaderMap, String> {
    if !values.text("h").is_empty() {
        return Err("Flag '-h' is deprecated, please use '-H' instead.".to_owned());
    }
    let mut headers = HeaderMap::new();
    // It is the first one on the wire; the host itself is known where a request is sent.
    headers.insert(HOST, HeaderValue::from_static(""));
    headers.insert(CONTENT_TYPE, header(&values.text("T"))?);
    for input in values.all("H") {
        let (name, value) = input.split_once(':').ok_or_else(|| unreadable(input))?;
        let is_word = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || "_-".contains(letter));
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| is_word);
        let value = Some(value.trim()).filter(|value| !value.is_empty());
        let (name, value) = name.zip(value).ok_or_else(|| unreadable(input))?;
        headers.insert(name, header(value)?);
    }
    if !values.text("A").is_empty() {
        headers.insert(ACCEPT, header(&values.text("A"))?);
    }
    let credentials = values.text("a");
    if !credentials.is_empty() {
        let is_pair =
            credentials.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
        if !is_pair {
            return Err(unreadable(&credentials));
        }
        headers.insert(AUTHORIZATION, header(&format!("Basic {}", BASE64.encode(credentials)))?);
    }
    let of_header = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned();
    let agent = [values.text("U"), of_header].into_iter().find(|agent| !agent.is_empty());
    headers.insert(USER_AGENT, header(&agent.map_or(AGENT.to_owned(), |agent| format!("{agent} {AGENT}")))?);
    Ok(headers)
}
