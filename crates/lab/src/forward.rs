//! Reads pages of a pod that listens on its own loopback address, by kubectl's forwarding. It knows no particular pod.
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long a pod may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port of this machine that leads to a pod while this value lives.
#[derive(Debug)]
pub(crate) struct Forward {
    child: Child,
    // Kubectl writes to it at each connection, and would end if nobody could read that.
    output: Option<BufReader<ChildStdout>>,
    port: u16,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    /// Begins to forward with this kubectl to a pod, which is named by its namespace, its name and its port.
    ///
    /// # Errors
    /// With what kubectl says when the pod cannot be reached.
    pub(crate) fn begin(
        mut kubectl: Command,
        spawn: impl FnOnce(&mut Command) -> Result<Child>,
        pod: (&str, &str, u16),
    ) -> Result<Self> {
        let (namespace, name, port) = pod;
        kubectl.args(["-n", namespace, "port-forward", "--address=127.0.0.1", &format!("pod/{name}")]);
        kubectl.arg(format!(":{port}")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut kubectl)?;
        let output = child.stdout.take().map(BufReader::new);
        let mut forward = Self { child, output, port: 0 };
        let mut line = String::new();
        if let Some(output) = &mut forward.output {
            output.read_line(&mut line).context("read what kubectl says")?;
        }
        if let Some(port) = forwarded(&line) {
            forward.port = port;
            return Ok(forward);
        }
        let mut said = String::new();
        if let Some(mut errors) = forward.child.stderr.take() {
            let _ = forward.child.kill();
            let _ = errors.read_to_string(&mut said);
        }
        bail!("kubectl port-forward to pod {namespace}/{name}: {}", said.trim())
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When the pod is gone or does not answer with 200.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).context("connect to kubectl")?;
        stream.set_read_timeout(Some(PATIENCE)).context("wait for the pod")?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).context("ask the pod")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("read the pod's answer")?;
        body(&answer).with_context(|| format!("read {path}"))
    }
}

/// The port in `Forwarding from 127.0.0.1:40123 -> 15000`.
fn forwarded(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from ")?.split(" -> ").next()?.rsplit(':').next()?.parse().ok()
}

/// The body of an answer with status 200.
fn body(answer: &[u8]) -> Result<String> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("the answer has no end of its head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "the answer's status is {status:?}");
    let rest = &answer[end + 4..];
    let is_chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    let whole = if is_chunked { joined(rest).context("the answer is cut off")? } else { rest.to_vec() };
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// The chunks of a body in one piece; nothing when the last is missing.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = chunks.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(chunks.get(end + 2..end + 2 + size)?);
        chunks = chunks.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<&str>) {
        assert_eq!(body(answer.as_bytes()).ok().as_deref(), expected, "{answer}");
    }

    #[test]
    fn the_body_of_an_answer_is_put_together_from_its_chunks() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na b", Some("a b"));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n1;x\r\nb\r\n0\r\n\r\n", Some("a b"));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\na b", None);
        check("HTTP/1.1 403 Forbidden\r\n\r\nno", None);
        check("HTTP/1.1 200 OK\r\n", None);
    }

    #[test]
    fn kubectl_tells_the_port_that_it_listens_at() {
        assert_eq!(forwarded("Forwarding from 127.0.0.1:40123 -> 15000\n"), Some(40123));
        assert_eq!(forwarded("Unable to listen\n"), None);
    }
}
