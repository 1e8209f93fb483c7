//! Real processes: nothing of them is left, however they end.

use std::time::Instant;

use super::*;
use crate::testing::{living, long};

fn shell(command: &str) -> Vec<String> {
    ["sh", "-c", command].map(str::to_owned).to_vec()
}

const MINUTE: Duration = Duration::from_mins(1);

async fn run(command: &str, deadline: Duration) -> Report {
    Processes::default().run(&shell(command), deadline).await
}

#[tokio::test]
async fn both_streams_come_in_their_order_with_the_verdict() {
    let check = async |command: &str, output: &str, error: Option<&str>| {
        let expected = Report { output: output.to_owned(), error: error.map(str::to_owned) };
        assert_eq!(run(command, MINUTE).await, expected, "{command}");
    };
    check("echo a; echo b >&2; echo c", "a\nb\nc\n", None).await;
    check("echo a; exit 3", "a\n", Some("exit status 3")).await;
    check("kill -9 $$", "", Some("signal: killed")).await;
    check("cat", "", None).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let report = Processes::default().run(&["burgee-has-no-such".to_owned()], MINUTE).await;
    assert_eq!(report, Report::refused("exec: \"burgee-has-no-such\": executable file not found in $PATH"));
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_its_children() {
    let (long, begun) = (long(), Instant::now());
    let report = run(&format!("echo begun; sleep {long} & sleep {long}"), Duration::from_secs(1)).await;
    assert_eq!(report.error.as_deref(), Some("timed out after 1000 ms"));
    assert_eq!(report.output, "begun\n");
    assert!(begun.elapsed() < MINUTE / 2, "{:?}", begun.elapsed());
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn who_does_not_heed_the_request_is_killed() {
    let long = long();
    let report = run(&format!("trap '' TERM; sleep {long}; sleep {long}"), Duration::from_millis(200)).await;
    assert!(report.error.is_some());
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn what_is_left_in_the_background_goes_with_the_command() {
    let (long, begun) = (long(), Instant::now());
    let report = run(&format!("sleep {long} & echo over"), MINUTE).await;
    assert_eq!(report, Report { output: "over\n".to_owned(), error: None });
    assert!(begun.elapsed() < MINUTE / 2, "{:?}", begun.elapsed());
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn who_leaves_the_group_is_found_by_its_mark() {
    let long = long();
    run(&format!("setsid sleep {long} & sleep 0.3"), MINUTE).await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_ended() {
    let (long, processes) = (long(), Processes::default());
    let words = shell(&format!("sleep {long}; true"));
    let waited = tokio::time::timeout(Duration::from_millis(300), processes.run(&words, MINUTE)).await;
    assert!(waited.is_err(), "it is over: {waited:?}");
    processes.end().await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn endless_output_fills_no_memory() {
    let report = run("yes 0123456789 | head -c 20000000", MINUTE).await;
    assert_eq!(report.error, None);
    assert!(report.output.len() < 70_000, "{}", report.output.len());
    assert!(report.output.contains("bytes are left out here"));
}
