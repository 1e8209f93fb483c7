//! What the checkers see of an instant: the canary, what it means, and the objects around it. It is made once for each
//! step, from what is stored; whatever has not moved since the instant before is shared with it. It judges nothing.

use std::sync::Arc;

use burgee_api::{Canary, CanaryStatus};
use burgee_core::digest::digest;
use burgee_core::rollout::{Rollout, TargetKind};
use burgee_core::router::Shares;
use burgee_core::router::row::Feature;
use burgee_core::services::Role;
use burgee_core::settings::Settings;
use burgee_core::split::{Mirror, Split};
use burgee_core::workload::{Patience, Readiness, Side};
use burgee_core::world::{ObjectKey, Observed, World};
use burgee_core::{router, scaler, workload};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::knative;
use crate::others::Others;

/// What an instant is made from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The objects as they are stored.
    pub cluster: &'a Cluster,
    /// Which canary is looked at.
    pub canary: &'a ObjectKey,
    /// What the operator was started with.
    pub settings: &'a Settings,
    /// When the play began.
    pub start: Timestamp,
    /// The time itself, whatever any operator's clock shows.
    pub now: Timestamp,
    /// Whether whoever holds the lease stands still.
    pub is_still: bool,
}

/// The objects that an instant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the objects")]
pub enum Part {
    Canary,
    Target,
    Primary,
    Apex,
    PrimaryService,
    CanaryService,
    Route,
    Scaler,
    PrimaryScaler,
}

impl Part {
    /// Every part, in the order in which an instant keeps them.
    pub const ALL: [Self; 9] = [
        Self::Canary,
        Self::Target,
        Self::Primary,
        Self::Apex,
        Self::PrimaryService,
        Self::CanaryService,
        Self::Route,
        Self::Scaler,
        Self::PrimaryScaler,
    ];

    fn key(self, canary: &ObjectKey, rollout: &Rollout) -> Option<ObjectKey> {
        match self {
            Self::Canary => Some(canary.clone()),
            Self::Target => Some(rollout.target_key()),
            Self::Primary => Some(rollout.primary_key()),
            Self::Apex => Some(Role::Apex.key(rollout)),
            Self::PrimaryService => Some(Role::Primary.key(rollout)),
            Self::CanaryService => Some(Role::Canary.key(rollout)),
            Self::Route => router::of(rollout).route(rollout),
            Self::Scaler => scaler::key(rollout),
            Self::PrimaryScaler => scaler::primary_key(rollout),
        }
    }
}

/// What the checkers see of an instant.
#[derive(Clone, Debug)]
pub struct Instant {
    /// The time itself.
    pub now: Timestamp,
    /// How often anything was changed before it.
    version: u64,
    /// What the canary means; of one that is gone, what it last meant.
    pub rollout: Arc<Rollout>,
    /// The canary's status; of one that is gone, its last.
    pub status: Arc<CanaryStatus>,
    /// How the routes split the traffic; none before there are routes.
    pub split: Option<Split>,
    /// Where the requests go.
    pub traffic: Shares,
    /// Ready pods of the primary that its spec still wants.
    pub primary_pods: i64,
    /// Ready pods of the target that its spec still wants.
    pub canary_pods: i64,
    /// Whether the target is meant to have pods.
    pub target_is_up: bool,
    /// Digest of the target's template; empty without a target.
    pub revision: Arc<str>,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// What belongs to other canaries, if there are any.
    pub others: Option<Arc<Others>>,
    keys: Arc<[Option<ObjectKey>; 9]>,
    parts: [Option<Arc<Value>>; 9],
}

static NOTHING: Value = Value::Null;

impl Instant {
    /// What is to be seen now. None if there never was a canary, or if it cannot be meant.
    pub fn look(view: &View, previous: Option<&Self>) -> Option<Self> {
        let canary = present(view.cluster, view.canary);
        let (rollout, status) = match (&canary, previous) {
            (None, previous) => {
                let previous = previous?;
                (Arc::clone(&previous.rollout), Arc::clone(&previous.status))
            }
            (Some(object), Some(previous)) if is_same(canary.as_ref(), previous.shared(Part::Canary)) => {
                debug_assert!(object.is_object(), "objects are stored as such");
                (Arc::clone(&previous.rollout), Arc::clone(&previous.status))
            }
            (Some(object), previous) => {
                let status = Deserialize::deserialize(&object["status"]).unwrap_or_default();
                (rollout(object, view.settings, previous)?, Arc::new(status))
            }
        };
        Some(Self::of(view, (rollout, status), previous))
    }

    fn of(view: &View, (rollout, status): (Arc<Rollout>, Arc<CanaryStatus>), previous: Option<&Self>) -> Self {
        let keys = match previous {
            Some(previous) if Arc::ptr_eq(&previous.rollout, &rollout) => Arc::clone(&previous.keys),
            Some(_) | None => Arc::new(Part::ALL.map(|part| part.key(view.canary, &rollout))),
        };
        let parts = std::array::from_fn(|place| present(view.cluster, keys[place].as_ref()?));
        let mut instant = Self {
            now: view.now,
            version: view.cluster.version(),
            rollout,
            status,
            split: None,
            traffic: Shares::default(),
            primary_pods: 0,
            canary_pods: 0,
            target_is_up: false,
            revision: Arc::from(""),
            settings: settings(view, previous),
            others: Others::of(view.cluster, view.canary, view.settings),
            keys,
            parts,
        };
        instant.count(previous);
        if instant.rollout.target_kind == TargetKind::Knative {
            instant.primary_pods = knative::ready(view.cluster, &instant.rollout, Side::Primary);
            instant.canary_pods = knative::ready(view.cluster, &instant.rollout, Side::Canary);
        }
        instant
    }

    /// Fills in what follows from the objects.
    fn count(&mut self, previous: Option<&Self>) {
        let kind = self.rollout.target_kind;
        let pods = |workload: Option<&Value>| workload.map_or(0, |workload| workload::ready_pods(kind, workload));
        self.primary_pods = pods(self.part(Part::Primary));
        self.canary_pods = pods(self.part(Part::Target));
        self.target_is_up = self.part(Part::Target).is_some_and(|target| !workload::is_scaled_to_zero(kind, target));
        let previous = previous.filter(|previous| Arc::ptr_eq(&previous.keys, &self.keys));
        self.revision = match previous {
            Some(previous) if is_same_spec(previous.part(Part::Target), self.part(Part::Target)) => {
                Arc::clone(&previous.revision)
            }
            Some(_) | None => self.digest(),
        };
        self.split = match previous {
            Some(previous) if previous.is_same(self, &[Part::Route, Part::Canary, Part::Target]) => previous.split,
            Some(_) | None => self.read_split(),
        };
        self.traffic = match previous {
            Some(previous) if previous.is_same(self, &[Part::Route, Part::Canary, Part::Target, Part::Apex]) => {
                previous.traffic
            }
            Some(_) | None => self.read_traffic(),
        };
    }

    fn digest(&self) -> Arc<str> {
        let kind = self.rollout.target_kind;
        let digest = self.part(Part::Target).map(|target| digest(&workload::template(kind, target)));
        Arc::from(digest.unwrap_or_default())
    }

    fn read_split(&self) -> Option<Split> {
        router::of(&self.rollout).read(&self.rollout, &self.world()).ok().flatten()
    }

    /// The objects that are held here, as a world of their own.
    fn world(&self) -> World {
        let status = Some(CanaryStatus::clone(&self.status));
        let mut world = World::new(Canary { status, ..Canary::default() });
        for place in 0..self.parts.len() {
            let observed = self.parts[place].as_ref().map_or(Observed::Absent, |part| Observed::Present(part.clone()));
            if let Some(key) = &self.keys[place] {
                world.objects.push((key.clone(), observed));
            }
        }
        world
    }

    /// With routes, what they say; without, all goes where the apex Service leads.
    fn read_traffic(&self) -> Shares {
        let shares = || router::of(&self.rollout).shares(&self.rollout, &self.world());
        if let Some(shares) = self.split.and_then(|_| shares()) {
            return shares;
        }
        // Whom it leads to while neither set is there nobody can see; the target's come back as they were.
        if self.part(Part::Apex).is_none() {
            return Shares::default();
        }
        let is_canary = selects(self.object(Part::Apex), self.object(Part::Target));
        Shares { primary: i64::from(!is_canary) * 100, canary: i64::from(is_canary) * 100 }
    }

    /// Whether routes divide the traffic, not the apex Service alone.
    pub fn is_routed(&self) -> bool {
        self.rollout.provider.can(Feature::Weights) && self.split.is_some()
    }

    /// Whether the canary gets copies of the requests.
    pub fn is_mirrored(&self) -> bool {
        self.split.is_some_and(|split| split.mirror() == Mirror::On)
    }

    /// An object; none if it is not there.
    pub fn part(&self, part: Part) -> Option<&Value> {
        self.parts[part as usize].as_deref()
    }

    /// Whether a set is ready, the target's by the canary's percentage; one that is missing is nobody's to wait for.
    pub(crate) fn is_ready(&self, part: Part) -> bool {
        let rollout = &self.rollout;
        let is_primary = part == Part::Primary;
        let percents = (rollout.primary_ready_percent, rollout.canary_ready_percent);
        let patience = Patience {
            ready_percent: if is_primary { percents.0 } else { percents.1 },
            deadline_seconds: rollout.progress_deadline_seconds,
            since: None,
            now: self.now,
        };
        self.part(part).is_none_or(|set| workload::readiness(rollout.target_kind, set, &patience) == Readiness::Ready)
    }

    /// An object, or null if it is not there.
    pub fn object(&self, part: Part) -> &Value {
        self.part(part).unwrap_or(&NOTHING)
    }

    /// Version of the canary.
    pub fn version(&self) -> Option<&str> {
        self.object(Part::Canary)["metadata"]["resourceVersion"].as_str()
    }

    /// What the primary runs: its pod template, a Service's spec, or the name of a Knative revision. Null without one.
    pub fn running(&self) -> Value {
        let (kind, primary) = (self.rollout.target_kind, self.object(Part::Primary));
        match kind {
            TargetKind::Deployment | TargetKind::DaemonSet => primary["spec"]["template"].clone(),
            TargetKind::Service => primary["spec"].clone(),
            TargetKind::Knative => workload::named_revision(kind, primary).unwrap_or_default(),
        }
    }

    /// An object as it is shared.
    pub fn shared(&self, part: Part) -> Option<&Arc<Value>> {
        self.parts[part as usize].as_ref()
    }

    /// Which part of the play an object is, if it is one.
    pub fn part_of(&self, key: &ObjectKey) -> Option<Part> {
        Part::ALL.into_iter().find(|part| self.keys[*part as usize].as_ref() == Some(key))
    }

    /// Whether these objects are the same in two instants.
    pub fn is_same(&self, other: &Self, parts: &[Part]) -> bool {
        parts.iter().all(|part| is_same(self.shared(*part), other.shared(*part)))
    }

    /// Whether an object was seen as it is.
    pub fn is_seen(&self, world: &World, part: Part) -> bool {
        self.keys[part as usize].as_ref().is_none_or(|key| world.present(key) == self.part(part))
    }

    /// Whether the Service of a set leads to its ready pods. Where the target is a Service, nobody here knows its pods; a
    /// Knative Service leads to its revisions by itself.
    pub fn has_endpoints(&self, service: Part, workload: Part) -> bool {
        let pods = if workload == Part::Primary { self.primary_pods } else { self.canary_pods };
        if !self.rollout.target_kind.has_pods() {
            return pods > 0 && (self.part(service).is_some() || !self.rollout.target_kind.has_services());
        }
        pods > 0 && selects(self.object(service), self.object(workload))
    }

    /// When the run began, as the status says; empty without a run.
    pub fn run_start(&self) -> &str {
        self.status.run.as_ref().and_then(|run| run.started_at.as_deref()).unwrap_or_default()
    }

    /// Whether the canary is there.
    pub fn exists(&self) -> bool {
        self.part(Part::Canary).is_some()
    }

    /// Whether neither time nor any object has moved since.
    pub fn is_at(&self, view: &View) -> bool {
        self.now == view.now && self.version == view.cluster.version()
    }

    /// Whether nothing but time may have moved between two instants.
    pub fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && self.is_same(other, &Part::ALL)
    }

    /// How long a set keeps its pods after its weight went to 0.
    pub fn drain_delay(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.settings.drain_delay_milliseconds).unwrap_or(i64::MAX))
    }

    /// Whether the canary is being deleted.
    pub fn is_deleted(&self) -> bool {
        self.object(Part::Canary)["metadata"]["deletionTimestamp"].is_string()
    }
}

fn present(cluster: &Cluster, key: &ObjectKey) -> Option<Arc<Value>> {
    match cluster.observe(key) {
        Observed::Present(object) => Some(object),
        Observed::Absent | Observed::Unknown(_) => None,
    }
}

/// Of what the operator was started with, only the brake moves.
fn settings(view: &View, previous: Option<&Instant>) -> Arc<Settings> {
    let known = previous.filter(|known| known.settings.pause_new_runs == view.settings.pause_new_runs);
    known.map_or_else(|| Arc::new(view.settings.clone()), |known| Arc::clone(&known.settings))
}

/// What the canary means: as before, unless its spec moved.
fn rollout(object: &Value, settings: &Settings, previous: Option<&Instant>) -> Option<Arc<Rollout>> {
    if let Some(previous) = previous
        && is_same_spec(previous.part(Part::Canary), Some(object))
    {
        return Some(Arc::clone(&previous.rollout));
    }
    let canary: Canary = Deserialize::deserialize(object).ok()?;
    Rollout::parse(&canary, settings).ok().map(Arc::new)
}

fn is_same(one: Option<&Arc<Value>>, other: Option<&Arc<Value>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two versions of an object have one spec: the generation moves with it, and where there is none, the version.
fn is_same_spec(one: Option<&Value>, other: Option<&Value>) -> bool {
    let identity = |object: &Value| {
        let metadata = &object["metadata"];
        let version = metadata.get("generation").unwrap_or(&metadata["resourceVersion"]);
        (metadata["uid"].clone(), version.clone())
    };
    one.map(identity) == other.map(identity)
}

/// Whether a Service selects the pods of a workload.
fn selects(service: &Value, workload: &Value) -> bool {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selector = service["spec"]["selector"].as_object();
    selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value))
}
