//! Everything that is seen of one canary at one instant, as data. It never fetches and never decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use burgee_api::{Canary, CanaryStatus, Delivery};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::kind::Kind;
use crate::strangers::Stranger;

/// Which object: its kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace; every kind that Burgee touches has one.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectKey {
    /// The key of a kind, namespace and name.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object as it stands in a manifest; none for a kind that Burgee does not know.
    pub fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        Some(Self::new(Kind::of(object)?, metadata["namespace"].as_str()?, metadata["name"].as_str()?))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}.{}", self.kind.name(), self.name, self.namespace)
    }
}

/// What is known of one object. Unknown is never taken for absent or for changed (I11).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Observed {
    /// The object as stored, every field of it.
    Present(Arc<Value>),
    /// The API server says that there is none.
    Absent,
    /// It could not be read; the text says why.
    Unknown(String),
}

/// What is known of a ConfigMap or Secret: never its content, only a checksum of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSeen {
    /// It exists; the checksum is the contract's (lifecycle §7.6).
    Present {
        /// 16 hex digits.
        checksum: String,
        /// Whether it takes part in tracking: not disabled by annotation, and of a tracked Secret type.
        tracking: ConfigTracking,
    },
    /// There is none.
    Absent,
    /// It could not be read; the text says why.
    Unknown(String),
}

/// Whether a ConfigMap or Secret is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigTracking {
    /// A change of it starts a run, and the primary uses a copy.
    Tracked,
    /// The annotation `flagger.app/config-tracking: disable…` or the Secret's type excludes it.
    Excluded,
}

/// Another canary that claims the same, such as the target or a host, and is older than this one (S24, S29).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What both claim, such as `target Deployment/podinfo`.
    pub claim: String,
}

/// What this process knows of the deliveries of a canary that its status says are due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// They stood in the status when this process first looked at it, or it tried to write them there. None, if it has not
    /// looked yet. What else stands there was written by others, and nobody is told it.
    pub expected: Option<BTreeSet<Delivery>>,
    /// It is about to deliver them.
    pub in_hand: BTreeSet<Delivery>,
    /// It has delivered them, or given up.
    pub settled: BTreeSet<Delivery>,
}

impl Deliveries {
    /// Looks at the status as it is stored. What is settled and no longer due is forgotten.
    pub fn look(&mut self, status: Option<&CanaryStatus>) {
        let due = due(status);
        self.settled.retain(|delivery| due.contains(delivery));
        let expected = self.expected.get_or_insert_with(|| due.iter().cloned().collect());
        expected.retain(|delivery| due.contains(delivery));
    }

    /// This status is about to be written. Whether it was is not always known.
    pub fn expect(&mut self, status: &CanaryStatus) {
        self.expected.get_or_insert_default().extend(due(Some(status)).iter().cloned());
    }

    /// From now on it is about to deliver this one.
    pub fn take(&mut self, delivery: &Delivery) {
        self.in_hand.insert(delivery.clone());
    }

    /// It will not deliver this one, and somebody should.
    pub fn give_back(&mut self, delivery: &Delivery) {
        self.in_hand.remove(delivery);
    }

    /// This one is delivered, or given up.
    pub fn settle(&mut self, delivery: &Delivery) {
        self.in_hand.remove(delivery);
        self.settled.insert(delivery.clone());
    }

    /// Whether nobody is about to deliver what should be.
    pub fn is_lost(&self, delivery: &Delivery) -> bool {
        let is_expected = self.expected.as_ref().is_some_and(|expected| expected.contains(delivery));
        is_expected && !self.in_hand.contains(delivery) && !self.settled.contains(delivery)
    }

    /// Whether it stays due.
    pub fn is_due(&self, delivery: &Delivery) -> bool {
        self.in_hand.contains(delivery) || self.is_lost(delivery)
    }
}

fn due(status: Option<&CanaryStatus>) -> &[Delivery] {
    status.and_then(|status| status.run.as_ref()).map(|run| run.due.as_slice()).unwrap_or_default()
}

/// Everything seen of one canary at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// The canary itself.
    pub canary: Arc<Canary>,
    /// The objects that [`crate::reads`] names.
    pub objects: Vec<(ObjectKey, Observed)>,
    /// ConfigMaps and Secrets that the target's pod template mentions.
    pub configs: Vec<(ObjectKey, ConfigSeen)>,
    /// An older canary with the same claim.
    pub rival: Option<Rival>,
    /// Workloads of others that its Services lead to.
    #[serde(default)]
    pub strangers: Vec<Stranger>,
    /// What is known of the deliveries that its status says are due.
    #[serde(default)]
    pub deliveries: Deliveries,
}

impl World {
    /// A world in which nothing but the canary has been looked at.
    pub fn new(canary: impl Into<Arc<Canary>>) -> Self {
        let (objects, configs, strangers) = (Vec::new(), Vec::new(), Vec::new());
        Self { canary: canary.into(), objects, configs, rival: None, strangers, deliveries: Deliveries::default() }
    }

    /// What is known of an object. One that was never looked at is unknown.
    pub fn seen(&self, key: &ObjectKey) -> Observed {
        self.objects
            .iter()
            .find(|(known, _)| known == key)
            .map_or_else(|| Observed::Unknown(format!("{key} has not been read")), |(_, observed)| observed.clone())
    }

    /// The object, if it is present.
    pub fn present(&self, key: &ObjectKey) -> Option<&Value> {
        self.objects.iter().find(|(known, _)| known == key).and_then(|(_, observed)| match observed {
            Observed::Present(object) => Some(object.as_ref()),
            Observed::Absent | Observed::Unknown(_) => None,
        })
    }

    /// The object, absence, or the reason why neither is known.
    pub fn look(&self, key: &ObjectKey) -> Result<Option<&Value>, String> {
        match self.objects.iter().find(|(known, _)| known == key) {
            Some((_, Observed::Present(object))) => Ok(Some(object.as_ref())),
            Some((_, Observed::Absent)) => Ok(None),
            Some((_, Observed::Unknown(reason))) => Err(reason.clone()),
            None => Err(format!("{key} has not been read")),
        }
    }

    /// What is known of a ConfigMap or Secret.
    pub fn config(&self, key: &ObjectKey) -> ConfigSeen {
        self.configs
            .iter()
            .find(|(known, _)| known == key)
            .map_or_else(|| ConfigSeen::Unknown(format!("{key} has not been read")), |(_, seen)| seen.clone())
    }

    /// Records what is known of an object.
    pub fn insert(&mut self, key: ObjectKey, observed: Observed) {
        self.objects.retain(|(known, _)| *known != key);
        self.objects.push((key, observed));
    }
}

/// Labels or annotations of an object as an ordered map.
pub fn string_map(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| value.as_str().map(|text| (key.clone(), text.to_owned())))
        .collect()
}
