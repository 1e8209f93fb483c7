//! The built-in generator beside `hey`, and gates beside a running load: the figures of docs/loadtester.md. It is no test, as
//! what it measures depends on the machine.
//!
//!     cargo run --release -p burgee-loadtester --example beside_hey -- /path/to/hey
//!
//! `gates` instead of the path measures the gates alone.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Pairs of runs, one of each program, which take turns at being first.
const PAIRS: usize = 5;
/// So long is each run.
const SECONDS: u64 = 8;
/// Clients that ask for a gate.
const CLIENTS: u64 = 1_000;
const PAYLOAD: &str = r#"{"name":"podinfo","namespace":"test"}"#;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, rest) = arguments.split_first().context("usage: beside_hey FILE, the binary of hey")?;
    match first.as_str() {
        "hey" => burgee_loadtester::hey(rest),
        "loadtester" => burgee_loadtester::run(rest),
        "server" => runtime()?.block_on(serve()),
        "gates" => {
            let (_server, url) = server()?;
            runtime()?.block_on(gates(&url))
        }
        hey => compare(hey),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A server that says hello. Its address is the first line of its output.
async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer =
            |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello\n"))) };
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

/// A process that ends with this one.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn own(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

fn server() -> anyhow::Result<(Background, String)> {
    let mut child = own(&["server"])?.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the server has an output")?;
    let server = Background(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    Ok((server, format!("http://{}/", line.trim())))
}

/// What a run showed.
#[derive(Clone, Copy, Debug)]
struct Shown {
    per_second: f64,
    p99_milliseconds: f64,
}

fn compare(hey: &str) -> anyhow::Result<()> {
    let (_server, url) = server()?;
    println!("{PAIRS} pairs of runs of {SECONDS} s each, on {} cores that the server shares", cores());
    for workers in ["2", "50", "200"] {
        let mut pairs = Vec::new();
        for pair in 0..PAIRS {
            let seconds = format!("{SECONDS}s");
            let load = ["-z", &seconds, "-c", workers, &url];
            let built_in = || run(own(&[&["hey"], &load[..]].concat())?);
            let binary = || {
                let mut command = Command::new(hey);
                command.args(load);
                run(command)
            };
            let (one, other) = if pair % 2 == 0 {
                let one = built_in()?;
                (one, binary()?)
            } else {
                let other = binary()?;
                (built_in()?, other)
            };
            show(workers, one, other);
            pairs.push((one, other));
        }
        let median = |of: &dyn Fn(&(Shown, Shown)) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let [one, other] = [
            (median(&|pair| pair.0.per_second), median(&|pair| pair.0.p99_milliseconds)),
            (median(&|pair| pair.1.per_second), median(&|pair| pair.1.p99_milliseconds)),
        ]
        .map(|(per_second, p99_milliseconds)| Shown { per_second, p99_milliseconds });
        print!("median ");
        show(workers, one, other);
    }
    runtime()?.block_on(gates(&url))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn show(workers: &str, one: Shown, other: Shown) {
    println!(
        "-c {workers}: built-in {:.0}/s, p99 {:.1} ms; hey {:.0}/s, p99 {:.1} ms; {:.2} times as many",
        one.per_second,
        one.p99_milliseconds,
        other.per_second,
        other.p99_milliseconds,
        one.per_second / other.per_second
    );
}

fn run(mut command: Command) -> anyhow::Result<Shown> {
    let output = command.output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("[200]") && !text.contains("Error"), "the load did not go well:\n{text}");
    let number = |before: &str, after: &str| {
        let rest = text.split_once(before).map(|(_, rest)| rest)?;
        rest.split(after).next()?.trim().parse::<f64>().ok()
    };
    let per_second = number("Requests/sec:", "\n").context("no rate")?;
    let p99 = number("99%% in", "secs").or_else(|| number("99% in", "secs")).context("no percentile")?;
    Ok(Shown { per_second, p99_milliseconds: p99 * 1_000.0 })
}

/// A thousand clients of gates, alone and beside a load that the same load tester runs.
async fn gates(url: &str) -> anyhow::Result<()> {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let flags = ["loadtester", &format!("-port={port}"), "-log-level=error"];
    let _tester = Background(own(&flags)?.spawn()?);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..100 {
        if ask(address, "/gate/open", PAYLOAD).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    measure(address, "no load").await?;
    for (number, options) in ["-c 2 -q 10", "-c 20 -q 100", "-c 50"].iter().enumerate() {
        let command = format!("hey -z 25s {options} {url}");
        let payload =
            format!(r#"{{"name":"load-{number}","namespace":"test","metadata":{{"type":"cmd","cmd":"{command}"}}}}"#);
        ensure!(ask(address, "/", &payload).await?.starts_with("HTTP/1.1 202"), "the load was not taken");
        measure(address, &command).await?;
        // The load is over before the next one begins.
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    Ok(())
}

/// Each client asks once a second, at a time of its own.
async fn measure(address: SocketAddr, beside: &str) -> anyhow::Result<()> {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut times = Vec::new();
            let start = tokio::time::Instant::now() + Duration::from_millis(client);
            let mut ticks = tokio::time::interval_at(start, Duration::from_secs(1));
            for _ in 0..15 {
                ticks.tick().await;
                let begun = Instant::now();
                match ask(address, "/gate/check", PAYLOAD).await {
                    Ok(answer) if answer.ends_with("Approved") => times.push(begun.elapsed()),
                    other => bail!("a gate was answered with {other:?}"),
                }
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.extend(client??);
    }
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let burst = burst(address).await?;
    println!(
        "{CLIENTS} clients of gates beside {beside}: p50 {:?}, p99 {:?}, slowest {:?}; all at once: p99 {burst:?}",
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}

/// All clients at the same moment.
async fn burst(address: SocketAddr) -> anyhow::Result<Duration> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let begun = Instant::now();
            ask(address, "/gate/check", PAYLOAD).await.map(|_| begun.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.push(client??);
    }
    times.sort();
    Ok(times[times.len() * 99 / 100])
}

async fn ask(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nhost: gates\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
