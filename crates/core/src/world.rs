//! Everything that is seen of one canary at one instant, as data. It never fetches and never decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_api::{Canary, CanaryStatus, Delivery};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::key::ObjectKey;
pub use crate::kind::Kind;
use crate::object::entries;

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

/// A workload that is none of a canary's two, behind one of its Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// The workload.
    pub workload: ObjectKey,
    /// The Service that leads to its pods.
    pub service: ObjectKey,
    /// What the Service selects by.
    pub selector: Value,
}

impl Stranger {
    /// What is said of it.
    pub fn text(&self) -> String {
        let Self { workload, service, selector } = self;
        let labels = entries(selector).map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        let labels: Vec<String> = labels.collect();
        format!("{service} leads to the pods of {workload} as well, both have the labels {}", labels.join(","))
    }
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

/// So many deliveries are remembered in a status at most; beyond that the oldest are forgotten, and a restart loses them.
pub(crate) const DUE: usize = 16;

/// So many of which nobody knows yet whether they stand there.
const TRIED: usize = 4 * DUE;

/// What this process knows of the deliveries of a canary that its status says are due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// They stood in the status when this process first looked at it, or it tried to write them there. None, if it has not
    /// looked yet. What else stands there was written by others, and nobody is told it.
    pub expected: Option<BTreeSet<Delivery>>,
    /// It tried to write them there, and has not seen yet whether it did. Of several tries one at most was taken.
    #[serde(default)]
    pub tried: BTreeSet<Delivery>,
    /// What stood there when it last looked.
    #[serde(default)]
    pub shown: BTreeSet<Delivery>,
    /// It is about to deliver them.
    pub in_hand: BTreeSet<Delivery>,
    /// It has delivered them, or given up.
    pub settled: BTreeSet<Delivery>,
}

impl Deliveries {
    /// Looks at the status as it is stored. What is settled and no longer due is forgotten.
    pub fn look(&mut self, status: Option<&CanaryStatus>) {
        self.shown = due(status).iter().cloned().collect();
        let Self { expected, tried, shown, settled, in_hand: _ } = self;
        let expected = expected.get_or_insert_with(|| shown.clone());
        if !tried.is_disjoint(shown) {
            expected.append(tried);
        }
        expected.retain(|delivery| shown.contains(delivery));
        settled.retain(|delivery| shown.contains(delivery));
    }

    /// This status is about to be written. Whether it was is not always known. What stood there before is not expected for
    /// being written again.
    pub fn expect(&mut self, status: &CanaryStatus) {
        self.expected.get_or_insert_default();
        self.tried.extend(due(Some(status)).iter().filter(|delivery| !self.shown.contains(delivery)).cloned());
        while self.tried.len() > TRIED {
            self.tried.pop_first();
        }
    }

    /// From now on it is about to deliver this one.
    pub fn take(&mut self, delivery: &Delivery) {
        self.tried.remove(delivery);
        self.in_hand.insert(delivery.clone());
    }

    /// It will not deliver this one, and somebody should.
    pub fn give_back(&mut self, delivery: &Delivery) {
        self.in_hand.remove(delivery);
    }

    /// This one is delivered, or given up.
    pub fn settle(&mut self, delivery: &Delivery) {
        self.tried.remove(delivery);
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

/// What a status says is due: no more than is ever noted. Others may have written thousands there.
pub(crate) fn due(status: Option<&CanaryStatus>) -> &[Delivery] {
    let due = status.and_then(|status| status.run.as_ref()).map(|run| run.due.as_slice()).unwrap_or_default();
    &due[due.len().saturating_sub(DUE)..]
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

#[cfg(test)]
mod tests {
    use burgee_api::Run;

    use super::*;

    fn with_due(texts: &[&str]) -> CanaryStatus {
        let delivery = |text: &&str| Delivery { text: (*text).to_owned(), ..Delivery::default() };
        let run = Run { due: texts.iter().map(delivery).collect(), ..Run::default() };
        CanaryStatus { run: Some(run), ..CanaryStatus::default() }
    }

    /// Whether this process delivers what it finds in the status.
    fn is_lost(deliveries: &mut Deliveries, status: &CanaryStatus) -> bool {
        deliveries.look(Some(status));
        due(Some(status)).iter().any(|delivery| deliveries.is_lost(delivery))
    }

    #[test]
    fn what_was_written_although_the_answer_was_lost_is_delivered_however_late_the_watch_shows_it() {
        let mut deliveries = Deliveries::default();
        assert!(!is_lost(&mut deliveries, &with_due(&[])));
        deliveries.expect(&with_due(&["rolled back"]));
        assert!(!is_lost(&mut deliveries, &with_due(&[])), "the watch is late");
        assert!(is_lost(&mut deliveries, &with_due(&["rolled back"])));
        deliveries.take(&due(Some(&with_due(&["rolled back"])))[0]);
        assert!(!is_lost(&mut deliveries, &with_due(&["rolled back"])));
    }

    #[test]
    fn what_others_wrote_is_not_expected_because_it_is_written_again() {
        let mut deliveries = Deliveries::default();
        assert!(!is_lost(&mut deliveries, &with_due(&[])));
        let planted = with_due(&["transfer all money"]);
        assert!(!is_lost(&mut deliveries, &planted));
        deliveries.expect(&planted);
        assert!(!is_lost(&mut deliveries, &planted));
    }

    #[test]
    fn of_thousands_that_a_status_says_are_due_no_more_are_looked_at_than_are_ever_noted() {
        let texts: Vec<String> = (0..6_000).map(|number| number.to_string()).collect();
        let flood = with_due(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut deliveries = Deliveries::default();
        assert!(is_lost(&mut deliveries, &flood), "this is the first look");
        deliveries.expect(&flood);
        let known = [deliveries.expected.map_or(0, |expected| expected.len()), deliveries.shown.len()];
        assert_eq!((known, deliveries.tried.len()), ([DUE, DUE], 0));
    }
}
