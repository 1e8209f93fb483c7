//! Who acts: the one Lease, kept by a client of its own. The decision is core's; this file only carries it out (S16).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use burgee_core::lease::{self, LeaseSeen, Memory, Move};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clocks;
use crate::cluster::{ApiError, Cluster, Resource};
use crate::vitals::Vitals;

/// A request about the Lease that takes longer is given up, so that the next one is not late.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether this process may write: by the steady clock, which nobody sets back, and by the wall's, which goes on while
/// the machine sleeps, so that whoever was suspended for minutes finds its lease stale at its next write (I17).
#[derive(Debug)]
pub struct Leadership {
    renewed: Mutex<Option<Clocks>>,
    leading: watch::Sender<bool>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self { renewed: Mutex::default(), leading: watch::Sender::new(false) }
    }
}

impl Leadership {
    /// Whether a write may start now.
    pub fn may_write(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Clocks::read();
        lease::may_write(renewed.map(|renewed| renewed.wall), now.wall)
            && lease::may_write(renewed.map(|renewed| renewed.steady), now.steady)
    }

    /// Becomes true when the lease is won and false when it is lost.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Notes a renewal that was sent at `at`, or that the lease is not ours.
    pub fn note(&self, at: Option<Clocks>) {
        if at.is_some() || !self.may_write() {
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = at;
        }
        self.announce();
    }

    fn lose(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.announce();
    }

    /// Looks whether it still is so: a lease also ends when nobody renews it, and nothing else would tell.
    pub(crate) fn announce(&self) {
        let leads = self.may_write();
        let moved = self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
        if moved {
            let text = if leads { "Leadership acquired, this process acts" } else { "Leadership lost" };
            tracing::info!("{text}");
        }
    }
}

/// One process that wants to lead.
pub struct Candidate {
    /// Speaks about the Lease only.
    pub cluster: Cluster,
    /// Namespace of the Lease.
    pub namespace: String,
    /// The pod's uid: a restarted container resumes its own lease at once.
    pub identity: String,
    memory: Memory,
    held: Option<Value>,
}

impl Candidate {
    /// A candidate that has not looked at the Lease yet.
    pub fn new(cluster: Cluster, namespace: String, identity: String) -> Self {
        Self { cluster, namespace, identity, memory: Memory::default(), held: None }
    }

    /// Competes for the lease, and keeps it, until `stop`; then releases it.
    pub(crate) async fn run(mut self, leadership: Arc<Leadership>, vitals: Arc<Vitals>, stop: CancellationToken) {
        vitals.begin(lease::NAME, "Lease");
        while !stop.is_cancelled() {
            if self.turn(&leadership).await {
                vitals.heard(lease::NAME, "Lease");
            }
            let renewal = Duration::from_millis(u64::try_from(lease::RENEWAL.as_millis()).unwrap_or(5000));
            tokio::select! {
                () = tokio::time::sleep(renewal) => {}
                () = stop.cancelled() => {}
            }
        }
        if leadership.may_write() {
            leadership.lose();
            self.release().await;
        }
    }

    /// Answers whether the API server said anything about the lease.
    async fn turn(&mut self, leadership: &Leadership) -> bool {
        let sent = Clocks::read();
        let turned = tokio::time::timeout(PATIENCE, self.compete(sent)).await;
        let is_heard = matches!(turned, Ok(Ok(_)));
        match turned {
            Ok(Ok(true)) => leadership.note(Some(sent)),
            Ok(Ok(false)) => leadership.lose(),
            Ok(Err(error)) => {
                tracing::warn!("lease {}/{} cannot be renewed: {error}", self.namespace, lease::NAME);
                leadership.note(None);
            }
            Err(_) => {
                tracing::warn!("lease {}/{} is not answered", self.namespace, lease::NAME);
                leadership.note(None);
            }
        }
        is_heard
    }

    /// One look and one move. Answers whether the lease is ours.
    async fn compete(&mut self, now: Clocks) -> Result<bool, ApiError> {
        if self.held.is_none() {
            self.held = self.read().await?;
        }
        let current = self.held.take();
        let step = self.memory.decide(current.as_ref().map(seen).as_ref(), &self.identity, now.steady);
        let written = match (step, current) {
            (Move::Wait, _) => return Ok(false),
            (Move::Create, _) | (_, None) => {
                let collection = Resource::LEASES.collection(Some(&self.namespace));
                self.cluster.raw(Method::POST, &collection, Some(&self.wanted(None, now.wall))).await
            }
            (Move::Renew | Move::Take, Some(current)) => {
                self.cluster.raw(Method::PUT, &self.path(), Some(&self.wanted(Some(current), now.wall))).await
            }
        };
        match written.and_then(as_lease) {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(true)
            }
            // Somebody was faster, or the object was edited: look again at the next turn.
            Err(ApiError::Conflict(_)) => self.look_again(now).await,
            Err(error) => Err(error),
        }
    }

    /// After a conflict: ours again if only something else of the object had changed.
    async fn look_again(&mut self, now: Clocks) -> Result<bool, ApiError> {
        let Some(current) = self.read().await? else { return Ok(false) };
        if self.memory.decide(Some(&seen(&current)), &self.identity, now.steady) != Move::Renew {
            return Ok(false);
        }
        let lease = self.cluster.raw(Method::PUT, &self.path(), Some(&self.wanted(Some(current), now.wall))).await?;
        self.held = Some(as_lease(lease)?);
        Ok(true)
    }

    async fn read(&self) -> Result<Option<Value>, ApiError> {
        match self.cluster.raw(Method::GET, &self.path(), None).await {
            Ok(lease) => as_lease(lease).map(Some),
            Err(ApiError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn release(&mut self) {
        let Some(mut lease) = self.held.take() else { return };
        lease["spec"]["holderIdentity"] = "".into();
        lease["spec"]["leaseDurationSeconds"] = 1.into();
        let path = self.path();
        let trouble = match tokio::time::timeout(PATIENCE, self.cluster.raw(Method::PUT, &path, Some(&lease))).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!("lease {}/{} cannot be released: {trouble}", self.namespace, lease::NAME);
    }

    fn path(&self) -> String {
        format!("{}/{}", Resource::LEASES.collection(Some(&self.namespace)), lease::NAME)
    }

    /// The Lease as it should be after a move of ours.
    fn wanted(&self, current: Option<Value>, now: Timestamp) -> Value {
        let time = format!("{now:.6}");
        let mut lease = current.unwrap_or_else(|| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                   "metadata": {"name": lease::NAME, "namespace": self.namespace}, "spec": {"leaseTransitions": -1}})
        });
        if lease["spec"]["holderIdentity"].as_str() != Some(self.identity.as_str()) {
            let transitions = lease["spec"]["leaseTransitions"].as_i64().unwrap_or_default();
            lease["spec"]["leaseTransitions"] = transitions.saturating_add(1).into();
            lease["spec"]["holderIdentity"] = self.identity.clone().into();
            lease["spec"]["acquireTime"] = time.clone().into();
        }
        lease["spec"]["leaseDurationSeconds"] = lease::DURATION.as_secs().into();
        lease["spec"]["renewTime"] = time.into();
        lease
    }
}

/// An answer that is the Lease. Anything else is an error: nothing can be said of who holds it.
fn as_lease(answer: Value) -> Result<Value, ApiError> {
    let is_lease = answer["metadata"]["name"] == lease::NAME && answer["spec"].is_object();
    if is_lease {
        Ok(answer)
    } else {
        Err(ApiError::Failed("the API server sent something that is no lease".to_owned()))
    }
}

/// What of a Lease object matters.
fn seen(lease: &Value) -> LeaseSeen {
    let spec = &lease["spec"];
    LeaseSeen {
        holder: spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned),
        renewed: spec["renewTime"].as_str().unwrap_or_default().to_owned(),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = crate::cluster::connect(config).unwrap();
        Candidate::new(Cluster::new(client.clone(), client), "here".to_owned(), "me".to_owned())
    }

    #[tokio::test]
    async fn taking_a_lease_counts_a_transition_and_renewing_it_keeps_the_time_of_acquisition() {
        let candidate = candidate();
        let (one, two) = (Timestamp::from_second(100).unwrap(), Timestamp::from_second(105).unwrap());
        let taken = candidate.wanted(None, one);
        assert_eq!(taken["spec"]["leaseTransitions"], 0);
        assert_eq!(taken["spec"]["acquireTime"], "1970-01-01T00:01:40.000000Z");
        let renewed = candidate.wanted(Some(taken), two);
        assert_eq!(renewed["spec"]["leaseTransitions"], 0);
        assert_eq!(renewed["spec"]["acquireTime"], "1970-01-01T00:01:40.000000Z");
        assert_eq!(renewed["spec"]["renewTime"], "1970-01-01T00:01:45.000000Z");
        let mut foreign = renewed;
        foreign["spec"]["holderIdentity"] = "other".into();
        assert_eq!(candidate.wanted(Some(foreign), two)["spec"]["leaseTransitions"], 1);
    }

    #[tokio::test]
    async fn an_odd_answer_about_the_lease_costs_one_turn_and_not_the_leadership() {
        use burgee_apiserver::{ApiServer, Fault, Requests, Times, Verb};
        for odd in [json!([]), json!({}), json!("lease"), json!({"metadata": {"name": lease::NAME}, "spec": 7})] {
            let server = ApiServer::start().await.unwrap();
            let client = crate::cluster::connect(kube::Config::new(server.url().parse().unwrap())).unwrap();
            let cluster = Cluster::new(client.clone(), client);
            let mut candidate = Candidate::new(cluster, "here".to_owned(), "me".to_owned());
            let leadership = Leadership::default();
            assert!(candidate.turn(&leadership).await && leadership.may_write());
            for verb in [Verb::Update, Verb::Get] {
                server.trouble(Requests::of(verb, "leases"), Fault::Lie(odd.clone()), Times::Next(1));
                // An odd PUT is followed by a look, and an odd look by another one.
                let turns = [candidate.turn(&leadership).await, candidate.turn(&leadership).await];
                assert!(turns.contains(&false), "{verb:?} {odd} is taken for a lease");
                assert!(candidate.turn(&leadership).await && leadership.may_write(), "{verb:?} {odd}");
                candidate.held = None;
            }
        }
    }

    #[test]
    fn a_released_lease_reads_as_free() {
        assert_eq!(seen(&json!({"spec": {"holderIdentity": "", "renewTime": "x"}})).holder, None);
        assert_eq!(seen(&json!({"spec": {"holderIdentity": "a"}})).holder.as_deref(), Some("a"));
    }

    #[test]
    fn leadership_is_announced_once_when_won_and_once_when_lost() {
        let leadership = Leadership::default();
        let mut changes = leadership.changes();
        leadership.note(Some(Clocks::read()));
        assert!(changes.has_changed().unwrap() && *changes.borrow_and_update());
        leadership.note(Some(Clocks::read()));
        assert!(!changes.has_changed().unwrap());
        leadership.lose();
        assert!(changes.has_changed().unwrap() && !*changes.borrow_and_update());
        assert!(!leadership.may_write());
    }
}
