//! One connection, driven by whoever asks on it: no other task has to be woken for an answer, which is what makes a worker
//! fast. It knows nothing of loads.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::errno::Errno;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::hey::target::{Origin, Protocol};
use crate::hey::verify;

/// How long opening took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dialed {
    pub(super) whole: u64,
    pub(super) lookup: u64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The cause in the words of Go.
    Cause(String),
    /// The connection ended before anything of an answer came; whether the request was sent at all.
    Ended(Sent),
}

/// Whether a server may have seen a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    No,
    Perhaps,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An open connection.
pub(super) struct Connection {
    sender: Sender,
    /// None when the connection has ended.
    driver: Option<Driver>,
    born: Instant,
    /// When something was written last, counted from the birth.
    written: Arc<AtomicU64>,
}

/// A span of time in nanoseconds.
pub(super) fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

impl Connection {
    /// Opens one, and says how long that took. The error is Go's.
    pub(super) async fn open(origin: &Origin) -> Result<(Self, Dialed), String> {
        let begun = Instant::now();
        let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((origin.host.as_str(), origin.port)).await {
            Ok(addresses) => addresses.collect(),
            Err(_) => return Err(format!("dial tcp: lookup {}: no such host", origin.host)),
        };
        let found = Instant::now();
        let stream = connect(&addresses).await?;
        let connection = Self::over(stream, origin).await?;
        let dialed = Dialed { whole: nanoseconds(begun, Instant::now()), lookup: nanoseconds(begun, found) };
        Ok((connection, dialed))
    }

    async fn over(stream: TcpStream, origin: &Origin) -> Result<Self, String> {
        // Go's default too: a request is one packet, which must not wait for another one.
        let _ = stream.set_nodelay(true);
        let protocols: &[&[u8]] = match origin.protocol {
            Protocol::Plain => return Self::plain(stream).await,
            Protocol::Tls => &[b"http/1.1"],
            Protocol::TlsWithHttp2 => &[b"h2", b"http/1.1"],
        };
        let config = verify::config(protocols).map_err(|error| format!("tls: {error}"))?;
        let name = ServerName::try_from(origin.host.clone()).map_err(|error| format!("tls: {error}"))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(|error| format!("tls: {error}"))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Self::second(stream).await,
            Some(_) | None => Self::plain(stream).await,
        }
    }

    async fn plain(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let (io, born, written) = Stamped::new(stream);
        let opened = http1::Builder::new().title_case_headers(true).handshake(io).await;
        let (sender, connection) = opened.map_err(|error| cause(&error))?;
        Ok(Self { sender: Sender::One(sender), driver: Some(Box::pin(connection)), born, written })
    }

    async fn second(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let (io, born, written) = Stamped::new(stream);
        let opened = http2::Builder::new(TokioExecutor::new()).handshake(io).await;
        let (sender, connection) = opened.map_err(|error| cause(&error))?;
        Ok(Self { sender: Sender::Two(sender), driver: Some(Box::pin(connection)), born, written })
    }

    pub(super) const fn is_second(&self) -> bool {
        matches!(self.sender, Sender::Two(_))
    }

    /// When something was written last.
    pub(super) fn written(&self) -> Instant {
        self.born + std::time::Duration::from_nanos(self.written.load(Ordering::Relaxed))
    }

    /// Whether another request can be sent. A server may have ended the connection while nothing was asked on it.
    pub(super) async fn is_usable(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        let ready = async {
            match sender {
                Sender::One(sender) => sender.ready().await.is_ok(),
                Sender::Two(sender) => sender.ready().await.is_ok(),
            }
        };
        // Looks at the socket first: whoever is ready may have been ended since.
        poll_fn(|context| {
            drive_once(driver, context);
            Poll::Ready(())
        })
        .await;
        driver.is_some() && driven(driver, ready).await
    }

    /// Sends a request and answers when the head of its answer has come.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let Self { sender, driver, .. } = self;
        let answer = match sender {
            Sender::One(sender) => driven(driver, sender.send_request(request)).await,
            Sender::Two(sender) => driven(driver, sender.send_request(request)).await,
        };
        answer.map_err(|error| {
            if error.is_canceled() {
                Failure::Ended(Sent::No)
            } else if error.is_incomplete_message() || is_reset(&error) {
                Failure::Ended(Sent::Perhaps)
            } else {
                Failure::Cause(cause(&error))
            }
        })
    }

    /// Reads a body to its end and throws it away. The error is Go's.
    pub(super) async fn drain(&mut self, mut body: Incoming) -> Result<(), String> {
        while let Some(frame) = driven(&mut self.driver, body.frame()).await {
            frame.map_err(
                |error| if error.is_incomplete_message() { "unexpected EOF".to_owned() } else { cause(&error) },
            )?;
        }
        Ok(())
    }
}

fn drive_once(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}

/// Waits for something while the connection goes on.
async fn driven<T>(driver: &mut Option<Driver>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(value);
        }
        drive_once(driver, context);
        future.as_mut().poll(context)
    })
    .await
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut reason = "dial tcp: missing address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = format!("dial tcp {address}: connect: {}", spoken(&error)),
        }
    }
    Err(reason)
}

/// An error of the system in the words of Go.
pub(super) fn spoken(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_lowercase())
}

fn source(error: &hyper::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn is_reset(error: &hyper::Error) -> bool {
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionAborted];
    source(error).is_some_and(|error| kinds.contains(&error.kind()))
}

fn cause(error: &hyper::Error) -> String {
    match source(error) {
        Some(error) => format!("read tcp: {}", spoken(error)),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None if error.is_parse() => format!("net/http: HTTP/1.x transport connection broken: {error}"),
        None => error.to_string(),
    }
}

/// A stream that notes when it is written to.
struct Stamped<T> {
    io: TokioIo<T>,
    born: Instant,
    written: Arc<AtomicU64>,
}

impl<T> Stamped<T> {
    fn new(stream: T) -> (Self, Instant, Arc<AtomicU64>) {
        let (born, written) = (Instant::now(), Arc::<AtomicU64>::default());
        (Self { io: TokioIo::new(stream), born, written: written.clone() }, born, written)
    }
}

impl<T: AsyncRead + Unpin> Read for Stamped<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> Write for Stamped<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(context, bytes);
        this.written.store(nanoseconds(this.born, Instant::now()), Ordering::Relaxed);
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(context, buffers);
        this.written.store(nanoseconds(this.born, Instant::now()), Ordering::Relaxed);
        polled
    }
}
