//! Jobs against a fake API server over real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee_apiserver::{Answer, ApiServer, Fault, Requests, Seen, Times, Verb};
use serde_json::json;

use super::*;
use crate::payload::Payload;
use crate::testing::Served;

const PATH: &str = "/apis/batch/v1/namespaces/test/jobs/migrate";
const SPEC: &str = "
template:
  spec:
    containers:
      - name: migrate
        image: example.com/migrate:1
";
const MINUTE: Duration = Duration::from_mins(1);

fn payload(spec: &str, checksum: &str) -> Payload {
    let metadata = [("type", "job"), ("jobName", "migrate"), ("jobSpec", spec)];
    let metadata: BTreeMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let text = str::to_owned;
    Payload { name: text("podinfo"), namespace: text("test"), checksum: text(checksum), metadata }
}

fn wanted(checksum: &str) -> Wanted {
    Wanted::of(&payload(SPEC, checksum)).unwrap()
}

/// The log of any pod of the Job, and everything else as the server would.
fn logs(seen: &Seen) -> Option<Answer> {
    let is_log = seen.address.as_ref().is_some_and(|address| address.subresource.as_deref() == Some("log"));
    is_log.then(|| Answer::text(200, "line 1\nline 2\n"))
}

struct Case {
    server: ApiServer,
    jobs: Arc<Jobs>,
}

impl Case {
    async fn new() -> Self {
        let server = ApiServer::start_with(logs).await.unwrap();
        let client = connect(kube::Config::new(server.url().parse().unwrap())).unwrap();
        Self { server, jobs: Arc::new(Jobs::with(client, Duration::from_millis(10))) }
    }

    /// What is answered for a revision of the canary, while the Job ends so as soon as it is that of this revision.
    async fn runs(&self, checksum: &str, condition: &str) -> Result<String, String> {
        let wanted = wanted(checksum);
        let run = self.jobs.run(&wanted, MINUTE);
        let (answer, ()) = tokio::join!(run, self.end(&wanted, condition));
        answer
    }

    /// Ends the Job of a revision as its controller would, once it is there.
    async fn end(&self, wanted: &Wanted, condition: &str) {
        loop {
            if let Some(mut job) = self.server.object(PATH)
                && job["metadata"]["annotations"][REVISION] == wanted.revision
            {
                job["status"] = json!({"conditions": [
                    {"type": "Suspended", "status": "False"},
                    {"type": condition, "status": "True", "message": "because"},
                ]});
                self.server.put(job);
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn pod(&self) {
        self.server.put(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "migrate-x", "namespace": "test"},
            "spec": {"containers": [{"name": "migrate"}]},
        }));
    }

    fn created(&self) -> usize {
        self.server.count(&Requests::of(Verb::Create, "jobs"))
    }
}

#[tokio::test]
async fn a_job_is_created_waited_for_and_shown_with_the_end_of_its_log() {
    let case = Case::new().await;
    case.pod();
    let answer = case.runs("1", "Complete").await;
    assert_eq!(answer, Ok("job migrate.test completed\nline 1\nline 2\n".to_owned()));
    let job = case.server.object(PATH).unwrap();
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 60);
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/managed-by"], "burgee-loadtester");
}

#[tokio::test]
async fn a_job_that_fails_is_told_with_its_reason_and_runs_again_when_it_is_asked_for_again() {
    let case = Case::new().await;
    case.pod();
    let failed = Err("job migrate.test failed: because\nline 1\nline 2\n".to_owned());
    assert_eq!(case.runs("1", "Failed").await, failed);
    assert_eq!(case.created(), 1);
    let wanted = wanted("1");
    let run = case.jobs.run(&wanted, MINUTE);
    let mends = async {
        case.server.asked(&Requests::of(Verb::Create, "jobs"), 2).await;
        case.end(&wanted, "Complete").await;
    };
    let (answer, ()) = tokio::join!(run, mends);
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn a_failure_that_nobody_waited_for_is_told_to_the_next_who_asks() {
    let case = Case::new().await;
    let wanted = wanted("1");
    let gone = case.jobs.run(&wanted, Duration::from_secs(1)).await;
    let late = "job migrate.test did not end in 1000 ms; whoever asks again waits for it again";
    assert_eq!(gone, Err(late.to_owned()));
    case.end(&wanted, "Failed").await;
    let answer = case.jobs.run(&wanted, MINUTE).await;
    assert_eq!(answer, Err("job migrate.test failed: because\nit has no pod any more".to_owned()));
    assert_eq!(case.created(), 1);
}

#[tokio::test]
async fn a_job_of_the_same_revision_is_joined_or_answered_at_once() {
    let case = Case::new().await;
    let (first, second) = tokio::join!(case.runs("1", "Complete"), case.runs("1", "Complete"));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    let job = case.server.object(PATH);
    assert!(case.jobs.run(&wanted("1"), MINUTE).await.is_ok());
    assert_eq!(case.server.object(PATH), job);
    assert_eq!(case.server.count(&Requests::of(Verb::Delete, "jobs")), 0);
}

#[tokio::test]
async fn a_job_of_an_earlier_revision_is_replaced_when_its_pods_have_gone() {
    let case = Case::new().await;
    case.runs("1", "Complete").await.unwrap();
    let mut job = case.server.object(PATH).unwrap();
    job["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    case.server.put(job);
    let wanted = wanted("2");
    let run = case.jobs.run(&wanted, MINUTE);
    let cluster = async {
        let deletes = Requests::of(Verb::Delete, "jobs");
        case.server.asked(&deletes, 1).await;
        let looks = Requests::of(Verb::Get, "jobs");
        case.server.asked(&looks, case.server.count(&looks) + 3).await;
        assert_eq!((case.created(), case.server.count(&deletes)), (1, 1), "it is waited for until its pods have gone");
        let mut job = case.server.object(PATH).unwrap();
        job["metadata"]["finalizers"] = json!([]);
        case.server.put(job);
        case.server.remove(PATH);
        case.end(&wanted, "Complete").await;
    };
    let (answer, ()) = tokio::join!(run, cluster);
    assert!(answer.is_ok(), "{answer:?}");
    let deletes: Vec<Seen> = case.server.seen().into_iter().filter(|seen| seen.verb == Verb::Delete).collect();
    assert_eq!(deletes[0].body["propagationPolicy"], "Foreground");
    assert!(deletes[0].body["preconditions"]["uid"].is_string());
}

#[tokio::test]
async fn a_job_that_somebody_else_made_is_left_alone() {
    let case = Case::new().await;
    let foreign = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "test"},
    });
    let foreign = case.server.put(foreign);
    let expected = "job migrate.test: there is one that run-job has not made; it is left alone";
    assert_eq!(case.jobs.run(&wanted("1"), MINUTE).await, Err(expected.to_owned()));
    assert_eq!(case.server.object(PATH), Some(foreign));
}

#[tokio::test]
async fn a_job_of_another_canary_is_left_alone() {
    let case = Case::new().await;
    case.runs("1", "Complete").await.unwrap();
    let other = Payload { name: "backend".to_owned(), ..payload(SPEC, "2") };
    let refused = case.jobs.run(&Wanted::of(&other).unwrap(), MINUTE).await.unwrap_err();
    assert_eq!(refused, "job migrate.test: there is one of canary \"podinfo\", give it another jobName");
    assert_eq!(case.created(), 1);
    case.runs("2", "Complete").await.unwrap();
    assert_eq!(case.created(), 2, "a revision of its own canary replaces it");
}

#[tokio::test]
async fn trouble_of_the_api_server_is_waited_out_and_a_refusal_is_told() {
    let case = Case::new().await;
    case.server.trouble(Requests::of(Verb::Get, "jobs"), Fault::Refuse(503), Times::Next(2));
    case.server.trouble(Requests::of(Verb::Create, "jobs"), Fault::Cut, Times::Next(1));
    let answer = case.runs("1", "Complete").await;
    assert!(answer.is_ok(), "{answer:?}");
    case.server.trouble(Requests::about("jobs"), Fault::Refuse(403), Times::Always);
    let answer = case.jobs.run(&wanted("2"), MINUTE).await;
    assert!(answer.as_ref().is_err_and(|text| text.starts_with("job migrate.test: ")), "{answer:?}");
}

#[tokio::test]
async fn a_hook_runs_a_job_by_path_or_by_type_where_that_is_enabled() {
    let case = Case::new().await;
    let client = case.jobs.client.clone();
    let jobs = Jobs::with(client, Duration::from_millis(10));
    let served = Served::with("-enable-run-job -namespace-regexp=^test$", Some(jobs));
    let metadata = json!({"jobName": "migrate", "jobSpec": SPEC});
    let wanted = wanted("");
    let (answer, ()) = tokio::join!(served.hook("/run-job", metadata.clone()), case.end(&wanted, "Complete"));
    assert_eq!(answer.0, 200, "{answer:?}");
    let typed = json!({"type": "job", "jobName": "migrate", "jobSpec": SPEC});
    assert_eq!(served.hook("/", typed).await.0, 200);
    assert_eq!(served.hook("/run-job", json!({"a": "b"})).await, (400, "jobName not found in metadata".to_owned()));
    let elsewhere = json!({"name": "podinfo", "namespace": "prod", "metadata": metadata}).to_string();
    assert_eq!(served.send("POST", "/run-job", &elsewhere).await, (403, "Forbidden".to_owned()));
    served.shows("burgee_loadtester_tasks_total{outcome=\"succeeded\",type=\"job\"} 2").await;
}

#[test]
fn a_job_is_read_as_base64_or_yaml_whole_or_as_its_spec() {
    let whole = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: other\n  labels: {{a: b}}\nspec:{}",
        SPEC.replace('\n', "\n  ")
    );
    let spec = Wanted::of(&payload(SPEC, "1")).unwrap();
    for written in [whole.clone(), base64_of(SPEC), base64_of(&whole)] {
        let wanted = Wanted::of(&payload(&written, "1")).unwrap();
        assert_eq!((&wanted.revision, wanted.path().as_str()), (&spec.revision, PATH), "{written}");
    }
    assert_eq!(Wanted::of(&payload(&whole, "1")).unwrap().object(MINUTE)["metadata"]["labels"]["a"], "b");
    assert_ne!(Wanted::of(&payload(SPEC, "2")).unwrap().revision, spec.revision);
    assert_ne!(Wanted::of(&payload(&SPEC.replace(":1", ":2"), "1")).unwrap().revision, spec.revision);
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_job_is_small_with_all_its_aliases() {
    let aliases = format!("{SPEC}    restartPolicy: &policy Never\n    schedulerName: *policy\n");
    assert!(Wanted::of(&payload(&aliases, "1")).is_ok());
    let reason = "it is longer than 4 MiB with its aliases";
    let check = |anchored: &str, times: usize| {
        let bomb = format!("a: &a {anchored}\nb: [{}]\ntemplate: {{}}", vec!["*a"; times].join(","));
        let refused = Wanted::of(&payload(&bomb, "1")).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    };
    check(&format!("[{}]", vec!["1"; 8000].join(",")), 3000);
    check(&format!("{{? {} : 1}}", "x".repeat(60_000)), 20_000);
    check(&"x".repeat(60_000), 20_000);
}

#[test]
fn what_is_no_job_of_the_canary_is_refused_with_the_reason() {
    let check = |spec: &str, expected: &str| {
        assert_eq!(Wanted::of(&payload(spec, "1")).unwrap_err(), expected, "{spec}");
    };
    let kind = "jobSpec is of another kind than Job of batch/v1";
    check("apiVersion: v1\nkind: Pod\nspec: {template: {}}", kind);
    check("apiVersion: batch/v1\nkind: CronJob\nspec: {template: {}}", kind);
    check("kind: Job\nspec: {template: {}}", kind);
    check("{backoffLimit: 1}", "jobSpec has no template");
    check("[]", "jobSpec is neither a Job nor the spec of one");
    let elsewhere = "apiVersion: batch/v1\nkind: Job\nmetadata: {namespace: kube-system}\nspec: {template: {}}";
    check(elsewhere, "the Job is for namespace \"kube-system\", and its canary is in \"test\"");
    let mut payload = payload(SPEC, "1");
    payload.namespace = "../kube-system".to_owned();
    assert_eq!(Wanted::of(&payload).unwrap_err(), "namespace \"../kube-system\" of the canary is no name");
    payload.namespace = "test".to_owned();
    payload.metadata.insert("jobName".to_owned(), "a/b".to_owned());
    assert!(Wanted::of(&payload).is_err_and(|reason| reason.starts_with("jobName \"a/b\" is not made of")));
}
