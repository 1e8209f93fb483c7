//! Tasks that another server does: a process of Concord, a test of nGrinder. It starts them and asks until they are over.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::process::{Report, spoken};
use crate::task::{Concord, Ngrinder};

/// One answer must be there by then.
const ANSWER: Duration = Duration::from_secs(30);
/// More than this is read of no answer.
const BYTES: usize = 1 << 20;
/// More than this is quoted of none.
const QUOTED: usize = 1024;

/// The client for other servers.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    client: Client,
}

impl Remote {
    /// A client; the error says what the TLS library lacks.
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Another part of the program may have chosen the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { client: Client::builder().timeout(ANSWER).build()? })
    }

    /// Starts a process of Concord and waits for its end. The poll timeout is for the whole wait; in the peer each look
    /// begins it anew, so that a process which never ends is waited for without end.
    pub(crate) async fn run_process(&self, task: &Concord, limit: Duration) -> Result<String, String> {
        let key = tokio::fs::read_to_string(&task.key_path).await;
        let key = key.map_err(|error| format!("apiKeyPath {}: {error}", task.key_path))?.trim().to_owned();
        let (boundary, form) = form(task);
        let url = format!("{}/api/v1/process", task.server);
        let begin = self.client.post(&url).header("authorization", &key);
        let begin = begin.header("content-type", format!("multipart/form-data; boundary={boundary}")).body(form);
        let answer = json(begin).await.map_err(|reason| format!("concord process was not started: {reason}"))?;
        let id = plain(&answer["instanceId"]).ok_or("concord process was not started: the answer has no instanceId")?;
        let limit = task.poll_timeout.min(limit);
        let wait = async {
            loop {
                sleep(task.poll_interval).await;
                let look = self.client.get(format!("{url}/{id}")).header("authorization", &key);
                match json(look).await.as_ref().map(|answer| answer["status"].as_str().unwrap_or_default()) {
                    Ok("FINISHED") => return Ok(format!("concord process {id} finished")),
                    Ok(word @ ("FAILED" | "CANCELLED" | "TIMED_OUT")) => {
                        return Err(format!("concord process {id} ended as {word}"));
                    }
                    Ok(_) => {}
                    Err(reason) => tracing::warn!("concord process {id} could not be looked at: {reason}"),
                }
            }
        };
        let late = || Err(format!("concord process {id} did not finish in {}", spoken(limit)));
        timeout(limit, wait).await.unwrap_or_else(|_| late())
    }

    /// Starts a copy of a test of nGrinder and waits for its end; one that takes too long is stopped.
    pub(crate) async fn run_test(&self, task: &Ngrinder, limit: Duration) -> Report {
        match self.test(task, limit).await {
            Ok(output) => Report { output, error: None },
            Err(error) => Report::refused(error),
        }
    }

    async fn test(&self, task: &Ngrinder, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        let path = format!("{}/clone_and_start", task.clone);
        let answer = json(self.ngrinder(task, Method::POST, &path)).await;
        let answer = answer.map_err(|reason| format!("test of nGrinder was not started: {reason}"))?;
        let id = plain(&answer["id"]).ok_or("test of nGrinder was not started: the answer has no id")?;
        while Instant::now() + task.poll_interval < end {
            sleep(task.poll_interval).await;
            match json(self.ngrinder(task, Method::GET, &format!("{id}/status"))).await {
                Ok(answer) => match verdict(&answer) {
                    Some("FINISHED") => return Ok(format!("test {id} of nGrinder finished")),
                    Some(word) => return Err(format!("test {id} of nGrinder ended as {word}")),
                    None => {}
                },
                Err(reason) => tracing::warn!("test {id} of nGrinder could not be looked at: {reason}"),
            }
        }
        let stopped = json(self.ngrinder(task, Method::PUT, &format!("{id}?action=stop"))).await;
        let how = stopped.map_or_else(|reason| format!(" and could not be stopped: {reason}"), |_| String::new());
        Err(format!("test {id} of nGrinder did not finish in {}{how}", spoken(limit)))
    }

    fn ngrinder(&self, task: &Ngrinder, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/perftest/api/{path}", task.server);
        self.client.request(method, url).basic_auth(&task.user, Some(&task.password))
    }
}

/// The form of a process, and what separates its fields.
fn form(task: &Concord) -> (String, String) {
    let boundary = format!("burgee{:032x}", fastrand::u128(..));
    let mut form = String::new();
    for (name, value) in &task.fields {
        let name = name.replace(['"', '\r', '\n'], "_");
        // Writing to a `String` cannot fail.
        let _ = write!(form, "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    let _ = write!(form, "--{boundary}--\r\n");
    (boundary, form)
}

/// The JSON of an answer. The error is what else came, without the address.
async fn json(request: RequestBuilder) -> Result<Value, String> {
    let mut response = request.send().await.map_err(|error| chain(error.without_url()))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > BYTES {
            return Err("the answer is too long".to_owned());
        }
    }
    let text = String::from_utf8_lossy(&body);
    if !response.status().is_success() {
        return Err(format!("{} {}", response.status().as_u16(), text.chars().take(QUOTED).collect::<String>()));
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| format!("an answer without sense: {error}"))
}

fn chain(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// A number or a text, if it can stand in a path.
fn plain(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    (!text.is_empty() && text.chars().all(is_plain)).then_some(text)
}

/// How a test ended; none while it runs. The word stands somewhere under `status`, at a place that depends on the version.
fn verdict(answer: &Value) -> Option<&'static str> {
    const WORDS: [&str; 4] = ["FINISHED", "STOP_BY_ERROR", "CANCELED", "UNKNOWN"];
    match answer {
        Value::String(text) => WORDS.into_iter().find(|word| word == text),
        Value::Array(values) => values.iter().find_map(verdict),
        Value::Object(values) => values.values().find_map(verdict),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests;
