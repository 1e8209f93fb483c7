//! A good version: the main job from the first apply to the promotion, with its objects, events, weights and requests.
use super::objects::{ARTICLE, AUTOSCALER, SHORT, revision};
use super::stage::Stage;
use super::story::{Told, promotion};
use super::{Group, Test};
use anyhow::{Context, Result, ensure};
use burgee_lab::{Cluster, Counters};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests per second where every single one counts.
const MUCH: u32 = 200;
/// Requests per second for 1,000 in the part of an interval that is looked at, also while pods start.
const MORE: u32 = 300;
/// After a weight event the gateway has so long to follow.
const SETTLING: Duration = Duration::from_secs(2);
/// The gateway may follow the next weight so much before its event arrives.
const EARLY: Duration = Duration::from_secs(1);

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "the_canary_of_the_istio_article_is_initialized_and_promoted_by_the_weights_that_it_tells",
        space: "article",
        group: Group::Loaded,
        limit: Duration::from_mins(5),
        run: article,
    },
    Test {
        name: "no_request_fails_during_a_whole_promotion_without_retries",
        space: "lossless",
        group: Group::Loaded,
        limit: Duration::from_mins(4),
        run: lossless,
    },
];

fn article(stage: &Stage<'_>) -> Result<()> {
    stage.apply(&stage.object(AUTOSCALER)?)?;
    let canary = stage.object(ARTICLE)?;
    stage.initialize(&canary)?;
    check_objects(stage)?;
    stage.until_open()?;
    let load = stage.load(MORE)?;
    let watching = Sampler::start(stage.world().cluster.clone());
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Succeeded", 180)?;
    let samples = watching.stop();
    load.stop()?;
    let weights = [10, 20, 30, 40, 50].map(|weight| format!("Advance podinfo.test canary weight {weight}"));
    let mut steps = vec!["Pre-rollout check acceptance-test passed"];
    steps.extend(weights.iter().map(String::as_str));
    stage.expect_told(&promotion(&steps))?;
    let told = stage.told();
    check_weights(stage.namespace(), &told, &samples)?;
    check_hooks(stage)?;
    check_log(stage)?;
    ensure!(image(stage, "podinfo-primary")? == "lab.local/podinfo:6.0.1", "the primary has another version");
    stage.expect_alerts(&[
        "New Deployment detected, initialization completed.",
        "New revision detected, progressing canary analysis.",
        "Canary analysis completed successfully, promotion finished.",
    ])?;
    target_has(stage, 0)
}

fn lossless(stage: &Stage<'_>) -> Result<()> {
    stage.initialize(&stage.object(SHORT)?)?;
    stage.until_open()?;
    let before = stage.counters()?;
    let load = stage.load(MUCH)?;
    let started = Instant::now();
    stage.patch_target(&revision("6.0.1", &[]))?;
    stage.until_phase("Succeeded", 150)?;
    stage.poll("the target's pods are gone", 60, || {
        Ok(stage.kubectl(&["get", "pods", "-l", "app=podinfo"])?.is_empty())
    })?;
    let lasted = started.elapsed();
    let answers = load.stop()?;
    let counted = stage.counters()?.since(&before);
    ensure!(answers.failed() == 0, "requests failed: {answers:?}");
    let expected = u64::from(MUCH) * lasted.as_secs() / 2;
    ensure!(answers.sent() > expected, "only {} requests in {} s", answers.sent(), lasted.as_secs());
    check_no_retries(stage, &counted)?;
    let canary = counted.requests(stage.namespace(), "podinfo-canary", Some(200));
    ensure!(canary * 10 > answers.sent(), "the canary had {canary} of {} requests", answers.sent());
    Ok(())
}

/// No request was tried again by the gateway.
pub(crate) fn check_no_retries(stage: &Stage<'_>, counted: &Counters) -> Result<()> {
    for service in ["podinfo-primary", "podinfo-canary"] {
        let retries = counted.retries(stage.namespace(), service);
        ensure!(retries == 0, "the gateway tried {retries} requests to {service} again");
    }
    Ok(())
}

/// Waits until the target has so many replicas in its spec.
pub(crate) fn target_has(stage: &Stage<'_>, replicas: u64) -> Result<()> {
    stage.poll(&format!("the target has {replicas} replicas"), 30, || {
        Ok(stage.get("deployment", "podinfo")?["spec"]["replicas"] == replicas)
    })
}

/// The image of a Deployment's first container.
pub(crate) fn image(stage: &Stage<'_>, deployment: &str) -> Result<String> {
    let object = stage.get("deployment", deployment)?;
    let image = object.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str);
    image.map(str::to_owned).with_context(|| format!("{deployment} has no image"))
}

/// The objects of the contract (lifecycle §13), while the target waits for a revision.
fn check_objects(stage: &Stage<'_>) -> Result<()> {
    let canary = stage.get("canary", "podinfo")?;
    let check = |kind: &str, name: &str, expected: &[(&str, Value)]| -> Result<()> {
        let object = stage.get(kind, name)?;
        let owner = &object["metadata"]["ownerReferences"][0];
        let is_owned = owner["uid"] == canary["metadata"]["uid"]
            && owner["kind"] == "Canary"
            && owner["controller"] == true
            && owner["apiVersion"] == "flagger.app/v1beta1";
        ensure!(is_owned, "{kind} {name} is not owned by the canary: {owner}");
        for (path, value) in expected {
            let found = object.pointer(path).unwrap_or(&Value::Null);
            ensure!(found == value, "{kind} {name} {path} is {found}, not {value}");
        }
        Ok(())
    };
    check(
        "deployment",
        "podinfo-primary",
        &[
            ("/spec/selector/matchLabels", json!({"app": "podinfo-primary"})),
            ("/spec/template/metadata/labels", json!({"app": "podinfo-primary"})),
            ("/metadata/labels/app", json!("podinfo-primary")),
            ("/metadata/annotations/team", json!("payments")),
            ("/spec/minReadySeconds", json!(1)),
            ("/spec/progressDeadlineSeconds", json!(60)),
            ("/spec/replicas", json!(2)),
            ("/spec/template/spec/containers/0/image", json!("lab.local/podinfo:6.0.0")),
        ],
    )?;
    for (service, selected) in
        [("podinfo", "podinfo-primary"), ("podinfo-primary", "podinfo-primary"), ("podinfo-canary", "podinfo")]
    {
        check(
            "service",
            service,
            &[
                ("/spec/selector", json!({"app": selected})),
                ("/spec/type", json!("ClusterIP")),
                ("/spec/ports", json!([{"name": "http", "port": 9898, "protocol": "TCP", "targetPort": 9898}])),
                ("/metadata/labels", json!({"app": service})),
                ("/metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile", json!("disabled")),
                ("/metadata/annotations/helm.toolkit.fluxcd.io~1driftDetection", json!("disabled")),
            ],
        )?;
    }
    check(
        "hpa",
        "podinfo-primary",
        &[
            ("/spec/scaleTargetRef/name", json!("podinfo-primary")),
            ("/spec/minReplicas", json!(2)),
            ("/spec/maxReplicas", json!(4)),
            ("/spec/metrics/0/resource/target/averageUtilization", json!(99)),
        ],
    )?;
    check_route(stage, check)?;
    target_has(stage, 0)
}

fn check_route(stage: &Stage<'_>, check: impl Fn(&str, &str, &[(&str, Value)]) -> Result<()>) -> Result<()> {
    for rule in ["podinfo-primary", "podinfo-canary"] {
        let policy = json!({"tls": {"mode": "DISABLE"}});
        check("destinationrule", rule, &[("/spec/host", json!(rule)), ("/spec/trafficPolicy", policy)])?;
    }
    check(
        "virtualservice",
        "podinfo",
        &[
            ("/spec/hosts", json!([stage.host(), "podinfo"])),
            ("/spec/gateways", json!(["istio-system/public-gateway"])),
            ("/spec/http/0/retries/attempts", json!(3)),
            ("/spec/http/0/retries/perTryTimeout", json!("1s")),
            ("/spec/http/0/retries/retryOn", json!("gateway-error,connect-failure,refused-stream")),
            ("/spec/http/0/route/0/destination/host", json!("podinfo-primary")),
            ("/spec/http/0/route/0/weight", json!(100)),
            ("/spec/http/0/route/1/destination/host", json!("podinfo-canary")),
            ("/spec/http/0/route/1/weight", json!(0)),
            ("/metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile", json!("disabled")),
        ],
    )
}

/// Each hook was asked when it had to be, with the contract's payload.
fn check_hooks(stage: &Stage<'_>) -> Result<()> {
    let (acceptance, load_test) = (stage.calls("acceptance-test"), stage.calls("load-test"));
    ensure!(acceptance.len() == 1, "the acceptance test was asked {} times", acceptance.len());
    ensure!(load_test.len() == 5, "the load test was asked {} times in 5 checks", load_test.len());
    for call in acceptance.iter().chain(&load_test) {
        let body = &call.body;
        let checksum = body["checksum"].as_str().unwrap_or_default();
        let is_right = body["name"] == "podinfo"
            && body["namespace"] == stage.namespace()
            && body["phase"] == "Progressing"
            && !checksum.is_empty()
            && body["metadata"]["cmd"].is_string();
        ensure!(is_right, "the payload is {body}");
    }
    Ok(())
}

/// The operator's log and the API server's events tell the same as the event webhook.
fn check_log(stage: &Stage<'_>) -> Result<()> {
    let told: Vec<String> = stage.told().into_iter().map(|told| told.text).collect();
    ensure!(!told.is_empty(), "nothing was told");
    let title = format!("podinfo.{}", stage.namespace());
    let lines = stage.world().feed.lines(|line| line["canary"] == title.as_str());
    let logged = lines.iter().filter_map(|line| line["msg"].as_str());
    let logged: Vec<String> = logged.map(|text| super::story::neutral(text, stage.namespace())).collect();
    let mut rest = logged.iter();
    for text in &told {
        ensure!(rest.any(|line| line == text), "the log has {text:?} not, or not in its place: {logged:#?}");
    }
    let list = stage.list("events")?;
    let events = list["items"].as_array().into_iter().flatten();
    let events: Vec<&Value> = events.filter(|event| event["involvedObject"]["kind"] == "Canary").collect();
    let odd = events.iter().find(|event| event["reason"] != "Synced" || event["source"]["component"] != "flagger");
    ensure!(odd.is_none(), "an event looks wrong: {odd:?}");
    let message =
        |event: &&Value| super::story::neutral(event["message"].as_str().unwrap_or_default(), stage.namespace());
    let [mut kept, mut told] = [events.iter().map(message).collect(), told];
    for texts in [&mut kept, &mut told] {
        texts.sort();
        texts.dedup();
    }
    ensure!(kept == told, "the API server keeps {kept:#?}, the event webhook got {told:#?}");
    Ok(())
}

/// The weights as Envoy saw them: from 2 s after each weight event to the next one.
fn check_weights(namespace: &str, told: &[Told], samples: &[Sample]) -> Result<()> {
    let steps = ["Advance podinfo.test canary weight ", "Copying "];
    let steps: Vec<&Told> = told.iter().filter(|told| steps.iter().any(|step| told.text.starts_with(step))).collect();
    ensure!(steps.len() == 6, "there are {} steps", steps.len());
    for pair in steps.windows(2) {
        let weight: f64 = pair[0].text.rsplit(' ').next().unwrap_or_default().parse().context("a weight")?;
        let first = samples.iter().find(|sample| sample.begun >= pair[0].at + SETTLING);
        let last = samples.iter().rev().find(|sample| sample.done + EARLY <= pair[1].at);
        let (first, last) = first.zip(last).with_context(|| format!("no samples at weight {weight}"))?;
        let counted = last.counters.since(&first.counters);
        let [canary, primary] =
            ["podinfo-canary", "podinfo-primary"].map(|service| counted.requests(namespace, service, None));
        let all = canary + primary;
        ensure!(all >= 1000, "only {all} requests at weight {weight}");
        #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
        let share = canary as f64 * 100.0 / all as f64;
        ensure!((share - weight).abs() <= 5.0, "Envoy sent {share:.1}% of {all} requests at weight {weight}");
    }
    Ok(())
}

/// The gateway's counters at one moment.
struct Sample {
    begun: Instant,
    done: Instant,
    counters: Counters,
}

/// Reads the gateway's counters twice a second.
struct Sampler {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    fn start(cluster: Cluster) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if let Ok(counters) = Counters::read(&cluster) {
                    samples.push(Sample { begun, done: Instant::now(), counters });
                }
                std::thread::sleep(Duration::from_millis(500));
            }
            samples
        });
        Self { ended, thread }
    }

    fn stop(self) -> Vec<Sample> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
