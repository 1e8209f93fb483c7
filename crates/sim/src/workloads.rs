//! What becomes of Deployments and DaemonSets: a controller notices a change after a while, pods get ready some seconds
//! after they are made, or never, or crash again and again, and nodes fail. It knows no canary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_core::digest::digest;
use burgee_core::world::{Kind, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::knative::Knative;

/// The node selector that no node matches.
const MARK: &str = "flagger.app/scale-to-zero";

/// How pods and their controllers behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Seconds from a pod's making to its readiness.
    pub ready_after_seconds: i64,
    /// Seconds after which a controller notices that a spec has changed.
    pub notice_after_seconds: i64,
    /// New pods of the workloads of these names never get ready if their template mentions this text.
    pub stuck: BTreeSet<(String, String)>,
    /// No pod of the workloads of these names is ready before this time.
    pub outages: BTreeMap<String, Timestamp>,
    /// So many pods of the workloads of these names, the newest, crash again and again until this time, or for good: they
    /// are not ready.
    pub crashing: BTreeMap<String, (usize, Option<Timestamp>)>,
    /// No pod of the workloads of these names can be made, as a quota would have it.
    pub refused: BTreeSet<String>,
    /// Nodes on which DaemonSets have pods.
    pub nodes: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready_after_seconds: 3,
            notice_after_seconds: 0,
            stuck: BTreeSet::new(),
            outages: BTreeMap::new(),
            crashing: BTreeMap::new(),
            refused: BTreeSet::new(),
            nodes: 2,
        }
    }
}

impl Behaviour {
    /// Whether new pods of this workload, with a template of this text, never get ready.
    pub(crate) fn is_stuck(&self, name: &str, template: &str) -> bool {
        let mut mentions = self.stuck.iter().filter(|(stuck, _)| stuck == name);
        mentions.any(|(_, mention)| template.contains(mention.as_str()))
    }

    /// Which pods of a workload are ready now.
    fn ready(&self, name: &str, pods: &[Pod], now: Timestamp) -> Vec<bool> {
        let is_out = self.outages.get(name).is_some_and(|until| *until > now);
        let crashing = self.crashing.get(name).filter(|(_, until)| until.is_none_or(|until| until > now));
        let whole = pods.len().saturating_sub(crashing.map_or(0, |(pods, _)| *pods));
        pods.iter().enumerate().map(|(place, pod)| !is_out && place < whole && is_ready(pod, now)).collect()
    }
}

#[derive(Clone, Debug)]
struct Pod {
    template: Arc<str>,
    ready_at: Option<Timestamp>,
}

/// One workload as its controller knows it.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The object as last looked at.
    seen: Option<Arc<Value>>,
    uid: String,
    generation: i64,
    /// The template that is wanted, as text, and the generation that it is of.
    wanted: (i64, String),
    template: Arc<str>,
    /// When the controller notices the generation that it has not acted on.
    notices: Option<Timestamp>,
    pods: Vec<Pod>,
    unavailable_since: Option<Timestamp>,
    /// The template whose rolling update is complete, or when the one under way is given up if it gets on no further.
    complete: Option<Arc<str>>,
    gives_up: Option<Timestamp>,
    /// How far it has got: updated pods, ready ones, and old ones that are gone.
    progress: (usize, usize, usize),
    ready: usize,
    /// The object to which a state was reported last, and the state.
    reported: Option<(Arc<Value>, State)>,
}

/// What a reported status is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    generation: i64,
    wanted: usize,
    pods: usize,
    updated: usize,
    ready: usize,
    /// Only of a Deployment: since when it is not available, and how its update gets on.
    unavailable_since: Option<Timestamp>,
    progress: Option<(&'static str, &'static str)>,
    is_refused: bool,
}

/// The pods of all workloads.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// How pods behave from now on.
    pub behaviour: Behaviour,
    known: BTreeMap<ObjectKey, Known>,
    settled: Option<(u64, Timestamp)>,
    knative: Knative,
}

impl Workloads {
    /// Brings pods and reported statuses to where they are at `now`.
    pub fn settle(&mut self, cluster: &mut Cluster, now: Timestamp) {
        if self.settled == Some((cluster.version(), now)) {
            return;
        }
        let mut workloads: Vec<(ObjectKey, Arc<Value>)> = Vec::new();
        for kind in [Kind::Deployment, Kind::DaemonSet] {
            workloads.extend(cluster.of_kind(kind).map(|(key, object)| (key.clone(), Arc::clone(object))));
        }
        self.known.retain(|key, _| workloads.iter().any(|(known, _)| known == key));
        for (key, object) in workloads {
            let known = self.known.entry(key.clone()).or_default();
            if let Some(status) = known.settle(&key, &object, &self.behaviour, now) {
                cluster.report(&key, status);
            }
        }
        self.knative.settle(cluster, &self.behaviour, now);
        self.settled = Some((cluster.version(), now));
    }

    /// When the next pod gets ready, a controller notices something, a node is back, or a deadline passes.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let known = self.known.values();
        let times = known.flat_map(|known| {
            let pods = known.pods.iter().filter_map(|pod| pod.ready_at);
            pods.chain(known.notices).chain(known.gives_up)
        });
        let recoveries = self.behaviour.crashing.values().filter_map(|(_, until)| *until);
        let times = times.chain(recoveries);
        times.chain(self.knative.changes()).chain(self.behaviour.outages.values().copied()).filter(|at| *at > now).min()
    }

    /// Pods of a workload that are ready.
    pub fn ready(&self, key: &ObjectKey, now: Timestamp) -> usize {
        self.known.get(key).map_or(0, |known| known.count_ready(key, &self.behaviour, now))
    }

    /// How many ready pods of a workload there are of each version of its template.
    pub fn versions(&self, key: &ObjectKey, now: Timestamp) -> BTreeMap<Arc<str>, usize> {
        let mut versions = BTreeMap::new();
        let known = self.known.get(key).filter(|known| known.count_ready(key, &self.behaviour, now) > 0);
        for pod in known.iter().flat_map(|known| &known.pods).filter(|pod| is_ready(pod, now)) {
            *versions.entry(Arc::clone(&pod.template)).or_default() += 1;
        }
        versions
    }

    /// The version of its template that a workload is going to have pods of.
    pub fn version(&self, key: &ObjectKey) -> Arc<str> {
        self.known.get(key).map_or_else(|| Arc::from(""), |known| Arc::clone(&known.template))
    }

    /// Looks at everything anew, after the behaviour has been changed from outside.
    pub fn disturb(&mut self) {
        self.settled = None;
    }
}

impl Known {
    /// One look of the controller. Answers the status, unless it has not noticed the newest spec yet.
    fn settle(&mut self, key: &ObjectKey, object: &Arc<Value>, behaviour: &Behaviour, now: Timestamp) -> Option<Value> {
        if !self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, object)) {
            self.look(object, behaviour, now);
        }
        if self.notices.is_some_and(|at| at > now) {
            return None;
        }
        if self.notices.take().is_some() {
            let template = digest(&object["spec"]["template"]);
            if *self.template != *template {
                (self.template, self.gives_up) = (template.into(), None);
            }
            self.generation = generation(object);
        }
        let wanted = wanted(key.kind, object, behaviour.nodes);
        let is_stuck = behaviour.is_stuck(&key.name, &self.wanted.1);
        let ready_at = later(now, behaviour.ready_after_seconds);
        let fresh = Pod { template: Arc::clone(&self.template), ready_at: ready_at.filter(|_| !is_stuck) };
        if !is_stuck {
            // What kept them is over.
            let waiting = self.pods.iter_mut().filter(|pod| pod.ready_at.is_none() && pod.template == fresh.template);
            waiting.for_each(|pod| pod.ready_at = ready_at);
        }
        let is_daemonset = key.kind == Kind::DaemonSet;
        let is_refused = behaviour.refused.contains(&key.name);
        let quota = if is_refused { 0 } else { usize::MAX };
        let pace = Pace { quota, ..Pace::of(object, wanted) };
        let ready = |pods: &[Pod]| behaviour.ready(&key.name, pods, now);
        if is_daemonset {
            self.roll_one_by_one(&fresh, wanted, ready);
        } else {
            while self.roll(&fresh, pace, ready) {}
        }
        self.ready = ready(&self.pods).into_iter().filter(|is_ready| *is_ready).count();
        let progress = (!is_daemonset).then(|| self.get_on(object, pace, now));
        let state = State { is_refused: is_refused && self.pods.len() < wanted, ..self.state(wanted, progress) };
        let is_known = |(to, known): &(Arc<Value>, State)| Arc::ptr_eq(to, object) && *known == state;
        if self.reported.as_ref().is_some_and(is_known) {
            return None;
        }
        let status = state.status();
        self.reported = Some((Arc::clone(object), state));
        Some(status)
    }

    /// Notes a changed object. Another uid is another workload: its pods are all new.
    fn look(&mut self, object: &Arc<Value>, behaviour: &Behaviour, now: Timestamp) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if self.uid != uid {
            *self = Self { uid: uid.to_owned(), generation: -1, ..Self::default() };
        }
        let generation = generation(object);
        if self.wanted.0 != generation {
            self.wanted = (generation, object["spec"]["template"].to_string());
        }
        if self.generation != generation && self.notices.is_none() {
            self.notices = Some(later(now, behaviour.notice_after_seconds).unwrap_or(now));
        }
        self.seen = Some(Arc::clone(object));
    }

    /// One stride of a rolling update: as many new pods as the surge allows, then old ones go that are not ready, then
    /// those that can be spared. Answers whether it moved anything.
    fn roll(&mut self, fresh: &Pod, pace: Pace, ready: impl Fn(&[Pod]) -> Vec<bool>) -> bool {
        let before = self.pods.len();
        let is_new = |pod: &Pod| pod.template == fresh.template;
        let count = self.pods.iter().filter(|pod| is_new(pod)).count();
        let mut surplus = count.saturating_sub(pace.wanted);
        self.pods.retain(|pod| {
            let goes = is_new(pod) && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
        let is_ready = ready(&self.pods);
        let all = is_ready.iter().filter(|is_ready| **is_ready).count();
        let least = pace.wanted.saturating_sub(pace.unavailable);
        let unready_new = self.pods.iter().zip(&is_ready).filter(|(pod, is_ready)| is_new(pod) && !**is_ready).count();
        let mut unready = self.pods.len().saturating_sub(least + unready_new);
        let mut spare = all.saturating_sub(least).min(unready);
        if pace.wanted == 0 {
            (unready, spare) = (usize::MAX, usize::MAX);
        }
        let mut flags = is_ready.into_iter();
        self.pods.retain(|pod| {
            let is_ready = flags.next().unwrap_or(false);
            let counter = if is_ready { &mut spare } else { &mut unready };
            let goes = !is_new(pod) && *counter > 0;
            *counter -= usize::from(goes);
            !goes
        });
        let count = self.pods.iter().filter(|pod| is_new(pod)).count();
        let has_old = count < self.pods.len();
        let room = (pace.wanted + pace.surge).saturating_sub(self.pods.len());
        let room = if has_old { room } else { usize::MAX };
        let made = pace.wanted.saturating_sub(count).min(room).min(pace.quota);
        self.pods.extend(std::iter::repeat_n(fresh.clone(), made));
        made > 0 || self.pods.len() != before
    }

    /// A rolling update node by node: one pod is replaced when all others are ready.
    fn roll_one_by_one(&mut self, fresh: &Pod, wanted: usize, ready: impl Fn(&[Pod]) -> Vec<bool>) {
        self.pods.truncate(wanted);
        let missing = wanted - self.pods.len();
        self.pods.extend(std::iter::repeat_n(fresh.clone(), missing));
        let is_ready = ready(&self.pods);
        let is_whole = is_ready.iter().all(|is_ready| *is_ready);
        let is_old = |pod: &Pod| pod.template != fresh.template;
        // A pod that is old and not ready costs nothing.
        let mut old = self.pods.iter_mut().zip(is_ready).filter(|(pod, _)| is_old(pod));
        if let Some((pod, _)) = old.find(|(_, is_ready)| is_whole || !is_ready) {
            *pod = fresh.clone();
        }
    }

    fn count_ready(&self, key: &ObjectKey, behaviour: &Behaviour, now: Timestamp) -> usize {
        behaviour.ready(&key.name, &self.pods, now).into_iter().filter(|is_ready| *is_ready).count()
    }

    fn updated(&self) -> usize {
        self.pods.iter().filter(|pod| pod.template == self.template).count()
    }

    fn state(&self, wanted: usize, progress: Option<(&'static str, &'static str)>) -> State {
        State {
            generation: self.generation,
            wanted,
            pods: self.pods.len(),
            updated: self.updated(),
            ready: self.ready,
            unavailable_since: self.unavailable_since,
            progress,
            is_refused: false,
        }
    }

    /// How a Deployment's update gets on. It is available with fewer pods than are wanted, as many as a rolling update may
    /// take away. The controller gives an update up when nothing has moved for the Deployment's own deadline. Once it is
    /// complete there is no deadline any more, whatever happens to the pods, and whoever scales from zero.
    fn get_on(&mut self, deployment: &Value, pace: Pace, now: Timestamp) -> (&'static str, &'static str) {
        let is_available = self.ready >= pace.wanted.saturating_sub(pace.unavailable);
        self.unavailable_since = if is_available { None } else { Some(self.unavailable_since.unwrap_or(now)) };
        let (updated, all) = (self.updated(), self.pods.len());
        if updated == pace.wanted && all == updated && self.ready >= updated {
            self.complete = Some(Arc::clone(&self.template));
        }
        if self.complete.as_ref() == Some(&self.template) {
            self.gives_up = None;
            return ("True", "NewReplicaSetAvailable");
        }
        self.complete = None;
        let seconds = deployment["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600);
        let progress = (updated, self.ready, usize::MAX - (all - updated));
        let before = std::mem::replace(&mut self.progress, progress);
        let gets_on = progress.0 > before.0 || progress.1 > before.1 || progress.2 > before.2;
        let until = later(now, seconds).unwrap_or(Timestamp::MAX);
        let until = *self.gives_up.insert(self.gives_up.filter(|_| !gets_on).unwrap_or(until));
        if until <= now { ("False", "ProgressDeadlineExceeded") } else { ("True", "ReplicaSetUpdated") }
    }
}

/// How many pods more and fewer than are wanted there may be during a rolling update: a quarter each unless the
/// Deployment says otherwise, rounded up and down.
#[derive(Clone, Copy, Debug)]
struct Pace {
    wanted: usize,
    surge: usize,
    unavailable: usize,
    /// So many pods may be made at once.
    quota: usize,
}

impl Pace {
    fn of(deployment: &Value, wanted: usize) -> Self {
        let strategy = &deployment["spec"]["strategy"];
        if strategy["type"] == "Recreate" {
            return Self { wanted, surge: 0, unavailable: 0, quota: usize::MAX };
        }
        let rolling = &strategy["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], wanted, 99);
        let unavailable = share(&rolling["maxUnavailable"], wanted, 0).min(wanted);
        // Neither of them: then nothing could ever move.
        let unavailable = if surge == 0 && unavailable == 0 { wanted.min(1) } else { unavailable };
        Self { wanted, surge, unavailable, quota: usize::MAX }
    }
}

/// A number of pods, or a percentage of those that are wanted.
fn share(value: &Value, wanted: usize, rounds: usize) -> usize {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
    match (value.as_u64(), percent) {
        (Some(number), _) => usize::try_from(number).unwrap_or(0),
        (None, percent) => (wanted * percent.unwrap_or(25_usize) + rounds) / 100,
    }
}

impl State {
    /// As a DaemonSet's or a Deployment's controller reports it.
    fn status(&self) -> Value {
        let Some((status, reason)) = self.progress else {
            return json!({
                "observedGeneration": self.generation,
                "desiredNumberScheduled": self.wanted,
                "currentNumberScheduled": self.pods,
                "updatedNumberScheduled": self.updated,
                "numberReady": self.ready,
                "numberAvailable": self.ready,
            });
        };
        let (available, why) = if self.unavailable_since.is_none() {
            ("True", "MinimumReplicasAvailable")
        } else {
            ("False", "MinimumReplicasUnavailable")
        };
        let since = self.unavailable_since.map_or_else(String::new, |since| format!("{since:.0}"));
        let mut conditions = vec![
            json!({"type": "Available", "status": available, "reason": why, "lastUpdateTime": since}),
            json!({"type": "Progressing", "status": status, "reason": reason}),
        ];
        if self.is_refused {
            conditions.push(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}));
        }
        json!({
            "observedGeneration": self.generation,
            "replicas": self.pods,
            "updatedReplicas": self.updated,
            "readyReplicas": self.ready,
            "availableReplicas": self.ready,
            "conditions": conditions,
        })
    }
}

fn wanted(kind: Kind, object: &Value, nodes: usize) -> usize {
    if kind == Kind::DaemonSet {
        let is_marked = object["spec"]["template"]["spec"]["nodeSelector"].get(MARK).is_some();
        return if is_marked { 0 } else { nodes };
    }
    usize::try_from(object["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0)
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

fn later(now: Timestamp, seconds: i64) -> Option<Timestamp> {
    now.checked_add(SignedDuration::from_secs(seconds)).ok()
}

fn is_ready(pod: &Pod, now: Timestamp) -> bool {
    pod.ready_at.is_some_and(|at| at <= now)
}
