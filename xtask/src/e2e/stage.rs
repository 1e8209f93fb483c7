//! One test's part of the cluster: its namespace, its host, its hooks, and what was told about its canary. It knows no
//! particular test.
use super::feed::Feed;
use super::objects;
use super::receiver::{Answer, Received, Receiver};
use super::release::Release;
use super::story::{self, Told};
use super::visitors::Visitor;
use anyhow::{Context, Result, bail, ensure};
use burgee_lab::{Cluster, Counters, Gateway, Lab, Load, Request, wait_if_interrupted};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Label of every namespace that the tests make.
pub(crate) const OWN: &str = "app.kubernetes.io/managed-by=burgee-e2e";

/// What all tests share.
pub(crate) struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// The lab that runs it; a cluster that existed before has none.
    pub lab: Option<Lab>,
    /// The operator's release in a cluster that existed before; put back when dropped.
    pub release: Option<Release>,
    /// The program that is tested; on a cluster that existed before it is known only if the command line names it.
    pub binary: PathBuf,
    /// Where requests reach its gateway.
    pub gateway: Gateway,
    /// What the cluster tells.
    pub feed: Feed,
    /// Where the operator sends events, alerts and the tests' hooks.
    pub receiver: Receiver,
}

impl World {
    /// The lab's name; empty for a cluster that existed before.
    pub(crate) fn name(&self) -> String {
        self.lab.as_ref().map(|lab| lab.name().to_owned()).unwrap_or_default()
    }
}

/// One test's part of the cluster.
pub(crate) struct Stage<'a> {
    world: &'a World,
    namespace: String,
    deadline: Instant,
}

/// A second canary's part of the cluster; it goes when dropped.
pub(crate) struct Beside<'a>(Stage<'a>);

/// Opens a part of the cluster for one more canary of a test.
///
/// # Errors
/// When the API server refuses it.
pub(crate) fn beside<'a>(stage: &'a Stage<'_>, space: &str) -> Result<Beside<'a>> {
    let stage = Stage { deadline: stage.deadline, ..Stage::open(stage.world, space, Duration::ZERO)? };
    Ok(Beside(stage))
}

impl<'a> Deref for Beside<'a> {
    type Target = Stage<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            println!("namespace {} stays: {error:#}", self.0.namespace());
        }
    }
}

impl<'a> Stage<'a> {
    /// Makes the namespace; one that an earlier run left goes first.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(crate) fn open(world: &'a World, namespace: &str, limit: Duration) -> Result<Self> {
        let stage = Self { world, namespace: namespace.to_owned(), deadline: Instant::now() + limit };
        world.cluster.kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--timeout=60s"])?;
        wait_if_interrupted();
        let (label, owner) = OWN.split_once('=').context("a label has a value")?;
        let metadata = json!({
            "name": namespace,
            "labels": {"istio-injection": "enabled", label: owner},
            "annotations": {"burgee.flagger.app/hosts": stage.host()},
        });
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        world.cluster.feed(&["create", "-f", "-"], &object.to_string())?;
        Ok(stage)
    }

    /// Removes the namespace, without waiting for its end.
    pub(crate) fn close(&self) -> Result<()> {
        let arguments = ["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"];
        self.world.cluster.kubectl(&arguments).map(drop)
    }

    /// What all tests share.
    pub(crate) fn world(&self) -> &World {
        self.world
    }

    /// The lab, for a test that stops or kills parts of it.
    ///
    /// # Errors
    /// When the test runs on a cluster that existed before.
    pub(crate) fn lab(&self) -> Result<&'a Lab> {
        self.world.lab.as_ref().context("this test needs a lab of its own")
    }

    /// When its time is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Prints a figure of the test below its lab's others.
    pub(crate) fn note(&self, text: &str) {
        println!("       {}: {text}", self.namespace);
    }

    /// The host under which the gateway knows the canary.
    pub(crate) fn host(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// A client of the canary's host that was never there before.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::of(&self.world.gateway, &self.host())
    }

    /// Runs kubectl in the namespace.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let own = ["--request-timeout=30s", "-n", &self.namespace];
        self.world.cluster.kubectl(&[&own, arguments].concat())
    }

    /// One object.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", kind, name, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("parse {kind} {name}"))
    }

    /// All objects of a kind, as a list.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn list(&self, kind: &str) -> Result<Value> {
        let text = self.kubectl(&["get", kind, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("parse the list of {kind}"))
    }

    /// An object of the tests, with `$host`, `$hooks` and `$namespace` filled in.
    ///
    /// # Errors
    /// When the text is no YAML.
    pub(crate) fn object(&self, text: &str) -> Result<Value> {
        let text = text.replace("$host", &self.host()).replace("$namespace", &self.namespace);
        objects::parse(&text.replace("$hooks", &self.world.receiver.url(&self.hook(""))))
    }

    /// Applies an object, as `kubectl apply` does.
    ///
    /// # Errors
    /// With kubectl's own message, which holds the API server's.
    pub(crate) fn apply(&self, object: &Value) -> Result<()> {
        self.world.cluster.feed(&["-n", &self.namespace, "apply", "-f", "-"], &object.to_string())
    }

    /// Creates an object, as `kubectl create` does: what was written is noted nowhere.
    ///
    /// # Errors
    /// With kubectl's own message, which holds the API server's.
    pub(crate) fn create(&self, object: &Value) -> Result<()> {
        self.world.cluster.feed(&["-n", &self.namespace, "create", "-f", "-"], &object.to_string())
    }

    /// Patches podinfo's Deployment.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn patch_target(&self, patch: &Value) -> Result<()> {
        self.patch("deployment/podinfo", patch)
    }

    /// Merges a patch into an object, such as `canary/podinfo`.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn patch(&self, object: &str, patch: &Value) -> Result<()> {
        self.kubectl(&["patch", object, "--type=merge", "-p", &patch.to_string()]).map(drop)
    }

    /// Gives podinfo another version and changes nothing else of it: a new revision.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn release(&self, kind: &str, version: &str) -> Result<()> {
        let image = format!("podinfod=lab.local/podinfo:{version}");
        self.kubectl(&["set", "image", &format!("{kind}/podinfo"), &image]).map(drop)
    }

    /// Applies podinfo and a Canary, and waits until it is initialized.
    ///
    /// # Errors
    /// When it is not within a minute and a half.
    pub(crate) fn initialize(&self, canary: &Value) -> Result<()> {
        self.initialize_on(&self.object(objects::DEPLOYMENT)?, canary)
    }

    /// Applies a target and a Canary, and waits until it is initialized.
    ///
    /// # Errors
    /// When it is not within a minute and a half.
    pub(crate) fn initialize_on(&self, target: &Value, canary: &Value) -> Result<()> {
        self.apply(target)?;
        self.apply(canary)?;
        self.until_phase("Initialized", 90)
    }

    /// The canary as last seen; null before it was.
    pub(crate) fn canary(&self) -> Value {
        self.world.feed.canary(&self.namespace, "podinfo").unwrap_or_default()
    }

    /// The canary by the API server.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(crate) fn canary_now(&self) -> Result<Value> {
        self.get("canaries.flagger.app", "podinfo")
    }

    /// Waits until `ready` says yes, at most so long, and never beyond the test's own deadline. It looks whenever the
    /// cluster or the operator tells something, so it should not ask the API server.
    ///
    /// # Errors
    /// When the time is over.
    pub(crate) fn until(&self, what: &str, limit_seconds: u64, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = self.deadline.min(Instant::now() + Duration::from_secs(limit_seconds));
        while !ready()? {
            ensure!(Instant::now() < deadline, "{what} did not happen within {limit_seconds} s");
            self.world.feed.wait(Duration::from_millis(250));
        }
        Ok(())
    }

    /// Waits like [`Stage::until`], asking the API server once a second; failing to ask counts as not yet.
    ///
    /// # Errors
    /// When the time is over, with the last failure.
    pub(crate) fn poll(&self, what: &str, limit_seconds: u64, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = self.deadline.min(Instant::now() + Duration::from_secs(limit_seconds));
        loop {
            match ready() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() > deadline => bail!("{what} did not happen within {limit_seconds} s"),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{what} did not happen within {limit_seconds} s")));
                }
                Ok(false) | Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    /// Looks on for so long; a thing that must not happen can only be proven so.
    ///
    /// # Errors
    /// When it happens.
    pub(crate) fn never(&self, what: &str, seconds: u64, mut happens: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            ensure!(!happens(), "{what}");
            self.world.feed.wait(Duration::from_millis(250));
        }
        Ok(())
    }

    /// Waits for a phase.
    ///
    /// # Errors
    /// When the time is over, with the phase that it is in.
    pub(crate) fn until_phase(&self, phase: &str, limit_seconds: u64) -> Result<()> {
        let waited = self.until(&format!("phase {phase}"), limit_seconds, || Ok(self.phase() == phase));
        waited.with_context(|| format!("the canary is {}", self.phase()))
    }

    /// Waits for the end of a run that promotes, and until that is told.
    ///
    /// # Errors
    /// When the time is over, with the phase that it is in.
    pub(crate) fn until_promoted(&self, limit_seconds: u64) -> Result<()> {
        self.until_phase("Succeeded", limit_seconds)?;
        self.until_told("Promotion completed! *", 10).map(drop)
    }

    /// The canary's phase; empty before it has one.
    pub(crate) fn phase(&self) -> String {
        self.canary()["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for an event whose text is the pattern's, in which `*` stands for any text, and returns the first one.
    ///
    /// # Errors
    /// When the time is over.
    pub(crate) fn until_told(&self, pattern: &str, limit_seconds: u64) -> Result<Told> {
        let mut found = None;
        self.until(&format!("event {pattern:?}"), limit_seconds, || {
            found = self.told().into_iter().find(|told| story::matches(&told.text, pattern));
            Ok(found.is_some())
        })?;
        found.context("the event is gone")
    }

    /// The canary's events so far, in the order in which they arrived.
    pub(crate) fn told(&self) -> Vec<Told> {
        let own =
            |request: &Received| request.path == "/events" && request.body["namespace"] == self.namespace.as_str();
        let received = self.world.receiver.received(own);
        received.iter().map(|request| Told::read(&request.body, &self.namespace, request.at)).collect()
    }

    /// Waits until the events, without those of waiting, are the expected ones. A `*` stands for any text.
    ///
    /// # Errors
    /// With both, side by side, if they are others after ten seconds.
    pub(crate) fn expect_told(&self, expected: &[&str]) -> Result<()> {
        // The event webhook is called beside the run, so its last call may come after the phase that it speaks of.
        let _ = self.until("the last event arrives", 10, || Ok(story::expect(&self.told(), expected).is_ok()));
        story::expect(&self.told(), expected)
    }

    /// How often an event with a text like this arrived.
    pub(crate) fn times_told(&self, pattern: &str) -> usize {
        self.told().iter().filter(|told| story::matches(&told.text, pattern)).count()
    }

    /// The texts of the canary's alerts that the chat has got, in order.
    pub(crate) fn alerts(&self) -> Vec<String> {
        let author = format!("podinfo.{}", self.namespace);
        let own = |request: &Received| request.body["attachments"][0]["author_name"] == author.as_str();
        let text = |request: &Received| request.body["attachments"][0]["text"].as_str().unwrap_or_default().to_owned();
        self.world
            .receiver
            .received(own)
            .iter()
            .map(|request| story::neutral(&text(request), &self.namespace))
            .collect()
    }

    /// Waits for as many alerts as are expected, and compares them. A `*` stands for any text.
    ///
    /// # Errors
    /// With the alerts that arrived.
    pub(crate) fn expect_alerts(&self, expected: &[&str]) -> Result<()> {
        // What comes too late or too little shows in the comparison.
        let _ = self.until("the last alert arrives", 10, || Ok(self.alerts().len() >= expected.len()));
        let alerts = self.alerts();
        let pairs = alerts.iter().zip(expected);
        let are_same = alerts.len() == expected.len() && pairs.into_iter().all(|(text, one)| story::matches(text, one));
        ensure!(are_same, "alerts are {alerts:?}, not {expected:?}");
        Ok(())
    }

    /// Path of a hook of this test.
    fn hook(&self, name: &str) -> String {
        let path = format!("/hook/{}", self.namespace);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }

    /// URL of a hook of this test.
    pub(crate) fn hook_url(&self, name: &str) -> String {
        self.world.receiver.url(&self.hook(name))
    }

    /// As much as is shown of the address of any hook: scheme, host and port.
    pub(crate) fn hooks_at(&self) -> String {
        self.world.receiver.url("")
    }

    /// From now on a hook of this test answers so.
    pub(crate) fn answer(&self, hook: &str, answer: Answer) {
        self.world.receiver.answer(&self.hook(hook), answer);
    }

    /// The requests that a hook of this test has got.
    pub(crate) fn calls(&self, hook: &str) -> Vec<Received> {
        let path = self.hook(hook);
        self.world.receiver.received(|request| request.path == path)
    }

    /// Begins to send requests through the gateway; it ends when the value is dropped.
    ///
    /// # Errors
    /// When hey cannot be started.
    pub(crate) fn load(&self, per_second: u32) -> Result<Load> {
        self.load_with(None, per_second)
    }

    /// Begins to send requests with one more header, such as `x-canary: insider`.
    ///
    /// # Errors
    /// When hey cannot be started.
    pub(crate) fn load_with(&self, header: Option<&str>, per_second: u32) -> Result<Load> {
        let lasting = self.deadline.saturating_duration_since(Instant::now());
        let (gateway, host) = (&self.world.gateway, self.host());
        Load::begin(&self.world.cluster, &Request { gateway, host: &host, header, per_second, lasting })
    }

    /// Waits until the gateway answers for the host with 200.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub(crate) fn until_open(&self) -> Result<()> {
        let (gateway, host) = (&self.world.gateway, self.host());
        self.poll("the route is open", 30, || {
            let lasting = Duration::from_secs(1);
            let request = Request { gateway, host: &host, header: None, per_second: 5, lasting };
            let answers = Load::begin(&self.world.cluster, &request)?.finish()?;
            Ok(answers.sent() > 0 && answers.failed() == 0)
        })
    }

    /// The gateway's counters.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub(crate) fn counters(&self) -> Result<Counters> {
        Counters::read(&self.world.cluster)
    }

    /// The value of one of the operator's metrics for this canary.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub(crate) fn metric(&self, name: &str) -> Result<Option<f64>> {
        self.metric_with(name, "")
    }

    /// The same of the series with this label, such as `reason="refused"`.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub(crate) fn metric_with(&self, name: &str, label: &str) -> Result<Option<f64>> {
        let path = "/api/v1/namespaces/istio-system/pods";
        let list = ["get", "pods", "-n", "istio-system", "-l", "app.kubernetes.io/name=flagger", "-o", "name"];
        let pods = self.world.cluster.kubectl(&list)?;
        let pod = pods.lines().next().and_then(|line| line.strip_prefix("pod/")).context("no operator runs")?;
        let text = self.world.cluster.kubectl(&["get", "--raw", &format!("{path}/{pod}:8080/proxy/metrics")])?;
        let own = format!("namespace=\"{}\"", self.namespace);
        let is_wanted =
            |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(&own) && line.contains(label);
        let mut lines = text.lines().filter(is_wanted);
        lines
            .next()
            .and_then(|line| line.rsplit(' ').next())
            .map(|value| value.parse().context("no number"))
            .transpose()
    }

    /// Everything that helps to understand a failure.
    pub(crate) fn report(&self) -> String {
        let mut text = String::from("  events:\n");
        let told = self.told();
        let start = told.first().map_or_else(Instant::now, |told| told.at);
        for Told { text: message, kind, phase, at } in &told {
            let _ = writeln!(text, "    {:6.1} s {phase:17} {kind:8} {message}", (*at - start).as_secs_f64());
        }
        let _ = writeln!(text, "  alerts: {:?}", self.alerts());
        let own = format!(".{}", self.namespace);
        let lines = self.world.feed.lines(|line| line["canary"].as_str().is_some_and(|title| title.ends_with(&own)));
        text.push_str("  the operator's last lines about it:\n");
        for line in lines.iter().rev().take(15).rev() {
            let _ = writeln!(text, "    {line}");
        }
        let mut canary = self.canary();
        objects::set(&mut canary, "/metadata/managedFields", Value::Null);
        objects::set(&mut canary, "/metadata/annotations", json!({}));
        let _ = writeln!(text, "  canary:\n{}", yaml_serde::to_string(&canary).unwrap_or_default());
        let pods = self.kubectl(&["get", "pods,deployments,daemonsets,virtualservices", "-o", "wide"]);
        let _ = writeln!(text, "{}", pods.unwrap_or_default());
        text
    }
}
