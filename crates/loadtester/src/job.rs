//! Kubernetes Jobs that canaries wait for, such as a migration of a database: one for each revision, in the namespace of the
//! canary and nowhere else. It touches nothing that it has not made.

mod bounded;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use burgee_operator::cluster::{connect, escape, request};
use burgee_operator::lock::lock;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

pub(crate) use self::spec::Wanted;
use self::spec::{CANARY, REVISION, State};
use crate::process::spoken;

/// How often a Job is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// So much of a log is shown.
const TAIL: &str = "tailLines=100&limitBytes=32768";
/// Failures that were told; more are not remembered.
const TOLD: usize = 10_000;

/// The API server, and what was told of it.
pub(crate) struct Jobs {
    client: Client,
    /// Failed Jobs, by uid, of which somebody has heard: asked for once more they are run once more.
    told: Mutex<BTreeSet<String>>,
    look: Duration,
}

/// Why the API server does not do something: for good, or until it is tried again.
enum Trouble {
    ForGood(String),
    ForNow(String),
    Missing,
    Conflict,
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::ForNow(error.to_string()) };
        match status.code {
            404 => Self::Missing,
            409 => Self::Conflict,
            429 | 500.. => Self::ForNow(status.message.clone()),
            _ => Self::ForGood(status.message.clone()),
        }
    }
}

impl Jobs {
    /// A client for the cluster of a kubeconfig, or for the one that this process runs in.
    pub(crate) async fn connect(kubeconfig: &str) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = burgee_operator::run::config(kubeconfig, "").await?;
        Ok(Self::with(connect(config)?, LOOK))
    }

    fn with(client: Client, look: Duration) -> Self {
        Self { client, told: Mutex::default(), look }
    }

    /// Runs a Job and waits for its end. Both results end with the tail of its log, and are logged: the operator's events
    /// tell the length of an answer and not its words.
    pub(crate) async fn run(&self, wanted: &Wanted, limit: Duration) -> Result<String, String> {
        let late = || {
            let Wanted { name, namespace, .. } = wanted;
            Err(format!(
                "job {name}.{namespace} did not end in {}; whoever asks again waits for it again",
                spoken(limit)
            ))
        };
        let verdict = timeout(limit, self.follow(wanted, limit)).await.unwrap_or_else(|_| late());
        match &verdict {
            Ok(said) => tracing::info!("{said}"),
            Err(said) => tracing::error!("{said}"),
        }
        verdict
    }

    async fn follow(&self, wanted: &Wanted, limit: Duration) -> Result<String, String> {
        loop {
            match self.look_once(wanted, limit).await {
                Ok(ControlFlow::Break(verdict)) => return verdict,
                // Somebody was faster, or it has gone meanwhile: the next look shows it.
                Ok(ControlFlow::Continue(())) | Err(Trouble::Missing | Trouble::Conflict) => {}
                Err(Trouble::ForGood(reason)) => return Err(format!("job {}: {reason}", wanted.title())),
                Err(Trouble::ForNow(reason)) => tracing::warn!("job {}: {reason}", wanted.title()),
            }
            sleep(self.look).await;
        }
    }

    /// Brings a Job on by one step. The verdict ends it.
    async fn look_once(
        &self,
        wanted: &Wanted,
        limit: Duration,
    ) -> Result<ControlFlow<Result<String, String>>, Trouble> {
        let job = match self.ask(Method::GET, &wanted.path(), None).await {
            Ok(job) => job,
            Err(Trouble::Missing) => {
                self.ask(Method::POST, &wanted.collection(), Some(&wanted.object(limit))).await.map_err(of_creation)?;
                tracing::info!("job {} created", wanted.title());
                return Ok(ControlFlow::Continue(()));
            }
            Err(trouble) => return Err(trouble),
        };
        let revision = job["metadata"]["annotations"][REVISION].as_str();
        let uid = job["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(other) = job["metadata"]["annotations"][CANARY].as_str().filter(|canary| *canary != wanted.canary) {
            let reason = format!("there is one of canary {other:?}, give it another jobName");
            return Ok(ControlFlow::Break(Err(format!("job {}: {reason}", wanted.title()))));
        }
        match (revision, State::of(&job)) {
            (None, _) => {
                let reason = "there is one that run-job has not made; it is left alone";
                Ok(ControlFlow::Break(Err(format!("job {}: {reason}", wanted.title()))))
            }
            (Some(_), State::Ending) => Ok(ControlFlow::Continue(())),
            (Some(revision), State::Running) if revision == wanted.revision => Ok(ControlFlow::Continue(())),
            (Some(revision), State::Complete) if revision == wanted.revision => {
                let text = format!("job {} completed\n{}", wanted.title(), self.tail(wanted, uid).await);
                Ok(ControlFlow::Break(Ok(text)))
            }
            (Some(revision), State::Failed(reason)) if revision == wanted.revision && self.is_news(uid) => {
                let text = format!("job {} failed: {reason}\n{}", wanted.title(), self.tail(wanted, uid).await);
                Ok(ControlFlow::Break(Err(text)))
            }
            (Some(_), State::Running | State::Complete | State::Failed(_)) => self.replace(wanted, uid).await,
        }
    }

    /// Deletes the Job of an earlier revision, or one that failed; its pods go before it does.
    async fn replace(&self, wanted: &Wanted, uid: &str) -> Result<ControlFlow<Result<String, String>>, Trouble> {
        let options = json!({"propagationPolicy": "Foreground", "preconditions": {"uid": uid}});
        self.ask(Method::DELETE, &wanted.path(), Some(&options)).await?;
        tracing::info!("job {} is replaced", wanted.title());
        Ok(ControlFlow::Continue(()))
    }

    /// Whether nobody has heard of this failure yet. Whoever asks hears of it now.
    fn is_news(&self, uid: &str) -> bool {
        let mut told = lock(&self.told);
        if told.len() >= TOLD {
            told.clear();
        }
        told.insert(uid.to_owned())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let request = request(method, path, body).map_err(|error| Trouble::ForGood(error.to_string()))?;
        Ok(self.client.request(request).await?)
    }

    /// The end of what the newest pod of a Job wrote, or why it cannot be had: the verdict is known without it.
    async fn tail(&self, wanted: &Wanted, uid: &str) -> String {
        let pods = format!("/api/v1/namespaces/{}/pods", wanted.namespace);
        let selector = escape(&format!("controller-uid={uid}"));
        let found = match self.ask(Method::GET, &format!("{pods}?labelSelector={selector}"), None).await {
            Ok(found) => found,
            Err(trouble) => return format!("its pods cannot be listed: {}", said(trouble)),
        };
        let pods_of_job = found["items"].as_array().into_iter().flatten();
        let newest = pods_of_job.max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default());
        let Some(pod) = newest else { return "it has no pod any more".to_owned() };
        let name = escape(pod["metadata"]["name"].as_str().unwrap_or_default());
        let container = escape(pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default());
        let path = format!("{pods}/{name}/log?container={container}&{TAIL}");
        let log = match request(Method::GET, &path, None) {
            Ok(request) => self.client.request_text(request).await.map_err(Trouble::from),
            Err(error) => Err(Trouble::ForGood(error.to_string())),
        };
        log.unwrap_or_else(|trouble| format!("its log cannot be read: {}", said(trouble)))
    }
}

/// A namespace that does not exist will not come by waiting.
fn of_creation(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Missing => Trouble::ForGood("its namespace does not exist".to_owned()),
        trouble @ (Trouble::ForGood(_) | Trouble::ForNow(_) | Trouble::Conflict) => trouble,
    }
}

fn said(trouble: Trouble) -> String {
    match trouble {
        Trouble::ForGood(reason) | Trouble::ForNow(reason) => reason,
        Trouble::Missing => "it is gone".to_owned(),
        Trouble::Conflict => "it was changed meanwhile".to_owned(),
    }
}
