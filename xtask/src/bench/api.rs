//! Requests to the API server through kubectl's proxy, which does the TLS: kubectl itself is too slow to change hundreds of
//! objects at once. It knows no kind of object.
use anyhow::{Context, Result, bail};
use burgee_lab::Lab;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The proxy's port inside the lab's network.
const PORT: u16 = 8001;
/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the proxy may take to start.
const START: Duration = Duration::from_secs(20);

/// Starts the proxy, which ends with the lab. Only who is in the lab's network reaches it.
///
/// # Errors
/// When it does not answer.
pub(super) fn start(lab: &Lab) -> Result<()> {
    let kubeconfig = format!("--kubeconfig={}", lab.kubeconfig().display());
    let arguments = ["proxy", &kubeconfig, &format!("--port={PORT}"), "--address=127.0.0.1"];
    lab.run_beside("kubectl-proxy", &lab.parts().program("kubectl"), &arguments)?;
    lab.cluster().wait("the start of kubectl's proxy", START, |_| Ok(Connection::open().is_ok()))
}

/// One connection that is used for one request after the other.
pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to the proxy.
    ///
    /// # Errors
    /// When it does not listen.
    pub(super) fn open() -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).context("connect to kubectl's proxy")?;
        stream.set_nodelay(true).context("set up the connection")?;
        stream.set_read_timeout(Some(PATIENCE)).context("set up the connection")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// With the API server's message when it refuses.
    pub(super) fn create(&mut self, collection: &str, object: &Value) -> Result<Value> {
        self.request("POST", collection, Some(("application/json", object)))
    }

    /// Changes an object by a strategic merge patch.
    ///
    /// # Errors
    /// With the API server's message when it refuses.
    pub(super) fn patch(&mut self, path: &str, change: &Value) -> Result<Value> {
        self.request("PATCH", path, Some(("application/strategic-merge-patch+json", change)))
    }

    /// Follows a collection and hands over each change, until the API server ends the watch.
    ///
    /// # Errors
    /// When the watch breaks.
    pub(super) fn watch(&mut self, collection: &str, mut take: impl FnMut(Value)) -> Result<()> {
        // Nothing may happen for long.
        self.0.get_ref().set_read_timeout(None).context("set up the connection")?;
        self.send("GET", &format!("{collection}?watch=true&resourceVersion=0"), None)?;
        let (status, body) = self.answer()?;
        if status != 200 {
            bail!("watch {collection}: status {status}");
        }
        for line in BufReader::new(body).lines() {
            let line = line.context("read a change")?;
            take(serde_json::from_str(&line).context("parse a change")?);
        }
        Ok(())
    }

    fn request(&mut self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<Value> {
        self.send(method, path, body)?;
        let (status, mut body) = self.answer()?;
        let mut text = String::new();
        body.read_to_string(&mut text).with_context(|| format!("read the answer to {method} {path}"))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        bail!("{method} {path}: status {status}: {}", answer["message"].as_str().unwrap_or(&text))
    }

    fn send(&mut self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<()> {
        let (kind, text) = body.map_or(("text/plain", String::new()), |(kind, body)| (kind, body.to_string()));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        self.0.get_mut().write_all(head.as_bytes()).with_context(|| format!("send {method} {path}"))
    }

    fn answer(&mut self) -> Result<(u16, Body<'_, BufReader<TcpStream>>)> {
        let (status, left) = read_head(&mut self.0)?;
        Ok((status, Body { from: &mut self.0, left }))
    }
}

/// What of a body is still to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// So many bytes of a chunk, and then more chunks; 0 before each.
    Chunk(u64),
    /// Nothing.
    Nothing,
}

/// Status and length of an answer.
fn read_head(from: &mut impl BufRead) -> Result<(u16, Left)> {
    let first = read_line(from).context("read an answer")?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("the answer begins with {first:?}"))?;
    let mut left = Left::Nothing;
    loop {
        let line = read_line(from).context("read the head of an answer")?.to_ascii_lowercase();
        match line.split_once(':') {
            None => return Ok((status, left)),
            Some(("content-length", length)) => left = Left::Bytes(length.trim().parse().context("read a length")?),
            Some(("transfer-encoding", how)) if how.contains("chunked") => left = Left::Chunk(0),
            Some(_) => {}
        }
    }
}

fn read_line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// The body of an answer, put together from its chunks.
struct Body<'a, R> {
    from: &'a mut R,
    left: Left,
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.left == Left::Chunk(0) {
            self.begin_chunk()?;
        }
        let (Left::Bytes(left) | Left::Chunk(left)) = self.left else { return Ok(0) };
        let read = self.from.take(left).read(to)?;
        if read == 0 && left > 0 && !to.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        match self.left {
            Left::Chunk(_) if rest == 0 => {
                read_line(self.from)?;
                self.left = Left::Chunk(0);
            }
            Left::Chunk(_) => self.left = Left::Chunk(rest),
            Left::Bytes(_) | Left::Nothing => self.left = Left::Bytes(rest),
        }
        Ok(read)
    }
}

impl<R: BufRead> Body<'_, R> {
    fn begin_chunk(&mut self) -> std::io::Result<()> {
        let line = read_line(self.from)?;
        let size = line.split(';').next().and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or(std::io::ErrorKind::InvalidData)?;
        self.left = if size == 0 { Left::Nothing } else { Left::Chunk(size) };
        // The last chunk has an empty line behind it, so that the connection can be used again.
        if size == 0 { read_line(self.from).map(drop) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let read = || -> Result<(u16, String, String)> {
            let mut from = answer.as_bytes();
            let (status, left) = read_head(&mut from)?;
            let mut text = String::new();
            Body { from: &mut from, left }.read_to_string(&mut text)?;
            Ok((status, text, String::from_utf8_lossy(from).into_owned()))
        };
        let wanted = expected.map(|(status, text)| (status, text.to_owned(), "next".to_owned()));
        assert_eq!(read().ok(), wanted, "{answer}");
    }

    #[test]
    fn a_body_is_read_to_its_end_and_not_beyond() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na bnext", Some((200, "a b")));
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\nnext", Some((404, "")));
        let chunks = "2\r\na \r\n1;x\r\nb\r\n0\r\n\r\nnext";
        check(&format!("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"), Some((201, "a b")));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na b", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("", None);
    }
}
