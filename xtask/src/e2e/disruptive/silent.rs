//! Connections to the API server that go silent without an end, as behind a firewall that has forgotten them: nothing is
//! refused and nothing is closed, and yet the operator notices.
use super::super::edits::unmeasured;
use super::super::stage::Stage;
use super::operators::{Operators, Pod};
use anyhow::{Context, Result, ensure};
use burgee_lab::Lab;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Within this time a silent watch is noticed, listed anew and followed again.
const NOTICED_SECONDS: u64 = 60;

/// The connections that an operator has now carry nothing any more; new ones do. They speak again when dropped.
struct Silence<'a>(&'a Lab);

impl<'a> Silence<'a> {
    fn begin(lab: &'a Lab, pod: &Pod, pid: i32) -> Result<Self> {
        let ports = connections(pid)?;
        ensure!(!ports.is_empty(), "the operator has no connection to the API server");
        let (address, list) = (&pod.address, ports.join(", "));
        let rules = format!(
            "table inet silence {{
               chain to {{ type filter hook input priority -10; ip saddr {address} tcp sport {{ {list} }} drop; }}
               chain from {{ type filter hook output priority -10; ip daddr {address} tcp dport {{ {list} }} drop; }}
             }}"
        );
        nft(lab, &["-f", "-"], &rules).map(|()| Self(lab))
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Err(error) = nft(self.0, &["delete", "table", "inet", "silence"], "") {
            println!("the operator's old connections stay silent: {error:#}");
        }
    }
}

/// Runs nft, which is a part of the lab with its libraries, in the lab's network.
fn nft(lab: &Lab, arguments: &[&str], input: &str) -> Result<()> {
    let mut command = Command::new(lab.enter_script());
    let mut child = command.arg("nft").args(arguments).stdin(Stdio::piped()).spawn().context("start nft")?;
    child.stdin.take().context("nft has no input")?.write_all(input.as_bytes()).context("feed nft")?;
    ensure!(child.wait().context("wait for nft")?.success(), "nft refused:\n{input}");
    Ok(())
}

/// The own ports of a process' established connections to an API server: 443 of its Service.
fn connections(pid: i32) -> Result<Vec<String>> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).context("read the operator's connections")?;
    Ok(table.lines().filter_map(to_api_server).map(|port| port.to_string()).collect())
}

/// The own port in a line of `/proc/net/tcp` about an established connection to port 443.
fn to_api_server(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (own, peer, state) = (words.next()?, words.next()?, words.next()?);
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    (state == "01" && port(peer)? == 443).then(|| port(own)).flatten()
}

pub(super) fn silent(stage: &Stage<'_>) -> Result<()> {
    let operators = Operators::of(stage)?;
    stage.initialize(&unmeasured(stage, 50, 50)?)?;
    let pod = operators.pod()?;
    let process = operators.process(&pod).context("the operator does not run")?;
    let silence = Silence::begin(operators.lab, &pod, process.pid)?;
    let began = Instant::now();
    stage.release("deployment", "6.0.1")?;
    stage.until_told("New revision detected! Scaling up podinfo.test", NOTICED_SECONDS)?;
    stage.note(&format!(
        "a revision behind silent connections was noticed after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    stage.until_promoted(120)?;
    drop(silence);
    ensure!(operators.pod()? == pod && operators.process(&pod) == Some(process), "the operator was started again");
    let (_, page) = pod.page("metrics")?;
    let heard = page.lines().filter(|line| line.starts_with("burgee_watch_last_heard_seconds{")).count();
    ensure!(heard > 3, "only {heard} watches say when they were heard last");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_established_connections_to_the_api_server_are_silenced() {
        let check = |line: &str, expected: Option<u16>| assert_eq!(to_api_server(line), expected, "{line}");
        check("  sl  local_address rem_address   st tx_queue", None);
        check("   0: 0200F40A:C5C0 0100600A:01BB 01 00000000:00000000", Some(0xc5c0));
        check("   1: 0200F40A:C5C2 0100600A:01BB 06 00000000:00000000", None);
        check("   2: 0200F40A:1F90 0100F40A:D431 01 00000000:00000000", None);
    }
}
