//! Visitors of the gateway: each keeps its cookies as a browser does, and sees whose pod answers it. It judges nothing.
use anyhow::{Context, Result, ensure};
use burgee_lab::Gateway;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose pod answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// One of the primary.
    Primary,
    /// One of the target.
    Canary,
}

/// A cookie that is kept until its time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    value: String,
    until: Option<Instant>,
}

/// One client of the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    gateway: Gateway,
    host: String,
    header: Option<String>,
    cookies: BTreeMap<String, Cookie>,
}

impl Visitor {
    /// A client that was never there before.
    pub(crate) fn of(gateway: &Gateway, host: &str) -> Self {
        Self { gateway: gateway.clone(), host: host.to_owned(), header: None, cookies: BTreeMap::new() }
    }

    /// The same client with one more header, such as `x-canary: insider`.
    pub(crate) fn with_header(self, header: &str) -> Self {
        Self { header: Some(header.to_owned()), ..self }
    }

    /// Whether the client still has a cookie of this name.
    pub(crate) fn has_cookie(&self, name: &str) -> bool {
        self.cookies.get(name).is_some_and(Cookie::lasts)
    }

    /// Whether the client has a cookie that lasts for a time still.
    pub(crate) fn has_any_cookie_for(&self, time: Duration) -> bool {
        self.cookies.values().any(|cookie| cookie.until.is_none_or(|until| until > Instant::now() + time))
    }

    /// Asks for the first page.
    ///
    /// # Errors
    /// When the answer is not podinfo's with status 200.
    pub(crate) fn visit(&mut self) -> Result<Side> {
        let mut stream = self.gateway.connect()?;
        stream.set_read_timeout(Some(PATIENCE)).context("wait for the gateway")?;
        stream.write_all(self.request().as_bytes()).context("ask the gateway")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read the gateway's answer")?;
        self.keep_cookies(&answer, Instant::now());
        side(&answer)
    }

    fn request(&self) -> String {
        let mut request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
        if let Some(header) = &self.header {
            let _ = write!(request, "{header}\r\n");
        }
        let lasting = self.cookies.iter().filter(|(_, cookie)| cookie.lasts());
        let cookies: Vec<String> = lasting.map(|(name, cookie)| format!("{name}={}", cookie.value)).collect();
        if !cookies.is_empty() {
            let _ = write!(request, "Cookie: {}\r\n", cookies.join("; "));
        }
        request + "\r\n"
    }

    /// Takes the cookies of an answer; one whose age is over goes.
    fn keep_cookies(&mut self, answer: &str, now: Instant) {
        for line in answer.lines().take_while(|line| !line.is_empty()) {
            let Some((name, text)) = line.split_once(':') else { continue };
            if !name.eq_ignore_ascii_case("set-cookie") {
                continue;
            }
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|part| part.split_once('=')) else { continue };
            let age = parts.find_map(|part| part.strip_prefix("Max-Age=")).and_then(|age| age.parse::<i64>().ok());
            let until = age.map(|age| now + Duration::from_secs(u64::try_from(age).unwrap_or(0)));
            self.cookies.insert(name.to_owned(), Cookie { value: value.to_owned(), until });
        }
    }
}

impl Cookie {
    fn lasts(&self) -> bool {
        self.until.is_none_or(|until| until > Instant::now())
    }
}

/// Lets each client visit once; the sides are in their order.
///
/// # Errors
/// With the first answer that is not podinfo's.
pub(crate) fn visit_all(visitors: &mut [Visitor]) -> Result<Vec<Side>> {
    visitors.iter_mut().map(Visitor::visit).collect()
}

/// How many of the answers came from a side.
pub(crate) fn count(sides: &[Side], side: Side) -> usize {
    sides.iter().filter(|seen| **seen == side).count()
}

/// Whose pod an answer names: podinfo tells its pod's name.
fn side(answer: &str) -> Result<Side> {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "a visitor was answered with {status:?}");
    let (_, rest) = answer.split_once("\"hostname\": \"").context("a visitor's answer names no pod")?;
    Ok(if rest.starts_with("podinfo-primary-") { Side::Primary } else { Side::Canary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cookie: &str, pod: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nset-cookie: {cookie}\r\nserver: x\r\n\r\n{{\n  \"hostname\": \"{pod}\"\n}}")
    }

    #[test]
    fn a_cookie_is_sent_until_its_age_is_over_or_the_server_takes_it_back() {
        let mut visitor = Visitor::of(&Gateway::of_lab(), "app.example.com").with_header("x-canary: insider");
        visitor.keep_cookies(&answer("a=b; Max-Age=86400; Path=/", "podinfo-1"), Instant::now());
        visitor.keep_cookies(&answer("c=d", "podinfo-1"), Instant::now());
        let request = visitor.request();
        assert!(request.contains("\r\nx-canary: insider\r\nCookie: a=b; c=d\r\n\r\n"), "{request}");
        visitor.keep_cookies(&answer("a=b; Max-Age=-1", "podinfo-1"), Instant::now());
        assert!(!visitor.has_cookie("a") && visitor.has_cookie("c"));
    }

    #[test]
    fn an_answer_tells_whose_pod_gave_it() {
        assert_eq!(side(&answer("a=b", "podinfo-primary-5b9-x")).unwrap(), Side::Primary);
        assert_eq!(side(&answer("a=b", "podinfo-5b9-x")).unwrap(), Side::Canary);
        assert!(side("HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
