//! What clients are answered: codes and bodies letter by letter, as scripts depend on them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::testing::{Served, living, long};

const CANARY: &str = r#"{"name": "podinfo", "namespace": "test"}"#;
const OTHER: &str = r#"{"name": "podinfo", "namespace": "prod"}"#;

async fn check(served: &Served, request: (&str, &str, &str), expected: (u16, &str)) {
    let (method, path, body) = request;
    let found = served.send(method, path, body).await;
    assert_eq!(found, (expected.0, expected.1.to_owned()), "{method} {path} {body}");
}

#[tokio::test]
async fn health_and_fixed_gates_need_no_body_and_no_method() {
    let served = Served::start("-namespace-regexp=^nobody$");
    for method in ["GET", "POST", "PUT"] {
        check(&served, (method, "/healthz", ""), (200, "OK")).await;
        check(&served, (method, "/gate/approve", ""), (200, "OK")).await;
        check(&served, (method, "/gate/halt", "no JSON"), (403, "Forbidden")).await;
    }
    assert_eq!(served.send("GET", "/metrics", "").await.0, 200);
}

#[tokio::test]
async fn gates_are_closed_until_they_are_opened_each_for_one_canary() {
    let served = Served::start("");
    for (gate, other) in [("/gate", "/rollback"), ("/rollback", "/gate")] {
        let of = |verb: &str| format!("{gate}/{verb}");
        check(&served, ("POST", &of("check"), CANARY), (403, "Forbidden")).await;
        check(&served, ("POST", &of("open"), CANARY), (202, "")).await;
        check(&served, ("POST", &of("check"), CANARY), (200, "Approved")).await;
        check(&served, ("POST", &of("check"), OTHER), (403, "Forbidden")).await;
        check(&served, ("POST", &format!("{other}/check"), CANARY), (403, "Forbidden")).await;
        check(&served, ("PUT", &of("close"), CANARY), (202, "")).await;
        check(&served, ("GET", &of("check"), CANARY), (403, "Forbidden")).await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_400_without_words() {
    let served = Served::start("");
    for path in ["/gate/check", "/gate/open", "/rollback/close", "/", "/anything"] {
        for body in ["", "no JSON", "[]", r#"{"name": 1}"#] {
            check(&served, ("POST", path, body), (400, "")).await;
        }
    }
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(1 << 20));
    check(&served, ("POST", "/gate/check", &long[..=128 << 10]), (400, "")).await;
}

#[tokio::test]
async fn namespaces_that_are_not_served_are_forbidden_everything_that_has_an_effect() {
    let served = Served::start("-namespace-regexp=^test$");
    for path in ["/gate/check", "/gate/open", "/gate/close", "/rollback/open", "/rollback/check", "/", "/run-job"] {
        check(&served, ("POST", path, OTHER), (403, "Forbidden")).await;
    }
    check(&served, ("POST", "/gate/open", CANARY), (202, "")).await;
}

async fn check_hook(served: &Served, metadata: Value, expected: (u16, &str)) {
    let shown = metadata.to_string();
    assert_eq!(served.hook("/", metadata).await, (expected.0, expected.1.to_owned()), "{shown}");
}

#[tokio::test]
async fn what_is_wrong_with_a_task_is_said_in_the_words_of_the_contract() {
    let served = Served::start("");
    check(&served, ("POST", "/", CANARY), (400, "metadata not found in payload")).await;
    check_hook(&served, json!({"type": "cmd"}), (400, "cmd not found in metadata")).await;
    check_hook(&served, json!({"type": "nonsense"}), (400, "unknown task type nonsense")).await;
    check_hook(
        &served,
        json!({"type": "job"}),
        (403, "run-job is not enabled: see -enable-run-job of the load tester"),
    )
    .await;
}

#[tokio::test]
async fn a_blocking_task_is_answered_with_its_verdict_and_its_output_if_that_is_wanted() {
    let served = Served::start("");
    check_hook(&served, json!({"type": "bash", "cmd": "echo $((1 + 2))"}), (200, "")).await;
    let shown = json!({"type": "bash", "cmd": "echo $((1 + 2))", "returnCmdOutput": "true"});
    check_hook(&served, shown, (200, "3\n")).await;
    let failed = (500, "command echo a; exit 4 failed: a\n: exit status 4");
    check_hook(&served, json!({"type": "bash", "cmd": "echo a; exit 4"}), failed).await;
    let pipe = "printf 'a token' | grep -c token";
    check_hook(&served, json!({"type": "bash", "cmd": pipe, "returnCmdOutput": "true"}), (200, "1\n")).await;
    served.shows("burgee_loadtester_tasks_total{outcome=\"failed\",type=\"bash\"} 1").await;
    served.shows("burgee_loadtester_tasks_total{outcome=\"succeeded\",type=\"bash\"} 3").await;
    served.shows("burgee_loadtester_requests_total{code=\"500\",path=\"/\"} 1").await;
}

#[tokio::test]
async fn a_background_task_is_answered_before_it_is_over_and_not_begun_twice() {
    let (served, long) = (Served::start(""), long());
    let task = json!({"cmd": format!("sleep {long}; true"), "logCmdOutput": "true"});
    check_hook(&served, task.clone(), (202, "")).await;
    check_hook(&served, task.clone(), (202, "")).await;
    served.shows("burgee_loadtester_tasks_total{outcome=\"skipped\",type=\"cmd\"} 1").await;
    let other = json!({"name": "other", "namespace": "test", "metadata": task}).to_string();
    check(&served, ("POST", "/", &other), (202, "")).await;
    served.shows("burgee_loadtester_tasks_running 2").await;
    served.stop().await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn an_equal_task_runs_again_when_the_first_is_over() {
    let served = Served::start("");
    for number in 1..=2 {
        check_hook(&served, json!({"cmd": "true"}), (202, "")).await;
        served.shows(&format!("burgee_loadtester_tasks_total{{outcome=\"succeeded\",type=\"cmd\"}} {number}")).await;
    }
}

#[tokio::test]
async fn a_task_is_ended_when_its_time_is_over() {
    let (served, long) = (Served::start("-timeout=1s"), long());
    let command = format!("echo a; sleep {long}; true");
    let expected = format!("command {command} failed: a\n: timed out after 1000 ms");
    check_hook(&served, json!({"type": "bash", "cmd": command}), (500, &expected)).await;
    check_hook(&served, json!({"cmd": format!("sleep {long}; true")}), (202, "")).await;
    served.shows("burgee_loadtester_tasks_total{outcome=\"failed\",type=\"cmd\"} 1").await;
    let load = json!({"type": "bash", "cmd": "hey -z 1h -q 1 http://127.0.0.1:1/"});
    let expected = "command hey -z 1h -q 1 http://127.0.0.1:1/ failed: : timed out after 1000 ms";
    check_hook(&served, load, (500, expected)).await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn a_blocking_task_is_ended_when_its_client_goes_away() {
    let (served, long) = (Served::start(""), long());
    tokio::select! {
        answer = served.hook("/", json!({"type": "bash", "cmd": format!("sleep {long}; true")})) => panic!("{answer:?}"),
        () = served.shows("burgee_loadtester_tasks_running 1") => {}
    }
    served.shows("burgee_loadtester_tasks_total{outcome=\"abandoned\",type=\"bash\"} 1").await;
    served.shows("burgee_loadtester_tasks_running 0").await;
    served.stop().await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn no_more_tasks_are_taken_than_may_run_and_wait() {
    let (served, long) = (Served::start("-max-tasks=1 -max-queued=1"), long());
    let task = |number: usize| json!({"cmd": format!("sleep {long}; echo {number}")});
    check_hook(&served, task(1), (202, "")).await;
    check_hook(&served, task(2), (202, "")).await;
    served.shows("burgee_loadtester_tasks_queued 1").await;
    check_hook(&served, task(3), (503, "1 tasks run and 1 wait, no more are taken now")).await;
    let blocking = json!({"type": "bash", "cmd": format!("sleep {long}; true")});
    let first = served.hook("/", blocking.clone());
    let second = async {
        served.shows("burgee_loadtester_tasks_running 2").await;
        check_hook(&served, blocking, (503, "1 tasks are waited for already, no more are taken now")).await;
    };
    tokio::select! {
        answer = first => panic!("{answer:?}"),
        () = second => {}
    }
    served.stop().await;
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn whoever_waits_when_it_stops_is_told_so() {
    let (served, long) = (Served::start(""), long());
    let task = json!({"type": "bash", "cmd": format!("sleep {long}; true")});
    let desk = served.desk.clone();
    let waiting = served.hook("/", task);
    let stopping = async {
        served.shows("burgee_loadtester_tasks_running 1").await;
        desk.runner.end().await;
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(answer, (500, "the load tester is shutting down".to_owned()));
    assert_eq!(living(&long), [""; 0]);
}

#[tokio::test]
async fn with_a_list_only_its_programs_run_and_no_shell() {
    let served = Served::start("-command-allow-list=echo,grep");
    check_hook(&served, json!({"type": "bash", "cmd": "echo a b | grep -c a"}), (200, "")).await;
    for (command, reason) in [
        ("id", "\"id\" is not in -command-allow-list"),
        ("echo a | id", "\"id\" is not in -command-allow-list"),
        ("echo a; id", "';' is for a shell, and -command-allow-list allows no shell"),
        ("echo $(id)", "'$' is for a shell, and -command-allow-list allows no shell"),
        ("hey http://127.0.0.1:1/", "\"hey\" is not in -command-allow-list"),
    ] {
        check_hook(&served, json!({"type": "bash", "cmd": command}), (400, reason)).await;
        check_hook(&served, json!({"cmd": command}), (400, reason)).await;
    }
    let refused = (400, "\"kubectl\" is not in -command-allow-list");
    check_hook(&served, json!({"type": "kubectl", "cmd": "get pods"}), refused).await;
    check_hook(&served, json!({"type": "concord"}), (400, "\"concord\" is not in -command-allow-list")).await;
}

#[tokio::test]
async fn a_proxy_is_left_to_an_installed_hey_or_refused_with_the_reason() {
    let served = Served::start("");
    let (code, text) = served.hook("/", json!({"cmd": "hey -n 1 -c 1 -x 127.0.0.1:1 http://127.0.0.1:1/"})).await;
    let expected = match crate::hey::installed() {
        Some(_) => (202, ""),
        None => (400, "hey: -x (a proxy) needs the binary of hey, which is not installed"),
    };
    assert_eq!((code, text.as_str()), expected);
}

#[tokio::test]
async fn gates_are_answered_while_tasks_run() {
    let (served, long) = (Served::start(""), long());
    for number in 0..20 {
        check_hook(&served, json!({"cmd": format!("sleep {long}; echo {number}")}), (202, "")).await;
    }
    let begun = Instant::now();
    check(&served, ("POST", "/gate/check", CANARY), (403, "Forbidden")).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    served.stop().await;
    assert_eq!(living(&long), [""; 0]);
}
