//! One call of a webhook: its request, its deadline, what the answer means and whether to try again. It must not wait or
//! send (contract: webhooks §1).

use std::time::Duration;

use burgee_api::Address;
use burgee_api::duration::{DurationError, GoDuration};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

use crate::question::HookError;

/// Deadline of one attempt when none is written.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts after the first that are made at most, however many `retries` asks for (S33).
pub const RETRIES_LIMIT: u32 = 30;

/// So long may a call take with all its attempts and pauses (S33). Jobs of hours are asked through hooks; days are not.
pub const CALL_LIMIT: Duration = Duration::from_hours(6);

/// Shortest pause between two attempts, also where a server asks for a shorter one.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// Longest pause between two attempts of ours.
const BACK_OFF_LIMIT: Duration = Duration::from_secs(30);

/// Longest pause that a server may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_mins(5);

/// Bytes of an answer that are read.
pub const ANSWER_LIMIT_BYTES: usize = 64 << 10;

/// The POST of a payload. The error is for the user.
pub fn request(url: &Address, payload: &Value) -> Result<Request<Bytes>, String> {
    let mut request = Request::post(url.written())
        .body(Bytes::from(payload.to_string()))
        .map_err(|error| format!("parse \"{url}\": {error}"))?;
    if request.uri().host().is_none() {
        return Err(format!("Post \"{url}\": unsupported protocol scheme \"\""));
    }
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// Deadline of one attempt: 10 s when the text is missing or shorter than two characters.
pub fn timeout(text: Option<&str>) -> Result<Duration, DurationError> {
    match text {
        Some(text) if text.len() >= 2 => GoDuration::parse(text).map(GoDuration::to_std),
        Some(_) | None => Ok(DEFAULT_TIMEOUT),
    }
}

/// What one attempt came to.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// An answer, whatever it says.
    Answered(&'a Response<Bytes>),
    /// No answer: the cause in words.
    Broken(&'a str),
}

/// What to do after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The hook passed.
    Passed,
    /// The hook failed, with the text for the event.
    Failed(HookError),
    /// Try again after this pause.
    Retry {
        /// How long to wait before.
        after: Duration,
    },
}

/// A call in progress.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Address of the hook.
    pub url: &'a Address,
    /// Attempts after the first.
    pub retries: u32,
    /// Which attempt this was; the first is 1.
    pub attempt: u32,
    /// Time since the first attempt began.
    pub elapsed: Duration,
}

impl Call<'_> {
    /// Decides what an attempt means. Transport errors, 429 and 5xx other than 501 are tried again; `now` serves a
    /// `Retry-After` that is a date.
    pub fn next(&self, attempt: Attempt<'_>, now: Timestamp) -> Next {
        if !attempt.may_be_retried() {
            return attempt.outcome();
        }
        let after = attempt.retry_after(now).unwrap_or_else(|| back_off(self.attempt)).max(PAUSE_LIMIT);
        let has_time = self.elapsed.saturating_add(after) < CALL_LIMIT;
        if has_time && self.attempt <= self.retries.min(RETRIES_LIMIT) {
            return Next::Retry { after };
        }
        Next::Failed(self.given_up(attempt))
    }

    /// Deadline of the next attempt: what is written, as far as the whole call has time left.
    pub fn deadline(&self, timeout: Duration) -> Duration {
        timeout.min(CALL_LIMIT.saturating_sub(self.elapsed))
    }

    /// The contract's text, and what the last answer was.
    fn given_up(&self, attempt: Attempt<'_>) -> HookError {
        let url = self.url;
        let text = format!("POST {url} giving up after {} attempt(s)", self.attempt);
        match attempt {
            Attempt::Broken(cause) => HookError::Unanswered(format!("{text}: Post \"{url}\": {cause}")),
            Attempt::Answered(response) => refusal(response, &format!("{text}: ")),
        }
    }
}

/// Whether the same may be tried again, for callers with a patience of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It would come to the same.
    Never,
    /// Later, and not before the server wants it, if it says so.
    Later {
        /// How long it asks to be left alone.
        asked: Option<Duration>,
    },
}

impl Attempt<'_> {
    /// Whether it may be tried again, by the same rules as a webhook.
    pub fn again(self, now: Timestamp) -> Again {
        if self.may_be_retried() { Again::Later { asked: self.retry_after(now) } } else { Again::Never }
    }

    fn may_be_retried(self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Answered(response) => {
                let status = response.status();
                status == StatusCode::TOO_MANY_REQUESTS
                    || (status.as_u16() >= 500 && status != StatusCode::NOT_IMPLEMENTED)
            }
        }
    }

    /// What an answer that is not tried again means: up to 202 is a pass, everything else fails.
    fn outcome(self) -> Next {
        match self {
            Self::Broken(cause) => Next::Failed(HookError::Unanswered(cause.to_owned())),
            Self::Answered(response) if response.status().as_u16() <= 202 => Next::Passed,
            Self::Answered(response) => Next::Failed(refusal(response, "")),
        }
    }

    /// How long the server asks to be left alone; only with 429 and 503.
    fn retry_after(self, now: Timestamp) -> Option<Duration> {
        let Self::Answered(response) = self else { return None };
        if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return None;
        }
        let text = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        let pause = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => until(text, now)?,
        };
        Some(pause.min(RETRY_AFTER_LIMIT))
    }
}

/// Time from now to a date in an HTTP header; none when it has passed.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

/// 1 s, 2 s, 4 s … 30 s.
fn back_off(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(5);
    Duration::from_secs(1 << doublings).min(BACK_OFF_LIMIT)
}

/// A refusal: the status, and how long the answer was. Its words are quoted nowhere: the author of a canary may aim hooks at
/// whatever the operator reaches, and reads the events (S31).
fn refusal(response: &Response<Bytes>, before: &str) -> HookError {
    let (status, bytes) = (response.status(), response.body().len());
    if bytes >= ANSWER_LIMIT_BYTES {
        return HookError::TooLong(format!("{before}{status}, answer longer than {} KiB", ANSWER_LIMIT_BYTES >> 10));
    }
    let hint = if status.is_redirection() { ", a redirect that is not followed" } else { "" };
    HookError::Refused(format!("{before}{status}, answer of {bytes} bytes{hint}"))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const URL: &str = "http://tester.test/";

    fn answer(status: u16, body: &'static str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).expect("a response")
    }

    fn call(attempt: u32, retries: u32) -> Call<'static> {
        static ADDRESS: LazyLock<Address> = LazyLock::new(|| URL.into());
        Call { url: &ADDRESS, retries, attempt, elapsed: Duration::ZERO }
    }

    fn failed(text: &str) -> Next {
        Next::Failed(HookError::Refused(text.to_owned()))
    }

    #[test]
    fn an_answer_passes_or_fails_with_the_contracts_text() {
        fn check(status: u16, body: &'static str, expected: &Next) {
            assert_eq!(call(1, 0).next(Attempt::Answered(&answer(status, body)), NOW), *expected, "{status}");
        }
        check(200, "OK", &Next::Passed);
        check(201, "", &Next::Passed);
        check(202, "", &Next::Passed);
        check(203, "odd", &failed("203 Non Authoritative Information, answer of 3 bytes"));
        check(204, "", &failed("204 No Content, answer of 0 bytes"));
        check(302, "away", &failed("302 Found, answer of 4 bytes, a redirect that is not followed"));
        check(403, "Forbidden\n", &failed("403 Forbidden, answer of 10 bytes"));
        check(404, "", &failed("404 Not Found, answer of 0 bytes"));
        check(501, "no", &failed("501 Not Implemented, answer of 2 bytes"));
        let given_up = "POST http://tester.test giving up after 1 attempt(s)";
        check(429, "", &failed(&format!("{given_up}: 429 Too Many Requests, answer of 0 bytes")));
        check(
            500,
            "command false failed: : exit status 1",
            &failed(&format!("{given_up}: 500 Internal Server Error, answer of 37 bytes")),
        );
    }

    #[test]
    fn a_broken_connection_names_its_cause() {
        assert_eq!(
            call(3, 2).next(Attempt::Broken("connection refused"), NOW),
            Next::Failed(HookError::Unanswered(
                "POST http://tester.test giving up after 3 attempt(s): Post \"http://tester.test\": connection refused"
                    .to_owned()
            ))
        );
    }

    #[test]
    fn only_scheme_and_host_of_the_url_are_shown() {
        let url = Address::from("http://user:secret@tester.test/secret?secret");
        let call = Call { url: &url, retries: 0, attempt: 1, elapsed: Duration::ZERO };
        let Next::Failed(error) = call.next(Attempt::Broken("refused"), NOW) else { panic!("it must fail") };
        let text = error.to_string();
        assert!(text.contains("tester.test") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn the_words_of_an_answer_are_quoted_nowhere() {
        for status in [203, 302, 400, 403, 404, 429, 500, 501, 503] {
            for body in ["what-nobody-may-read", "{\"error\": \"what-nobody-may-read\"}"] {
                let Next::Failed(error) = call(1, 0).next(Attempt::Answered(&answer(status, body)), NOW) else {
                    panic!("{status} is no pass")
                };
                assert!(!error.to_string().contains("nobody"), "{error}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_longer_than_what_is_read_is_called_so() {
        fn check(status: u16, expected: &str) {
            let body = Bytes::from(vec![b'x'; ANSWER_LIMIT_BYTES]);
            let response = Response::builder().status(status).body(body).expect("a response");
            let error = HookError::TooLong(expected.to_owned());
            assert_eq!(error.reason(), "too-long");
            assert_eq!(call(1, 0).next(Attempt::Answered(&response), NOW), Next::Failed(error));
        }
        check(400, "400 Bad Request, answer longer than 64 KiB");
        let given_up = "POST http://tester.test giving up after 1 attempt(s)";
        check(500, &format!("{given_up}: 500 Internal Server Error, answer longer than 64 KiB"));
    }

    #[test]
    fn only_what_may_pass_later_is_tried_again() {
        fn check(status: u16, expected: &Next) {
            assert_eq!(call(1, 1).next(Attempt::Answered(&answer(status, "b")), NOW), *expected, "{status}");
        }
        let retry = Next::Retry { after: Duration::from_secs(1) };
        for status in [429, 500, 502, 503, 504] {
            check(status, &retry);
        }
        check(501, &failed("501 Not Implemented, answer of 1 bytes"));
        check(404, &failed("404 Not Found, answer of 1 bytes"));
        assert_eq!(call(1, 1).next(Attempt::Broken("refused"), NOW), retry);
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pause = |attempt| match call(attempt, 100).next(Attempt::Broken("refused"), NOW) {
            Next::Retry { after } => after.as_secs(),
            Next::Passed | Next::Failed(_) => panic!("it must be tried again"),
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 30].map(pause), [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn the_servers_wish_is_heard_within_limits() {
        fn check(status: u16, header: &'static str, expected_seconds: u64) {
            let mut response = answer(status, "");
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static(header));
            let expected = Next::Retry { after: Duration::from_secs(expected_seconds) };
            assert_eq!(call(1, 1).next(Attempt::Answered(&response), NOW), expected, "{header}");
        }
        check(429, "7", 7);
        check(503, "0", 1);
        check(503, "86400", 300);
        check(503, "Thu, 01 Jan 1970 00:00:42 GMT", 42);
        check(503, "Wed, 31 Dec 1969 00:00:42 GMT", 1);
        check(503, "soon", 1);
        check(500, "7", 1);
    }

    #[test]
    fn callers_with_a_patience_of_their_own_hear_the_servers_wish() {
        fn check(status: u16, header: Option<&'static str>, expected: Again) {
            let mut response = answer(status, "");
            if let Some(header) = header {
                response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static(header));
            }
            assert_eq!(Attempt::Answered(&response).again(NOW), expected, "{status}");
        }
        check(429, Some("7"), Again::Later { asked: Some(Duration::from_secs(7)) });
        check(503, None, Again::Later { asked: None });
        check(404, Some("7"), Again::Never);
        assert_eq!(Attempt::Broken("refused").again(NOW), Again::Later { asked: None });
    }

    #[test]
    fn no_call_is_repeated_without_end() {
        let goes_on = |attempt, retries, elapsed| {
            let call = Call { elapsed, ..call(attempt, retries) };
            matches!(call.next(Attempt::Broken("refused"), NOW), Next::Retry { .. })
        };
        assert!(goes_on(RETRIES_LIMIT, u32::MAX, Duration::ZERO));
        assert!(!goes_on(RETRIES_LIMIT + 1, u32::MAX, Duration::ZERO));
        let before_end = |seconds| CALL_LIMIT.saturating_sub(Duration::from_secs(seconds));
        assert!(goes_on(1, 3, before_end(2)));
        assert!(!goes_on(1, 3, before_end(1)), "the pause alone would take the rest");
        assert!(!goes_on(1, 3, Duration::MAX));
        let deadline = |elapsed| Call { elapsed, ..call(2, 3) }.deadline(Duration::from_mins(5));
        assert_eq!(deadline(Duration::ZERO), Duration::from_mins(5));
        assert_eq!(deadline(before_end(2)), Duration::from_secs(2));
        assert_eq!(call(1, 0).deadline(Duration::from_hours(1000)), CALL_LIMIT);
    }

    #[test]
    fn deadlines_have_a_default_and_may_be_wrong() {
        fn check(text: Option<&str>, expected: Option<u64>) {
            assert_eq!(timeout(text).ok(), expected.map(Duration::from_secs), "{text:?}");
        }
        check(None, Some(10));
        check(Some(""), Some(10));
        check(Some("5"), Some(10));
        check(Some("5m"), Some(300));
        check(Some("1h30m"), Some(5400));
        check(Some("ten"), None);
    }

    #[test]
    fn requests_are_json_posts() {
        let request_ok = request(&URL.into(), &serde_json::json!({"name": "podinfo"})).expect("a request");
        assert_eq!(request_ok.method(), "POST");
        assert_eq!(request_ok.headers()["content-type"], "application/json");
        assert_eq!(request_ok.body(), r#"{"name":"podinfo"}"#);
        assert!(request(&"not a url".into(), &Value::Null).is_err());
        assert!(request(&"/path".into(), &Value::Null).is_err());
    }
}
