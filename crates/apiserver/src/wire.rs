//! HTTP/1.1 by hand, because a server that misbehaves needs every byte: reads requests, writes answers and parts of them.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::seen::Seen;

/// More than this is no request.
const LONGEST: usize = 64 << 20;

/// A socket, or one with TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON with a status code.
    pub fn json(code: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { code, headers, body: body.to_string().into_bytes() }
    }

    /// Plain text with a status code.
    pub fn text(code: u16, text: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        Self { code, headers, body: text.as_bytes().to_vec() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The bytes before the body: of a body of this length, or of one in chunks.
    pub(crate) fn head(&self, length: Option<usize>) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Answer\r\n", self.code);
        let (name, value) = match length {
            Some(length) => ("content-length".to_owned(), length.to_string()),
            None => ("transfer-encoding".to_owned(), "chunked".to_owned()),
        };
        for (name, value) in self.headers.iter().chain([&(name, value)]) {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text += "\r\n";
        text.into_bytes()
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(Some(self.body.len()));
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A connection of which requests are read.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

impl<S: Stream> Connection<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The next request; none if the connection ends, or what comes is not one.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?, first.next()?);
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: BTreeMap<String, String> =
            headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
        while self.unread.len() < length {
            self.more().await?;
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        Some(Seen::new(method, path, headers, &body))
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 8192];
        let read = self.stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        self.unread.extend_from_slice(&buffer[..read]);
        (self.unread.len() <= LONGEST).then_some(())
    }

    /// Writes bytes. An error is a connection that is gone.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Returns when the other side ends the connection; what it sends meanwhile is thrown away.
    pub(crate) async fn ends(&mut self) {
        let mut buffer = [0; 8192];
        while self.stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

/// A chunk of a body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
