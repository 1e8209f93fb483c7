//! Steady requests against the gateway, of a fixed rate and for a fixed time. They never leave the lab's network.
use crate::cluster::Cluster;
use crate::gateway::Gateway;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Requests per second beyond which no load goes; the machine is shared with the cluster.
const MOST_PER_SECOND: u32 = 2000;

/// What to send.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where to send it.
    pub gateway: &'a Gateway,
    /// The Host header.
    pub host: &'a str,
    /// One more header, as `name: value`.
    pub header: Option<&'a str>,
    /// Requests per second.
    pub per_second: u32,
    /// For how long.
    pub lasting: Duration,
}

/// Load under way; dropped, it ends.
#[derive(Debug)]
pub struct Load {
    child: Option<Child>,
}

/// How the requests were answered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answers {
    /// Requests per response code.
    pub codes: BTreeMap<u16, u64>,
    /// Requests that got no answer.
    pub unanswered: u64,
}

impl Answers {
    /// All requests that were sent.
    pub fn sent(&self) -> u64 {
        self.codes.values().sum::<u64>() + self.unanswered
    }

    /// Requests that got no answer or one other than 200.
    pub fn failed(&self) -> u64 {
        self.sent() - self.codes.get(&200).copied().unwrap_or_default()
    }
}

impl Load {
    /// Begins to send.
    ///
    /// # Errors
    /// When the rate or the time is out of bounds, or hey cannot be started.
    pub fn begin(cluster: &Cluster, request: &Request<'_>) -> Result<Self> {
        let Request { gateway, host, header, per_second, lasting } = request;
        if !(1..=MOST_PER_SECOND).contains(per_second) || *lasting > Duration::from_hours(1) {
            bail!("load of {per_second}/s for {} s is out of bounds", lasting.as_secs());
        }
        // Hey takes a rate per worker. A worker carries 10 requests a second even when they take 100 ms each, as they may
        // while pods start on two cores.
        let workers = per_second.div_ceil(10).max(4).min(*per_second);
        let rate = f64::from(*per_second) / f64::from(workers);
        let mut hey = cluster.command("hey");
        hey.args(["-z", &format!("{}s", lasting.as_secs()), "-c", &workers.to_string(), "-q", &rate.to_string()]);
        hey.args(header.map(|header| ["-H", header]).iter().flatten());
        hey.args(["-t", "5", "-host", host, &gateway.url()]);
        hey.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Self { child: Some(cluster.spawn(&mut hey, "hey")?) })
    }

    /// Ends the load early and returns the answers so far.
    ///
    /// # Errors
    /// When hey does not tell its summary.
    pub fn stop(mut self) -> Result<Answers> {
        if let Some(child) = &self.child {
            let pid = i32::try_from(child.id()).context("process id out of range")?;
            // Not collected yet, so the id is still hey's; it sums up at an interrupt.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        self.collect()
    }

    /// Waits for the end of the load and returns the answers.
    ///
    /// # Errors
    /// When hey does not tell its summary.
    pub fn finish(mut self) -> Result<Answers> {
        self.collect()
    }

    fn collect(&mut self) -> Result<Answers> {
        let child = self.child.take().context("the load has ended already")?;
        let output = child.wait_with_output().context("wait for hey")?;
        parse(&String::from_utf8_lossy(&output.stdout)).context("hey gave no summary")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads hey's summary: `[200]  123 responses`, and `[4]  Get "http…": …` for requests without an answer.
fn parse(summary: &str) -> Option<Answers> {
    let mut answers = Answers::default();
    let (_, rest) =
        summary.split_once("Status code distribution:").or_else(|| summary.split_once("Error distribution:"))?;
    for line in rest.lines().map(str::trim).filter_map(|line| line.strip_prefix('[')) {
        let (number, text) = line.split_once(']')?;
        if let Some(count) = text.trim().strip_suffix(" responses") {
            answers.codes.insert(number.parse().ok()?, count.trim().parse().ok()?);
        } else {
            answers.unanswered += number.parse::<u64>().ok()?;
        }
    }
    Some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(summary: &str, expected: Option<(u64, u64)>) {
        assert_eq!(parse(summary).map(|answers| (answers.sent(), answers.failed())), expected, "{summary}");
    }

    #[test]
    fn a_summary_gives_the_requests_sent_and_failed() {
        check("Summary:\nStatus code distribution:\n  [200]\t97 responses\n  [503]\t3 responses\n", Some((100, 3)));
        check(
            "Status code distribution:\n  [200]\t9 responses\n\nError distribution:\n  [4]\tGet \"http://10.0.0.1/\": EOF\n",
            Some((13, 4)),
        );
        check("Error distribution:\n  [4]\tGet \"http://10.0.0.1/\": EOF\n", Some((4, 4)));
        check("", None);
    }
}
